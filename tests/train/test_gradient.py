"""The loop descends, keeps the best, stops where it should and says so."""

import logging
import math
import signal

import pytest
import torch
from train import tiny

from gentext.language_model import LanguageModel
from gentext.losses import NLL, Objective
from gentext.models.lstm import LSTM
from gentext.seeding import Streams
from gentext.train.base import Trainer, TrainingError
from gentext.train.gradient import GradientTrainer, lstm_in_bf16
from gentext.train.gradient_state import GradientState
from gentext.train.loader import TrainLoader


@pytest.fixture
def corpus(tmp_path):
    return tiny.corpus(tmp_path)


@pytest.fixture
def stream(tmp_path):
    return tiny.corpus(tmp_path, unit="stream")


def _train(corpus, monitor, family=None, **options):
    family = family or tiny.family(corpus)
    loop = tiny.loop(**options)
    assert isinstance(loop, Trainer)
    loop.run(family, corpus, streams=Streams(0), monitor=monitor)
    return family


def _valid(family, corpus):
    with torch.no_grad():
        batches = list(corpus.batches("valid", 64))
        return -sum(float(family(b).log_prob.sum()) for b in batches) / sum(int(b.mask.sum()) for b in batches)


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd", "rmsprop", "muon"])
def test_every_optimizer_descends(corpus, notes, optimizer):
    monitor = notes()
    lr = {"sgd": 1.0, "muon": 2e-2, "rmsprop": 3e-3}.get(optimizer, 1e-2)
    _train(corpus, monitor, optimizer=optimizer, lr=lr, steps=30)
    curve = monitor.curve("train/nll")
    assert len(curve) == 30
    assert curve[-1] < 0.8 * curve[0]


def test_it_leaves_the_weights_that_are_best_on_valid(corpus, notes):
    monitor, family = notes(), tiny.family(corpus)
    log = monitor.log

    def spoil(step, values):
        log(step, values)
        if step == 8:
            family.output.bias.data[5] += 9

    monitor.log = spoil
    _train(corpus, monitor, family)  # validates after steps 5, 10 and 12
    curve = monitor.curve("valid/nll")
    assert curve[0] < min(curve[1:])
    assert _valid(family, corpus) == pytest.approx(curve[0], abs=1e-5)
    assert not family.training


def test_a_stream_is_read_in_order_and_each_epoch_begins_anew(stream, notes):
    family, read = tiny.family(stream), []
    forward = family.forward
    family.forward = lambda batch: read.append(batch) or forward(batch)
    per_epoch = math.ceil(math.ceil(stream.tokens("train") / 8) / 16)
    _train(stream, notes(), family, steps=2 * per_epoch + 1, valid_every=1_000)
    train = [batch for batch in read if len(batch) == 8]
    assert [batch.carry for batch in train] == 2 * [False, *[True] * (per_epoch - 1)] + [False]
    rows = [torch.cat([b.tokens[i][b.mask[i]] for b in train[:per_epoch]]) for i in range(8)]
    assert torch.equal(torch.cat(rows), torch.cat([b.tokens[b.mask] for b in stream.windows("train", 1, 10_000)]))


def test_the_average_is_judged_and_kept(corpus, notes):
    monitor = notes()
    family = _train(corpus, monitor, steps=20, ema=0.9, valid_every=20)
    assert _valid(family, corpus) == pytest.approx(monitor.curve("valid/nll")[-1], abs=1e-5)
    plain = _train(corpus, notes("plain"), steps=20, valid_every=20)
    assert not torch.allclose(plain.output.weight, family.output.weight)


def test_accumulated_batches_are_one_batch(corpus, notes):
    whole, parts = notes("whole"), notes("parts")
    corpus.batches = _in_order(corpus)
    _train(corpus, whole, batch_size=8, steps=4)
    _train(corpus, parts, batch_size=4, accumulate=2, steps=4)
    assert parts.curve("train/nll") == pytest.approx(whole.curve("train/nll"), abs=1e-5)


