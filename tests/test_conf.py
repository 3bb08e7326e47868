"""Every option of every group composes, and every node binds to its target's signature."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from gentext import config
from gentext.cli.run import check

DEFAULTS = Path(__file__).parents[1] / "experiments" / "defaults"
OPTIONS = [(group, name) for group, names in config.groups().items() for name in names if "hydra" not in group]


def targets(node):
    if isinstance(node, DictConfig):
        if node.get("_target_"):
            yield node._target_
        for key in node:
            yield from targets(node._get_node(key))


def flattened(node):
    """The dotted key of every value of a node."""
    for key in node:
        inner = node._get_node(key)
        yield from (f"{key}.{each}" for each in flattened(inner)) if isinstance(inner, DictConfig) else [key]


def of_tuned(name):
    family, _, corpus = name.rpartition("-")
    return [f"family={family}", f"data={corpus}"]


def searched(name):
    """The sizes of a file, and the name of the search that found them: another file's, where it takes those."""
    node = OmegaConf.load(config.folder() / "tuned" / f"{name}.yaml")
    return searched(node.defaults[0]) if "defaults" in node else (node.family, name)


@pytest.mark.parametrize(("group", "name"), OPTIONS)
def test_every_option_composes_and_binds(group, name):
    override = {
        "model": [f"model@family={name}"],
        "encoder": ["eval=full", f"encoder@eval.encoder={name}"],
        "flag": ["eval=safety", f"flag@eval.metrics.flagged.flag={name}"],
        "tuned": of_tuned(name),
    }.get(group, [f"{group}={name}"])
    if group == "flag":
        needed = {"words": ["words"], "pattern": ["pattern"], "run": ["run", "label"], "skops": ["file", "label"]}
        needed["transformers"] = ["model", "label"]
        override += [f"eval.metrics.flagged.flag.{key}=x" for key in needed.get(name, [])]
    if group == "decode" and name.startswith("filter"):
        needed = {"filter": ["words"], "filter_pattern": ["pattern"], "filter_run": ["run", "label"]}[name]
        override += [f"decode.filter.flag.{key}=x" for key in needed]
    if group == "data":
        override += {
            **{each: ["data.path=x"] for each in ("text", "hf", "labelled")},
            "truth": ["data.truth.run=x"],
            "detection": ["data.run=x"],
            "samples": ["data.run=x"],
        }.get(name, [])
    if name == "classification" and group == "experiment":
        override.append("data.path=x")
    if group == "decode" and name in ("rerank", "residual_ebm", "reject", "refine", "judged"):
        override.append(f"decode.{'rerank' if name == 'judged' else name}.judge.run=x")
    cfg = config.compose(override)
    config.check(cfg)
    for target in targets(cfg):
        assert target.startswith(("gentext.", "torch.optim.")), target


def test_sizes_that_nobody_wrote_are_refused_though_the_group_is_optional():
    for name, why in (("lstm-tinyshakespear", "is unknown; ~tuned is the family's own sizes"), ("null", "names no")):
        with pytest.raises(ValueError, match=f"tuned={name} {why}"):
            config.compose(["family=lstm", f"tuned={name}"])


@pytest.mark.parametrize("name", config.groups()["tuned"])
def test_a_family_begins_with_the_best_trial_on_the_corpus(name):
    given = of_tuned(name)
    sizes, search = searched(name)
    tuned, plain = (config.compose([*given, *more]).family for more in ([], ["~tuned"]))
    assert tuned == OmegaConf.merge(plain, sizes) != plain
    assert set(flattened(sizes)) <= set(flattened(plain))
    flat = {key: OmegaConf.select(sizes, key) for key in flattened(sizes)}
    key = next(iter(flat))
    assert tuned == config.compose([*given, f"family.{key}={flat[key]}"]).family
    family, _, corpus = search.rpartition("-")
    with (DEFAULTS / f"{corpus}-{family}.csv").open() as trials:
        best = next(csv.DictReader(trials))
    assert {key: str(value) for key, value in flat.items()} == {key: best[f"family.{key}"] for key in flat}


