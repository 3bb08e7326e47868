"""`family=pretrained` against transformers itself, on tiny checkpoints made on disk."""

from __future__ import annotations

import logging
import os
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_model, save_model

transformers = pytest.importorskip("transformers")

from models import checkpoints  # noqa: E402 - it wants transformers

from gentext import contract  # noqa: E402
from gentext.data.checkpoint import PretrainedTokenizer, loaded  # noqa: E402
from gentext.data.tokenizer import Tokenizer  # noqa: E402
from gentext.decode import Ancestral, Beam  # noqa: E402
from gentext.evaluation.harness import unread  # noqa: E402
from gentext.language_model import LanguageModel  # noqa: E402
from gentext.models.pretrained.model import Pretrained, kind_of  # noqa: E402
from gentext.models.pretrained.vocabulary import Vocabulary  # noqa: E402
from gentext.types import BOS, EOS, PAD, UNK, Batch, pad  # noqa: E402

TEXTS = ["a man rides a dog", "the horse sits", "two dogs walk on the beach"]
KINDS = {"gpt2": "causal", "llama": "causal", "t5": "encoder_decoder", "bart": "encoder_decoder", "bert": "masked"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return {name: checkpoints.MAKERS[name](tmp_path_factory.mktemp(name)) for name in KINDS}


@pytest.fixture(scope="module")
def opened(folders):
    """A family, its tokenizer here, and the network and tokenizer of transformers."""
    held = {}

    def open_(name):
        if name not in held:
            tokenizer = PretrainedTokenizer(str(folders[name]))
            family = Pretrained(tokenizer.vocab_size, model=str(folders[name])).eval()
            theirs = transformers.AutoTokenizer.from_pretrained(folders[name])
            held[name] = family, tokenizer, family.network, theirs
        return held[name]

    return open_


def rows(tokenizer, texts=TEXTS) -> Batch:
    return pad([[*ids, EOS] for ids in tokenizer.encode(texts)])


def prompts(tokenizer, texts, end=()) -> torch.Tensor:
    return pad([[*ids, *end] for ids in tokenizer.encode(texts)]).tokens


@pytest.mark.parametrize("name", KINDS)
def test_the_checkpoint_says_what_it_is(name, opened):
    family = opened(name)[0]
    assert kind_of(family.model) == family.kind == KINDS[name]
    assert family.likelihood == ("pseudo" if name == "bert" else "exact")


@pytest.mark.parametrize("name", KINDS)
def test_its_tokenizer_gives_its_ids_after_the_reserved_ones(name, opened, tmp_path):
    _, ours, _, theirs = opened(name)
    for text in TEXTS:
        ids = theirs(text, add_special_tokens=False).input_ids
        assert ours.encode([text]) == [[i + 4 for i in ids]]
        assert ours.decode([[*ours.encode([text])[0], EOS, 9]]) == [text]
    ours.save(tmp_path / "tokenizer.json")
    assert Tokenizer.load(tmp_path / "tokenizer.json").encode(TEXTS) == ours.encode(TEXTS)
    assert ours.signature().startswith("pretrained|case:kept|vocab:")


def test_what_it_does_not_know_is_named_as_it_is_spelled(opened):
    ours = opened("bert")[1]
    text = "a man rides a жираф"
    assert [i == UNK for i in ours.encode([text])[0]].count(True) == len(ours.unknown(text)) == 1
    assert ours.unknown(text) == ["жираф"]
    assert opened("gpt2")[1].unknown(text) == []


def test_a_text_that_spells_a_mark_is_text(opened):
    ours = opened("gpt2")[1]
    (ids,) = ours.encode(["a <|endoftext|> b"])
    assert EOS not in ids
    assert ours.decode([ids]) == ["a <|endoftext|> b"]


def test_a_causal_score_is_that_of_transformers(opened):
    family, ours, network, theirs = opened("gpt2")
    batch = rows(ours)
    with torch.no_grad():
        found = family.log_prob(batch)
        for text, nats in zip(TEXTS, found, strict=True):
            end = theirs.eos_token_id
            ids = torch.tensor([[end, *theirs(text).input_ids, end]])
            expected = network(ids).logits[0, :-1].log_softmax(-1).gather(1, ids[0, 1:, None]).sum()
            assert float(nats) == pytest.approx(float(expected), abs=1e-4)


def test_a_gguf_file_is_the_model_that_it_was_written_from(tmp_path):
    file = checkpoints.gguf(tmp_path)
    read, told = (PretrainedTokenizer(str(path)) for path in (file, tmp_path / "whole"))
    assert read.encode(TEXTS) == told.encode(TEXTS)
    assert {**read.rules.marks, "pad": None} == {**told.rules.marks, "pad": None}
    again, family = (Pretrained(read.vocab_size, model=str(path)).eval() for path in (file, tmp_path / "whole"))
    assert again.kind == "causal"
    with torch.no_grad():
        assert torch.allclose(again.log_prob(rows(read)), family.log_prob(rows(read)), atol=1e-4)


def test_a_mark_that_transformers_adds_to_a_gguf_file_is_never_emitted(tmp_path):
    file = checkpoints.gguf(tmp_path, unknown="<unk>")  # transformers gives it <|endoftext|> as well
    read = PretrainedTokenizer(str(file))
    family, told = Pretrained(read.vocab_size, model=str(file)).eval(), PretrainedTokenizer(str(tmp_path / "whole"))
    whole = Pretrained(told.vocab_size, model=str(tmp_path / "whole")).eval()
    assert read.vocab_size == told.vocab_size + 1
    assert read.encode(TEXTS) == told.encode(TEXTS)
    with torch.no_grad():
        logits = family.start(1).logits
        assert logits.shape == (1, read.vocab_size)
        assert logits[0, -1] == -torch.inf
        assert torch.allclose(family.log_prob(rows(read)), whole.log_prob(rows(told)), atol=1e-4)
    with pytest.raises(ValueError, match="they do not belong together"):
        Vocabulary(read.vocab_size, read.vocab_size - 5, {"eos": 2})


@pytest.mark.parametrize("name", ["t5", "bart"])
def test_an_encoder_decoders_score_is_the_loss_of_transformers(name, opened):
    family, ours, network, theirs = opened(name)
    batch = rows(ours)
    sources = ["a man", "two old dogs", "rain"]
    given = Batch(batch.tokens, batch.mask, prompts(ours, sources, [EOS]))
    never = torch.zeros(len(theirs))
    never[[i for i in (theirs.pad_token_id, theirs.bos_token_id) if i is not None]] = -torch.inf
    with torch.no_grad():
        found = family.log_prob(given)
        for source, text, nats in zip(sources, TEXTS, found, strict=True):
            labels = theirs(text, return_tensors="pt").input_ids
            logits = network(**theirs(source, return_tensors="pt"), labels=labels).logits[0]
            at = 1 if name == "bart" else 0  # <s> is given, not said
            scores = (logits + never)[at:].log_softmax(-1)
            expected = scores.gather(1, labels[0, at:, None]).sum()
            assert float(nats) == pytest.approx(float(expected), abs=1e-4)


@pytest.mark.parametrize("name", ["gpt2", "llama", "t5", "bart"])
def test_cached_steps_equal_the_parallel_pass(name, opened):
    family, ours, *_ = opened(name)
    batch = rows(ours)
    end = [EOS] if KINDS[name] == "encoder_decoder" else []
    for prompt in (None, prompts(ours, ["a", "two men in the", "rain is"], end)):
        given = Batch(batch.tokens, batch.mask, prompt)
        with torch.no_grad():
            assert torch.allclose(family(given).log_prob, LanguageModel.forward(family, given).log_prob, atol=1e-4)


def generated(name, opened, texts, **settings) -> list[list[int]]:
    """What transformers generates after each text alone, in ids of its own, to its end."""
    _, _, network, theirs = opened(name)
    found = []
    for text in texts:
        ids = theirs(text, return_tensors="pt").input_ids
        if name == "gpt2":
            ids = torch.cat([torch.tensor([[theirs.eos_token_id]]), ids], 1)
        never = [i for i in {theirs.bos_token_id, theirs.pad_token_id} - {theirs.eos_token_id} if i is not None]
        out = network.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=8 + (name == "bart"), do_sample=False,
            bad_words_ids=[[i] for i in never if name != "bart" or i != theirs.bos_token_id] or None,
            pad_token_id=theirs.eos_token_id, **settings,
        )[0].tolist()  # fmt: skip
        said = out[len(ids[0]) :] if KINDS[name] == "causal" else out[2 if name == "bart" else 1 :]
        found.append(said[: said.index(theirs.eos_token_id)] if theirs.eos_token_id in said else said)
    return found