def test_a_token_weighs_the_same_in_whatever_batch_it_stands(tmp_path, notes, monkeypatch):
    lines = [text for n in range(30) for text in (f"{n}", f"the old horses see {n} dogs", f"cat {n}")]
    (tmp_path / "text.txt").write_text("\n".join(lines), encoding="utf-8")
    corpus, steps = tiny.corpus(tmp_path), []
    monkeypatch.setattr(GradientState, "_optimizer_step", lambda training: steps.append(_taken(training.family)))
    family = _train(corpus, notes(), steps=None, epochs=1, batch_size=7, clip=None)
    lengths = {batch.tokens.shape[1] for batch in corpus.batches("train", 7, rng=torch.Generator().manual_seed(0))}
    assert len(lengths) > 1  # rows of like length meet
    (whole,) = corpus.batches("train", 1_000)
    (-family(whole).log_prob.sum() / whole.mask.sum()).backward()
    torch.testing.assert_close(torch.stack(steps).mean(0), _taken(family), rtol=1e-4, atol=1e-6)


def _taken(family):
    gradient = torch.cat([p.grad.flatten() for p in family.parameters()])
    family.zero_grad()
    return gradient


def _in_order(corpus):
    batches = corpus.batches
    return lambda split, size, **order: batches(split, size)


def test_without_a_valid_split_the_last_weights_are_kept(corpus, notes, caplog):
    corpus.tokens = lambda split, tokens=corpus.tokens: 0 if split == "valid" else tokens(split)
    corpus.batches = lambda split, *args, batches=corpus.batches, **more: (
        iter(()) if split == "valid" else batches(split, *args, **more)
    )
    family = _train(corpus, notes("short"), steps=5)
    longer = _train(corpus, notes("long"), steps=10, schedule="constant")
    assert "no valid split" in caplog.text
    assert not torch.equal(family.output.weight, longer.output.weight)


@pytest.mark.parametrize(("batch_size", "accumulate"), [(8, 1), (1, 1), (1, 2)])
def test_validations_follow_the_length_of_an_epoch(corpus, notes, batch_size, accumulate):
    """90 lines less valid's and test's: less than 50 batches of 8, and more of 1."""
    monitor = notes()
    _train(corpus, monitor, steps=101, batch_size=batch_size, accumulate=accumulate, valid_every=None, log_every=200)
    epoch = corpus.size("train") // batch_size
    assert (batch_size == 1) == (50 < epoch < 100)
    every = epoch if batch_size == accumulate == 1 else 50
    assert [step for step, values in monitor.log_ if "valid/nll" in values] == [*range(every, 101, every), 101]


def test_of_a_long_text_validations_come_every_250_steps():
    loop = tiny.loop(valid_every=None)
    assert [loop.validation_interval(batches) for batches in (3, 249, 250, 10**6)] == [50, 249, 250, 250]


def test_patience_ends_it(corpus, notes):
    monitor = notes()
    _train(corpus, monitor, steps=500, lr=1e-9, valid_every=1, patience=3, tolerance=1e-3)
    assert len(monitor.curve("valid/nll")) == 4


def test_epochs_and_seconds_are_budgets_too(corpus, notes):
    monitor = notes()
    _train(corpus, monitor, steps=None, epochs=1.5, batch_size=9)
    assert len(monitor.curve("train/nll")) == round(1.5 * math.ceil(corpus.size("train") / 9))
    monitor = notes("timed")
    _train(corpus, monitor, steps=None, seconds=0.3)
    assert 0.3 <= monitor.curve("seconds")[-1] < 5
    assert monitor.curve("train/lr")[-1] < 1e-3  # the schedule follows the clock


def test_what_is_logged(corpus, notes):
    monitor = notes()
    _train(corpus, monitor, steps=10, valid_every=10)
    step, values = monitor.log_[-2]
    assert step == 10
    assert {"train/nll", "train/lr", "tokens", "seconds", "seconds_left", "tokens_per_second"} <= values.keys()
    assert values["flops_per_second"] > 0
    assert values["seconds_left"] == 0
    assert monitor.log_[-1][1]["valid/bits"] == pytest.approx(monitor.log_[-1][1]["valid/nll"] / math.log(2))


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine", "wsd"])
def test_rates(corpus, notes, schedule):
    monitor = notes()
    _train(corpus, monitor, schedule=schedule, steps=20, warmup=4, floor=0.1, lr=1.0e-2)
    rates = monitor.curve("train/lr")
    assert rates[0] < rates[1] < rates[2]
    assert rates[-1] == pytest.approx(1e-2 if schedule == "constant" else 1e-3, rel=1e-6)


def test_bf16_trains(corpus, notes):
    monitor = notes()
    _train(corpus, monitor, precision="bf16", steps=20)
    assert monitor.curve("train/nll")[-1] < monitor.curve("train/nll")[0]