def test_a_user_tunes_a_family_to_a_corpus_of_their_own(tmp_path):
    for group, text in {"data": "path: x.txt", "tuned": "# @package _global_\nfamily: {order: 3}"}.items():
        (tmp_path / group).mkdir()
        (tmp_path / group / {"data": "mine.yaml", "tuned": "ngram-mine.yaml"}[group]).write_text(text)
    with config.searching(tmp_path):
        assert config.compose(["data=mine"]).family.order == 3
        assert config.compose(["data=mine", "family.order=4"]).family.order == 4
        assert "order" not in config.compose(["data=mine", "family=lstm"]).family


def test_every_option_has_a_line_of_description():
    bare = [f"{group}/{name}" for group, names in config.groups().items() for name, line in names.items() if not line]
    assert not bare


@pytest.mark.parametrize(
    ("overrides", "advice"),
    [
        (["family=ngramm"], "ngram"),
        (["famly=ngram"], "family"),
        (["data=cocco"], "coco"),
        (["family.ordr=3"], "order"),
        (["seed=abc"], "seed"),
        (["+family.colour=red"], "colour"),
        (["decode.sample.temprature=1"], "temperature"),
        (["family=lstm", "train.procesess=2"], "processes"),
        (["family=lstm", "train.batch_size=2.5"], "batch_size is 2.5, and .* needs int"),
        (["family=lstm", "train.lr=abc"], "lr is 'abc', and .* needs float"),
        (["family=lstm", "train.clip=abc"], r"clip is 'abc', and .* needs float \| None"),
        (["decode.sample.temperature=abc"], "temperature is 'abc'"),
        (["decode.sample.temperature=null"], "temperature is None"),
        (["family=vae", "loss.kl.weight=abc"], "weight is 'abc'"),
        (["data=text"], r"data\.path has no value.*give data\.path="),
        (["data=truth"], r"data\.truth\.run has no value"),
    ],
)
def test_wrong_keys_and_options_are_answered_with_advice(overrides, advice):
    with pytest.raises(ValueError, match=advice):
        check(overrides)


def test_a_key_that_only_the_class_lists_can_be_given_as_any_other():
    given = ["family=lstm,transformer", "train.processes=1,2", "seed=1,2", "family.order=3", "train.lr=1"]
    assert config.completed(given) == [given[0], "+train.processes=1,2", *given[2:4], "++train.lr=1"]
    cfg = config.compose(config.completed(["family=lstm", "train.processes=2"]))
    assert config.build(cfg.train).processes == 2


def opened(path: Path) -> Path:
    return Path(path)


@pytest.mark.parametrize(
    ("overrides", "sweep", "advice"),
    [
        (["family=lstm", "++family.widths=8"], False, "family.widths is no key of this run. Did you mean width"),
        (["family=lstm,ngram", "++family.widths=8,16"], True, "family.widths is no key of this run"),
        (
            ["family=lstm", "track=time", "train.epochs=3"],
            False,
            r"train.epochs=3 counts for nothing: track.core_seconds .*~track",
        ),
        (["family=lstm", "track=flops", "train.steps=3"], False, "train.steps=3 counts for nothing: track.flops"),
        (["family=hmm", "track=time", "train.iterations=3"], False, "train.iterations=3 counts for nothing"),
        (["experiment=demo", "train.epochs=3"], True, "train.epochs=3 counts for nothing"),
    ],
)
def test_what_would_count_for_nothing_is_refused(overrides, sweep, advice):
    with pytest.raises(ValueError, match=advice):
        check(config.completed(overrides), sweep=sweep)


def test_what_counts_somewhere_is_not_refused():
    check(["family=lstm,ngram", "++family.width=8"], sweep=True)
    check(["family=lstm", "track=time", "train.steps=0"])  # no training at all
    check(["family=lstm", "track=parameters", "train.epochs=3"])  # a track of sizes
    for chosen in ("seqgan", "ngram"):  # an experiment's widths are for others of its families
        check(["experiment=oracle", f"family={chosen}"], sweep=True)
    words = ["family=ngram", "++eval.metrics.bleu._target_=gentext.metrics.Rouge"]
    check(words)
    assert config.settle(config.compose(words), words).eval.metrics.bleu == {"_target_": "gentext.metrics.Rouge"}
    words = ["experiment=captions_time", "family=lstm", "seed=0", "~track", "train.epochs=3"]
    check(words)
    settled = config.settle(config.compose(words), words)
    assert (settled.track, settled.train.epochs) == (None, 3)


