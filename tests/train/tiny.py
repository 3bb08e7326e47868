"""A family and a corpus small enough to train in a second, importable by other processes."""

from pathlib import Path

import torch
from torch import nn

from gentext.data.corpus import Corpus
from gentext.data.text_files import LocalText
from gentext.data.tokenizer import Char
from gentext.language_model import LanguageModel
from gentext.losses import KL, NLL, Objective
from gentext.models.lstm import LSTM
from gentext.models.vae.encoders import LSTMEncoder
from gentext.models.vae.model import VAE
from gentext.train.gradient import GradientTrainer
from gentext.types import BOS, PAD, Outputs, Step


class Killed(BaseException):
    """Stops a run where it stands, without a last save."""


class Tiny(LanguageModel):
    """A GRU that carries its state over a stream's windows, with dropout and tied embeddings."""

    def __init__(self, vocab_size, *, width=12, dropout=0.0):
        super().__init__()
        self.vocab_size = vocab_size
        self.embedding = nn.Embedding(vocab_size, width)
        self.gru = nn.GRU(width, width, batch_first=True)
        self.drop = nn.Dropout(dropout)
        self.output = nn.Linear(width, vocab_size)
        self.output.weight = self.embedding.weight
        self.carried = {}

    def start(self, n, *, rng=None):
        return self.step(torch.zeros(n, self.gru.hidden_size), torch.full((n,), BOS))

    def step(self, state, tokens):
        out, state = self.gru(self.embedding(tokens)[:, None], state[None])
        return Step(self._logits(out[:, 0]), state[0])

    def forward(self, batch):
        mode = "training" if self.training else "scoring"
        n = len(batch)
        first, state = torch.full((n, 1), BOS), torch.zeros(1, n, self.gru.hidden_size)
        if batch.carry and mode in self.carried:
            first, state = self.carried[mode]
        out, state = self.gru(self.embedding(torch.cat([first, batch.tokens[:, :-1]], 1)), state)
        self.carried[mode] = (batch.tokens[:, -1:].clone(), state.detach())
        log_prob = self._logits(self.drop(out)).log_softmax(-1).gather(2, batch.tokens[..., None])[..., 0]
        return Outputs(torch.where(batch.mask, log_prob, 0.0))

    def flops(self, tokens):
        return 2.0 * tokens * sum(p.numel() for p in self.parameters())

    def _logits(self, x):
        floor = torch.zeros(self.vocab_size)
        floor[[PAD, BOS]] = -torch.inf
        return self.output(x) + floor


def corpus(folder: Path, *, unit: str = "line", **options) -> Corpus:
    """90 lines about animals, as lines or as one stream of characters."""
    path = folder / "text.txt"
    if not path.exists():
        lines = [f"the {animal} sees {n} dogs" for animal in ("cat", "bird", "old horse") for n in range(30)]
        path.write_text("\n".join(lines), encoding="utf-8")
    return Corpus.open(LocalText(str(path), unit=unit, **options), Char(), cache=folder / "cache")


def family(corpus: Corpus, **options) -> Tiny:
    torch.manual_seed(5)
    return Tiny(corpus.tokenizer.vocab_size, **options)


def loop(**options) -> GradientTrainer:
    defaults = {"steps": 12, "batch_size": 8, "window": 16, "lr": 1e-2, "valid_every": 5, "log_every": 1}
    return GradientTrainer(Objective(nll=NLL()), **{**defaults, **options})


def vae(corpus: Corpus, **options) -> VAE:
    torch.manual_seed(0)
    v = corpus.tokenizer.vocab_size
    return VAE(LSTMEncoder(v, width=8), LSTM(v, layers=1, width=8), **{"latent": 3, **options})


def bound(**options) -> GradientTrainer:
    """A loop that descends the evidence lower bound."""
    made = loop(**options)
    made.loss = Objective(nll=NLL(), kl=KL())
    return made


def same(a: nn.Module, b: nn.Module) -> bool:
    """Whether two models have the very same weights."""
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))
