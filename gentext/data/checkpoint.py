"""Checkpoints of transformers: by a folder, a GGUF file or a name on the Hugging Face hub; and their tokenizers."""

from __future__ import annotations

import errno
import json
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from tokenizers import decoders

from gentext.checks import missing
from gentext.data.packages import PACKAGES, package_path
from gentext.data.tokenizer import Tokenizer, TokenizerSpec

ADAPTER = "adapter_config.json"  # of a folder that peft saved
WEIGHT_FILE = re.compile(r"(adapter_)?config\.json|(pytorch_|adapter_)?model.*\.(safetensors|bin)")


def transformers_for(model: str) -> Any:
    """The library. Raises: ValueError where it is not installed."""
    try:
        import transformers
    except ImportError as error:
        raise ValueError(missing(f"model {model!r}", "transformers", "hf")) from error
    return transformers


def located(model: str) -> tuple[str, dict[str, str]]:
    """What `from_pretrained` takes: a folder or a name on the hub, and the GGUF file in it where `model` ends in one.

    Raises: ValueError where it is a path, and nothing is there.

    >>> located("gpt2"), located("org/name/model.gguf")
    (('gpt2', {}), ('org/name', {'gguf_file': 'model.gguf'}))
    """
    if not model:
        raise ValueError("family.model is empty; give a folder, a .gguf file, or a name on the hub such as gpt2")
    if model in PACKAGES:
        model = str(package_path(model))
    path = Path(model).expanduser()
    if (model.startswith((".", "/", "~")) or model.count("/") > 2) and not path.exists():
        raise ValueError(
            f"{path} does not exist; a model is a folder of transformers, a .gguf file, or a name "
            "on the Hugging Face hub such as gpt2"
        )
    if path.is_dir() and not any((path / name).exists() for name in ("config.json", ADAPTER)):
        held = sorted(file.name for file in path.glob("*.gguf"))
        hint = f"name its file: {path / held[0]}" if held else "it needs the config.json of a model of transformers"
        raise ValueError(f"{path} holds no checkpoint; {hint}")
    if path.suffix != ".gguf":
        return (str(path) if path.exists() else model), {}
    return (str(path.parent) if path.exists() else model.rpartition("/")[0]), {"gguf_file": path.name}


def loaded(model: str, load: Callable[..., Any], **options: Any) -> Any:
    """What `load`, such as AutoModel.from_pretrained, makes of a checkpoint.

    Raises: ValueError in one line where there is none, where it cannot be reached, or where memory does not suffice.
    """
    name, file = located(model)
    try:
        with _hub_silent():
            return load(name, **file, **options)
    except MemoryError as error:
        raise ValueError(_too_large(model)) from error
    except ImportError as error:
        raise ValueError(
            f"model {model!r} needs a library more ({_first(error)}); pip install 'gentext[hf]'"
        ) from error
    except RuntimeError as error:
        if "alloc" in str(error) or "memory" in str(error):
            raise ValueError(_too_large(model)) from error
        raise ValueError(f"model {model!r} cannot be loaded: {_first(error)}") from error
    except Exception as error:  # whatever the libraries that read its files make of broken ones
        if isinstance(error, OSError) and error.errno == errno.ENOMEM:
            raise ValueError(_too_large(model)) from error
        raise ValueError(
            f"model {model!r} cannot be loaded: {_first(error)}. Give a folder that holds a checkpoint, a "
            ".gguf file, or a name on the Hugging Face hub, which wants the network once"
        ) from error


def weight_files(model: str) -> dict[str, Path]:
    """The files that decide a checkpoint's network, by name: configuration and weights; of an adapter its base's too.

    A name on the hub stands for what was downloaded of it.
    """
    name, file = located(model)
    folder = Path(name)
    if not folder.exists():
        from huggingface_hub import snapshot_download

        folder = Path(snapshot_download(name, local_files_only=True))
    if file:
        return {file["gguf_file"]: folder / file["gguf_file"]}
    found = {path.name: path for path in sorted(folder.iterdir()) if WEIGHT_FILE.fullmatch(path.name)}
    base = base_of(model)
    return found if base is None else found | {f"base/{name}": path for name, path in weight_files(base).items()}


@contextmanager
def _hub_silent() -> Iterator[None]:
    """Without the hub's line or two on each of its tries, whose end is one error."""
    hub = logging.getLogger("huggingface_hub")
    level = hub.level
    hub.setLevel(logging.ERROR)
    try:
        yield
    finally:
        hub.setLevel(level)


def _first(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def _too_large(model: str) -> str:
    return (
        f"model {model!r} does not fit into memory; take a smaller one, or a machine with more (4 bytes a parameter, "
        "and four times that to fine-tune it; family.lora=8 trains a fraction of it)"
    )


@lru_cache(maxsize=4)  # of a .gguf file reading it takes seconds
def hub_config(model: str) -> Any:
    """The checkpoint's configuration, of an adapter its base's. Raises: ValueError where there is none."""
    if (base := base_of(model)) is not None:
        return hub_config(base)
    return loaded(model, transformers_for(model).AutoConfig.from_pretrained)


def base_of(model: str) -> str | None:
    """What the adapter in a folder was trained on; None of any other checkpoint."""
    folder = Path(located(model)[0])
    if not (folder / ADAPTER).is_file() or (folder / "config.json").is_file():
        return None
    return str(json.loads((folder / ADAPTER).read_text(encoding="utf-8"))["base_model_name_or_path"])


@lru_cache(maxsize=4)
def hub_tokenizer(model: str) -> Any:
    """The checkpoint's own tokenizer, as transformers has it. Raises: ValueError where there is none."""
    found = loaded(model, transformers_for(model).AutoTokenizer.from_pretrained)
    if not getattr(found, "is_fast", False):
        raise ValueError(f"the tokenizer of {model!r} has no fast version, which is needed; take another checkpoint")
    if len(found) <= len(found.all_special_ids):
        raise ValueError(
            f"model {model!r} has no tokenizer, or an empty one; put its tokenizer.json beside its config.json"
        )
    return found


class PretrainedTokenizer(Tokenizer):
    """The tokenizer of a checkpoint of transformers, its ids after the four that every tokenizer here reserves.

    Its own marks for beginning, end, padding and unknown are BOS, EOS, PAD and UNK; a text that spells one of them is
    text. `model`: a folder, a .gguf file, or a name on the Hugging Face hub; needs the extra `hf`.
    """

    def __init__(self, model: str) -> None:
        theirs = hub_tokenizer(model)
        backend = theirs.backend_tokenizer
        backend.no_padding()
        backend.no_truncation()
        ends = theirs.eos_token_id if theirs.eos_token_id is not None else theirs.sep_token_id
        begins = theirs.bos_token_id if theirs.bos_token_id is not None else theirs.cls_token_id
        if ends is None:
            raise ValueError(f"the tokenizer of {model!r} has no mark for a text's end, which every line here has")
        unknown = theirs.unk_token_id if theirs.unk_token_id not in (ends, begins, theirs.pad_token_id) else None
        marks = {"bos": ends if begins is None else begins, "eos": ends, "pad": theirs.pad_token_id, "unk": unknown}
        note = f"model:{Path(model).name}"
        back = "exact" if isinstance(backend.decoder, decoders.ByteLevel) else "words"
        super().__init__(backend, TokenizerSpec("pretrained", "", False, note, marks=marks, back=back))
