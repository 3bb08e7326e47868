import re
from collections import Counter
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import sacrebleu
from hypothesis import given, settings
from hypothesis import strategies as st
from nltk.stem.porter import PorterStemmer
from nltk.translate import meteor_score
from torchmetrics.functional.text import squad
from torchmetrics.text import SacreBLEUScore, TranslationEditRate

from gentext.metrics.base import Absent
from gentext.metrics.conditional import Answers, Meteor, NoSynonyms, Rouge, Sacrebleu, f1
from gentext.types import Samples

METRICS = (Sacrebleu, partial(Rouge, "rouge"), Meteor, Answers)
REFERENCES = ("The cat sat on the mat.", "Two dogs are playing in the snow.", "A man rides his red bike home, fast.")
SAMPLES = ("The cat is sitting on the mat.", "Two dogs play in the snow.", "A man rode a red bike.")
words = st.lists(st.sampled_from("abcd"), min_size=1, max_size=7).map(" ".join)
pairs = st.lists(st.tuples(words, words), min_size=1, max_size=6)


def values(metric, samples, references):
    prompts = tuple(map(str, range(len(samples))))
    metric.update(Samples(tuple(samples), prompts), Samples(tuple(references)))
    return metric.values()


def chrf(samples, references, beta=2.0):
    """The definition (Popovic 2015): precision and recall averaged over orders 1 to 6, then their F score.

    As sacrebleu does, what a sample says in an order that its reference is too short for is not counted.
    """
    precisions, recalls = [], []
    for order in range(1, 7):
        shared = made = there = 0
        for sample, reference in zip(samples, references, strict=True):
            one, two = (
                Counter(text[i : i + order] for i in range(len(text) - order + 1))
                for text in (sample.replace(" ", ""), reference.replace(" ", ""))
            )
            shared, made, there = shared + (one & two).total(), made + one.total() * bool(two), there + two.total()
        if made and there:
            precisions.append(shared / made)
            recalls.append(shared / there)
    p, r = np.mean(precisions), np.mean(recalls)
    return 100 * (1 + beta**2) * p * r / (beta**2 * p + r) if p + r else 0.0


@settings(max_examples=25, deadline=None)
@given(pairs)
def test_chrf_is_that_of_the_definition(both):
    samples, references = zip(*both, strict=True)
    found = values(Sacrebleu(resamples=0), samples, references)
    assert found["chrf"].value == pytest.approx(chrf(samples, references), abs=1e-9)


@settings(max_examples=3, deadline=None, derandomize=True)  # theirs finds fewer shifts where a word comes often
@given(pairs)
def test_ter_is_torchmetrics(both):
    samples, references = zip(*both, strict=True)
    found = values(Sacrebleu(resamples=0), samples, references)
    theirs = TranslationEditRate()(samples, [[reference] for reference in references])
    assert found["ter"].value == pytest.approx(100 * float(theirs), abs=1e-3)


def test_bleu_is_torchmetrics_and_signed_as_sacrebleu_signs():
    found = values(Sacrebleu(resamples=0), SAMPLES, REFERENCES)
    theirs = SacreBLEUScore()(SAMPLES, [[reference] for reference in REFERENCES])
    assert found["sacrebleu"].value == pytest.approx(100 * float(theirs), abs=1e-3)
    assert found["sacrebleu"].signature == (
        f"sacrebleu|nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:{sacrebleu.__version__}|pairs:3"
    )
    assert [found[name].higher_is_better for name in ("sacrebleu", "chrf", "ter")] == [True, True, False]


def test_tokenized_references_are_told(caplog, capfd):
    samples = ["a dog sits ."] * 200  # of 100 sacrebleu itself warns, of a parameter that nobody can give
    values(Sacrebleu(resamples=0), samples, samples)
    assert "200 of 200 references end in ' .'" in caplog.text
    assert "force" not in caplog.text + capfd.readouterr().err
    caplog.clear()
    values(Sacrebleu(resamples=0), samples, ["a dog sits."] * 200)
    assert not caplog.text


def test_sacrebleus_own_interval_is_kept():
    found = values(Sacrebleu(resamples=200), SAMPLES * 10, REFERENCES * 10)
    value = found["chrf"]
    assert value.interval_kind == "bootstrap:200"
    assert value.interval[0] < value.value < value.interval[1]
    assert "bs:200" in value.signature


