"""SeqGAN's four costs at TextGAN-PyTorch's sizes, ours beside a plain textbook peer, in turns in one run.

V 5,000, length 20, batch 64, 16 rollouts, LSTM of width 32, critic of four widths of 200 filters. The peer is what the
usual repositories do: torch.multinomial, a rollout for every prefix and every repetition in a loop, convolutions.
Bars, on two cores: a generator step in 2.5 s, 10,000 samples in 2 s, 60 steps a second of likelihood, 30 of the critic;
a generator step in twice and a critic's in 1.5 times the time of what cannot be left out.
Beside it RelGAN's round: five critic updates and one of the generator, 64 representations, 1,200 filters, its memory.
Run: python tests/benchmarks/bench_seqgan.py [--prefixes 2] (of the peer's 20, timed and scaled up) [--relgan]
"""

from __future__ import annotations

import argparse
import time
from functools import partial

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from torch import nn

from gentext.adversarial import Gumbel, Reinforce
from gentext.adversarial.baselines import MovingBaseline
from gentext.adversarial.critics import TextCNN
from gentext.adversarial.estimator import drawn
from gentext.adversarial.losses import PointwiseLoss
from gentext.adversarial.model import TextGAN
from gentext.adversarial.rewards import ProbabilityReward
from gentext.decode import Ancestral
from gentext.models.lstm import LSTM
from gentext.models.relational_memory import RelationalMemory
from gentext.train.optimizers import Optimizer
from gentext.types import BOS, Batch

V, LENGTH, BATCH, ROLLOUTS, WIDTH, EMBEDDING, FILTERS = 5_000, 20, 64, 16, 32, 64, {2: 200, 3: 200, 4: 200, 5: 200}
BARS = {"generator step, s": 2.5, "10,000 samples, s": 2.0, "likelihood, steps/s": 60.0, "critic, steps/s": 30.0}
TEXTGAN = {"generator step, s": 25.5, "10,000 samples, s": 19.0, "likelihood, steps/s": 43.0, "critic, steps/s": 17.5}


class Writer(nn.Module):
    """The peer's generator: one step at a time, torch.multinomial."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.cell = nn.Embedding(V, WIDTH), nn.LSTM(WIDTH, WIDTH, batch_first=True)
        self.output = nn.Linear(WIDTH, V)

    def forward(self, tokens, state=None):
        hidden, state = self.cell(self.embedding(tokens), state)
        return self.output(hidden).log_softmax(-1), state

    def write(self, n, tokens=None):
        """Texts that go on from `tokens`."""
        texts = torch.full((n, 1), BOS) if tokens is None else F.pad(tokens, (1, 0), value=BOS)
        scores, state = self(texts)
        while texts.shape[1] <= LENGTH:
            new = torch.multinomial(scores[:, -1].exp(), 1)
            texts = torch.cat([texts, new], 1)
            scores, state = self(new, state)
        return texts[:, 1:]


class Judge(nn.Module):
    """The peer's critic: convolutions, a highway layer."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(V, EMBEDDING)
        self.layers = nn.ModuleList(nn.Conv2d(1, n, (width, EMBEDDING)) for width, n in FILTERS.items())
        features = sum(FILTERS.values())
        self.gate, self.new, self.out = (
            nn.Linear(features, features),
            nn.Linear(features, features),
            nn.Linear(features, 1),
        )

    def forward(self, tokens):
        x = self.embedding(tokens)[:, None]
        x = torch.cat([F.relu(layer(x)).squeeze(3).amax(2) for layer in self.layers], 1)
        gate = self.gate(x).sigmoid()
        return self.out(gate * F.relu(self.new(x)) + (1 - gate) * x)[:, 0]


def best(act, rounds: int) -> float:
    """The shortest of some rounds, in seconds, after one to warm up."""
    times = []
    for _ in range(rounds + 1):
        begun = time.perf_counter()
        act()
        times.append(time.perf_counter() - begun)
    return min(times[1:])


def descend(loss, module, optimizer) -> None:
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(module.parameters(), 5.0)
    optimizer.step()


def adam(rate: float) -> Optimizer:
    return Optimizer("adam", rate, None, 0.0, 0.9, 0.999, None)


def ours(real: Batch) -> dict[str, float]:
    torch.manual_seed(0)
    players = TextGAN(LSTM(V, layers=1, width=WIDTH, tied=False), TextCNN(V, embedding=EMBEDDING, filters=FILTERS))
    generator, critic, rng = players.generator.eval(), players.critic.eval(), torch.Generator().manual_seed(0)
    estimator = Reinforce(PointwiseLoss(), ProbabilityReward(), baseline=MovingBaseline(), rollouts=ROLLOUTS)
    (moves,), (learns,) = (adam(rate).build(player) for rate, player in ((1e-2, generator), (1e-4, critic)))

    def play():
        descend(estimator(players, real, rng=rng, step=1, total=1).loss, generator, moves)

    def judge():
        said = critic(torch.cat([real.tokens, real.tokens.flip(1)])).split(BATCH)
        descend(estimator.game.critic(*said), critic, learns)

    found = {
        "generator step, s": best(play, 3),
        "10,000 samples, s": best(
            lambda: generator.sample(10_000, LENGTH, decoder=Ancestral(batch_size=256), rng=rng), 5
        ),
    }
    found["likelihood, steps/s"] = 1 / best(lambda: descend(-generator(real).log_prob.mean(), generator, moves), 30)
    critic.train()
    return found | {"critic, steps/s": 1 / best(judge, 30)}


