"""What is scored is what a figure says that it is of: whole texts, under one distribution."""

from __future__ import annotations

import math

import pytest
import torch

from gentext.data import Char, LocalText, Word
from gentext.data.corpus import Corpus
from gentext.evaluation import harness
from gentext.evaluation.harness import Evidence, evaluate, score, score_draw
from gentext.evaluation.scoring import log_prob, prove
from gentext.language_model import LanguageModel
from gentext.metrics.base import Absent, TextMetric
from gentext.metrics.likelihood import HeldOutLikelihood
from gentext.models import LSTM, NGram, Transformer
from gentext.models.human import Human
from gentext.train.base import NullMonitor
from gentext.truth import GeneratedCorpus, Grammar
from gentext.types import EOS, UNK, Samples, Step, Value, pad

LINES = [f"{who} {does} the {what}{end}" for who in ("ann", "bob", "cy") for does in ("sees", "hears")
         for what in ("owl", "big bad wolf", "sea") for end in (" .", " again and again .")]  # fmt: skip


TEXT = "\n".join(LINES)


def opened(folder, tokenizer, text=TEXT, **options):
    (folder / "my.txt").write_text(text, encoding="utf-8")
    keys = {key: options.pop(key) for key in ("max_len",) if key in options}
    options = {"words": "whitespace", "valid": 8, "test": 8, **options}
    return Corpus.open(LocalText(str(folder / "my.txt"), **options), tokenizer, cache=folder / "cache", **keys)


def counted(corpus, order=3):
    family = NGram(corpus.tokenizer.vocab_size, order=order)
    for batch in corpus.batches("train", 64):
        family.accumulate(batch)
    family.maximize()
    return family


def figures(family, corpus, tmp_path, split="test"):
    scores = score(family, corpus, split, monitor=NullMonitor(tmp_path))
    return evaluate({"likelihood": HeldOutLikelihood(resamples=0)}, Evidence(scores=scores))


def test_what_no_sample_changes_is_found_once_for_all_decode_settings():
    asked = []

    class Counted(TextMetric):
        def values(self):
            return {type(self).__name__: Value(float(len(asked)), "asked|v:1", None, 1)}

    class OfModel(Counted):
        def update(self, references, scores=None):
            asked.append("model")

    class OfSamples(Counted):
        def update(self, samples):
            asked.append("samples")

    class Absently(OfModel):
        def values(self):
            raise Absent("for a reason")

    kept = {}
    for text in ("a", "b"):
        metrics = {"one": OfModel(), "two": OfSamples(), "three": Absently()}
        values, absent = evaluate(metrics, Evidence(samples=Samples((text,)), references=Samples(("c",))), kept)
        assert values["OfModel"].value == 1
        assert absent == {"three": "for a reason"}
    assert asked == ["model", "samples", "model", "samples"]
    assert values["OfSamples"].value == 4