def test_what_others_annotate_is_theirs_to_read():
    node = OmegaConf.create({"_target_": f"{__name__}.opened", "path": "log.txt"})
    assert config.build(node) == Path("log.txt")


def test_a_key_that_some_jobs_of_a_sweep_have_is_for_those_alone():
    given = ["family=ngram,lstm", "train.epochs=3"]
    assert config.completed(given) == ["family=ngram,lstm", "++train.epochs=3"]
    assert config.completed(["experiment=demo", "train.epochs=3"]) == ["experiment=demo", "++train.epochs=3"]
    assert config.completed(["family=ngram", "train.epochs=3"]) == ["family=ngram", "train.epochs=3"]  # told of below
    check(config.completed(given), sweep=True)
    for family, epochs in {"ngram": None, "lstm": 3}.items():
        job = [f"family={family}", "++train.epochs=3"]
        cfg = config.compose(job, with_hydra=True)
        settled = config.settle(cfg, job)
        assert settled.train.get("epochs") == epochs
        cfg.hydra.overrides.task = job
        same = config.compose([f"family={family}", *["train.epochs=3"] * (family == "lstm")], with_hydra=True)
        assert config.run_name(cfg) == config.run_name(same)
    with pytest.raises(ValueError, match=r"train\.epochs is no key of this run"):
        check(["family=ngram", "train.epochs=3"])


@pytest.mark.parametrize("family", ["lstm", "seqgan", "relgan", "vae"])
def test_one_key_bounds_the_epochs_of_every_family_that_has_them(family):
    cfg = config.compose([f"family={family}", "train.epochs=3"])
    loop = cfg.train if family in ("lstm", "vae") else cfg.train.warmup
    assert loop.epochs == 3


NAMES = ["a,b.txt", "a=b.txt", "it's.txt", 'a "b".txt', "a(1).txt", "a#b.txt", "日本.txt", "null", "true", "1e5", "a b"]
NAMES += ["[a].txt", "{a}.txt", "a:b.txt", "a\\b.txt", "a\\", "-a.txt", "$a.txt", "a%b@c.txt", "2024"]