def test_resamples_of_which_some_have_no_overlap_have_an_interval():
    found = values(Sacrebleu(resamples=50), ["x y z w", "a b c d e"], ["a b c d", "a b c d e"])
    assert found["sacrebleu"].interval[1] - found["sacrebleu"].interval[0] > 50
    assert found["sacrebleu"].interval_kind == "bootstrap:50"


def overlap(one, two):
    shared = sum(min(one.count(gram), two.count(gram)) for gram in set(one))
    return 2 * shared / (len(one) + len(two)) if one and two else 0.0


def longest(one, two):
    table = np.zeros((len(one) + 1, len(two) + 1), dtype=int)
    for i, x in enumerate(one):
        for j, y in enumerate(two):
            table[i + 1, j + 1] = table[i, j] + 1 if x == y else max(table[i, j + 1], table[i + 1, j])
    return table[-1, -1]


@settings(max_examples=20, deadline=None)
@given(pairs)
def test_rouge_is_that_of_the_definition(both):
    samples, references = zip(*both, strict=True)
    found = values(Rouge(words="rouge", resamples=0), samples, references)
    read = [(a.split(), b.split()) for a, b in both]
    two = [(list(pairwise(a)), list(pairwise(b))) for a, b in read]
    assert found["rouge1"].per_sequence == pytest.approx([overlap(a, b) for a, b in read], abs=1e-6)
    assert found["rouge2"].per_sequence == pytest.approx([overlap(a, b) for a, b in two], abs=1e-6)
    common = [2 * longest(a, b) / (len(a) + len(b)) for a, b in read]
    assert found["rougeL"].per_sequence == pytest.approx(common, abs=1e-6)


def test_rouge_of_stems_is_that_of_the_definition():
    stem = PorterStemmer().stem
    samples = ["The dogs were playing happily.", "Councils vote as news is: closed!"]
    references = ["A dog plays, happy.", "the council voted: it closes"]
    found = values(Rouge(words="rouge", stemmer=True, resamples=0), samples, references)
    read = [
        [[stem(word) if len(word) > 3 else word for word in re.findall("[a-z0-9]+", text.lower())] for text in pair]
        for pair in zip(samples, references, strict=True)
    ]  # ROUGE's own code leaves words of three letters and fewer as they are
    assert found["rouge1"].per_sequence == pytest.approx([overlap(a, b) for a, b in read], abs=1e-6)
    assert found["rouge1"].per_sequence[0] == pytest.approx(4 / 9)  # dog and play of four words and five
    assert "stem:porter" in found["rouge1"].signature


def test_rouge_of_another_script_needs_its_words():
    assert values(Rouge(words="rouge", resamples=0), ["床前明月光"], ["床前看月光"])["rouge1"].value == 0
    assert values(Rouge(words="char", resamples=0), ["床前明月光"], ["床前看月光"])["rouge1"].value == pytest.approx(
        0.8
    )


def test_meteor_without_wordnet_finds_stems_and_no_synonyms():
    found = values(Meteor(words="whitespace"), ["dogs play", "big dog"], ["dog played", "large dog"])
    assert found["meteor"].per_sequence[0] > 0.9
    assert 0 < found["meteor"].per_sequence[1] < 0.6
    assert "synonyms:none" in found["meteor"].signature


def test_meteor_is_nltks_published_example():
    sample = "It is a guide to action which ensures that the military always obeys the commands of the party"
    reference = "It is a guide to action that ensures that the military will forever heed Party commands"
    assert meteor_score.single_meteor_score(reference.split(), sample.split(), wordnet=NoSynonyms) == pytest.approx(
        0.6944, abs=1e-4
    )
    found = values(Meteor(words="whitespace", resamples=0), [sample], [reference])
    assert found["meteor"].value == pytest.approx(0.6944, abs=1e-4)


@settings(max_examples=20, deadline=None)
@given(pairs)
def test_answers_are_squads(both):
    samples, references = ([text.replace("a", "e") for text in side] for side in zip(*both, strict=True))  # no article
    found = values(Answers(words="whitespace", resamples=0), samples, references)
    theirs = squad(
        [{"prediction_text": text, "id": str(i)} for i, text in enumerate(samples)],
        [{"answers": {"answer_start": [0], "text": [text]}, "id": str(i)} for i, text in enumerate(references)],
    )
    assert 100 * found["exact_match"].value == pytest.approx(float(theirs["exact_match"]), abs=1e-3)
    assert 100 * found["token_f1"].value == pytest.approx(float(theirs["f1"]), abs=1e-3)


