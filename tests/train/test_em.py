"""Expectation-maximisation: what stops it, what it keeps, how it begins, and that a killed run goes on."""

import math

import pytest
import torch
from train import tiny

from gentext.language_model import LanguageModel, SupportsEM
from gentext.models.hmm.model import HMM
from gentext.models.ngram.model import NGram
from gentext.seeding import Streams
from gentext.train import em
from gentext.train.base import NullMonitor, in_order
from gentext.train.em import EMState, EMTrainer


def hmm(corpus, **options):
    torch.manual_seed(1)
    return HMM(corpus.tokenizer.vocab_size, **{"states": 4, "grow_from": None, **options})


def run(folder, monitor, family=None, *, unit="line", **options):
    corpus = tiny.corpus(folder, unit=unit)
    family = hmm(corpus, stepwise=0.7 if "every" in options else None) if family is None else family
    EMTrainer(**{"iterations": 6, "batch_size": 16, **options}).run(family, corpus, streams=Streams(0), monitor=monitor)
    return family


@pytest.mark.parametrize("unit", ["line", "stream"])
def test_likelihood_rises_and_the_best_on_valid_is_kept(tmp_path, notes, unit):
    seen = notes()
    family = run(tmp_path, seen, unit=unit, iterations=12)
    train = seen.curve("train/nll")
    assert train == sorted(train, reverse=True)
    corpus = tiny.corpus(tmp_path, unit=unit)
    with torch.no_grad():
        batches = list(in_order(corpus, "valid", 16, em.WINDOW, rows=em.ROWS))
        valid = sum(float(family.log_prob(batch).sum()) for batch in batches) / sum(int(b.mask.sum()) for b in batches)
    assert -valid == pytest.approx(min(seen.curve("valid/nll")), abs=2e-4)


def test_it_stops_when_valid_no_longer_improves(tmp_path, notes):
    seen = notes()
    run(tmp_path, seen, iterations=100, patience=2, tolerance=0.05)
    valid = seen.curve("valid/nll")
    assert len(valid) < 100
    assert min(valid[-2:]) > min(valid[:-2]) - 0.05


def test_an_m_step_comes_after_so_many_batches(tmp_path, notes):
    corpus = tiny.corpus(tmp_path)
    family, steps = hmm(corpus, stepwise=0.7), []
    maximize = family.maximize
    family.maximize = lambda: (steps.append(1), maximize())
    family.prepare(corpus.batches("train", 16), rng=torch.Generator().manual_seed(0))
    run(tmp_path, notes(), family, iterations=3, every=2)
    batches = math.ceil(corpus.size("train") / 16)
    assert len(steps) == 3 * math.ceil(batches / 2)
    assert int(family.steps) <= len(steps)


def test_each_m_step_is_of_texts_of_all_lengths(tmp_path, notes):
    """Batches of like length made some of them of empty lines alone, whose counts stood for the whole text."""
    family, lengths = hmm(tiny.corpus(tmp_path), stepwise=0.7), []
    accumulate = family.accumulate
    family.accumulate = lambda batch: (lengths.append(batch.mask.sum(1).float()), accumulate(batch))[1]
    run(tmp_path, notes(), family, iterations=2, every=1)
    spreads = [float(each.std()) for each in lengths if len(each) == 16]
    assert max(spreads) < 3 * min(spreads)


def test_of_several_beginnings_the_likeliest_goes_on(tmp_path, notes, caplog):
    seen = notes()
    with caplog.at_level("INFO", logger="gentext"):
        run(tmp_path, seen, restarts=3, iterations=1)
    ends = [float(record.args[2]) for record in caplog.records if "beginning" in record.msg]
    assert len(ends) == 3
    assert seen.curve("train/nll")[0] <= min(ends)
    passes = 3 * em.TRIAL + 1  # those of the trials cost as much as the others
    assert seen.booked == (1, passes * tiny.corpus(tmp_path).tokens("train"))


def test_a_killed_run_goes_on_to_the_same_numbers(tmp_path, notes):
    options = {"every": 2, "iterations": 7, "patience": 7}
    whole = run(tmp_path, notes("whole"), **options)
    with pytest.raises(tiny.Killed):
        run(tmp_path, notes("parts", resume=True, die_at=4), **options)
    again = notes("parts", resume=True)
    assert tiny.same(run(tmp_path, again, **options), whole)
    assert again.log_[0][0] == 4  # the step that it was killed in is done again
    finished = notes("parts", resume=True)
    assert tiny.same(run(tmp_path, finished, **options), whole)
    assert finished.log_ == []


def test_bad_options_are_refused(tmp_path, notes):
    for option in ("iterations", "patience", "batch_size", "every", "restarts"):
        with pytest.raises(ValueError, match=option):
            EMTrainer(**{option: 0})
    with pytest.raises(ValueError, match="train=gradient"):
        run(tmp_path, notes(), tiny.family(tiny.corpus(tmp_path)))


def test_m_steps_on_parts_of_the_text_are_refused_where_counts_are_forgotten(tmp_path):
    corpus = tiny.corpus(tmp_path)
    v = corpus.tokenizer.vocab_size
    with pytest.raises(ValueError, match=r"train\.every is 4, and this NGram counts the text once.*every=null"):
        EMTrainer(every=4).check(NGram(v, order=2), corpus)
    with pytest.raises(ValueError, match=r"train\.every is 4, and this HMM forgets.*family\.stepwise=0\.7"):
        EMTrainer(every=4).check(hmm(corpus), corpus)
    EMTrainer(every=4).check(hmm(corpus, stepwise=0.7), corpus)


def test_a_budget_in_seconds_ends_it(tmp_path, notes):
    seen = notes()
    run(tmp_path, seen, seconds=0.3, iterations=10**6, patience=10**6)
    seconds = seen.curve("seconds")
    assert seconds[-1] >= 0.3
    assert all(earlier < 0.3 for earlier in seconds[:-1])


class Counter(LanguageModel, SupportsEM):
    """Counts nothing, on a device whose tensors hold no numbers; says where its batches lay."""

    def __init__(self, vocab_size):
        super().__init__()
        self.vocab_size, self.met = vocab_size, set()
        self.register_buffer("counts", torch.zeros(vocab_size, device="meta"))

    def accumulate(self, batch):
        return self.log_prob(batch)

    def maximize(self):
        pass

    def log_prob(self, batch):
        self.met |= {batch.tokens.device, batch.mask.device}
        return torch.zeros(len(batch))


def test_text_is_moved_to_the_familys_device(tmp_path):
    corpus = tiny.corpus(tmp_path)
    family = Counter(corpus.tokenizer.vocab_size)
    state = EMState(EMTrainer(batch_size=16), family, corpus, Streams(0), NullMonitor(tmp_path))
    state.update()
    state.validate()
    assert family.met == {torch.device("meta")}
