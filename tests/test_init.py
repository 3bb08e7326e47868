"""`init=RUN`: another run's weights where they fit, and what does not fit is named."""

from __future__ import annotations

import logging

import pytest
import torch
from safetensors.torch import save_model

from gentext.cli import main
from gentext.data.tokenizer import Word
from gentext.models import EncoderDecoder, MaskedLM
from gentext.results import record
from gentext.results.board import rank
from gentext.trained import begin_with
from gentext.types import pad

SIZES = {"width": 16, "layers": 2, "heads": 2}


def finished(folder, family, tokenizer):
    folder.mkdir()
    save_model(family, str(folder / "model.safetensors"))
    tokenizer.save(folder / "tokenizer.json")
    (folder / "trained.json").write_text("{}")
    return folder


def test_a_masked_models_encoder_becomes_an_encoder_decoders(tmp_path, caplog):
    tokenizer = Word("whitespace").fit(["a man rides", "a dog sits"])
    torch.manual_seed(0)
    masked = MaskedLM(tokenizer.vocab_size, **SIZES)
    run = finished(tmp_path / "masked", masked, tokenizer)
    family = EncoderDecoder(tokenizer.vocab_size, **SIZES)
    blocks = [p.clone() for p in family.blocks.parameters()]
    with caplog.at_level(logging.INFO, "gentext"):
        begin_with(family, tokenizer, run)
    for (name, mine), theirs in zip(
        family.encoder.state_dict().items(), masked.encoder.state_dict().values(), strict=True
    ):
        assert torch.equal(mine, theirs), name
    assert torch.equal(family.embedding.weight, masked.embedding.weight)
    assert all(torch.equal(a, b) for a, b in zip(family.blocks.parameters(), blocks, strict=True))
    said = caplog.text
    assert "masked (no such weight here)" in said
    assert "output.bias (no such weight here)" in said
    assert "begun anew: blocks.0" in said.replace("\n", " ")


def test_tokens_of_another_vocabulary_are_found_by_their_spelling(tmp_path, caplog):
    theirs, ours = Word("whitespace").fit(["a man rides", "a dog"]), Word("whitespace").fit(["dog a cat", "cat cat a"])
    torch.manual_seed(0)
    before = MaskedLM(theirs.vocab_size, **SIZES)
    run = finished(tmp_path / "masked", before, theirs)
    family = MaskedLM(ours.vocab_size, **SIZES)
    fresh = family.embedding.weight.clone()
    begin_with(family, ours, run)
    there, here = before.embedding.weight, family.embedding.weight
    for word in ("a", "dog"):
        (mine,), (their,) = ours.encode([word])[0], theirs.encode([word])[0]
        assert torch.equal(here[mine], there[their])
    (cat,) = ours.encode(["cat"])[0]
    assert torch.equal(here[cat], fresh[cat])
    assert "6 of 7 tokens are spelled alike" in caplog.text


def test_weights_of_which_none_fits_are_refused(tmp_path):
    tokenizer = Word("whitespace").fit(["a man rides"])
    run = finished(tmp_path / "masked", MaskedLM(tokenizer.vocab_size, **SIZES), tokenizer)
    other = EncoderDecoder(tokenizer.vocab_size, width=8, layers=1, heads=2)
    with pytest.raises(ValueError, match="none of its weights fits") as refused:
        begin_with(other, tokenizer, run)
    assert "\n" not in str(refused.value)
    with pytest.raises(ValueError, match="holds no trained run"):
        begin_with(other, tokenizer, tmp_path)


def test_a_run_begins_with_anothers_weights(tmp_path):
    small = ["data.train=60", "data.valid=10", "data.test=10", "eval=latent", "eval.samples=5", "train.steps=1"]
    small += ["family.layers=1", "family.heads=2", "family.width=16"]
    assert main(["run", "family=masked_lm", *small, f"out={tmp_path / 'a'}"]) == 0
    (run,) = [path.parent for path in (tmp_path / "a").rglob("trained.json")]
    assert main(["run", "family=encoder_decoder", *small, f"init={run}", f"out={tmp_path / 'b'}"]) == 0
    (log,) = (tmp_path / "b").rglob("log.txt")
    assert "weights begin as those of" in log.read_text()


@pytest.mark.parametrize("family", ["hmm", "hmm_neural"])
def test_what_reads_the_text_before_training_keeps_the_weights_it_begins_with(tmp_path, family):
    """Else an HMM grows or is drawn anew."""
    small = ["data.train=60", "data.valid=10", "data.test=10", "eval=latent", "eval.samples=5", "family.states=8"]
    long, short = {"hmm": ("train.iterations=4", "train.iterations=1")}.get(family, ("train.steps=60", "train.steps=1"))
    assert main(["run", f"family={family}", *small, long, f"out={tmp_path / 'a'}"]) == 0
    (run,) = [path.parent for path in (tmp_path / "a").rglob("trained.json")]
    assert main(["run", f"family={family}", *small, short, f"init={run}", f"out={tmp_path / 'b'}"]) == 0
    assert main(["run", f"family={family}", *small, short, f"out={tmp_path / 'c'}"]) == 0
    first, second, alone = (record.find([tmp_path / name])[0].values["nll_test"].value for name in "abc")
    assert second < 1.01 * first < alone


def test_the_lengths_of_masked_texts_are_those_of_the_text_at_hand():
    family = MaskedLM(9, **SIZES)
    for texts in ([[4, 5, 2]], [[4, 5, 6, 2], [4, 5, 6, 2]]):
        family.prepare([pad(texts)], rng=torch.Generator())
    assert family.lengths.sum() == 2


def test_what_began_with_seeds_of_one_row_is_one_row_at_the_cost_of_both(tmp_path):
    small = ["data.train=60", "data.valid=10", "data.test=10", "eval=latent", "eval.samples=5", "train.steps=2"]
    small += ["family.width=16", "family.layers=1", "family.heads=2"]
    for seed in (0, 1):
        first = tmp_path / f"a{seed}"
        assert main(["run", "family=transformer", *small, f"seed={seed}", f"out={first}"]) == 0
        (run,) = [path.parent for path in first.rglob("trained.json")]
        assert main(["run", "family=transformer", *small, f"seed={seed}", f"init={run}", f"out={tmp_path / 'b'}"]) == 0
    (board,) = rank(record.find([tmp_path / "b"]))
    rows = board.rows
    assert [len(row.records) for row in rows] == [2]
    beside = {row.family.split("-")[0] for row in rank(record.find([tmp_path]))[0].rows}
    assert beside == {"transformer init=captions/transformer", "transformer init="}
    for each in rows[0].records:
        (alone,) = record.find([tmp_path / f"a{each.seed}"])
        assert each.begun_with["cost"]["train_tokens"] == alone.cost["train_tokens"]
        assert each.cost["train_tokens"] == 2 * alone.cost["train_tokens"]
        assert each.cost["train_core_seconds"] > alone.cost["train_core_seconds"]
