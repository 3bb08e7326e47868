"""The game goes on, is validated, is stopped and gone on with, and keeps its best."""

import math
from functools import partial

import pytest
import torch
from train import tiny

from gentext.adversarial import Gumbel, Reinforce
from gentext.adversarial.baselines import LearnedBaseline, MovingBaseline
from gentext.adversarial.critics import GRUCritic, TextCNN
from gentext.adversarial.losses import PointwiseLoss
from gentext.adversarial.model import TextGAN
from gentext.adversarial.rewards import IdentityReward, ProbabilityReward
from gentext.adversarial.state import AdversarialState
from gentext.adversarial.trainer import AdversarialTrainer
from gentext.losses import NLL, Objective
from gentext.models.lstm import LSTM
from gentext.models.ngram.model import NGram
from gentext.models.seq2seq import Seq2Seq
from gentext.models.transformer.model import Transformer
from gentext.models.vae.encoders import LSTMEncoder as Encoder
from gentext.models.vae.model import VAE
from gentext.schedules import Exponential
from gentext.seeding import Streams
from gentext.train.base import Trainer, TrainingError
from gentext.train.stages import Stages
from gentext.types import CriticTexts, pad

LOSSES = {
    "reinforce": lambda v: Reinforce(
        PointwiseLoss(), ProbabilityReward(), rollouts=1, baseline=LearnedBaseline(v, width=4)
    ),
    "gumbel": lambda v: Gumbel(PointwiseLoss("relativistic"), temperature=Exponential(1.0, 0.1)),
    "relaxed": lambda v: Gumbel(
        PointwiseLoss("relativistic", penalty=1.0), read_back="sampled", critic_learns="relaxed"
    ),
    "dense": lambda v: Reinforce(
        PointwiseLoss(penalty=1.0), ProbabilityReward(-1.0), rollouts=0, baseline=MovingBaseline()
    ),
}


@pytest.fixture
def corpus(tmp_path):
    return tiny.corpus(tmp_path)


def players(corpus, *, dense=False):
    torch.manual_seed(5)
    v = corpus.tokenizer.vocab_size
    critic = GRUCritic(v, embedding=4, width=4, dense=True) if dense else TextCNN(v, embedding=4, filters={2: 4})
    return TextGAN(LSTM(v, layers=1, width=12, drop_output=0.2), critic)


def game(corpus, loss="reinforce", **options):
    v = corpus.tokenizer.vocab_size
    defaults = {"steps": 4, "batch_size": 6, "draw": 12, "valid_every": 2, "log_every": 1, "judge": NGram(v, order=2)}
    return AdversarialTrainer(LOSSES[loss](v), **{**defaults, **options})


def stages(corpus, loss):
    return Stages(
        warmup=tiny.loop(steps=3, save_every=0.0),
        critic=game(corpus, loss, steps=2, generator_steps=0, judge=None, save_every=0.0),
        game=game(corpus, loss, teach_every=2, ema=0.5, save_every=0.0, schedule="linear"),
    )


def run(corpus, monitor, *, loss="reinforce", loop=None, family=None):
    family = family or players(corpus, dense=loss == "dense")
    loop = loop or stages(corpus, loss)
    assert isinstance(loop, Trainer)
    loop.run(family, corpus, streams=Streams(3), monitor=monitor)
    return family


@pytest.mark.parametrize(
    "loss",
    [
        "reinforce",
        "dense",
        pytest.param("gumbel", marks=pytest.mark.slow),  # the one that keeps nothing of its own between rounds
    ],
)
def test_a_kill_in_any_stage_changes_no_number(corpus, notes, loss):
    whole = run(corpus, notes("whole"), loss=loss)
    for die_at in (2, 5, 8):  # in the warm-up, while the critic learns alone, in the game
        with pytest.raises(tiny.Killed):
            run(corpus, notes("parts", resume=True, die_at=die_at), loss=loss)
    last = notes("parts", resume=True)
    assert tiny.same(run(corpus, last, loss=loss), whole)
    assert last.log_[0][0] >= 7