def test_an_lstm_in_bf16_is_refused_where_the_processor_computes_none(corpus, notes, monkeypatch):
    """Of oneDNN's LSTM torch has no slower form: without AVX-512 a step would end in a RuntimeError of its own."""
    monkeypatch.setattr("gentext.train.gradient.lstm_in_bf16", lambda: False)
    family = LSTM(corpus.tokenizer.vocab_size, width=8)
    with pytest.raises(ValueError, match=r"precision is bf16, .*of which an LSTM is made; give train.precision=fp32"):
        tiny.loop(precision="bf16").check(family, corpus)
    tiny.loop(precision="bf16").check(tiny.family(corpus), corpus)
    tiny.loop(precision="fp32").check(family, corpus)


@pytest.mark.skipif(not lstm_in_bf16(), reason="this processor computes no LSTM in bfloat16")
def test_an_lstm_trains_in_bf16(corpus, notes):
    monitor = notes()
    _train(corpus, monitor, LSTM(corpus.tokenizer.vocab_size, width=8), precision="bf16", steps=20)
    assert monitor.curve("train/nll")[-1] < monitor.curve("train/nll")[0]


def test_a_loss_that_is_not_finite_stops_with_step_batch_and_advice(corpus, notes):
    family = tiny.family(corpus)
    family.gru.weight_hh_l0.data[0, 0] = torch.nan
    with pytest.raises(TrainingError, match=r"step 1 \(epoch 1, batch 1\) is not finite.*train.lr"):
        _train(corpus, notes(), family)


def test_ctrl_c_saves_after_the_step_and_is_raised_again(corpus, notes, caplog):
    monitor = notes()
    log = monitor.log

    def press(step, values):
        log(step, values)
        if step == 7:
            signal.raise_signal(signal.SIGINT)

    monitor.log = press
    with caplog.at_level(logging.INFO, "gentext"), pytest.raises(KeyboardInterrupt):
        _train(corpus, monitor)
    assert "ends when this step is done" in caplog.text  # which may take minutes
    assert (monitor.folder / "checkpoint" / "7-state.pt").exists()
    assert len(monitor.curve("train/nll")) == 7


@pytest.mark.parametrize(
    ("wrong", "advice"),
    [
        ({"steps": None}, "needs an end"),
        ({"steps": -1}, "^steps is -1"),
        ({"lr": 0.0}, "^lr is 0"),
        ({"batch_size": 0}, "^batch_size"),
        ({"ema": 1.0}, "^ema"),
        ({"optimizer": "lion"}, "adamw"),
        ({"schedule": "step"}, "cosine"),
        ({"precision": "fp16"}, "bf16"),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong, advice):
    with pytest.raises(ValueError, match=advice):
        tiny.loop(**wrong)


def test_wrong_pairings_are_advised(corpus, notes):
    with pytest.raises(ValueError, match="loss=nll"):
        GradientTrainer(None, steps=1)
    with pytest.raises(ValueError, match="train=em"):
        _train(corpus, notes(), LanguageModel())
    with pytest.raises(ValueError, match="uniform"):
        GradientTrainer(Objective(nll=NLL(smoothing=0.1)), steps=1).run(
            tiny.family(corpus), corpus, streams=Streams(0), monitor=notes()
        )


def test_no_steps_leave_the_family_as_it_is(corpus, notes):
    family, monitor = tiny.family(corpus), notes()
    before = {name: tensor.clone() for name, tensor in family.state_dict().items()}
    _train(corpus, monitor, family, steps=0)
    assert all(torch.equal(before[name], tensor) for name, tensor in family.state_dict().items())
    assert monitor.log_ == []


def test_a_step_reads_as_much_of_a_stream_with_a_state_as_without(stream):
    windows = TrainLoader(stream, 8, 16, torch.Generator().manual_seed(0))
    sections = TrainLoader(stream, 8, 16, torch.Generator().manual_seed(0), context=32)
    assert next(windows).tokens.shape == (8, 16)
    assert next(sections).tokens.shape == (4, 32)
    assert sections.per_epoch == math.ceil(math.ceil(stream.tokens("train") / 32) / 4)
    longer = TrainLoader(stream, 2, 16, torch.Generator().manual_seed(0), context=64)
    assert len(next(longer)) == 1  # a section at least