@pytest.mark.parametrize("name", ["gpt2", "llama", "t5", "bart"])
@pytest.mark.parametrize("width", [1, 3])
def test_greedy_and_beam_equal_generate_token_for_token(name, width, opened):
    family, ours, *_ = opened(name)
    texts = ["a man", "the old dog in"]
    end = [EOS] if KINDS[name] == "encoder_decoder" else []
    settings = {} if width == 1 else {"num_beams": width, "length_penalty": 1.0, "early_stopping": "never"}
    expected = generated(name, opened, texts, **settings)
    decoder = Ancestral(top_k=1) if width == 1 else Beam(width=width)
    draw = family.sample(2, 8, decoder=decoder, rng=torch.Generator(), prompt=prompts(ours, texts, end))
    said = [[int(i) - 4 for i in row[mask] if i != EOS] for row, mask in zip(draw.tokens, draw.mask, strict=True)]
    assert said == expected


def test_the_masked_score_masks_each_token_alone(opened):
    family, ours, network, theirs = opened("bert")
    batch = rows(ours)
    with torch.no_grad():
        found = family.log_prob(batch)
        for text, nats in zip(TEXTS, found, strict=True):
            ids, total = theirs(text, return_tensors="pt").input_ids, 0.0
            for place in range(1, ids.shape[1]):
                read = ids.clone()
                read[0, place] = theirs.mask_token_id
                logits = network(read).logits[0, place]
                logits[[theirs.pad_token_id, theirs.cls_token_id, theirs.mask_token_id]] = -torch.inf
                total += float(logits.log_softmax(-1)[ids[0, place]])
            assert float(nats) == pytest.approx(total, abs=1e-4)


