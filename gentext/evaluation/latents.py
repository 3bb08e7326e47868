"""A VAE's latent space over a corpus: what its metrics are computed from."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch

from gentext.data.corpus import Corpus
from gentext.evaluation.harness import unread
from gentext.language_model import LanguageModel, SupportsLatent
from gentext.metrics.base import Absent
from gentext.metrics.latent_use import spaced
from gentext.models.vae.posteriors import aggregate
from gentext.types import Batch, Latents

AT_ONCE = 64  # texts


@dataclass(frozen=True)
class LatentReader:
    """An Autoencoder (gentext.metrics.latent_use): a trained VAE and the split that it is judged on."""

    family: LanguageModel
    corpus: Corpus
    split: str
    seed: int
    device: str

    _read: dict[tuple[int, int], Latents] = field(default_factory=dict, init=False, repr=False)

    def read(self, texts: int, importance: int) -> Latents:
        """What is said at the first asking stands: several decode settings ask for the same."""
        if (texts, importance) not in self._read:
            self._read[texts, importance] = self._reading(texts, importance)
        return self._read[texts, importance]

    @torch.inference_mode()
    def _reading(self, texts: int, importance: int) -> Latents:
        assert isinstance(self.family, SupportsLatent)  # `reader` makes none of other families
        self.family.eval()
        rng = torch.Generator(self.device).manual_seed(self.seed)
        weights, posteriors, draws = [], [], []
        for batch in self._batches(texts):
            weights.append(self.family.log_weights(batch, importance, rng).double())
            posteriors.append(self.family.encode(batch))
            draws.append(posteriors[-1].sample(1, rng))
        own = torch.cat([q.log_prob(z)[:, 0] for q, z in zip(posteriors, draws, strict=True)]).double()
        found = torch.cat(weights)
        return Latents(
            elbo=found.mean(1).cpu(),
            bound=(found.logsumexp(1) - math.log(importance)).cpu(),
            kl=torch.cat([q.kl().sum(1) for q in posteriors]).double().cpu(),
            information=(own - aggregate(posteriors, torch.cat(draws)[:, 0])).cpu(),
            mean=torch.cat([q.mean for q in posteriors]).cpu(),
            split=self.split,
            of=self.corpus.size(self.split),
            vocabulary=self.corpus.tokenizer.sha256[:8] if self.corpus.unknown(self.split) else "",
        )

    def _batches(self, texts: int) -> Iterator[Batch]:
        """So many texts of the split, evenly spaced."""
        size = self.corpus.size(self.split)
        lines, prompts = self.corpus.lines(self.split), self.corpus.prompts(self.split)
        places = spaced(size, texts)
        for at in range(0, len(places), AT_ONCE):
            chosen = places[at : at + AT_ONCE]
            chosen_prompts = None if prompts is None else [prompts[i] for i in chosen]
            whole = not self.corpus.stream
            yield self.corpus.batch([lines[i] for i in chosen], chosen_prompts, whole=whole).to(self.device)


def reader(
    family: LanguageModel, corpus: Corpus, split: str, *, seed: int, device: str
) -> LatentReader | Absent | None:
    """A VAE's reader; None for a family without a latent space, Absent where it cannot read the split's lines whole."""
    if not isinstance(family, SupportsLatent):
        return None
    return unread(family, corpus, split) or LatentReader(family, corpus, split, seed, device)