@settings(max_examples=20, deadline=None)
@given(pairs)
def test_answers_cut_as_squad_cuts_are_squads_with_articles_and_marks(both):
    into = {"a": "A ", "b": "The b.", "c": "an?", "d": "D-d!"}
    samples, references = (
        [" ".join(into[w] for w in text.split()) for text in side] for side in zip(*both, strict=True)
    )
    found = values(Answers(squad=True, resamples=0), samples, references)
    theirs = squad(
        [{"prediction_text": text, "id": str(i)} for i, text in enumerate(samples)],
        [{"answers": {"answer_start": [0], "text": [text]}, "id": str(i)} for i, text in enumerate(references)],
    )
    assert 100 * found["exact_match"].value == pytest.approx(float(theirs["exact_match"]), abs=1e-3)
    assert 100 * found["token_f1"].value == pytest.approx(float(theirs["f1"]), abs=1e-3)
    assert found["token_f1"].signature == f"token_f1|tok:squad|pairs:{len(samples)}|v:1"


@pytest.mark.parametrize("build", METRICS)
def test_a_perfect_answer_has_the_best_figure_and_order_does_not_matter(build):
    best = {"sacrebleu": 100, "chrf": 100, "ter": 0}
    found = values(build(), REFERENCES, REFERENCES)
    for name, value in found.items():
        assert value.value == pytest.approx(best.get(name, 1), abs=0.01)
        assert value.n == 3
    turned = values(build(), SAMPLES[::-1], REFERENCES[::-1])
    assert {n: v.value for n, v in turned.items()} == pytest.approx(
        {n: v.value for n, v in values(build(), SAMPLES, REFERENCES).items()}
    )


@pytest.mark.parametrize("build", METRICS)
def test_updates_in_parts_equal_one(build):
    metric = build()
    for sample, reference in zip(SAMPLES, REFERENCES, strict=True):
        metric.update(Samples((sample,), ("p",)), Samples((reference,)))
    whole = build()
    values(whole, SAMPLES, REFERENCES)
    assert metric.compute() == whole.compute()
    metric.reset()
    with pytest.raises(Absent, match="there are 0"):
        metric.values()


@pytest.mark.parametrize("build", METRICS)
@pytest.mark.parametrize("texts", [("", ""), ("", "a"), ("é 床 𝄞", "\n")])
def test_odd_texts_are_judged_too(build, texts):
    found = values(build(), texts, ("a b", "c"))
    assert all(np.isfinite(value.value) for value in found.values())
    metric = build()
    values(metric, texts, ("a b", "c"))
    assert metric.pairs() == (list(texts), ["a b", "c"])


def test_texts_that_answer_nothing_are_absent_with_the_reason():
    texts = Samples(("a", "b"))
    with pytest.raises(Absent, match="answer no prompts"):
        Rouge().update(texts, texts)
    with pytest.raises(Absent, match="2 samples and 1 references do not answer"):
        Rouge().update(Samples(("a", "b"), ("x", "y")), Samples(("a",)))
    with pytest.raises(Absent, match="the same prompts"):
        Rouge().update(Samples(("a",), ("x",)), Samples(("a",), ("z",)))


def test_golden():
    found = {name: value.value for build in METRICS for name, value in values(build(), SAMPLES, REFERENCES).items()}
    assert {name: round(value, 4) for name, value in found.items()} == GOLDEN
    assert f1(["a", "a", "b"], ["a", "c"]) == pytest.approx(0.4)


GOLDEN = {
    "sacrebleu": 30.8569,
    "chrf": 50.6879,
    "ter": 42.8571,
    "rouge1": 0.7033,
    "rouge2": 0.4747,
    "rougeL": 0.7033,
    "meteor": 0.6962,
    "exact_match": 0.0,
    "token_f1": 0.7294,
}


def test_bad_options_are_refused():
    with pytest.raises(ValueError, match="tokenize is '14a'"):
        Sacrebleu(tokenize="14a")
    with pytest.raises(ValueError, match="words is 'wrods'"):
        Rouge(words="wrods")
    with pytest.raises(ValueError, match="squad is true"):
        Answers(words="char", squad=True)
