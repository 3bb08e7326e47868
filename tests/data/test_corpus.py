"""A corpus gives back the text that went in, as batches that hold every token once."""

import itertools
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from gentext.data.corpus import Corpus
from gentext.data.text_files import LocalText
from gentext.data.tokenizer import BPE, Char, Tokenizer, Word
from gentext.data.words import word_rule
from gentext.types import EOS, PAD, UNK


@pytest.fixture
def lines() -> list[str]:
    return [f"the {animal} sees {n} dogs." for animal in ("cat", "bird", "old horse") for n in range(40)]


@pytest.fixture
def file(tmp_path: Path, lines: list[str]) -> Path:
    path = tmp_path / "animals.txt"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def opened(path: Path, recipe=None, *, max_len=None, **options) -> Corpus:
    return Corpus.open(
        LocalText(str(path), **options), recipe or Word("treebank"), max_len=max_len, cache=path.parent / "cache"
    )


@pytest.mark.parametrize("recipe", [Word("treebank"), Word("whitespace"), Char(), BPE(300)])
def test_every_line_is_in_one_split_and_comes_back(file, lines, recipe):
    corpus = opened(file, recipe)
    held = [line for split in ("train", "valid", "test") for line in corpus.lines(split)]
    assert sorted(held) == sorted(lines)
    texts = []
    for batch in corpus.batches("train", 7):
        assert (batch.tokens[~batch.mask] == PAD).all()
        assert (batch.tokens[torch.arange(len(batch)), batch.lengths - 1] == EOS).all()
        texts += corpus.tokenizer.decode(batch.tokens.tolist())
    assert texts == list(corpus.lines("train"))


def test_shuffled_batches_hold_every_row_once_and_repeat_with_the_seed(file):
    corpus = opened(file)

    def epoch(seed):
        rng = torch.Generator().manual_seed(seed)
        return [corpus.tokenizer.decode(b.tokens.tolist()) for b in corpus.batches("train", 8, rng=rng)]

    assert epoch(0) == epoch(0) != epoch(1)
    assert sorted(itertools.chain.from_iterable(epoch(0))) == sorted(corpus.lines("train"))


def test_batches_of_as_many_tokens_hold_every_row_once_and_are_as_many(tmp_path):
    """Half of the lines are one word, some are far longer: by texts a batch has 8 to 200 tokens."""
    lengths = [1] * 200 + [5] * 150 + [24] * 48 + [400, 2]
    (tmp_path / "mine.txt").write_text("\n".join(" ".join([f"w{i}"] * n) for i, n in enumerate(lengths)) + "\n")
    corpus = opened(tmp_path / "mine.txt")

    def epoch(batching):
        rng = torch.Generator().manual_seed(0)
        return list(corpus.batches("train", 8, rng=rng, batching=batching))

    texts, tokens = epoch("texts"), epoch("tokens")
    assert len(tokens) == len(texts)
    held = itertools.chain.from_iterable(corpus.tokenizer.decode(batch.tokens.tolist()) for batch in tokens)
    assert sorted(held) == sorted(corpus.lines("train"))
    counts = np.array([int(batch.mask.sum()) for batch in tokens])
    others = counts[counts < 400]  # all but the batch of the one line that is longer than a batch should be
    assert others.std() < 0.4 * others.mean() < np.std([int(batch.mask.sum()) for batch in texts])
    assert min(len(batch) for batch in tokens) == 1
    assert max(len(batch) for batch in tokens) > 2 * 8


@pytest.mark.parametrize("recipe", [Word("treebank"), Word("char"), Char(), BPE(300)], ids=repr)
def test_another_process_maps_the_same_files(file, recipe):
    corpus = opened(file, recipe, words="char")
    held = pickle.dumps(corpus)
    again = pickle.loads(held)
    assert list(again.lines("train")) == list(corpus.lines("train"))
    assert again.words("a b") == ["a", "b"]
    assert again._ids["train"].ids.values.tobytes() not in held


def test_the_second_opening_reads_the_cache(file, monkeypatch):
    first = opened(file)
    monkeypatch.setattr(Tokenizer, "encode", lambda *_: pytest.fail("encoded again"))
    second = opened(file)
    assert second.fingerprint() == first.fingerprint()
    assert list(second.lines("test")) == list(first.lines("test"))


def test_a_stream_goes_through_windows_whole_and_in_order(file):
    corpus = opened(file, Char(), unit="stream", max_len=50)
    text = file.read_text(encoding="utf-8")
    for split, whole in (("train", text[: int(len(text) * 0.9)]),):
        rows: list[list[int]] = [[], [], []]
        for i, batch in enumerate(corpus.windows(split, 3, 20)):
            assert batch.carry == (i > 0)
            for row, tokens, mask in zip(rows, batch.tokens, batch.mask, strict=True):
                row += tokens[mask].tolist()
        joined = list(itertools.chain.from_iterable(rows))
        assert joined[-1] == EOS
        assert EOS not in joined[:-1]
        assert corpus.tokenizer.decode([joined])[0] == whole
        assert "".join(corpus.lines(split)) == whole
        assert sum(int(b.mask.sum()) for b in corpus.batches(split, 4)) == corpus.tokens(split) == len(whole) + 1
    assert "".join("".join(corpus.lines(s)) for s in ("train", "valid", "test")) == text