@pytest.mark.parametrize("sampler", ["gibbs", "mask_predict"])
def test_a_masked_checkpoint_is_drawn(sampler, folders):
    tokenizer = PretrainedTokenizer(str(folders["bert"]))
    family = Pretrained(tokenizer.vocab_size, model=str(folders["bert"]), sampler=sampler, iterations=1).eval()
    family.prepare([rows(tokenizer)], rng=torch.Generator())
    draw = family.sample(5, 12, decoder=Ancestral(), rng=torch.Generator().manual_seed(0))
    assert (draw.tokens.gather(1, draw.lengths[:, None] - 1) == EOS).all()
    assert all(tokenizer.decode(draw.tokens.tolist()))
    assert "[MASK]" not in " ".join(tokenizer.decode(draw.tokens.tolist()))


CONTRACT = [
    contract.test_forward_equals_step,
    contract.test_padding_changes_nothing,
    contract.test_the_future_does_not_move_the_past,
    contract.test_select_commutes_with_step,
    contract.test_a_state_can_be_gone_on_from_twice,
    contract.test_a_prompt_is_a_prefix,
    contract.test_samples_are_well_formed_and_repeatable,
]


@pytest.mark.parametrize("check", CONTRACT, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", ["gpt2", "llama", "bert"])
def test_it_keeps_the_contract(name, check, opened):
    check(opened(name)[0])


@pytest.mark.parametrize("name", ["gpt2", "llama", "t5", "bart"])
def test_probabilities_of_the_next_token_sum_to_one_over_distinct_events(name, opened):
    family, ours, _, theirs = opened(name)
    with torch.no_grad():
        logits = family.start(2).logits
    assert logits.shape == (2, ours.vocab_size)
    assert (logits[:, [PAD, BOS]] == -torch.inf).all()
    own = [
        i for i in (theirs.eos_token_id, theirs.bos_token_id, theirs.pad_token_id, theirs.unk_token_id) if i is not None
    ]
    assert (logits[:, [4 + i for i in own]] == -torch.inf).all()
    assert bool(logits[0, UNK].isfinite()) == (theirs.unk_token_id is not None)


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")  # peft's own call of transformers
def test_low_rank_updates_are_all_that_a_run_holds(folders, tmp_path):
    peft = pytest.importorskip("peft")
    model = str(folders["gpt2"])
    v = PretrainedTokenizer(model).vocab_size
    family = Pretrained(v, model=model, lora=2)
    whole = Pretrained(v, model=model)
    batch = rows(PretrainedTokenizer(model))
    assert torch.allclose(family.eval().log_prob(batch), whole.eval().log_prob(batch), atol=1e-5)
    moved = [name for name, p in family.named_parameters() if p.requires_grad]
    assert moved
    assert all("lora_" in name for name in moved)
    with torch.no_grad():
        for parameter in family.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1)
    save_model(family, str(tmp_path / "model.safetensors"))
    assert (tmp_path / "model.safetensors").stat().st_size < 40_000
    fresh = Pretrained(v, model=model, lora=2)
    load_model(fresh, tmp_path / "model.safetensors")
    assert torch.allclose(fresh.eval().log_prob(batch), family.log_prob(batch), atol=1e-6)
    assert not torch.allclose(fresh.log_prob(batch), whole.log_prob(batch), atol=1e-2)
    family.network.save_pretrained(tmp_path / "adapter")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(model)
    theirs = peft.PeftModel.from_pretrained(theirs, tmp_path / "adapter").eval()
    ids = torch.randint(0, 200, (2, 7), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(theirs(ids).logits, family.network(ids).logits, atol=1e-5)


def test_a_prefix_is_read_and_not_scored(folders, opened):
    family, ours, *_ = opened("gpt2")
    model = str(folders["gpt2"])
    shown = Pretrained(ours.vocab_size, model=model, prefix="two dogs.").eval()
    batch = rows(ours)
    before = prompts(ours, ["two dogs."] * 3)
    with torch.no_grad():
        assert torch.allclose(
            shown.log_prob(batch), family.log_prob(Batch(batch.tokens, batch.mask, before)), atol=1e-4
        )
        assert torch.allclose(shown.start(3).logits, family.prime(before).logits, atol=1e-4)
    assert torch.allclose(shown.log_prob(batch), family.log_prob(Batch(batch.tokens, batch.mask, before)), atol=1e-4)


def test_what_stands_before_every_text_is_read_once_for_all_of_them(folders, opened, monkeypatch):
    ours = opened("gpt2")[1]
    shown = Pretrained(ours.vocab_size, model=str(folders["gpt2"]), prefix="two dogs walk on the beach.").eval()
    read, whole = [], shown.network.forward

    def counted(*, input_ids, **options):
        read.append(input_ids.numel())
        return whole(input_ids=input_ids, **options)

    monkeypatch.setattr(shown.network, "forward", counted)
    batch = rows(ours)
    with torch.no_grad():
        shown.log_prob(batch)
    assert sum(read) == len(shown.begins) - 1 + batch.tokens.numel()


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("./nothing", "does not exist"),
        ("", "family.model is empty"),
        ("EMPTY", "holds no checkpoint"),
        ("CLASSIFIER", "generates no text"),
    ],
)
def test_what_is_no_generator_is_refused_in_one_line(model, said, folders, tmp_path):
    if model == "EMPTY":
        model = str(tmp_path)
    elif model == "CLASSIFIER":
        transformers.BertForSequenceClassification(
            transformers.BertConfig.from_pretrained(folders["bert"])
        ).save_pretrained(tmp_path)
        model = str(tmp_path)
    with pytest.raises(ValueError, match=said) as refused:
        Pretrained(50, model=model)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("tokenizer.json", "has no tokenizer"),
        ("model.safetensors", "cannot be loaded"),
        ("cut.gguf", "cannot be loaded"),
    ],
)
def test_a_checkpoint_that_is_not_whole_is_refused_in_one_line(file, said, tmp_path):
    if file == "cut.gguf":
        model = checkpoints.gguf(tmp_path).rename(tmp_path / file)
        os.truncate(model, 3000)
    else:
        model = checkpoints.gpt2(tmp_path)
        os.truncate(model / file, 5000)
        if file == "tokenizer.json":
            for held in model.glob("tokenizer*"):
                held.unlink()
    with pytest.raises(ValueError, match=said) as refused:
        Pretrained(304, model=str(model))
    assert "\n" not in str(refused.value)