@pytest.mark.parametrize("name", NAMES)
def test_a_file_of_any_name_is_read(tmp_path, monkeypatch, name):
    """Relative, and with its folder, which two keys are given at once."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_text("a text", encoding="utf-8")
    given = ["data=text", f"data.path={name}", f"init={tmp_path / name}"]
    overrides = config.completed(given)
    composed = config.compose(overrides, with_hydra=True)
    assert (composed.data.path, composed.init) == (name, str(tmp_path / name))
    assert len(Path(composed.hydra.run.dir).parts) == 3, composed.hydra.run.dir
    same = config.compose(given)
    assert (same.data.path, same.init) == (name, str(tmp_path / name))
    assert len(list(config.expand(overrides))) == 1


def test_a_sweep_over_files_stays_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text("a text", encoding="utf-8")
    assert len(list(config.expand(config.completed(["data=text", "data.path=a.txt,b.txt"])))) == 2


BAD_VALUES = [
    "loss.nll=null",
    "decode.sample=null",
    "tracker.jsonl=null",
    "eval.metrics.bleu=null",
    "eval.metrics.bleu=3",
    "family._target_=7",
    "family._target_=null",
    "train.lr=[1,2]",
    "train.steps={a: 1}",
    "family.layers=[1]",
    "device=tpu9",
    "device=cuda:99",
    "loss.nll.smoothing=1",
    "loss.nll.smoothing=nan",
    "+loss.nll.weight=-1",
    "+loss.nll.weight=nan",
    "+loss.nll.weight=inf",
    "+eval.metrics.bleu.max_order=0",
    "+eval.metrics.bleu.smoothing=method9",
    "+eval.metrics.bleu.resamples=-1",
    "+eval.metrics.bleu.words=wrods",
    "+eval.metrics.selfbleu.mode=all",
    "+eval.metrics.lm_score.judge=gpt9",
    "+eval.metrics.memorisation.max_order=-3",
    "eval.metrics.latent.texts=1",
    "eval.metrics.latent.importance=0",
]
OF_FAMILIES = {
    "ngram": ["family.prune=[0,a]", "family.prune=3"],
    "vae": [
        *("loss.kl=null", "loss.kl.weight=-1", "loss.kl.weight=nan", "loss.kl.nats=0", "loss.kl.nats=nan"),
        *("loss.kl.per=word", "family.encoder=null", "family.decoder=3"),
    ],
    "vae loss=elbo_cyclical": [
        *("loss.kl.weight.cycles=0", "loss.kl.weight.cycles=-2", "loss.kl.weight.ramp=0", "loss.kl.weight.ramp=2"),
        *("loss.kl.weight.start=nan",),
    ],
    "vae loss=elbo_linear": ["loss.kl.weight.until=0", "loss.kl.weight.end=inf"],
    "vae loss=target_rate": ["loss.kl.nats=-1"],
    "vae loss=mmd": ["loss.mmd.weight=-1", "loss.mmd=null"],
    "seqgan": ["family.critic.filters={2: x}", "loss.baseline=3"],
    "seqgan_gumbel": ["loss.temperature.start=nan", "loss.temperature.until=-1"],
    "lstm eval=full": [
        *("+eval.metrics.mauve.scale=0", "+eval.metrics.mauve.clusters=1", "+eval.metrics.c2st_cnn.held_out=1"),
        *("eval.metrics.c2st_cnn.classifier=svm", "eval.encoder.order=0", "+eval.metrics.manifold.neighbours=0"),
    ],
}


@pytest.mark.parametrize(
    ("choices", "bad"),
    [
        *(("lstm", bad) for bad in BAD_VALUES),
        *((choices, bad) for choices, values in OF_FAMILIES.items() for bad in values),
    ],
)
def test_a_bad_value_is_refused_before_anything_begins_and_its_key_is_named(tmp_path, choices, bad):
    key = bad.lstrip("+").partition("=")[0]
    with pytest.raises(ValueError, match=re.escape(key.rpartition(".")[2])) as raised:
        check([*f"family={choices}".split(), bad, f"out={tmp_path / 'runs'}"])
    assert key in str(raised.value)
    assert "\n" not in str(raised.value)
    assert "full_key" not in str(raised.value)
    assert not (tmp_path / "runs").exists()


def test_an_argument_refused_below_a_reference_is_named_where_it_is_written():
    cfg = config.compose(["family=vae", "loss.kl.nats=0"])
    with pytest.raises(ValueError, match=r"^loss\.kl\.nats is 0"):
        config.build(cfg.train)
    cfg = config.compose(["family=seqgan", "train.warmup.loss.nll.smoothing=1"])
    cfg.vocab_size = 9
    with pytest.raises(ValueError, match=r"^train\.warmup\.loss\.nll\.smoothing is 1"):
        config.build(cfg.train)


@pytest.mark.parametrize("end", ["start", "end"])
def test_a_schedule_that_goes_below_zero_is_refused(end):
    with pytest.raises(ValueError, match=rf"^loss\.kl\.weight is -1\.0 at the {end} of the run"):
        check(["family=vae", "loss=elbo_linear", f"loss.kl.weight.{end}=-1"])


@pytest.mark.parametrize("text", [*NAMES, "100%", "what, then?", "", "plain words"])
def test_a_text_of_any_letters_is_taken_as_it_is(text):
    given = [f"title={text}", f"out={text}"]
    overrides = config.completed([*given, "train.batch_size=3", "family=hmm"])
    for composed in (config.compose(overrides), config.compose(given)):
        assert (composed.title, composed.out) == (text, text)
    assert len(list(config.expand(overrides))) == 1


@pytest.mark.parametrize("value", ["(x)", "it's", "#1", "日本", "a=b", 'say "hi"', "a,b"])
def test_what_hydra_cannot_read_is_answered_with_the_quotes_that_it_needs(value):
    with pytest.raises(ValueError, match="put it in quotes of its own") as raised:
        config.compose([f"tokenizer.words={value}"])
    said = str(raised.value)
    assert f"tokenizer.words={value}" in said
    assert not re.search("hydra|lexer|token rec|EOF|expecting", said, re.IGNORECASE)