def test_both_players_and_the_draw_are_validated(corpus, notes):
    monitor = notes()
    run(corpus, monitor, loop=game(corpus, valid_metrics={"length": Length()}))
    seen = {name for _, values in monitor.log_ for name in values}
    moves = {"critic_loss", "generator_loss", "critic_gradient", "generator_gradient", "reward", "reward_sd", "entropy"}
    assert {f"train/{name}" for name in moves} <= seen
    figures = {"nll", "accuracy", "entropy", "distinct2", "judged", "frechet", "collapsed", "length"}
    assert {f"valid/{name}" for name in figures} <= seen
    assert all(0 <= share <= 1 for name in ("accuracy", "distinct2") for share in monitor.curve(f"valid/{name}"))
    assert monitor.curve("tokens") == sorted(monitor.curve("tokens"))


class Length:
    """The mean length of the samples, in characters."""

    def reset(self):
        self.lengths = []

    def update(self, samples):
        self.lengths += map(len, samples.texts)

    def compute(self):
        return {"length": sum(self.lengths) / len(self.lengths)}


def test_the_critic_alone_moves_nothing_of_the_generator_and_learns(corpus, notes):
    family, monitor = players(corpus), notes()
    before = [p.clone() for p in family.generator.parameters()]
    run(corpus, monitor, family=family, loop=game(corpus, steps=40, generator_steps=0, critic_lr=0.02, valid_every=40))
    assert all(map(torch.equal, before, family.generator.parameters()))
    assert monitor.curve("valid/accuracy")[-1] > 0.9


def test_a_generator_moves_only_its_own_weights(corpus, notes):
    family = players(corpus)
    before = [p.clone() for p in family.critic.parameters()]
    run(corpus, notes(), family=family, loop=game(corpus, "gumbel", critic_steps=0))
    assert all(map(torch.equal, before, family.critic.parameters()))


def nll_of(family, corpus):
    batches = list(corpus.batches("valid", 64))
    with torch.no_grad():
        return -sum(float(family.log_prob(b).sum()) for b in batches) / sum(int(b.mask.sum()) for b in batches)


def test_the_last_weights_are_left_and_those_nearest_to_valid_are_kept_beside_them(corpus, notes):
    monitor = notes()
    family = run(corpus, monitor, loop=game(corpus, steps=6, lr=0.3, keep="frechet", valid_every=1))
    assert monitor.curve("valid/nll")[-1] == pytest.approx(nll_of(family, corpus), abs=1e-5)
    curve = [
        math.inf if collapsed else distance
        for distance, collapsed in zip(monitor.curve("valid/frechet"), monitor.curve("valid/collapsed"), strict=True)
    ]
    best = min(range(len(curve)), key=curve.__getitem__)
    weights, step = monitor.kept["best"]
    assert step == best
    family.load_state_dict(weights)
    assert monitor.curve("valid/nll")[best] == pytest.approx(nll_of(family, corpus), abs=1e-5)


def test_a_game_that_makes_all_worse_is_shown_and_its_start_is_kept(corpus, notes):
    family, monitor = players(corpus), notes()
    before = {name: tensor.clone() for name, tensor in family.state_dict().items()}
    run(corpus, monitor, family=family, loop=game(corpus, "gumbel", steps=6, lr=3.0, keep="frechet"))
    curve = monitor.curve("valid/frechet")
    assert len(curve) == 4
    assert curve[0] == min(curve)  # before the first round, and after every second
    weights, step = monitor.kept["best"]
    assert step == 0
    assert all(torch.equal(before[name], tensor) for name, tensor in weights.items() if name.startswith("generator"))
    assert any(not torch.equal(weights[name], tensor) for name, tensor in family.state_dict().items())


def test_the_warm_up_is_kept_where_a_stage_trained_it(corpus, notes):
    monitor = notes()
    loop = Stages(keep="warmup", warmup=tiny.loop(steps=3), game=game(corpus, steps=2))
    family = run(corpus, monitor, loop=loop)
    weights, step = monitor.kept["warmup"]
    assert step == 0
    assert any(not torch.equal(weights[name], tensor) for name, tensor in family.state_dict().items())
    untrained = notes("untrained")
    run(corpus, untrained, loop=Stages(keep="warmup", warmup=tiny.loop(steps=0), game=game(corpus, steps=2)))
    assert untrained.kept == {}
    with pytest.raises(ValueError, match=r"keep is 'prelude'; it must be a stage \(warmup, game\)"):
        Stages(keep="prelude", warmup=tiny.loop(steps=3), game=game(corpus))