def test_a_stream_comes_in_sections_after_what_stands_before_them(file):
    corpus = opened(file, Char(), unit="stream", max_len=50)
    whole = list(itertools.chain.from_iterable(b.tokens[b.mask].tolist() for b in corpus.batches("train", 4)))
    seen: list[int] = []
    for batch in corpus.sections("train", 3, 20, context=7):
        assert not batch.carry
        for tokens, mask, prompt in zip(batch.tokens, batch.mask, batch.prompt, strict=True):
            assert prompt[prompt != PAD].tolist() == seen[-7:]
            seen += tokens[mask].tolist()
    assert seen == whole


def test_shuffled_sections_are_the_stream_cut_at_other_places_each_time(file):
    corpus = opened(file, Char(), unit="stream", max_len=50)
    whole = sorted(itertools.chain.from_iterable(b.tokens[b.mask].tolist() for b in corpus.batches("train", 4)))
    rng = torch.Generator().manual_seed(0)
    epochs = [[b.tokens[b.mask].tolist() for b in corpus.sections("train", 3, 20, rng=rng)] for _ in range(2)]
    for epoch in epochs:
        assert sorted(itertools.chain.from_iterable(epoch)) == whole
    assert epochs[0] != epochs[1]
    assert corpus.sections("train", 3, 20, rng=rng).__next__().prompt is None


def test_unknown_words_of_samples_are_spelled_and_no_others(tmp_path):
    path = tmp_path / "rare.txt"
    path.write_text("\n".join(f"the cat sees word{n:03d}" for n in range(200)), encoding="utf-8")
    corpus = opened(path, Word("treebank", min_count=2))
    (the, cat) = corpus.tokenizer.encode(["the cat"])[0]
    rows = [[the, UNK, cat, EOS, PAD], [the, cat, EOS, PAD, PAD], [UNK, UNK, EOS, PAD, PAD]]
    texts = corpus.texts(rows, seed=0)
    (the_, first, cat_), second, (third, fourth) = texts[0].split(), texts[1], texts[2].split()
    assert (the_, cat_, second) == ("the", "cat", "the cat")
    for word in (first, third, fourth):
        assert corpus.tokenizer.encode([word]) == [[UNK]]
        assert set(word) <= set("thecasword0123456789")
    assert corpus.texts(rows, seed=0) == texts != corpus.texts(rows, seed=1)


def test_lines_have_no_sections(file):
    with pytest.raises(ValueError, match="not one stream"):
        next(opened(file, Char()).sections("train", 3, 20))


def test_a_stream_of_bytes_is_not_cut_inside_characters(tmp_path):
    path = tmp_path / "poem.txt"
    text = "".join(f"秦川雄帝宅{n}，é🙂函谷壮皇居。\n" for n in range(60))
    path.write_text(text, encoding="utf-8")
    for max_len in (5, 7, 64):
        corpus = opened(path, BPE(280), unit="stream", max_len=max_len)
        pieces = list(corpus.lines("train"))
        assert "�" not in "".join(pieces)
        assert "".join(itertools.chain.from_iterable(corpus.lines(s) for s in ("train", "valid", "test"))) == text
        batches = list(corpus.batches("train", 4))
        assert max(int(batch.lengths.max()) for batch in batches) <= max_len
        assert sum(int(batch.mask.sum()) for batch in batches) == corpus.tokens("train")
        rng = torch.Generator().manual_seed(0)
        assert sum(len(batch) for batch in corpus.batches("train", 4, rng=rng)) == len(pieces) == corpus.size("train")


def test_a_text_without_spaces_and_rare_words_are_warned_of(tmp_path, caplog):
    poem = tmp_path / "poem.txt"
    characters = [chr(0x4E00 + i) for i in range(200)]
    lines = ["".join(characters[(i * 7 + j * 13) % 200] for j in range(12)) for i in range(200)]
    poem.write_text("\n".join(lines), encoding="utf-8")
    opened(poem)
    assert "100.0 % of the tokens of test" not in caplog.text  # a line's end is known
    assert re.search(r"50\.0 % of the tokens of test are unknown.*tokenizer=char", caplog.text)
    caplog.clear()
    opened(poem, Char())
    assert "unknown" not in caplog.text
    rare = tmp_path / "rare.txt"
    rare.write_text("\n".join(f"a word{i} is here" for i in range(200)), encoding="utf-8")
    opened(rare)
    assert re.search(r"20\.0 % of the tokens of test are unknown.*tokenizer\.min_count.*tokenizer=bpe", caplog.text)


def test_a_streams_pieces_hold_the_words_that_the_tokenizer_does_not_know(file):
    rule = word_rule("lines").split
    for max_len in (3, 50):
        corpus = opened(file, Word("lines", min_count=50), unit="stream", max_len=max_len, words="lines")
        for split in ("train", "valid", "test"):
            pieces = corpus.lines(split)
            assert corpus.unknown(split) > 0
            assert [word for piece in pieces for word in rule(piece)] == [
                w for t in corpus.text(split) for w in rule(t)
            ]
            assert pieces[-1] == list(pieces)[-1]


def test_the_text_of_a_split_is_that_of_the_file(file):
    corpus = opened(file, Word("whitespace", min_count=50), unit="stream", max_len=50)
    text = file.read_text(encoding="utf-8")
    assert "".join(itertools.chain.from_iterable(corpus.text(s) for s in ("train", "valid", "test"))) == text
    assert "".join(corpus.lines("test")) != "".join(corpus.text("test"))