def peer(real: Batch, prefixes: int) -> dict[str, float]:
    torch.manual_seed(0)
    writer, critic = Writer(), Judge()
    moves, learns = torch.optim.Adam(writer.parameters(), 1e-2), torch.optim.Adam(critic.parameters(), 1e-4)
    inputs = F.pad(real.tokens[:, :-1], (1, 0), value=BOS)

    def rewards():
        """Of `prefixes` prefixes of all, spread over the text: what one of them costs falls with its length."""
        with torch.no_grad():
            texts = writer.write(BATCH)
            for cut in torch.linspace(1, LENGTH - 1, prefixes).long().tolist():
                for _ in range(ROLLOUTS):
                    critic(writer.write(BATCH, texts[:, :cut])).sigmoid()

    def learn():
        scores = writer(inputs)[0].gather(2, real.tokens[..., None])
        descend(-scores.mean(), writer, moves)

    def judge():
        said = critic(torch.cat([real.tokens, real.tokens.flip(1)]))
        descend(F.softplus(-said[:BATCH]).mean() + F.softplus(said[BATCH:]).mean(), critic, learns)

    def sample():
        with torch.no_grad():
            for _ in range(10):
                writer.write(BATCH)

    learning = best(learn, 15)
    return {
        "generator step, s": best(rewards, 1) * (LENGTH - 1) / prefixes + learning,
        "10,000 samples, s": best(sample, 1) * 10_000 / (10 * BATCH),
        "likelihood, steps/s": 1 / learning,
        "critic, steps/s": 1 / best(judge, 15),
    }


class Memory(nn.Module):
    """The peer's relational memory: a loop over steps, each with its products, and one-hots fed back."""

    def __init__(self, width: int = 512) -> None:
        super().__init__()
        self.embedding, self.input = nn.Linear(V, 32, bias=False), nn.Linear(32, width)
        self.qkv, self.attention = nn.Linear(width, 3 * width, bias=False), nn.LayerNorm(width)
        self.mlp, self.mlp_norm = (
            nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width)),
            nn.LayerNorm(width),
        )
        self.gates, self.memory_gates = nn.Linear(width, 2 * width), nn.Linear(width, 2 * width)
        self.output = nn.Linear(width, V)

    def forward(self, n):
        memory, x, texts = torch.zeros(n, 1, 512), torch.zeros(n, V), []
        for _ in range(LENGTH):
            read = self.input(self.embedding(x))[:, None]
            q, k, v = self.qkv(torch.cat([memory, read], 1)).view(n, 2, 2, -1).transpose(1, 2).chunk(3, 3)
            seen = ((q @ k.mT / 16).softmax(3) @ v).transpose(1, 2).reshape(n, 2, -1)
            new = self.attention(torch.cat([memory, read], 1) + seen)
            new = self.mlp_norm(new + self.mlp(new))[:, :1]
            taken, kept = (self.gates(read) + self.memory_gates(memory.tanh())).sigmoid().chunk(2, 2)
            memory = taken * new.tanh() + kept * memory
            noise = -torch.log(-torch.log(torch.rand(n, V) + 1e-10) + 1e-10)
            x = (self.output(memory[:, 0]) + noise).softmax(1)
            texts.append(x)
        return torch.stack(texts, 1)


