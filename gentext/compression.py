"""Smaller forms of a trained model: fewer bits for each weight, fewer n-grams, fewer bits for each of their figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from omegaconf import OmegaConf
from safetensors.torch import save_file, save_model
from torch import Tensor

from gentext.checks import class_name
from gentext.files import atomic, write_json
from gentext.language_model import LanguageModel, SupportsCheckpoint
from gentext.models import NGram, QuantisedNGram
from gentext.models.ngram.pruning import pruned_by_count, pruned_by_entropy
from gentext.results.run_folder import Manifest
from gentext.trained import SCALE, TrainedModel

FORMS = "bf16, int8 (neural families); count=N, prune=T, bits=4 or bits=8 (n-grams)"
SMALLEST = 1024  # numbers of a matrix, of fewer than which int8 saves nothing worth a row's scale


@dataclass(frozen=True)
class Form:
    """A smaller form of a model: `name`, and a number where it takes one.

    Example:
        >>> Form.parse("prune=1e-7")
        Form(name='prune', amount=1e-07)
    """

    name: str
    amount: float | None = None

    @classmethod
    def parse(cls, word: str) -> Form:
        """What a user writes. Raises: ValueError, with the forms that there are."""
        name, equals, given = word.partition("=")
        try:
            amount = float(given) if equals else None
        except ValueError:
            amount = float("nan")
        takes = {"bf16": False, "int8": False, "count": True, "prune": True, "bits": True}.get(name)
        if name in ("int8_weights", "int8_dynamic"):
            raise ValueError(
                f"{name}, of torchao, is measured by `gentext bench` and not stored; int8 takes as few bits"
            )
        if takes is None or takes != bool(equals):
            raise ValueError(f"{word!r} is no smaller form of a model; there are {FORMS}")
        if amount is not None and not 0 < amount < float("inf"):
            raise ValueError(f"{word}: the number is to be above 0, such as count=2, prune=1e-6, bits=8")
        return cls(name, amount)

    def __str__(self) -> str:
        return self.name if self.amount is None else f"{self.name}={self.amount:g}"


def smaller(model: TrainedModel, form: Form) -> TrainedModel:
    """The model in a smaller form, as it will be when it is read back. Raises: ValueError where it has no such form."""
    family = model.family
    if form.name in ("bf16", "int8"):
        if not any(p.dim() > 1 for p in family.parameters()):
            raise ValueError(f"{form} is of neural families, and {model.folder} is {class_name(family)}")
        other = model.again()
        if isinstance(other.family, SupportsCheckpoint):
            other.family.unchanged = False  # a checkpoint's own weights become others too
        restored = {name: unpacked(packed(name, v, form.name), name) for name, v in weights(other.family).items()}
        other.family.load_state_dict(restored, strict=False)
        return other
    if not isinstance(family, NGram):
        raise ValueError(f"{form} is of n-grams, and {model.folder} is {class_name(family)}; take bf16 or int8")
    if form.name == "bits":
        if family.adaptive:
            raise ValueError("bits is of n-grams without a cache; train with family.cache=0")
        return replace(model, family=QuantisedNGram.of(family.model, int(form.amount or 0)).eval())
    other = model.again()
    made = pruned_by_count(family.model, round(form.amount or 0)) if form.name == "count" else None
    other.family.model = made or pruned_by_entropy(family.model, form.amount or 0.0)
    return other


def save(model: TrainedModel, form: Form, out: Path) -> Path:
    """Write a run's folder that holds the model in a smaller form, and that every command reads; the folder.

    Raises: ValueError where the folder is there already, or the model has no such form.
    """
    made = smaller(model, form)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} is there already; name a folder that is new or empty")
    out.mkdir(parents=True, exist_ok=True)
    config = OmegaConf.create(OmegaConf.to_container(model.config))
    if isinstance(made.family, QuantisedNGram):
        config.family = {
            "_target_": "gentext.models.QuantisedNGram",
            "vocab_size": made.family.vocab_size,
            "order": made.family.order,
            "bits": made.family.bits,
        }
    OmegaConf.save(config, out / "config.yaml")
    model.tokenizer.save(out / "tokenizer.json")
    write_weights(made.family, out / "model.safetensors", form)
    write_json(
        {"form": str(form), "of": model.folder.name, "parameters": float(made.family.size())}, out / "trained.json"
    )
    former = Manifest.read(model.folder)
    manifest = Manifest(out, {} if former is None else former.fingerprints)
    names = ("config.yaml", "tokenizer.json", "tokenizer.rules.json", "model.safetensors", "trained.json")
    manifest.add(*names)
    return out


def write_weights(family: LanguageModel, path: Path, form: Form | None = None) -> None:
    """A family's weights as a file, in a form if there is one."""
    with atomic(path) as temporary:
        if form is None or form.name not in ("bf16", "int8"):
            save_model(family, str(temporary))
            return
        parts: dict[str, Tensor] = {}
        for name, value in weights(family).items():
            parts |= packed(name, value, form.name)
        save_file(parts, str(temporary))


def weights(family: LanguageModel) -> dict[str, Tensor]:
    """Every weight once, by the first of its names."""
    found: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, value in family.state_dict(keep_vars=True).items():
        if value.data_ptr() not in seen or not value.numel():
            seen.add(value.data_ptr())
            found[name] = value.detach().contiguous()
    return found


def packed(name: str, value: Tensor, form: str) -> dict[str, Tensor]:
    """A weight as it is stored: in bfloat16; or, of a matrix, 8 bits and a scale for each row, symmetric around 0."""
    if not value.is_floating_point():
        return {name: value}
    if form == "bf16":
        return {name: value.bfloat16()}
    if value.dim() < 2 or value.numel() < SMALLEST:
        return {name: value}
    rows = value.flatten(1)
    scale = rows.abs().amax(1, keepdim=True).clamp_min(1e-12) / 127
    codes = (rows / scale).round().clamp(-127, 127).to(torch.int8)
    return {name: codes.view(value.shape), name + SCALE: scale[:, 0]}


def unpacked(stored: Mapping[str, Tensor], name: str) -> Tensor:
    """A weight of what was stored, in single precision."""
    value, scale = stored[name], stored.get(name + SCALE)
    if scale is None:
        return value.float() if value.is_floating_point() else value
    return value.float() * scale.view(-1, *[1] * (value.dim() - 1))
