"""A variational autoencoder of text: an encoder reads a text into z, and an autoregressive family writes under z."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from gentext.data.corpus import Corpus
from gentext.language_model import (
    LanguageModel,
    Posterior,
    SupportsConditioning,
    SupportsHidden,
    SupportsLatent,
    SupportsPanels,
)
from gentext.models.layers import TextEncoder
from gentext.models.vae import panels
from gentext.models.vae.posteriors import Gaussian, Sphere, aggregate
from gentext.panels import Panel
from gentext.types import Batch, Outputs, State, Step, Tokens

ROWS = 2048  # texts times draws that are scored at once
SEED = 0  # of the draws of log_prob, the same at every call, so that a score can be repeated


class VAE(LanguageModel, SupportsLatent, SupportsHidden, SupportsPanels):
    """p(x) = E_p(z) p(x | z), with `decoder` for p(x | z) and `encoder` for q(z | x); the state is the decoder's.

    `forward` gives log p(x | z) for one draw of z from q, and the terms `kl` (nats per text), `kl_units` (of each part
    of z), `z` and `prior` (a draw from q and one from p) and, with `bag`, `bow`. `log_prob` is a bound from below.

    latent: numbers in z.
    posterior: `normal`; `normalised`, a normal one whose means have a fixed `spread` (BN-VAE), so that z cannot be
      ignored; or `vmf`, von Mises-Fisher of one `concentration` on the unit sphere.
    skip: z reaches the decoder's output directly (Dieng et al. 2019).
    bag: z also predicts the text's words without their order (Zhao, Zhao and Eskenazi 2017), for loss=bag_of_words.
    A prompt says nothing of z, which is drawn from the prior whatever the prompt is.
    importance: draws of z for each text in `log_prob`; the bound is the tighter the more there are.
    Word dropout is the decoder's own (decoder.drop_words of an LSTM).

    Sources: Bowman et al. 2016; He et al. 2019 for the decoder's use of z; Burda, Grosse and Salakhutdinov 2016,
    equation 8, for `log_prob`.

    Example:
        >>> from gentext.models import LSTM, LSTMEncoder
        >>> from gentext.types import pad
        >>> model = VAE(LSTMEncoder(9, width=8), LSTM(9, layers=1, width=8), latent=3)
        >>> batch = pad([[4, 5, 2], [6, 2]])
        >>> model(batch).terms["kl"].shape, model.encode(batch).mean.shape, model.log_prob(batch).shape
        (torch.Size([2]), torch.Size([2, 3]), torch.Size([2]))
    """

    likelihood = "bound"

    def __init__(
        self,
        encoder: TextEncoder,
        decoder: LanguageModel,
        *,
        latent: int = 32,
        posterior: str = "normal",
        spread: float = 0.6,
        concentration: float = 30.0,
        skip: bool = False,
        bag: bool = False,
        importance: int = 20,
    ) -> None:
        super().__init__()
        _check(latent, posterior, spread, importance)
        if not isinstance(decoder, SupportsConditioning):
            raise ValueError(
                f"a VAE's decoder writes under z, and {type(decoder).__name__} cannot; "
                "try model@family.decoder=lstm, seq2seq or transformer"
            )
        self.vocab_size, self.limit, self.importance = decoder.vocab_size, decoder.limit, importance
        decoder.condition(latent, skip=skip)
        self.encoder, self.decoder = encoder, decoder
        self.space = (
            Sphere(encoder.width, latent, concentration)
            if posterior == "vmf"
            else Gaussian(encoder.width, latent, spread if posterior == "normalised" else None)
        )
        self.spherical = posterior == "vmf"
        self.bag = nn.Linear(latent, self.vocab_size) if bag else None

    def start(self, n: int, *, rng: torch.Generator | None = None) -> Step:
        return self.begin(n, self.space.prior(n, rng))

    def begin(self, n: int, z: Float[Tensor, "n z"]) -> Step:
        """The first token's logits of `n` texts, each given its row of `z`."""
        return _start(self.decoder, n, z)

    def prime(self, prompt: Int[Tensor, "n p"], *, rng: torch.Generator | None = None) -> Step:
        """The logits after a prompt, under z from the prior: not from p(z | prompt), which is not known."""
        return self.decoder.prime(prompt, given=self.space.prior(len(prompt), rng))

    def step(self, state: State, tokens: Tokens) -> Step:
        return self.decoder.step(state, tokens)

    def hidden(self, state: State) -> Float[Tensor, "n d"]:
        """The decoder's hidden vector. Raises: ValueError where it has none."""
        if not isinstance(self.decoder, SupportsHidden):
            raise ValueError(
                f"{type(self.decoder).__name__}, the decoder, has no hidden vectors, which contrastive search "
                "compares; try another decode setting"
            )
        return self.decoder.hidden(state)

    def encode(self, batch: Batch) -> Posterior:
        """q(z | x) of every text."""
        return self.space(self.encoder(batch))

    def given_latent(self, z: Float[Tensor, "n z"]) -> LatentConditioned:
        """p(x | z): row i of a draw is generated from row i of `z`."""
        return LatentConditioned(self, z)

    def forward(self, batch: Batch) -> Outputs:
        posterior = self.encode(batch)
        z, units = posterior.sample(1)[:, 0], posterior.kl()
        outputs = self.decoder(replace(batch, carry=False), z)
        terms = {"kl": units.sum(1), "kl_units": units, "z": z, "prior": self.space.prior(len(batch))}
        if self.bag is not None:
            words = self.bag(z).log_softmax(-1).gather(1, batch.tokens)
            terms["bow"] = -torch.where(batch.mask, words, 0.0).sum(1)
        return replace(outputs, terms={**outputs.terms, **terms})

    def log_prob(self, batch: Batch) -> Float[Tensor, " n"]:
        """log (1/k) sum p(x, z) / q(z | x) over k = `importance` draws of z from q: at most log p(x) on average."""
        rng = torch.Generator(batch.tokens.device).manual_seed(SEED)
        return self.log_weights(batch, self.importance, rng).logsumexp(1) - math.log(self.importance)

    def log_weights(self, batch: Batch, k: int, rng: torch.Generator) -> Float[Tensor, "n k"]:
        """log p(x | z) + log p(z) - log q(z | x) for `k` draws of z from q(z | x)."""
        found = batch.tokens.new_zeros(len(batch), k, dtype=torch.float32)
        for index in _alike(batch, max(1, ROWS // k)):
            part = replace(batch.rows(index), carry=False)
            posterior = self.encode(part)
            z = posterior.sample(k, rng)
            ratio = self.space.log_prior(z) - posterior.log_prob(z)
            row = torch.arange(len(part), device=index.device)
            for draws in torch.arange(k, device=index.device).split(max(1, ROWS // len(part))):
                repeated = part.rows(row.repeat_interleave(len(draws)))
                log_prob = self.decoder(repeated, z[:, draws].flatten(0, 1)).log_prob.sum(1)
                found[index[:, None], draws] = log_prob.view(len(part), -1) + ratio[:, draws]
        return found

    def inference(self) -> Iterator[nn.Parameter]:
        """The parameters of q(z | x)."""
        yield from self.encoder.parameters()
        yield from self.space.parameters()

    def information(self, batch: Batch, rng: torch.Generator) -> Float[Tensor, " n"]:
        """log q(z | x) - log q(z) of one draw for each text, in nats, q(z) over the batch."""
        posterior = self.encode(batch)
        z = posterior.sample(1, rng)
        return posterior.log_prob(z)[:, 0] - aggregate([posterior], z[:, 0])

    def panels(self, corpus: Corpus, rng: torch.Generator) -> list[Panel]:
        return panels.panels(self, corpus)

    def flops(self, tokens: int) -> float:
        """The decoder's, and two for each of the encoder's weights and token."""
        read = sum(p.numel() for p in self.encoder.parameters() if p.dim() == 2 and self.vocab_size not in p.shape)
        return self.decoder.flops(tokens) + 2.0 * tokens * read


class LatentConditioned(LanguageModel, SupportsHidden):
    """The decoder under given vectors as a family of its own, so that any decode setting can write from them.

    Row i of a draw is written under row i: a draw that is split takes them part by part, and must take them all.
    """

    def __init__(self, vae: VAE, z: Float[Tensor, "n z"]) -> None:
        super().__init__()
        self.vae, self.z, self.vocab_size, self.limit = vae, z, vae.vocab_size, vae.limit
        self._taken = 0  # rows, of the draw that is going on

    def start(self, n: int, *, rng: torch.Generator | None = None) -> Step:
        return self.vae.begin(n, self._next(n))

    def prime(self, prompt: Int[Tensor, "n p"], *, rng: torch.Generator | None = None) -> Step:
        return self.vae.decoder.prime(prompt, given=self._next(len(prompt)))

    def step(self, state: State, tokens: Tokens) -> Step:
        return self.vae.step(state, tokens)

    def hidden(self, state: State) -> Float[Tensor, "n d"]:
        return self.vae.hidden(state)

    def _next(self, n: int) -> Float[Tensor, "n z"]:
        end = self._taken + n
        if end > len(self.z):
            raise ValueError(f"rows {self._taken} to {end} of {len(self.z)} vectors: draw one row for each of them")
        part, self._taken = self.z[self._taken : end], end % len(self.z)
        return part


def _start(decoder: SupportsConditioning, n: int, z: Float[Tensor, "n z"]) -> Step:
    return decoder.start(n, given=z)


def _alike(batch: Batch, size: int) -> Iterator[Int[Tensor, " k"]]:
    """The rows of a batch, `size` of nearly one length at a time, so that little padding is scored."""
    yield from batch.lengths.argsort(stable=True).split(size)


def _check(latent: int, posterior: str, spread: float, importance: int) -> None:
    if latent < 1:
        raise ValueError(f"latent is {latent}; z needs 1 number or more. Without z it is family=lstm")
    if not 0 < spread < math.inf:
        raise ValueError(f"spread is {spread}; the posterior's means differ by a positive number, 0.6 is usual")
    if importance < 1:
        raise ValueError(f"importance is {importance}; draw z 1 time or more for each text")
    if posterior not in ("normal", "normalised", "vmf"):
        raise ValueError(f"posterior is {posterior!r}; it must be normal, normalised or vmf")