class Representations(nn.Module):
    """The peer's critic of 64 embeddings: one-hots times the embedding, convolutions of single columns."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Linear(V, EMBEDDING, bias=False)
        self.layers = nn.ModuleList(nn.Conv2d(1, 300, (width, 1)) for width in FILTERS)
        self.gate, self.new, self.out = nn.Linear(1200, 1200), nn.Linear(1200, 1200), nn.Linear(1200, 1)

    def forward(self, onehots):
        x = self.embedding(onehots)[:, None]
        x = torch.cat([F.relu(layer(x)).amax(2) for layer in self.layers], 1).transpose(1, 2).flatten(0, 1)
        gate = self.gate(x).sigmoid()
        return self.out(gate * F.relu(self.new(x)) + (1 - gate) * x)[:, 0]


def relgan_ours(real: Batch) -> float:
    """Seconds of a round."""
    torch.manual_seed(0)
    critic = TextCNN(V, embedding=EMBEDDING, filters=dict.fromkeys(FILTERS, 300), representations=64)
    players, rng = TextGAN(RelationalMemory(V), critic).eval(), torch.Generator().manual_seed(0)
    estimator = Gumbel(PointwiseLoss("relativistic"))
    (moves,), (learns,) = (adam(1e-4).build(player) for player in (players.generator, critic))

    def play():
        for _ in range(5):
            with torch.no_grad():
                fake = drawn(players.generator, *real.tokens.shape, rng)
            on_real, on_fake = critic(torch.cat([real.tokens, fake.tokens])).split(BATCH)
            descend(estimator.game.critic(on_real, on_fake), critic, learns)
        descend(estimator(players, real, rng=rng, step=1, total=1).loss, players.generator, moves)

    return best(play, 1)


def relgan_peer(real: Batch) -> float:
    torch.manual_seed(0)
    writer, critic = Memory(), Representations()
    moves, learns = (torch.optim.Adam(module.parameters(), 1e-4) for module in (writer, critic))
    onehots = F.one_hot(real.tokens, V).float()

    def play():
        for _ in range(5):
            with torch.no_grad():
                fake = writer(BATCH)
            descend(F.softplus(critic(fake) - critic(onehots)).mean(), critic, learns)
        descend(F.softplus(critic(onehots) - critic(writer(BATCH))).mean(), writer, moves)

    return best(play, 1)


def floor() -> tuple[float, float, float]:
    """Operations of a generator step, bytes of its logits, and the seconds that both take at this machine's best.

    Operations: every rollout's products with the output layer, the critic's on all completed texts. Bytes: a row of
    logits is written, and read and written again by a softmax.
    """
    rows = BATCH * ROLLOUTS * LENGTH * (LENGTH - 1) // 2
    texts = BATCH * ROLLOUTS * (LENGTH - 1)
    features = sum(FILTERS.values())
    table = 2 * V * EMBEDDING * sum(width * n for width, n in FILTERS.items())
    flops = 2.0 * rows * WIDTH * V + 4.0 * texts * features**2 + table
    square = torch.randn(2_000, 2_000)
    speed = 2 * 2_000**3 / best(lambda: square @ square, 5)
    logits = torch.randn(800, V)
    softmax = best(lambda: logits.softmax(1), 10) / 800  # one read and one write of every row's logits
    return flops, 3.0 * 4 * rows * V, flops / speed + rows * softmax


def critic_floor() -> tuple[float, float]:
    """Operations of a critic's step and the seconds that its products and Adam take at this machine's best.

    Forwards the filters over both texts, forwards and twice backwards the highway layer; of the filters' way back,
    which goes to one place in each text, nothing.
    """
    features, texts = sum(FILTERS.values()), 2 * BATCH
    windows, highway = torch.randn(texts, features), torch.randn(2 * features, features)
    products = [(texts * (LENGTH - width + 1), width * EMBEDDING, n) for width, n in FILTERS.items()]
    seconds = sum(best(partial(torch.mm, torch.randn(n, k), torch.randn(k, m)), 20) for n, k, m in products)
    back = torch.randn(texts, 2 * features)
    seconds += best(lambda: (windows @ highway.T, back @ highway, back.T @ windows), 20)
    critic = TextCNN(V, embedding=EMBEDDING, filters=FILTERS)
    for weight in critic.parameters():
        weight.grad = torch.ones_like(weight)
    (learns,) = adam(1e-4).build(critic)
    seconds += best(learns.step, 20)
    return 2.0 * sum(n * k * m for n, k, m in products) + 12.0 * texts * features**2, seconds


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--prefixes", type=int, default=2)
    arguments.add_argument("--relgan", action="store_true", help="time RelGAN's round too: minutes")
    given = arguments.parse_args()
    torch.set_num_threads(given.threads)
    real = Batch(torch.randint(4, V, (BATCH, LENGTH)), torch.ones(BATCH, LENGTH, dtype=torch.bool))
    mine, theirs = ours(real), peer(real, given.prefixes)
    table = Table("", "ours", "peer", "times as fast", "TextGAN-PyTorch", "bar", "")
    for name, bar in BARS.items():
        a, b = mine[name], theirs[name]
        fast, met = (b / a, a <= bar) if name.endswith(", s") else (a / b, a >= bar)
        table.add_row(
            name, f"{a:.2f}", f"{b:.2f}", f"{fast:.1f}", f"{TEXTGAN[name]}", f"{bar}", "met" if met else "SHORT"
        )
    Console().print(table)
    flops, moved, least = floor()
    print(f"a generator step: {flops / 1e9:.0f} GFLOP of products and {moved / 1e9:.1f} GB of logits; ", end="")
    print(f"at this machine's best {least:.2f} s, ours {mine['generator step, s'] / least:.2f} times that (bar 2)")
    (flops, least), took = critic_floor(), 1 / mine["critic, steps/s"]
    print(f"a critic's step: {flops / 1e9:.1f} GFLOP of products, and Adam; ", end="")
    print(f"at this machine's best {least * 1e3:.1f} ms, ours {took / least:.2f} times that (bar 1.5)")
    if given.relgan:
        a, b = relgan_ours(real), relgan_peer(real)
        print(f"a round of RelGAN: ours {a:.1f} s, peer {b:.1f} s, {b / a:.2f} times as fast")


if __name__ == "__main__":
    main()
