"""Training a text VAE on captions: V 2,595, batch 32, z 16, widths 256 and 300, two cores.

Ours (family=vae on rows of like length) beside a textbook VAE of the same sizes written as timbmg/Sentence-VAE is: one
embedding of 300, a GRU of 256 each way from z, sequences padded to 60 and packed, log-softmax of every padded place,
Adam. Bar: 585 captions a second, 5 times what the repository itself was measured at; the textbook here is leaner.
`products alone` are the matrix products of the gates and of the output layer, forwards and twice backwards, on the same
rows without padding, and nothing else: no gates, softmax, embeddings, Adam. How often the textbook's time holds theirs
says what factor over the textbook there is to be had in this precision: 1.5 to 1.7 on an AMD EPYC with AVX2, which
leaves no five times; ours takes about as long as they do.
Random tokens of caption-like lengths do: only time is measured. Run: python tests/benchmarks/bench_vae.py
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from gentext.losses import KL, NLL, Objective
from gentext.models.lstm import LSTM
from gentext.models.vae.encoders import LSTMEncoder
from gentext.models.vae.model import VAE
from gentext.train.gradient import lstm_in_bf16
from gentext.types import EOS, RESERVED, pad

V, ROWS, LATENT, WIDTH, EMBEDDING, LONGEST = 2_595, 32, 16, 256, 300, 60
MEASURED = 117  # captions/s of timbmg/Sentence-VAE on two cores, its own loader and training loop


def captions(n: int) -> list[list[int]]:
    rng = torch.Generator().manual_seed(0)
    lengths = 8 + torch.poisson(torch.full((n,), 2.4), generator=rng).long()  # COCO's: 10.4 words on average
    return [[*torch.randint(RESERVED, V, (k,), generator=rng).tolist(), EOS] for k in lengths.tolist()]


def our_steps(bf16: bool) -> Callable[[list[list[int]]], None]:
    torch.manual_seed(0)
    decoder = LSTM(V, layers=1, width=WIDTH, embedding=EMBEDDING, tied=False)
    family = VAE(LSTMEncoder(V, width=WIDTH), decoder, latent=LATENT).train()
    adam, objective = torch.optim.Adam(family.parameters(), lr=1e-3, fused=True), Objective(nll=NLL(), kl=KL())

    def steps(texts: list[list[int]]) -> None:
        alike = sorted(texts, key=len)
        for i in range(0, len(alike), ROWS):
            batch = pad(alike[i : i + ROWS])
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                loss = objective(family(batch), batch, step=0, total=1)
            (loss.total / batch.mask.sum()).backward()
            adam.step()
            adam.zero_grad()

    return steps


class Textbook(nn.Module):
    """A sentence VAE after Bowman et al. 2016, as its best-known repository lays it out."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.drop = nn.Embedding(V, EMBEDDING), nn.Dropout(0.5)
        self.encoder = nn.GRU(EMBEDDING, WIDTH, batch_first=True)
        self.decoder = nn.GRU(EMBEDDING, WIDTH, batch_first=True)
        self.mean, self.log_var = nn.Linear(WIDTH, LATENT), nn.Linear(WIDTH, LATENT)
        self.first, self.output = nn.Linear(LATENT, WIDTH), nn.Linear(WIDTH, V)

    def forward(self, inputs: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, ...]:
        lengths, order = lengths.sort(descending=True)
        x = self.embedding(inputs[order])
        _, h = self.encoder(pack_padded_sequence(x, lengths, batch_first=True))
        mean, log_var = self.mean(h[0]), self.log_var(h[0])
        z = mean + torch.randn_like(mean) * (0.5 * log_var).exp()
        packed = pack_padded_sequence(self.drop(x), lengths, batch_first=True)
        outputs, _ = pad_packed_sequence(self.decoder(packed, self.first(z)[None])[0], batch_first=True)
        log_prob = F.log_softmax(self.output(outputs.reshape(-1, WIDTH)), -1)
        return log_prob.view(len(inputs), -1, V)[order.argsort()], mean, log_var


def their_steps() -> Callable[[list[list[int]]], None]:
    torch.manual_seed(0)
    model = Textbook().train()
    adam, nll = torch.optim.Adam(model.parameters(), lr=1e-3), nn.NLLLoss(ignore_index=0, reduction="sum")

    def steps(texts: list[list[int]]) -> None:
        for i in range(0, len(texts), ROWS):
            batch = pad(texts[i : i + ROWS], width=LONGEST)
            inputs = torch.cat([torch.ones(len(batch), 1, dtype=torch.long), batch.tokens[:, :-1]], 1)
            log_prob, mean, log_var = model(inputs, batch.lengths)
            target = batch.tokens[:, : log_prob.shape[1]].reshape(-1)
            kl = -0.5 * (1 + log_var - mean.square() - log_var.exp()).sum()
            loss = (nll(log_prob.reshape(-1, V), target) + kl) / len(batch)
            adam.zero_grad()
            loss.backward()
            adam.step()

    return steps


def products() -> Callable[[list[list[int]]], None]:
    """The products of two LSTMs and an output layer over a batch's real tokens, and of their gradients."""
    torch.manual_seed(0)
    recurrent, read = torch.randn(WIDTH, 4 * WIDTH), torch.randn(EMBEDDING, 4 * WIDTH)
    output = torch.randn(WIDTH, V)

    def steps(texts: list[list[int]]) -> None:
        alike = sorted(texts, key=len)
        for i in range(0, len(alike), ROWS):
            longest = max(map(len, alike[i : i + ROWS]))
            tokens = sum(map(len, alike[i : i + ROWS]))
            state, gates = torch.randn(ROWS, WIDTH), torch.randn(ROWS, 4 * WIDTH)
            all_read, all_gates = torch.randn(tokens, EMBEDDING), torch.randn(tokens, 4 * WIDTH)
            states, scores = torch.randn(tokens, WIDTH), torch.randn(tokens, V)
            for _ in ("encoder", "decoder"):
                torch.mm(all_read, read)
                for _ in range(longest):
                    torch.mm(state, recurrent)
                for _ in range(longest):
                    torch.mm(gates, recurrent.T)
                torch.mm(states.T, all_gates)
                torch.mm(all_gates, read.T)
                torch.mm(all_read.T, all_gates)
            torch.mm(states, output)
            torch.mm(scores, output.T)
            torch.mm(states.T, scores)

    return steps


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--captions", type=int, default=640)
    given = arguments.parse_args()
    torch.set_num_threads(given.threads)
    texts = captions(given.captions)
    steps = {"textbook": their_steps(), "ours": our_steps(False)}
    if lstm_in_bf16():
        steps["ours, bf16"] = our_steps(True)
    steps["products alone"] = products()
    best = dict.fromkeys(steps, 0.0)
    for _ in range(given.rounds):
        for name, step in steps.items():
            begun = time.perf_counter()
            step(texts)
            best[name] = max(best[name], len(texts) / (time.perf_counter() - begun))
    table = Table("step", "captions/s", "bar", "times the textbook's", title=f"Text VAE, {given.threads} threads")
    for name, speed in best.items():
        bar = f"{5 * MEASURED}" if name.startswith("ours") else ""
        table.add_row(name, f"{speed:.0f}", bar, f"{speed / best['textbook']:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
