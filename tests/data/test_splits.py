"""A cut loses no row, keeps equal texts together, and says when there is too little."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gentext.data.splits import Cut, TextRow

TEXT = st.lists(st.sampled_from([f"line {i}" for i in range(30)]), min_size=8, max_size=80)


def cut(texts, how="random", valid=0.1, test=0.2, seed=0, stream=False, train=None):
    body = [TextRow(text) for text in texts]
    found = {"train": [], "valid": [], "test": []}
    for split, row in Cut(how, valid, test, seed, train).rows(lambda: iter(body), stream=stream, name="it"):
        found[split].append(row.text)
    return found


@given(TEXT.filter(lambda texts: len(set(texts)) >= 3))
def test_random_keeps_equal_texts_together_and_all_rows(texts):
    found = cut(texts)
    assert sorted(itertools.chain.from_iterable(found.values())) == sorted(texts)
    for a, b in itertools.combinations(found.values(), 2):
        assert not set(a) & set(b)
    assert all(found.values())


def test_random_hangs_on_the_seed_and_not_on_the_order():
    texts = [str(i) for i in range(200)]
    one, again, other = cut(texts), cut(texts[::-1]), cut(texts, seed=1)
    assert set(one["test"]) == set(again["test"]) != set(other["test"])
    assert (len(one["valid"]), len(one["test"])) == (20, 40)


def test_pairs_are_counted_by_what_keeps_them_together():
    pairs = [TextRow(f"reply {i}", f"turn {i % 8}", f"turn {i % 4}") for i in range(40)]
    with pytest.raises(ValueError, match=r"is 9, and it has 2 groups of rows with one source .or its first part. for"):
        list(Cut("random", 1, 1, 0, 9).rows(lambda: iter(pairs), stream=False, name="it"))


def test_fewer_texts_of_train_are_among_more_and_the_other_splits_stay():
    texts = [f"text {i // 2}" for i in range(200)]  # each twice
    whole, more, fewer = (cut(texts, train=n) for n in (None, 30, 10))
    assert set(fewer["train"]) < set(more["train"]) < set(whole["train"])
    assert (len(fewer["train"]), len(more["train"])) == (20, 60)  # sizes count distinct ones
    assert [fewer[split] for split in ("valid", "test")] == [whole[split] for split in ("valid", "test")]
    assert set(cut(texts, train=10, seed=1)["train"]) != set(fewer["train"])
    with pytest.raises(ValueError, match=r"data\.train is 71, and it has 70 distinct lines for train"):
        cut(texts, train=71)
    with pytest.raises(ValueError, match=r"data\.train is 0; it must be a whole number"):
        cut(texts, train=0)


def test_the_beginning_of_train_is_kept_of_a_tail_and_of_a_stream():
    texts = [str(i) for i in range(10)]
    assert cut(texts, "tail", 2, 3, train=2) == {"train": texts[:2], "valid": texts[5:7], "test": texts[7:]}
    found = cut(["abc", "defg", "hij"], "tail", 2, 3, stream=True, train=4)
    assert {split: "".join(parts) for split, parts in found.items()} == {"train": "abcd", "valid": "fg", "test": "hij"}


def test_pairs_go_by_their_source():
    body = [TextRow(f"t{i}", f"s{i // 4}") for i in range(80)]
    splits = {}
    for split, row in Cut("random", 0.2, 0.2).rows(lambda: iter(body), stream=False, name="it"):
        splits.setdefault(row.prompt, set()).add(split)
    assert all(len(found) == 1 for found in splits.values())


def test_tail_takes_the_end_in_order():
    texts = [str(i) for i in range(10)]
    assert cut(texts, "tail", 2, 3) == {"train": texts[:5], "valid": texts[5:7], "test": texts[7:]}
    assert cut(texts, "tail", 0, 0.1) == {"train": texts[:9], "valid": [], "test": texts[9:]}


@given(st.lists(st.text("ab\n", min_size=1, max_size=9), min_size=1, max_size=9), st.integers(0, 3))
def test_a_stream_is_cut_at_characters(pieces, valid):
    text = "".join(pieces)
    if len(text) < valid + 3:
        return
    found = {split: "".join(parts) for split, parts in cut(pieces, "tail", valid, 2, stream=True).items()}
    assert found["train"] + found["valid"] + found["test"] == text
    assert (len(found["valid"]), len(found["test"])) == (valid, 2)


def test_a_stream_of_nanogpt_is_cut_where_nanogpt_cuts():
    found = cut(["x" * 1_115_394], "tail", 0, 0.1, stream=True)
    assert [len(found[split][0]) for split in ("train", "test")] == [1_003_854, 111_540]


@pytest.mark.parametrize(
    ("texts", "how", "sizes", "message"),
    [
        (["one"], "random", (0.1, 0.1), "it has 1 distinct lines, too few for valid .1., test .1. and train"),
        (["one"] * 9, "random", (0.1, 0.1), "1 distinct lines"),
        ([], "tail", (0.1, 0.1), "it holds no text"),
        (["a", "b", "c"], "tail", (1, 2), "3 lines"),
        (["a"] * 9, "tail", (-0.1, 0.1), "data.valid is -0.1"),
        (["a"] * 9, "tail", (0.1, 1.5), "data.test is 1.5"),
        (["a"] * 9, "head", (0.1, 0.1), "data.cut is .head.; it must be random or tail"),
    ],
)
def test_too_little_to_cut_is_said(texts, how, sizes, message):
    with pytest.raises(ValueError, match=message):
        cut(texts, how, *sizes)
