"""A VAE on its way down its bound: what is judged, and what a validation may not move."""

from dataclasses import replace

import pytest
import torch
from train import tiny

from gentext.losses import MMD, NLL, FreeBits, Objective, TargetRate
from gentext.seeding import Streams
from gentext.train.distributed import ProcessGroup
from gentext.train.ema import EMA
from gentext.train.gradient_state import GradientState


@pytest.fixture
def corpus(tmp_path):
    return tiny.corpus(tmp_path)


def test_an_average_keeps_the_statistics_that_belong_to_its_weights(corpus):
    family = tiny.vae(corpus, posterior="normalised").train()
    average = EMA(family, 0.99)
    batch = next(iter(corpus.batches("train", 64)))
    family.space.mean.weight.data.mul_(1e3)
    for step in range(1000, 1150):
        with torch.no_grad():
            family.space.mean.weight.mul_(0.96)  # so that the average is many times what it is now
            family(batch)
        average.update(step)
    last = family.space.norm.running_var.clone()
    with average.applied(), torch.no_grad():
        spread = family.eval().encode(batch).mean.std(0)
    assert (spread < 1).all()  # 0.6 while it trains
    assert torch.equal(family.space.norm.running_var, last)


def test_a_normalised_average_goes_on_to_the_same_numbers(corpus, notes):
    def run(monitor):
        family = tiny.vae(corpus, posterior="normalised")
        tiny.bound(steps=12, save_every=0.0, ema=0.9).run(family, corpus, streams=Streams(0), monitor=monitor)
        return family

    whole = run(notes("whole"))
    with pytest.raises(tiny.Killed):
        run(notes("parts", die_at=7))
    assert tiny.same(run(notes("parts", resume=True)), whole)


def test_a_validation_draws_alike_each_time_and_moves_nothing(corpus, notes):
    curves = {}
    for every in (5, 10):
        monitor, family = notes(f"{every}"), tiny.vae(corpus)
        tiny.bound(steps=10, valid_every=every, lr=1e-3).run(family, corpus, streams=Streams(0), monitor=monitor)
        curves[every] = monitor.curve("train/nll"), monitor.curve("valid/nll")[-1], family
    assert curves[5][:2] == curves[10][:2]
    assert tiny.same(curves[5][2], curves[10][2])
    training = GradientState(tiny.bound(), tiny.vae(corpus), corpus, Streams(0), notes(), ProcessGroup())
    assert training.validate()[0] == training.validate()[0]


@pytest.mark.parametrize("term", [FreeBits(1.0), TargetRate(1.0), MMD()])
@pytest.mark.parametrize("divided", ["accumulate", "processes", "nodes"])
def test_what_looks_at_a_batch_as_a_whole_is_not_divided(corpus, term, divided):
    loop = tiny.loop(**{divided: 2})
    loop.loss = Objective(nll=NLL(), rate=term)
    with pytest.raises(ValueError, match=f"loss's rate .*train.{divided}=2 .*train.batch_size"):
        loop.check(tiny.vae(corpus), corpus)


def test_what_compares_batches_takes_them_of_as_many_texts(corpus):
    loop = tiny.loop(batching="tokens")
    loop.check(tiny.vae(corpus), corpus)
    loop.loss = Objective(nll=NLL(), rate=MMD())
    with pytest.raises(ValueError, match=r"loss's rate .*train\.batching=texts"):
        loop.check(tiny.vae(corpus), corpus)


def test_a_validation_counts_no_idle_row(corpus, notes, monkeypatch):
    monitor = notes()
    training = GradientState(tiny.bound(), tiny.vae(corpus), corpus, Streams(0), monitor, ProcessGroup())
    training.validate()
    monkeypatch.setattr(training, "valid", lambda: [*batches, replace(batches[0], mask=batches[0].mask & False)])
    batches = list(corpus.batches("valid", 64))
    training.validate()
    assert monitor.curve("valid/kl")[1] == pytest.approx(monitor.curve("valid/kl")[0])


@pytest.mark.parametrize(
    ("term", "apart"), [(None, True), (FreeBits(1.0), False), (TargetRate(1.0), False), (MMD(), False)]
)
def test_what_looks_at_a_batch_as_a_whole_gets_texts_of_any_lengths(tmp_path, notes, term, apart):
    """Else a statistic over the texts of a batch would be one of their common length."""
    lines = [" ".join(["word"] * n) for n in range(1, 41) for _ in range(10)]
    (tmp_path / "text.txt").write_text("\n".join(f"{i % 10} {line}" for i, line in enumerate(lines)), encoding="utf-8")
    corpus, loop = tiny.corpus(tmp_path), tiny.bound(batch_size=8)
    if term is not None:
        loop.loss = Objective(nll=NLL(), pooled=term)
    loader = GradientState(loop, tiny.vae(corpus), corpus, Streams(0), notes(), ProcessGroup()).loader
    lengths = [next(loader).lengths.double() for _ in range(loader.per_epoch)]
    within = sum(float(one.var(unbiased=False)) * len(one) for one in lengths) / sum(map(len, lengths))
    assert (within < 0.1 * float(torch.cat(lengths).var())) == apart