def test_what_is_kept_by_samples_needs_held_out_text(tmp_path, notes):
    corpus = tiny.corpus(tmp_path, valid=0)
    with pytest.raises(ValueError, match=r"train\.keep=frechet compares drawn texts with held-out ones"):
        run(corpus, notes(), loop=game(corpus, keep="frechet"))


def test_the_critic_moves_so_often_and_likelihood_every_so_many_rounds(corpus, notes):
    monitor = notes()
    run(corpus, monitor, loop=game(corpus, steps=6, critic_steps=3, generator_steps=2, teach_every=3, log_every=6))
    each = sum(int(batch.mask.sum()) for batch in corpus.batches("train", 6)) / corpus.size("train")  # tokens a text
    assert monitor.curve("tokens")[-1] == pytest.approx(6 * (6 * (3 + 2) + 2) * each, rel=0.2)
    assert len(monitor.curve("train/nll")) == 1


def test_the_critic_goes_through_stored_texts_in_epochs(corpus, notes, monkeypatch):
    seen = []
    step = AdversarialState._update_critic
    monkeypatch.setattr(AdversarialState, "_update_critic", lambda *args: (seen.append(args[1:]), step(*args)))
    monitor = notes()
    run(corpus, monitor, loop=game(corpus, steps=1, critic_steps=2, critic_epochs=3, batch_size=32, generator_steps=0))
    n, rows = corpus.size("train"), lambda batches: sorted(row for b in batches for row in b.tokens.tolist())
    each = -(-n // 32)
    assert len(seen) == 2 * 3 * each
    passes = [seen[i : i + each] for i in range(0, len(seen), each)]
    train = rows(corpus.batches("train", n))
    for one in passes:
        assert [row[: len(train[0])] for row in rows(real for real, _ in one)] == train
    fakes = [rows(fake for _, fake in one) for one in passes]
    assert fakes[0] == fakes[1] == fakes[2]  # stored, and drawn anew for the second step
    assert fakes[3] == fakes[4] == fakes[5] != fakes[0]
    assert passes[0][0][0].tokens.tolist() != passes[1][0][0].tokens.tolist()  # in another order
    assert monitor.curve("tokens")[-1] == 2 * 3 * corpus.kept("train")


def test_epochs_go_over_texts_of_any_length(corpus, notes, monkeypatch):
    seen = []
    monkeypatch.setattr(AdversarialState, "_update_critic", lambda _, real, fake: seen.append((real, fake)))
    monkeypatch.setattr(AdversarialState, "_generated", lambda _, n: pad([[4 + i % 3, 5, 2] for i in range(n)]))
    run(corpus, notes(), loop=game(corpus, steps=1, critic_epochs=1, batch_size=3, generator_steps=0))
    assert len({int(real.lengths.max()) for real, _ in seen}) > 1
    assert {part.tokens.shape[1] for pair in seen for part in pair} == {corpus.max_len}


def test_likelihood_alone_is_a_game_whose_players_rest(corpus, notes):
    family, monitor = players(corpus), notes()
    before = family.critic.embedding.weight.clone()
    loop = game(corpus, steps=30, critic_steps=0, generator_steps=0, teach_every=1, lr=0.03, ema=0.5, valid_every=10)
    run(corpus, monitor, family=family, loop=loop)
    curve = monitor.curve("valid/nll")
    assert curve[0] > curve[-1] + 0.5
    assert nll_of(family, corpus) == pytest.approx(curve[-1], abs=1e-5)
    assert torch.equal(family.critic.embedding.weight, before)


def test_a_learned_baseline_does_not_hold_the_generator_back(corpus, notes):
    monitor = notes()
    family = players(corpus)
    loop = game(corpus, steps=1, clip=1e-3, optimizer="sgd", lr=1.0, valid_every=1, keep="last")
    before = [p.detach().clone() for p in family.generator.parameters()]
    run(corpus, monitor, family=family, loop=loop)
    moved = (
        sum(float((p - q).detach().square().sum()) for p, q in zip(family.generator.parameters(), before, strict=True))
        ** 0.5
    )
    assert moved == pytest.approx(1e-3, rel=1e-2)  # its whole share of the clip
    assert {"train/baseline_loss", "train/baseline_gradient"} <= {name for _, values in monitor.log_ for name in values}


@pytest.mark.parametrize("kind", ["transformer", "seq2seq"])
@pytest.mark.parametrize("loss", ["reinforce", "gumbel"])
def test_any_differentiable_family_plays(corpus, notes, kind, loss):
    v = corpus.tokenizer.vocab_size
    make = {"transformer": lambda: Transformer(v, layers=1, heads=2, width=8, context=corpus.max_len),
            "seq2seq": lambda: Seq2Seq(v, width=8)}[kind]  # fmt: skip
    family = TextGAN(make(), TextCNN(v, embedding=4, filters={2: 4}))
    before = [p.detach().clone() for p in family.generator.parameters()]
    run(corpus, notes(), family=family, loop=game(corpus, loss, steps=2, keep="last"))
    assert any(not torch.equal(p, q) for p, q in zip(family.generator.parameters(), before, strict=True))


def test_a_collapse_is_told_and_shown_and_never_the_best(corpus, notes, caplog):
    family, monitor = players(corpus), notes()
    log = monitor.log

    def spoil(step, values):
        log(step, values)
        if step == 2 and "train/reward" in values:
            family.generator.output.bias.data[7] += 99

    monitor.log = spoil
    still = {"lr": 1e-9, "critic_lr": 1e-9}
    run(corpus, monitor, family=family, loop=game(corpus, steps=2, valid_every=1, keep="frechet", **still))
    assert monitor.curve("valid/collapsed") == [0.0, 0.0, 1.0]
    assert "collapsed at round 2" in caplog.text
    assert monitor.curve("collapsed") == [0.0, 0.0, 1.0]  # what the row after the game says
    assert monitor.kept["best"][1] < 2
    assert family.generator.output.bias[7].item() > 90


@pytest.mark.parametrize(
    ("family", "loss", "advice"),
    [
        (lambda v: tiny.Tiny(v), "gumbel", "family=seqgan"),
        (lambda v: TextGAN(NGram(v, order=2), TextCNN(v, filters={2: 3})), "gumbel", "generator=lstm"),
        (
            lambda v: TextGAN(
                VAE(Encoder(v, width=8), LSTM(v, layers=1, width=8), latent=2), TextCNN(v, filters={2: 3})
            ),
            "reinforce",
            "a bound",
        ),
        (lambda v: TextGAN(tiny.Tiny(v), GRUCritic(v, dense=True)), "reinforce", "rollouts=0"),
        (None, None, "loss=reinforce"),
        (None, Objective(nll=NLL()), "given one that is descended"),
    ],
)
def test_what_cannot_play_is_told_what_is_missing(corpus, notes, family, loss, advice):
    v = corpus.tokenizer.vocab_size
    chosen = family(v) if family else players(corpus)
    adversary = AdversarialTrainer(LOSSES[loss](v) if isinstance(loss, str) else loss, steps=1)
    monitor = notes()
    with pytest.raises(ValueError, match=advice):
        run(corpus, monitor, family=chosen, loop=Stages(warmup=tiny.loop(steps=2), game=adversary))
    assert monitor.log_ == []


def test_a_stream_is_not_played_on(tmp_path, notes):
    corpus = tiny.corpus(tmp_path, unit="stream")
    monitor = notes()
    for loop in (game(corpus), stages(corpus, "reinforce")):
        with pytest.raises(ValueError, match="one stream"):
            run(corpus, monitor, loop=loop)
    assert monitor.log_ == []  # not even the warm-up has begun


def test_divergence_names_the_round(corpus, notes):
    family = players(corpus)
    family.critic.verdict.bias.data[0] = math.nan
    with pytest.raises(TrainingError, match="round 1 is not finite"):
        run(corpus, notes(), family=family, loop=game(corpus))


@pytest.mark.parametrize(
    ("wrong", "advice"),
    [
        ({"steps": None}, "needs an end"),
        ({"steps": -1}, "steps"),
        ({"batch_size": 0}, "batch_size"),
        ({"teach_every": 0}, "teach_every"),
        ({"optimizer": "muon"}, "adamw"),
        ({"keep": "both"}, "keep is 'both'; it must be one of last, frechet"),
        ({"judge": LSTM(9, layers=1, width=4)}, "an n-gram"),
    ],
)
def test_settings_that_make_no_sense_are_refused(corpus, wrong, advice):
    with pytest.raises(ValueError, match=advice):
        partial(game, corpus)(**wrong)


NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("make", "wrong"),
    [
        (lambda **wrong: AdversarialTrainer(None, **{"steps": 1, "keep": "last", **wrong}), wrong)
        for wrong in (
            {"weight_decay": -0.1}, {"ema": 2.0}, {"save_every": -1.0}, {"warmup": -1}, {"lr": NAN}, {"critic_lr": INF},
            {"clip": 0.0}, {"seconds": -1.0}, {"beta1": 1.0}, {"collapse": NAN}, {"patience": 0},
        )
    ]
    + [(tiny.loop, wrong) for wrong in ({"weight_decay": -1.0}, {"warmup": -1}, {"save_every": NAN}, {"lr": INF})]
    + [
        (partial(TextCNN, 9, filters={2: 3}), {"embedding": 0}),
        (partial(TextCNN, 9, filters={2: 3}), {"dropout": 1.5}),
        (partial(GRUCritic, 9), {"width": 0}),
        (PointwiseLoss, {"penalty": NAN}),
        (partial(Reinforce, PointwiseLoss(), ProbabilityReward()), {"entropy": -1.0}),
        (MovingBaseline, {"decay": NAN}),
        (partial(LearnedBaseline, 9), {"width": 0}),
        (ProbabilityReward, {"high": INF}),
    ],
)  # fmt: skip
def test_a_number_that_makes_no_sense_is_refused_by_its_name(make, wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=f"^{name} is "):
        make(**wrong)


