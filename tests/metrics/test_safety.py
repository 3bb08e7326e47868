"""Bias, robustness, extraction, exposure, flags and swaps, against what can be counted by hand."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest
import sacrebleu

from gentext.decode import Pattern, WordList
from gentext.metrics import (
    AnswerRobustness,
    CounterfactualGap,
    CriticAttack,
    Exposure,
    Extraction,
    Flagged,
    Robustness,
    SwapAttack,
)
from gentext.metrics.base import Absent
from gentext.metrics.extraction import exposure
from gentext.metrics.robustness import PERTURBATIONS, perturbed
from gentext.metrics.swap_attack import attack
from gentext.results.columns import column
from gentext.types import Samples


@dataclass
class Words:
    """log p of a text is the sum of its words' own; a word that is not listed is unknown and costs 10 nats."""

    costs: dict
    exactness: str = "exact"

    def log_prob(self, texts, prompts=None):
        lines = texts if prompts is None else [f"{p} {t}" for p, t in zip(prompts, texts, strict=True)]
        return -np.array([sum(self.costs.get(word, 10.0) for word in line.split()) for line in lines], dtype=float)

    def known(self, texts):
        return np.array([all(word in self.costs for word in text.split()) for text in texts], dtype=bool)


def test_a_gap_is_the_mean_over_pairs_that_the_model_knows(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(
        "pairs:\n  sex: [[he, she], [king, queen]]\n  age: [[young, old]]\ntemplates: ['{} sits', 'a {} runs']\n"
    )
    scorer = Words({"he": 1.0, "she": 2.5, "sits": 1.0, "a": 1.0, "runs": 1.0})
    metric = CounterfactualGap(str(file))
    metric.update(scorer)
    found = metric.values()
    assert found["likelihood_gap:sex"].value == pytest.approx(1.5)
    assert found["likelihood_gap:sex"].n == 2  # both templates; the king is unknown
    assert found["preferred:sex"].value == 1.0
    assert isinstance(found["likelihood_gap:age"], Absent)
    assert found["likelihood_gap:sex"].exactness == "exact"
    bounds = CounterfactualGap(str(file))
    bounds.update(Words(scorer.costs, "lower"))
    assert bounds.values()["likelihood_gap:sex"].exactness == "pseudo"
    assert column("likelihood_gap:sex").title == "likelihood gap sex"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("pairs: {}", "it needs `pairs`"),
        ("pairs: {sex: [[he]]}\ntemplates: ['{}']", "something else than pairs"),
        ("pairs: {sex: [[he, she]]}\ntemplates: ['he sits']", "has 0 {}; it needs one"),
        ("pairs: {sex: []}\ntemplates: ['{}']", "no pair of words"),
        ("[", "holds no counterfactual pairs"),
    ],
)
def test_a_file_of_anything_else_is_refused(tmp_path, text, words):
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(ValueError, match=words):
        CounterfactualGap(str(tmp_path / "mine.yaml"))
    with pytest.raises(ValueError, match="is no file"):
        CounterfactualGap(str(tmp_path / "none.yaml"))


def test_perturbations_change_what_they_name_and_nothing_else():
    text = "a young woman walks the dog"
    for seed in range(30):
        made = {kind: perturbed(text, kind, np.random.default_rng(seed)) for kind in PERTURBATIONS}
        assert made["upper"] == text.upper()
        assert Counter(made["shuffled"].split()) == Counter(text.split())
        moved = [i for i, (a, b) in enumerate(zip(text.split(), made["swapped"].split(), strict=True)) if a != b]
        assert moved == [moved[0], moved[0] + 1]
        pairs = [(a, b) for a, b in zip(text.split(), made["typos"].split(), strict=True) if a != b]
        assert pairs  # one word at least
        for a, b in pairs:
            apart = [i for i in range(len(a)) if a[i] != b[i]]
            assert apart == [apart[0], apart[0] + 1]
            assert sorted(a) == sorted(b)
        assert made == {kind: perturbed(text, kind, np.random.default_rng(seed)) for kind in PERTURBATIONS}
    assert (
        perturbed("a", "typos", np.random.default_rng(0)) == perturbed("a", "swapped", np.random.default_rng(0)) == "a"
    )


