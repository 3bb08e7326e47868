"""Panels of a VAE: where texts lie, the way from one to another, and what one direction of z changes."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from gentext.data.corpus import Corpus
from gentext.language_model import SupportsLatent
from gentext.models.vae.posteriors import between
from gentext.panels import Panel, Points, Table
from gentext.types import EOS, PAD

POINTS, LONGEST, STEPS, UNITS = 150, 48, 7, 3  # texts on the map, tokens of a text, steps of a way, parts of z shown
REACH = 2.0  # how far along a part of z, in standard deviations of the prior


def panels(vae: SupportsLatent, corpus: Corpus) -> list[Panel]:
    """A map of the latent space, an interpolation, and what the most used parts of z change."""
    lines = corpus.lines("valid") if len(corpus.lines("valid")) else corpus.lines("train")
    texts = [lines[i * len(lines) // min(POINTS, len(lines))] for i in range(min(POINTS, len(lines)))]
    texts = [text for text in texts if text.strip()]
    batch = corpus.batch(texts).to(next(vae.inference()).device)
    means = torch.cat([vae.encode(batch.rows(slice(i, i + 50))).mean for i in range(0, len(batch), 50)])
    return [_map(texts, means), _way(vae, corpus, texts, means), _traversal(vae, corpus, texts, means)]


def _map(texts: list[str], means: Float[Tensor, "n z"]) -> Points:
    centred = means - means.mean(0)
    _, spread, directions = torch.linalg.svd(centred, full_matrices=False)
    width = min(2, len(directions))
    places = torch.nn.functional.pad(centred @ directions[:width].T, (0, 2 - width))
    share = float(spread[:width].square().sum() / spread.square().sum().clamp_min(1e-12))
    lengths = [f"{10 * (len(text.split()) // 10)}+ words" for text in texts]
    note = f"Posterior means of held-out texts on their two main axes, which hold {share:.0%} of their variance."
    x, y = places.T.tolist()
    return Points("latent map", note, x, y, texts, lengths, "first axis", "second axis")


def _way(vae: SupportsLatent, corpus: Corpus, texts: list[str], means: Float[Tensor, "n z"]) -> Table:
    path = "sphere" if vae.spherical else "line"
    z = between(means[0], means[-1], STEPS, path)
    rows = [["(the text)", texts[0]]]
    rows += [[f"{i / (STEPS - 1):.2f}", text] for i, text in enumerate(_written(vae, corpus, z))]
    rows.append(["(the text)", texts[-1]])
    return Table("latent interpolation", f"The likeliest words along a {path} between two texts.", ["at", "text"], rows)


def _traversal(vae: SupportsLatent, corpus: Corpus, texts: list[str], means: Float[Tensor, "n z"]) -> Table:
    """One text, and what becomes of it where one part of its z alone is moved."""
    rows = []
    for unit in means.var(0).topk(min(UNITS, means.shape[1])).indices.tolist():
        at = torch.linspace(-REACH, REACH, 5, device=means.device)
        z = means[:1].repeat(len(at), 1)
        z[:, unit] = at
        if vae.spherical:
            z = torch.nn.functional.normalize(z, dim=-1)
        rows += [[f"z{unit}", f"{float(a):+.0f}", text] for a, text in zip(at, _written(vae, corpus, z), strict=True)]
    note = f"{texts[0]!r}, with one of the parts of z that vary most from text to text set to other values."
    return Table("latent traversal", note, ["part", "value", "text"], rows)


def _written(vae: SupportsLatent, corpus: Corpus, z: Float[Tensor, "n z"]) -> list[str]:
    """The likeliest token at every step under each z."""
    family, columns = vae.given_latent(z), []
    at = family.start(len(z))
    live = torch.ones(len(z), dtype=torch.bool, device=z.device)
    for _ in range(LONGEST):
        chosen = torch.where(live, at.logits.argmax(-1), PAD)
        columns.append(chosen)
        live = live & (chosen != EOS)
        if not bool(live.any()):
            break
        at = family.step(at.state, torch.where(live, chosen, EOS))
    return corpus.tokenizer.decode(torch.stack(columns, 1).tolist())