class Read(LSTM):
    """An LSTM that notes how many places of each batch it reads."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.places: list[int] = []

    def log_prob(self, batch):
        self.places.append(batch.tokens.numel())
        return super().log_prob(batch)


def of_lengths(*lengths):
    return pad([[*torch.randint(4, 30, (length,)).tolist(), EOS] for length in lengths])


def test_rows_of_unlike_lengths_are_scored_beside_their_like():
    torch.manual_seed(0)
    family = Read(30, width=16).eval()
    unlike = of_lengths(*(torch.randperm(200) // 150 * 90 + 1).tolist())
    alone = torch.cat([family.log_prob(unlike.rows(slice(i, i + 1))) for i in range(len(unlike))]).double()
    family.places.clear()
    torch.testing.assert_close(log_prob(family, [unlike]), alone.detach(), rtol=1e-5, atol=1e-5)
    assert sum(family.places) < 0.7 * unlike.tokens.numel()


def test_rows_whose_order_or_draws_matter_are_scored_together():
    unlike = of_lengths(90, *[1] * 200)
    stream, bound = Read(30, width=16).eval(), Read(30, width=16).eval()
    bound.likelihood = "bound"
    log_prob(stream, [unlike], stream=True)
    log_prob(bound, [unlike])
    assert stream.places == bound.places == [unlike.tokens.numel()]


def test_texts_that_max_len_cuts_are_scored_whole(tmp_path):
    whole = opened(tmp_path, Word("whitespace"))
    family = counted(whole)
    expected = {name: value.value for name, value in figures(family, whole, tmp_path)[0].items()}
    for max_len in (6, 3, 2):
        cut = opened(tmp_path, Word("whitespace"), max_len=max_len)
        assert cut.cut("test") > 0
        assert max(int(batch.lengths.max()) for batch in cut.batches("test", 4)) == max_len
        assert {n: v.value for n, v in figures(family, cut, tmp_path)[0].items()} == pytest.approx(expected)


def test_a_family_that_cannot_read_a_text_whole_has_no_figure_of_it(tmp_path):
    cut = opened(tmp_path, Word("whitespace"), max_len=5)
    size = {"layers": 1, "width": 8, "heads": 2}
    short = Transformer(cut.tokenizer.vocab_size, context=5, positions="learned", **size)
    values, absent = figures(short, cut, tmp_path)
    assert values == {}
    assert "max_len=5 cuts" in absent["likelihood"]
    assert f"{cut.cut('test'):.1%} of test" in absent["likelihood"]
    longer = Transformer(cut.tokenizer.vocab_size, context=5, positions="rotary", **size)
    assert "bits_per_char" in figures(longer, cut, tmp_path)[0]


def test_unknown_words_cost_their_letters(tmp_path):
    corpus = opened(tmp_path, Word("whitespace", min_count=20))
    family = counted(corpus)
    found = score(family, corpus, "test", monitor=NullMonitor(tmp_path))
    texts = list(corpus.lines("test"))
    unknown = [corpus.tokenizer.unknown(text) for text in texts]
    assert found.closed
    assert corpus.unknown("test") == sum(map(len, unknown)) > 0
    expected = [sum(corpus._spelling.nats([word])[0] for word in words) for words in unknown]
    assert found.spelling.tolist() == pytest.approx(expected)
    assert (found.open == found.log_prob - found.spelling).all()


def test_a_smaller_vocabulary_buys_no_bits(tmp_path):
    bits = []
    for min_count in (1, 8, 15):
        corpus = opened(tmp_path, Word("whitespace", min_count=min_count))
        bits.append(figures(counted(corpus), corpus, tmp_path)[0]["bits_per_char"].value)
    assert bits == sorted(bits)
    assert bits[-1] > 1.2 * bits[0]


def test_an_unknown_token_that_train_never_holds_is_warned_of(tmp_path, caplog):
    text = "\n".join([*LINES, *(f"ann sees the thing{i} ." for i in range(8))])
    opened(tmp_path, Word("whitespace"), text, cut="tail")
    assert "8 tokens that the tokenizer does not know, and train has none" in caplog.text
    caplog.clear()
    opened(tmp_path, Word("whitespace", min_count=13), text, cut="tail")
    assert "and train has none" not in caplog.text


@pytest.mark.parametrize("min_count", [1, 60])
def test_a_streams_characters_are_those_of_its_text(tmp_path, min_count):
    text = TEXT * 3
    corpus = opened(tmp_path, Word("lines", min_count=min_count), text, words="lines", unit="stream", test=500)
    found = score(counted(corpus), corpus, "test", monitor=NullMonitor(tmp_path))
    assert int(found.chars.sum()) == 500 + 1
    assert len(found.spelling) == len(found.log_prob)
    assert float(found.spelling.sum()) == pytest.approx(corpus.spelled("test").sum())


@pytest.mark.parametrize("context", [8, 64, 400])
def test_families_that_read_a_stream_by_sections_are_judged_on_the_same_sequences(tmp_path, monkeypatch, context):
    """Sections shorter than a piece add up to it; of longer ones each is a sequence."""
    monkeypatch.setattr(harness, "PIECE", 64)
    corpus = opened(tmp_path, Char(), TEXT * 9, words="lines", unit="stream", test=1000)
    whole = score(counted(corpus), corpus, "test", monitor=NullMonitor(tmp_path))
    torch.manual_seed(0)
    windowed = Transformer(corpus.tokenizer.vocab_size, layers=1, heads=1, width=8, context=context)
    parts = score(windowed, corpus, "test", monitor=NullMonitor(tmp_path))
    lengths = [64] * 15 + [corpus.tokens("test") - 15 * 64]
    assert whole.tokens.tolist() == lengths
    assert parts.tokens.tolist() == (lengths if context < 400 else [200] * 5 + [1])
    with torch.inference_mode():
        sections = corpus.sections("test", 4, context // 2, context=context // 2)
        nats = torch.cat([windowed.log_prob(batch) for batch in sections]).double()
    assert float(parts.log_prob.sum()) == pytest.approx(float(nats.sum()), rel=1e-6)
    if context == 8:
        assert torch.allclose(parts.log_prob[:15], nats[:240].view(15, 16).sum(1))
    assert int(parts.chars.sum()) == int(whole.chars.sum())


class Lying(NGram):
    """Gives each token a little more than there is."""

    def log_prob(self, batch):
        return super().log_prob(batch) + 0.01 * batch.lengths


class Leaking(NGram):
    """Leaves some mass to PAD, which is never said."""

    def _at(self, state):
        step = super()._at(state)
        return Step(torch.where(torch.arange(step.logits.shape[1]) == 0, -3.0, step.logits), step.state)


class Flattering(NGram):
    """Knows the test split, and is sure of it; of other texts it says what an n-gram says."""

    def log_prob(self, batch):
        same = batch.tokens[:, None] == self.seen[None, :, : batch.tokens.shape[1]]
        known = (same | ~batch.mask[:, None]).all(2).any(1)
        return torch.where(known, 0.0, super().log_prob(batch))


@pytest.mark.parametrize(
    ("liar", "reason"), [(Lying, "make them one distribution"), (Leaking, "sum to"), (Flattering, "one distribution")]
)
def test_a_family_whose_probabilities_are_none_is_refused(tmp_path, liar, reason):
    corpus = opened(tmp_path, Word("whitespace"))
    family = counted(corpus)
    family.__class__ = liar
    family.seen = next(corpus.whole("test", 99)).tokens
    with pytest.raises(ValueError, match=f"this {liar.__name__} is refused a row.*{reason}"):
        score(family, corpus, "test", monitor=NullMonitor(tmp_path))
    with pytest.raises(ValueError, match="is refused a row"):
        score_draw(family, corpus, next(corpus.whole("test", 99)), list(corpus.lines("test")), "test")


def test_not_a_number_is_refused():
    class Broken(LanguageModel):
        vocab_size = 6

        def start(self, n, *, rng=None):
            return Step(torch.full((n, 6), math.nan), torch.zeros(n))

        def step(self, state, tokens):
            return Step(torch.full((len(tokens), 6), math.nan), state)

    with pytest.raises(ValueError, match="never NaN"):
        prove(Broken(), pad([[4, 5, EOS]]))


def test_honest_families_pass_with_and_without_a_prompt():
    torch.manual_seed(0)
    batch = pad([[4, 5, 6, 7, EOS], [EOS], [UNK, EOS], [5] * 40])
    for family in (LSTM(8, layers=1, width=8), Transformer(8, layers=1, width=8, heads=2), NGram(8, order=3)):
        prove(family.eval(), batch)
        prove(family, type(batch)(batch.tokens, batch.mask, torch.tensor([[4, 5], [6, 0], [7, 7], [4, 0]])))


def test_human_text_is_held_out_and_as_it_was_written(tmp_path):
    corpus = opened(tmp_path, Word("whitespace", min_count=20))
    human = Human(corpus.tokenizer.vocab_size)
    for split, held in (("test", "valid"), ("valid", "test"), ("train", "valid")):
        texts = human.texts(corpus, 8, split=split, rng=torch.Generator().manual_seed(0))
        assert sorted(texts) == sorted(corpus.lines(held))
    with pytest.raises(ValueError, match=r"has 8 of them; set eval\.samples=8 or less, or data\.valid=9 or more"):
        human.texts(corpus, 9, split="test", rng=torch.Generator())


def test_a_known_truth_writes_the_human_row_anew(tmp_path):
    corpus = Corpus.open(GeneratedCorpus(Grammar(), train=5, valid=5, test=5), Word(), cache=tmp_path)
    texts = Human(9).texts(corpus, 30, split="test", rng=torch.Generator().manual_seed(1))
    assert texts == list(Grammar().sample(30, torch.Generator().manual_seed(1)))


def test_characters_are_spelled_too(tmp_path):
    corpus = opened(tmp_path, Char(min_count=30))
    found = score(counted(corpus), corpus, "test", monitor=NullMonitor(tmp_path))
    assert found.closed
    assert bool((found.spelling >= 0).all())
    assert float(found.spelling.sum()) > corpus.unknown("test")  # more than a nat each