def test_surprise_is_a_ratio_of_nats():
    references = Samples(("man walks", "dog runs fast"))
    scorer = Words({"man": 1.0, "walks": 3.0, "dog": 2.0, "runs": 1.0, "fast": 1.0})
    metric = Robustness(["upper", "shuffled"])
    metric.update(scorer, references)
    found = metric.compute()
    assert found["surprise:upper"] == pytest.approx(50 / 8)
    assert found["surprise:shuffled"] == pytest.approx(1.0)  # a bag of words does not notice
    answers = Robustness(["upper"])
    answers.update(scorer, Samples(("man",), ("dog",)))  # the source is changed, the answer is scored
    assert answers.compute()["surprise:upper"] == pytest.approx((10 + 1) / (2 + 1))
    with pytest.raises(ValueError, match="kinds is 'typing'"):
        Robustness(["typing"])


def test_the_longest_copy_is_the_longest_span_of_one_training_text():
    training = ("a man walks his dog in the park", "the dog sleeps")
    samples = ("then a man walks his cat", "in the park the dog sleeps", "nothing")
    metric = Extraction(least=4)
    metric.update(Samples(samples), Samples(training))

    def longest(sample):
        words = sample.split()
        spans = [words[i:j] for i in range(len(words)) for j in range(i + 1, len(words) + 1)]
        held = [span for span in spans if any(f" {' '.join(span)} " in f" {text} " for text in training)]
        return max(map(len, held), default=0)

    found = metric.compute()
    assert found["longest_copy"] == max(map(longest, samples)) == 4
    assert found["extracted"] == pytest.approx(np.mean([longest(sample) >= 4 for sample in samples]))


def test_what_is_too_short_to_be_extracted_has_no_share_of_it():
    short = Extraction(least=4)
    short.update(Samples(("a dog", "he sat")), Samples(("a dog runs", "he sits")))
    assert short.compute()["longest_copy"] == 2
    assert "extracted" not in short.compute()
    labels = Extraction(least=4)
    labels.update(Samples(("good", "bad")), Samples(("bad", "good")))
    with pytest.raises(Absent, match="two words"):
        labels.compute()


class Secrets:
    texts = ("the code is b", "the code is c", "the code is z")
    repeats = (4, 4, 0)

    def candidates(self, n, seed):
        return [f"the code is w{i}" for i in range(n)]


def test_exposure_is_the_rank_among_others_of_the_kind():
    others = {f"w{i}": 1.0 + i for i in range(7)}  # seven candidates, 1 to 7 nats
    scorer = Words({"the": 0.0, "code": 0.0, "is": 0.0, **others, "b": 0.5, "c": 3.5, "z": 9.0})
    metric = Exposure(candidates=7)
    metric.update(Secrets(), scorer)
    ranks = [1, 4, 8]  # of 8: three candidates are likelier than c, all seven than z
    bits = [np.log2(8) - np.log2(rank) for rank in ranks]
    assert metric.compute() == pytest.approx({"exposure:0": bits[2], "exposure:4": (bits[0] + bits[1]) / 2})
    uniform = np.random.default_rng(0).normal(size=(20_000,))
    mean = exposure(uniform[:10_000], uniform[10_000:]).mean()
    assert mean == pytest.approx(np.log2(np.e), abs=0.05)  # of a secret like any other


def test_answers_are_drawn_anew_for_perturbed_sources():
    class Echo:
        def answer(self, sources):
            return [f"{source} ." for source in sources]

    sources, texts = ("a tall dog", "some cats"), ("a tall dog .", "no cats")
    metric = AnswerRobustness(["upper", "shuffled"], resamples=0)
    metric.update(answerer=Echo(), references=Samples(texts, sources))
    chrf = sacrebleu.CHRF()
    plain = [chrf.sentence_score(f"{source} .", [text]).score for source, text in zip(sources, texts, strict=True)]
    upper = [chrf.sentence_score(f"{s.upper()} .", [text]).score for s, text in zip(sources, texts, strict=True)]
    found = metric.compute()
    assert found["answer_chrf"] == pytest.approx(np.mean(plain))
    assert found["answer_change:upper"] == pytest.approx(np.mean(upper) - np.mean(plain))
    assert found["answer_change:shuffled"] < 0
    with pytest.raises(Absent, match="answer no sources"):
        AnswerRobustness().update(answerer=Echo(), references=Samples(texts))


