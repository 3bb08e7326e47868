import pytest

from gentext import config
from gentext.api import label
from gentext.cli.run import explain


def test_the_label_is_the_family_and_what_was_changed_in_it():
    overrides = ["family=lstm", "data=coco", "family.width=512", "seed=3", "+loss=nll", "train.lr=0.1", "out=x"]
    assert label(overrides, "lstm") == ("lstm", "width=512 loss=nll train.lr=0.1")
    assert label([], "ngram") == ("ngram", "")
    replaced = ["~family.filters=null", "+family.filters={2: 9}", "~loss.weight"]
    assert label(replaced, "seqgan") == ("seqgan", "filters={2: 9} loss.weight")


def test_a_sweep_is_checked_one_value_at_a_time():
    jobs = list(config.expand(["family=ngram,human", "seed=0,1,2", "out=x"]))
    assert jobs[0] == ["family=ngram", "seed=0", "out=x"]
    assert ["family=human", "seed=0", "out=x"] in jobs
    assert len(jobs) == 4


@pytest.mark.parametrize("flag", [True, False])
def test_a_sweep_leaves_a_nested_option_to_the_jobs_that_have_its_place(flag):
    named = ["encoder@eval.encoder=pretrained", "eval.encoder.model=x"]  # of the tasks; captions have no such place
    given = ["data=poetry,code", "family=copy"] if flag else ["experiment=tasks", "family=copy,human"]
    assert flag or config.is_sweep([*given, *named])
    overrides = config.completed(config.late([*given, *named], sweep=True))
    assert overrides[-2:] == ["encoder@eval.encoder=choice(pretrained)", "++eval.encoder.model=x"]
    assert {config.compose(job).eval.encoder.model for job in config.jobs(overrides, sweep=True)} == {"x"}


@pytest.mark.parametrize(
    ("words", "sweep"),
    [
        (["family=ngram"], False),
        (["experiment=demo"], True),
        (["experiment=reproduce/seqgan_oracle"], False),
        (["experiment=demo", "hydra.mode=RUN"], False),
        (["family=ngram,human"], False),
    ],
)
def test_a_sweep_is_what_its_experiment_says(words, sweep):
    assert config.is_sweep(words) is sweep


def test_one_run_takes_a_nested_option_as_it_is():
    named = ["data=poetry", "encoder@eval.encoder=pretrained", "eval.encoder.model=x"]
    assert config.completed(config.late(named, sweep=False)) == named


def test_globs_expand_to_the_options():
    names = [job[0] for job in config.expand(["family=glob(*)"])]
    assert names == [f"family={name}" for name in sorted(config.groups()["family"])]
    with pytest.raises(ValueError, match="matches no option"):
        list(config.expand(["family=glob(zzz*)"]))


def test_identity_ignores_where_it_runs_and_how_it_is_judged():
    one = config.compose(["family=human"])
    two = config.compose(["family=human", "out=elsewhere", "decode=greedy", "tracker=console", "device=cuda"])
    three = config.compose(["family=human", "seed=1"])
    assert config.identity(one) == config.identity(two) != config.identity(three)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(28, "No space left on device", "x.bin"), "Free some space"),
        (PermissionError(13, "Permission denied", "/r"), "out="),
        (ValueError("order is 0"), "order is 0"),
        (MemoryError(), "MemoryError"),
    ],
)
def test_errors_say_what_to_do(error, words):
    assert words in explain(error)