def test_a_wasserstein_critic_without_a_bound_is_refused(corpus):
    v = corpus.tokenizer.vocab_size

    def check(critic, **options):
        loss = Reinforce(PointwiseLoss("wasserstein", **options), IdentityReward(), rollouts=0)
        AdversarialTrainer(loss, steps=1, keep="last").check(TextGAN(LSTM(v, layers=1, width=4), critic), corpus)

    with pytest.raises(ValueError, match=r"loss\.game\.penalty=10"):
        check(TextCNN(v, filters={2: 3}))
    check(TextCNN(v, filters={2: 3}, spectral=True))
    check(TextCNN(v, filters={2: 3}), penalty=10.0)


@pytest.mark.parametrize("critic", ["text_cnn", "gru"])
def test_a_critic_learns_the_same_from_one_hots_and_from_ids(corpus, notes, monkeypatch, critic):
    """The very samples, as ids and as rows of the identity."""
    v = corpus.tokenizer.vocab_size
    own = Gumbel.for_critic

    def as_rows(*args, **options):
        for fake in own(*args, **options):
            yield CriticTexts(torch.nn.functional.one_hot(fake.tokens, v).float(), fake.mask)

    def learnt():
        family = players(corpus)
        family.critic = TextCNN(v, embedding=4, filters={2: 4}) if critic == "text_cnn" else GRUCritic(v, embedding=4)
        family.critic.load_state_dict({name: x.fill_(0.05).cumsum(0) for name, x in family.critic.state_dict().items()})
        loop = game(corpus, "gumbel", steps=2, generator_steps=0, judge=None)
        return run(corpus, notes(), loop=loop, family=family).critic

    ids = learnt()
    monkeypatch.setattr(Gumbel, "for_critic", as_rows)
    rows = learnt()
    for one, other in zip(ids.parameters(), rows.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_a_game_on_relaxed_texts_is_played_and_killed_alike(corpus, notes):
    monitor = notes("whole")
    whole = run(corpus, monitor, loop=game(corpus, "relaxed", save_every=0.0))
    assert len(monitor.curve("train/slope")) == 4
    with pytest.raises(tiny.Killed):
        run(corpus, notes("parts", resume=True, die_at=3), loop=game(corpus, "relaxed", save_every=0.0))
    again = run(corpus, notes("parts", resume=True), loop=game(corpus, "relaxed", save_every=0.0))
    assert tiny.same(again, whole)


def test_no_relaxed_texts_are_drawn_for_a_critic_that_rests(corpus, notes):
    loop = game(corpus, "relaxed", critic_steps=0, generator_steps=0, teach_every=1, judge=None)
    monitor = notes()
    run(corpus, monitor, loop=loop)
    assert len(monitor.curve("train/nll")) == 4
    assert not monitor.curve("train/critic_loss")


def test_epochs_of_relaxed_texts_are_refused(corpus, notes):
    with pytest.raises(ValueError, match=r"loss\.critic_learns=relaxed .* train\.critic_epochs=null"):
        run(corpus, notes(), loop=game(corpus, "relaxed", critic_epochs=2))