def test_flags_are_counted_on_both_sides():
    metric = Flagged(Pattern(r"\bdogs?\b"), name="dogs")
    metric.update(Samples(("a dog", "two dogs", "a cat")), Samples(("a doge", "a dog")))
    assert metric.compute() == pytest.approx({"dogs": 2 / 3, "dogs_references": 0.5})
    others = (WordList(["dog"]), WordList(["dogs"]), Pattern("dog"), Pattern(r"\bdogs?\b"))
    assert len({flag.signature() for flag in (*others, metric.flag)}) == 4
    assert f"|flag:{metric.flag.signature()}|" in metric.values()["dogs"].signature
    nothing = Flagged()
    nothing.update(Samples(("a",)), Samples(("b",)))
    with pytest.raises(Absent, match="nothing says what is flagged"):
        nothing.values()
    with pytest.raises(ValueError, match="which is no regular expression"):
        Pattern("(")
    with pytest.raises(ValueError, match="holds no word"):
        WordList([" "])
    with pytest.raises(ValueError, match="which is no file"):
        WordList("nowhere.txt")


class Vote:
    """good texts are those that hold `fine`, by a margin."""

    labels = ("bad", "good")

    def log_prob(self, texts):
        odds = np.array([2.0 if "fine" in text.split() else -2.0 for text in texts])
        return np.stack([-np.logaddexp(0, odds), -np.logaddexp(0, -odds)], 1)


def test_a_classifier_of_one_word_is_misled_by_one_swap():
    metric = SwapAttack(swaps=3)
    texts = ("a fine day", "a grey day", "so fine")
    metric.update(Vote(), Samples(("good", "bad", "good"), texts))
    found = metric.compute()
    assert found["unattacked_accuracy"] == 1.0
    assert found["attacked_accuracy"] < 0.5
    made = attack(Vote().log_prob, ["a fine day"], np.array([0]), ["x"], 2, np.random.default_rng(0))
    assert made == ["a fine day"]  # it is wrong already, and stays


class Fine:
    def odds(self, texts):
        return np.array([2.0 if "fine" in text.split() else -2.0 for text in texts])


def test_a_critic_of_one_word_is_misled_on_both_sides():
    metric = CriticAttack(swaps=3)
    metric.update(Fine(), Samples(("a fine day", "so fine", "grey")), Samples(("a wet day", "so wet")))
    found = metric.compute()
    assert found["critic_accuracy"] == 1.0  # over two of each
    assert found["attacked_critic"] <= 0.25


@pytest.mark.parametrize("level", [0.0, 20.0, -20.0])
def test_a_number_added_to_all_scores_of_a_critic_changes_nothing(level):
    class Shifted(Fine):
        def odds(self, texts):
            return super().odds(texts) + level

    metric = CriticAttack(swaps=1)
    metric.update(Shifted(), Samples(("a fine day", "so fine")), Samples(("a wet day", "so wet")))
    assert metric.compute()["critic_accuracy"] == 1.0


def test_swaps_never_help_the_right_label():
    rng = np.random.default_rng(0)
    words = {word: float(x) for word, x in zip("abcdefgh", rng.normal(size=8), strict=True)}

    def log_prob(texts):
        odds = np.array([sum(words[w] for w in text.split()) for text in texts])
        return np.stack([-np.logaddexp(0, odds), -np.logaddexp(0, -odds)], 1)

    texts = [" ".join(rng.choice(list("abcdefgh"), size=4)) for _ in range(20)]
    gold = log_prob(texts).argmax(1)
    rows = np.arange(20)
    after = [log_prob(attack(log_prob, texts, gold, list("abcdefgh"), k, np.random.default_rng(1))) for k in (1, 2)]
    before = log_prob(texts)[rows, gold]
    assert (after[0][rows, gold] <= before).all()
    assert (after[1].argmax(1) == gold).mean() <= (after[0].argmax(1) == gold).mean()
