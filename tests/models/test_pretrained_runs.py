"""`gentext run family=pretrained`: as it is, fine-tuned, and gone on with after a kill."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

pytest.importorskip("transformers")

from models import checkpoints
from safetensors.torch import load_file, save_file
from train import tiny

from gentext import compression, config
from gentext.cli import main
from gentext.data.checkpoint import PretrainedTokenizer, weight_files
from gentext.data.corpus import Corpus
from gentext.data.examples import EXAMPLES
from gentext.data.text_files import LocalText
from gentext.decode import Ancestral
from gentext.models.pretrained.model import Pretrained
from gentext.results import record
from gentext.seeding import Streams
from gentext.trained import begin_with, load
from gentext.types import EOS, pad

SMALL = ["data.train=60", "data.valid=10", "data.test=10", "eval=latent", "eval.samples=5"]


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory):
    return str(checkpoints.gpt2(tmp_path_factory.mktemp("gpt2")))


@pytest.fixture(scope="module")
def as_it_is(gpt2, tmp_path_factory):
    """The record of a run of a checkpoint that nothing trains."""
    out = tmp_path_factory.mktemp("runs")
    assert main(["run", "family=pretrained", f"family.model={gpt2}", *SMALL, f"out={out}"]) == 0
    (found,) = record.find([str(out)])
    return found


def test_a_checkpoint_stands_on_the_board_and_is_drawn_from(as_it_is):
    found = as_it_is
    assert found.values["bits_per_char"].exactness == "exact"
    assert found.values["bits_per_byte"].value > 0
    assert found.cost["train_tokens"] == 0
    assert found.fingerprints["tokenizer"].startswith("pretrained|case:kept")
    model = load(found.folder)
    (said,) = model.sample(prompt="a man", decoder="greedy")
    assert said.startswith("a man")
    ((first, second),) = [model.sample(2, prompt="a man", decoder="beam")]
    assert first != second


def test_a_run_of_a_checkpoint_as_it_is_holds_none_of_its_weights(as_it_is, gpt2, tmp_path, monkeypatch):
    model = load(as_it_is.folder)
    assert (Path(as_it_is.folder) / "model.safetensors").stat().st_size < 1000
    batch = pad(model.tokenizer.encode(["a man"]))
    small = load(compression.save(model, compression.Form.parse("int8"), tmp_path / "small"))
    with torch.no_grad():
        scored = model.family.log_prob(batch)
        assert torch.equal(Pretrained(model.family.vocab_size, model=gpt2).eval().log_prob(batch), scored)
        assert torch.allclose(small.family.log_prob(batch), scored, rtol=0.05)
        assert not torch.equal(small.family.log_prob(batch), scored)
    with pytest.raises(ValueError, match="is a checkpoint that no training changed"):
        begin_with(model.family, model.tokenizer, Path(as_it_is.folder))

    weights = Path(gpt2) / "model.safetensors"
    kept = weights.read_bytes()
    try:
        save_file({name: value + 0.1 for name, value in load_file(weights).items()}, weights, {"format": "pt"})
        with pytest.raises(ValueError, match=r"the run needs model.safetensors of .* with the sha256 .* put the file"):
            load(as_it_is.folder)
    finally:
        weights.write_bytes(kept)
    without = {name: path for name, path in weight_files(gpt2).items() if name != "model.safetensors"}
    monkeypatch.setattr("gentext.models.pretrained.model.weight_files", lambda model: without)
    with pytest.raises(ValueError, match=r"the run needs model.safetensors of .* gone"):
        load(as_it_is.folder)


@pytest.mark.parametrize("lora", [None, 2])
def test_a_killed_fine_tuning_goes_on_to_the_same_numbers(gpt2, lora, tmp_path, notes):
    pytest.importorskip("peft")
    path = tmp_path / "my.txt"
    path.write_text("\n".join(f"a dog {i} sits" for i in range(30)))
    source = LocalText(str(path), valid=4, test=4)
    corpus = Corpus.open(source, PretrainedTokenizer(gpt2), cache=tmp_path / "cache", max_len=40)

    def trained(monitor):
        torch.manual_seed(1)
        family = Pretrained(corpus.tokenizer.vocab_size, model=gpt2, lora=lora)
        tiny.loop(steps=4, save_every=0.0, batch_size=4, log_every=1).run(
            family, corpus, streams=Streams(3), monitor=monitor
        )
        return family

    whole = trained(notes("whole"))
    with pytest.raises(tiny.Killed):
        trained(notes("parts", resume=True, die_at=2))
    assert tiny.same(trained(notes("parts", resume=True)), whole)
    fresh = Pretrained(corpus.tokenizer.vocab_size, model=gpt2)
    before, after = fresh.network.transformer.wte.weight, whole.network.get_input_embeddings().weight
    assert torch.equal(before, after) == (lora is not None)


@pytest.mark.parametrize("kind", ["gpt2", "t5"])
def test_a_checkpoint_reads_the_source_of_every_task_and_answers_it(kind, tmp_path):
    folder = str(checkpoints.MAKERS[kind](tmp_path / kind))
    tokenizer = PretrainedTokenizer(folder)
    family = Pretrained(tokenizer.vocab_size, model=folder).eval()
    for task in EXAMPLES:
        _, row = next(config.build(config.compose([f"data={task}"]).data).rows())
        prompt, text = ([*ids, EOS] for ids in tokenizer.encode([row.prompt, row.text]))
        batch = replace(pad([text]), prompt=pad([prompt]).tokens)
        with torch.no_grad():
            told = family.log_prob(batch)
            other = family.log_prob(replace(batch, prompt=batch.prompt.flip(1)))
        assert torch.isfinite(told).all()
        assert not torch.equal(told, other)
        rng = torch.Generator().manual_seed(0)
        assert family.sample(1, 4, decoder=Ancestral(), rng=rng, prompt=batch.prompt).tokens.shape[0] == 1


def test_the_command_refuses_what_is_no_checkpoint_before_any_work(tmp_path, capsys):
    assert main(["run", "family=pretrained", "family.model=./nothing", f"out={tmp_path}"]) == 2
    said = capsys.readouterr().err
    assert "does not exist" in said
    assert said.count("\n") == 1
    assert not list(tmp_path.rglob("config.yaml"))


def test_a_model_that_was_not_fetched_names_the_command(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("GENTEXT_CACHE", str(tmp_path / "cache"))
    assert main(["run", "family=smollm2", f"out={tmp_path}"]) == 2
    assert "gentext model fetch smollm2" in capsys.readouterr().err
