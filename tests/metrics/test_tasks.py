"""Metrics of single tasks: keywords used, code that parses."""

import pytest

from gentext.metrics.base import Absent
from gentext.metrics.tasks import KeywordCoverage, ValidPython
from gentext.types import Samples


def values(metric, samples, prompts):
    made = [Samples(tuple(texts), tuple(prompts)) for texts in (samples, samples)]
    metric.update(*made)
    return metric.values()


def test_keywords_are_found_in_any_form_and_marks_are_none():
    samples = ["The dogs played with balls.", "A cat.", "Nothing"]
    prompts = ["dog | ball", "cat | tree | red", "a b c d"]
    found = values(KeywordCoverage(resamples=0), samples, prompts)["keyword_coverage"]
    assert found.per_sequence.tolist() == pytest.approx([1, 1 / 3, 0])
    assert (found.n, found.unit) == (3, "share")
    with pytest.raises(Absent, match="no source holds a word"):
        values(KeywordCoverage(), ["a"], ["|"])


def test_updates_in_parts_equal_one():
    one, parts = KeywordCoverage(resamples=0), KeywordCoverage(resamples=0)
    samples, prompts = ("a dog", "a cat"), ("dog", "dog")
    one.update(Samples(samples, prompts), Samples(samples))
    for sample, prompt in zip(samples, prompts, strict=True):
        parts.update(Samples((sample,), (prompt,)), Samples((sample,)))
    assert one.compute() == parts.compute() == {"keyword_coverage": 0.5}


def test_what_python_parses():
    samples = ["def f(x):\n    return x", "def f(x):\nreturn x", "x = '\\d'", "", "\0", "(" * 500 + ")" * 500]
    found = values(ValidPython(resamples=0), samples, samples)["valid_python"]
    assert found.per_sequence.tolist() == [1, 0, 1, 0, 0, 0]