def test_the_hub_that_nobody_reaches_is_told_of_in_one_line(capfd):
    def load(name):
        logging.getLogger("huggingface_hub.utils").warning("Retrying in 1s")
        raise OSError("We couldn't connect\nto the hub")

    with pytest.raises(ValueError, match=r"'gpt2' cannot be loaded: We couldn't connect\. Give") as refused:
        loaded("gpt2", load)
    assert "\n" not in str(refused.value)
    assert capfd.readouterr().err == ""


def test_a_prompt_that_is_too_long_is_refused_in_one_line(opened):
    family = opened("gpt2")[0]
    long = torch.full((1, 256), 10)
    with pytest.raises(ValueError, match=r"has 256 tokens, and .* reads 256") as refused:
        family.sample(1, 5, decoder=Ancestral(), rng=torch.Generator(), prompt=long)
    assert "\n" not in str(refused.value)
    assert str(refused.value).endswith("reads 256 in all; give 255 or fewer")


def test_lines_longer_than_it_reads_ask_for_another_checkpoint(opened):
    long = SimpleNamespace(max_len=60, cut=lambda split: 0.2, longest=lambda split: 300)
    assert "take a checkpoint that reads more" in str(unread(opened("gpt2")[0], long, "test"))


@torch.no_grad()
def test_attention_over_a_text_is_that_of_transformers(opened):
    family, tokenizer, network, _ = opened("gpt2")
    text = rows(tokenizer, ["a dog sits"])
    usual = network.config._attn_implementation
    panels = {panel.title: panel for panel in family.text_panels(text, tokenizer)}
    assert network.config._attn_implementation == usual
    read = torch.cat([torch.tensor([family.begins]), family.vocabulary.ids(text.tokens[:, :-1])], 1)
    network.set_attn_implementation("eager")
    layers = network(input_ids=read, output_attentions=True).attentions
    network.set_attn_implementation(usual)
    for i, weights in enumerate(layers, 1):
        first = len(family.begins) - 1
        own = torch.tensor(panels[f"Attention of layer {i}, head 1"].values)
        assert torch.allclose(own[:, 1:], weights[0, 0, first:, first + 1 :], atol=1e-6)
        assert own.sum(1).tolist() == pytest.approx([1.0] * len(own), abs=1e-5)
