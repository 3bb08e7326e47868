"""The n-gram on real text against the measured figures of KenLM (lmplz, query)."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

from gentext.cli import main
from gentext.models.ngram.model import NGram
from gentext.results import record
from gentext.types import EOS, Batch, pad

pytestmark = pytest.mark.slow


def corpus(name: str) -> Path:
    if not os.environ.get("GENTEXT_DATA"):
        pytest.skip("GENTEXT_DATA names no folder of corpora")
    return Path(os.environ["GENTEXT_DATA"], name)


@pytest.fixture(scope="module")
def wikitext() -> dict[str, list[list[int]]]:
    """Lines of ids, blank ones too, <unk> an ordinary word."""
    ids: dict[str, int] = {}
    folder = corpus("wikitext-2")
    lines = {split: (folder / f"{split}.txt").read_text("utf-8").split("\n")[:-1] for split in ("train", "test")}
    return {
        split: [[*(ids.setdefault(word, len(ids) + 4) for word in line.split()), EOS] for line in rows]
        for split, rows in lines.items()
    }


def perplexity(family: NGram, batches: list[Batch]) -> float:
    nats = sum(float(family(batch).log_prob.double().sum()) for batch in batches)
    return math.exp(-nats / sum(int(batch.mask.sum()) for batch in batches))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("order", "prune", "expected"),
    [(5, (), "220.139"), (3, (), "226.051"), (2, (), "263.96"), (5, (0, 0, 1), "225.68"), (5, (0, 1, 1), "243.54")],
)
def test_perplexity_of_wikitext2_is_that_of_lmplz(wikitext, order, prune, expected):
    family = NGram(33_281, order=order, prune=prune)
    family.accumulate(pad(wikitext["train"]))
    family.maximize()
    digits = len(expected.split(".")[1])
    assert f"{perplexity(family, [pad(wikitext['test'])]):.{digits}f}" == expected
    if order == 5 and not prune:
        printed = [[f"{discount:.6g}" for discount in row] for row in family.discounts.tolist()]
        assert printed == [
            ["0.182131", "1.01294", "2.53774"],
            ["0.729716", "1.15964", "1.49569"],
            ["0.866965", "1.27126", "1.47995"],
            ["0.942337", "1.41604", "1.53705"],
            ["0.959168", "1.52824", "1.50737"],
        ]
        sizes = [len(family.ngrams(k)[1]) for k in range(1, 6)]
        assert sizes == [33_280, 619_592, 1_398_959, 1_794_725, 1_914_265]


@pytest.mark.slow
def test_the_cache_on_wikitext2_as_a_stream(wikitext, windows):
    line_end = 33_281  # an ordinary word, as in the measured figure
    text = {
        split: windows([*(line_end if token == EOS else token for row in rows for token in row), EOS], 65_536)
        for split, rows in wikitext.items()
    }
    family = NGram(33_282, order=5, cache=0.2, history=1000)
    for window in text["train"]:
        family.accumulate(window)
    family.maximize()
    assert f"{perplexity(family, text['test']):.2f}" == "169.48"


@pytest.mark.slow
def test_wikitext2_as_a_stream_whose_line_ends_are_words(tmp_path, monkeypatch):
    monkeypatch.setenv("GENTEXT_CACHE", str(tmp_path / "cache"))
    corpus("wikitext-2")
    stream = ["data=wikitext2", "data.unit=stream", "data.words=lines", "eval=truth", "eval.samples=2"]
    assert main(["run", "family=ngram", *stream, f"out={tmp_path}"]) == 0
    (found,) = record.find([tmp_path])
    # KenLM gives 217.78 to a vocabulary without UNK, and counts the stream's end as a word
    assert found.values["word_ppl"].value == pytest.approx(217.78, abs=0.05)


@pytest.mark.slow
def test_nats_per_character_of_shakespeare_are_those_of_lmplz(windows):
    text = (corpus("tinyshakespeare") / "input.txt").read_text("utf-8")
    ids = {char: i for i, char in enumerate(sorted(set(text)), 4)}
    split = len(text) * 9 // 10
    train, valid = ([*(ids[char] for char in part), EOS] for part in (text[:split], text[split:]))
    family = NGram(len(ids) + 4, order=7)
    for window in windows(train, 4096):
        family.accumulate(window)
    family.maximize()
    assert f"{math.log(perplexity(family, windows(valid, 4096))):.4f}" == "1.5166"
