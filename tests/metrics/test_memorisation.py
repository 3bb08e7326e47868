"""What stands in the training text, against brute force over all spans."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gentext.data.ngram_arrays import hashed
from gentext.metrics.base import Absent
from gentext.metrics.intervals import standard_error
from gentext.metrics.memorisation import Memorisation, longest_copies
from gentext.types import Samples, Value

TEXTS = st.lists(st.text("abc ", max_size=14), min_size=1, max_size=6)


def values(samples, training, **options):
    metric = Memorisation(words="whitespace", lowercase=False, **{"resamples": 0, **options})
    metric.update(Samples(tuple(samples)), Samples(tuple(training)))
    return metric.values()


def spans(text: str, order: int) -> list[tuple[str, ...]]:
    words = text.split()
    return [tuple(words[i : i + order]) for i in range(len(words) - order + 1)]


@settings(deadline=None, max_examples=60)
@given(TEXTS, TEXTS, st.randoms())
def test_all_figures_equal_brute_force_in_any_order(samples, training, draw):
    found = values(samples, draw.sample(training, len(training)), max_order=4)
    for order in range(1, 5):
        known = {span for text in training for span in spans(text, order)}
        all_spans = [span for text in samples for span in spans(text, order)]
        value = found[f"novelty{order}"]
        if not all_spans:
            assert isinstance(value, Absent)
            continue
        assert value.value == pytest.approx(np.mean([span not in known for span in all_spans]))
        assert value.per_sequence.mean() == pytest.approx(value.value)
    longest = [
        max(
            (k for k in range(1, 15) if {*spans(text, k)} & {span for other in training for span in spans(other, k)}),
            default=0,
        )
        for text in samples
    ]
    assert found["copied_span"].per_sequence.tolist() == longest
    shares = [n / max(len(text.split()), 1) for n, text in zip(longest, samples, strict=True)]
    assert found["copied_share"].per_sequence.tolist() == pytest.approx(shares)
    verbatim = [text.split() in [other.split() for other in training] for text in samples]
    assert found["verbatim"].per_sequence.tolist() == verbatim


def test_the_figures_of_each_sample_have_the_error_of_leaving_samples_out():
    rng = np.random.default_rng(0)
    rows = [rng.random(rng.integers(2, 60)) < 0.9 for _ in range(400)]
    texts = [" ".join(f"new{i}.{j}" if new else "old" for j, new in enumerate(row)) for i, row in enumerate(rows)]
    value = values(texts, ["old"], max_order=1)["novelty1"]
    new, words = (np.array(list(map(count, rows))) for count in (sum, len))
    without = (new.sum() - new) / (words.sum() - words)
    assert standard_error(value.per_sequence) == pytest.approx(np.sqrt(399 * without.var()), rel=0.02)


def test_spans_do_not_run_over_the_end_of_a_text():
    assert longest_copies(hashed(["abcd"]), hashed(["ab", "cd", "xbc"])).tolist() == [2]


def test_one_long_text_is_searched_whole():
    rng = np.random.default_rng(0)
    training = rng.integers(0, 50, 20_000).astype(str).tolist()
    sample = ["x", *training[7000:7321], "x"]
    assert longest_copies(hashed([sample, ["y"]]), hashed([training])).tolist() == [321, 0]


def test_a_copy_of_the_training_text_is_all_copied():
    found = values(["a b", "c"], ["c", "a b", "d"], resamples=100)
    figures = {name: value.value for name, value in found.items() if isinstance(value, Value)}
    assert figures == {"novelty1": 0, "novelty2": 0, "verbatim": 1, "copied_span": 1.5, "copied_share": 1}
    assert found["verbatim"].interval_kind == "clopper-pearson"
    assert found["copied_span"].interval == (1.0, 2.0)


def test_golden_and_signature():
    found = Memorisation(resamples=0)
    found.update(Samples(("A dog sat on a mat.",)), Samples(("a dog sat on a log.", "the cat sat")))
    assert found.values()["novelty4"].signature == "novelty4|train:2|seqs:1|tok:treebank+lower|v:1"
    assert found.compute() == pytest.approx(
        {
            "novelty1": 1 / 7,
            "novelty2": 2 / 6,
            "novelty3": 2 / 5,
            "novelty4": 2 / 4,
            "novelty5": 2 / 3,
            "novelty6": 1.0,
            "verbatim": 0.0,
            "copied_span": 5.0,
            "copied_share": 5 / 7,
        }
    )


def test_missing_evidence_is_absent():
    metric = Memorisation()
    metric.update(Samples(("a",)))
    with pytest.raises(Absent, match="training"):
        metric.values()
    with pytest.raises(ValueError, match="max_order is 0"):
        Memorisation(max_order=0)
