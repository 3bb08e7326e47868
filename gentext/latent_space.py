"""A trained VAE's latent space in texts: encode, write, interpolate, add and subtract, look for neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from gentext import config
from gentext.data.tokenizer import Tokenizer
from gentext.language_model import Decoder, SupportsLatent
from gentext.models.vae.posteriors import between
from gentext.seeding import Streams
from gentext.types import EOS, pad

AT_ONCE = 64  # texts


@dataclass(frozen=True)
class LatentSpace:
    """What can be done with the z of a trained VAE. Texts are written greedily where no decoder is named.

    decoder: an option of conf/decode, which `settings` change (temperature=0.7); or one that is made already.

    Example:
        >>> import gentext
        >>> small = ["data.train=60", "data.valid=10", "data.test=20", "eval.samples=2"]
        >>> small += ["~eval.metrics", "+eval.metrics={}"]
        >>> small += ["family.encoder.width=8", "family.decoder.width=8", "train.steps=1", "train.epochs=null"]
        >>> run = gentext.run("family=vae", *small)
        >>> len(run.load().space.interpolate("a man sits .", "a dog sits .", steps=3))
        3
    """

    family: SupportsLatent
    tokenizer: Tokenizer
    max_len: int
    lowercase: bool = False  # the corpus was lower-cased before the tokenizer saw it
    device: str = "cpu"

    def encode(self, texts: Sequence[str]) -> Float[Tensor, "n z"]:
        """The posterior's mean of every text. Raises ValueError for an empty one."""
        return self._places(texts, self.tokenizer.typed(texts, lowercase=self.lowercase))

    def write(
        self, z: Float[Tensor, "n z"], *, decoder: Decoder | str = "greedy", seed: int = 0, **settings: Any
    ) -> list[str]:
        """The text under every z."""
        made, rng = config.decoder(decoder, settings, max_len=self.max_len), Streams(seed)("sample", self.device)
        draw = self.family.given_latent(z.to(self.device)).sample(len(z), self.max_len, decoder=made, rng=rng)
        return self.tokenizer.decode(draw.tokens.tolist())

    def reconstruct(
        self, texts: Sequence[str], *, decoder: Decoder | str = "greedy", seed: int = 0, **settings: Any
    ) -> list[str]:
        """Every text as it comes back from its own place."""
        if not texts:
            return []
        return self.write(self.encode(texts), decoder=decoder, seed=seed, **settings)

    def interpolate(
        self,
        one: str,
        other: str,
        *,
        steps: int = 7,
        path: str | None = None,
        decoder: Decoder | str = "greedy",
        seed: int = 0,
        **settings: Any,
    ) -> list[str]:
        """`steps` texts from `one` to `other`, both as they come back.

        path: along a `line`, or a `sphere` around the origin; None: what the posterior lives on.
        """
        if steps < 2:
            raise ValueError(f"asked for {steps} steps from one text to another; ask for 2 or more")
        path = path or ("sphere" if self.family.spherical else "line")
        start, end = self.encode([one, other])
        return self.write(between(start, end, steps, path), decoder=decoder, seed=seed, **settings)

    def analogy(
        self, one: str, other: str, third: str, *, decoder: Decoder | str = "greedy", seed: int = 0, **settings: Any
    ) -> str:
        """What is to `third` as `other` is to `one`: the text at other - one + third."""
        a, b, c = self.encode([one, other, third])
        z = b - a + c
        z = F.normalize(z, dim=0) if self.family.spherical else z  # its decoder knows no other place
        return self.write(z[None], decoder=decoder, seed=seed, **settings)[0]

    def neighbours(self, text: str, among: Sequence[str], n: int = 5) -> list[tuple[str, float]]:
        """The `n` texts whose z lie nearest to the text's, nearest first, with their Euclidean distances."""
        return self.nearest(self.encode([text]), among, n)

    def nearest(self, z: Float[Tensor, "1 z"], among: Sequence[str], n: int = 5) -> list[tuple[str, float]]:
        """The `n` texts whose z lie nearest to this one, nearest first, with their Euclidean distances."""
        if n < 1:
            raise ValueError(f"asked for {n} neighbours; ask for 1 or more")
        if not among:
            raise ValueError("there are no texts to look for neighbours among; give one or more")
        places = self._places(among, self.tokenizer.encode(among))  # of these, unknown words are not news
        distance = (places - z).norm(dim=1)
        nearest = distance.topk(min(n, len(among)), largest=False)
        return [
            (among[int(i)], float(far))
            for far, i in zip(nearest.values.tolist(), nearest.indices.tolist(), strict=True)
        ]

    @torch.inference_mode()
    def _places(self, texts: Sequence[str], rows: list[list[int]]) -> Float[Tensor, "n z"]:
        for text, row in zip(texts, rows, strict=True):
            if not row:
                raise ValueError(f"{text!r} is an empty sentence, which has no place among others; give it a word")
        parts = [rows[i : i + AT_ONCE] for i in range(0, len(rows), AT_ONCE)]
        return torch.cat(
            [self.family.encode(pad([[*row, EOS] for row in part]).to(self.device)).mean for part in parts]
        )
