"""`family=pretrained`: a checkpoint of transformers under the protocol of every other family."""

from __future__ import annotations

import copy
import inspect
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from jaxtyping import Int
from safetensors import SafetensorError
from torch import Tensor, nn

from gentext.checks import at_least, class_name, missing, one_of
from gentext.data.checkpoint import (
    PretrainedTokenizer,
    base_of,
    hub_config,
    hub_tokenizer,
    loaded,
    located,
    transformers_for,
    weight_files,
)
from gentext.files import sha256
from gentext.language_model import LanguageModel, SupportsCheckpoint
from gentext.models.pretrained.vocabulary import Vocabulary

LOADERS = {
    "causal": "AutoModelForCausalLM",
    "encoder_decoder": "AutoModelForSeq2SeqLM",
    "masked": "AutoModelForMaskedLM",
}
SAMPLERS = ("gibbs", "mask_predict")
KINDS: dict[str, type[Pretrained]] = {}  # the classes, by the kind of checkpoint that they take


class Pretrained(LanguageModel, SupportsCheckpoint):
    """A checkpoint of transformers, with its own tokenizer (`tokenizer=pretrained`); needs the extra `hf`.

    What it is, its configuration says: a causal model (GPT-2, Llama) goes on from a prompt; an encoder-decoder (T5,
    BART) reads one that ends as a source; a masked model (BERT) is scored by its pseudo-likelihood and drawn as
    `family=masked_lm` is. Steps keep the keys and values of what was read.

    model: a folder, a .gguf file, or a name on the Hugging Face hub (ORG/NAME/FILE.gguf for a GGUF file there).
    lora: null, and `train=gradient` moves all weights; a rank, and it moves low-rank updates of every linear layer
      (Hu et al. 2021, by peft); a run's folder then holds these alone.
    alpha: their scale, alpha / lora.
    prefix: a text that is read before every text and never scored, such as examples.
    sampler, iterations, mask: of a masked model, as of `MaskedLM`.
    Differs: the checkpoint's marks for padding and beginning are never emitted, and it shares out their probability.
    """

    kind: ClassVar[str] = ""
    network: Any
    vocabulary: Vocabulary
    begins: list[int]

    def __new__(cls, *args: Any, model: str = "", **options: Any) -> Any:
        """One of the class that the checkpoint's kind wants."""
        chosen: Any = KINDS[kind_of(model)] if cls is Pretrained else cls
        return super().__new__(chosen)

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        KINDS[cls.kind] = cls

    def __init__(
        self,
        vocab_size: int,
        *,
        model: str,
        lora: int | None = None,
        alpha: int = 16,
        prefix: str = "",
        sampler: str = "gibbs",
        iterations: int | None = None,
        mask: float | None = 0.15,
    ) -> None:
        LanguageModel.__init__(self)  # not that of MaskedLM, which a masked checkpoint is besides
        at_least(1, lora=lora, iterations=iterations)
        one_of("sampler", sampler, SAMPLERS)
        self.vocab_size, self.model = vocab_size, model
        self.network = _network(model, self.kind)
        self.lora = lora
        if lora is not None:
            self.network = _with_lora(self.network, lora, alpha, self.kind)
        theirs = hub_tokenizer(model)
        tokenizer = PretrainedTokenizer(model)
        config = self.network.config
        outputs = self.network.get_output_embeddings().weight.shape[0]
        marks: Any = {name: i for name, i in (tokenizer.rules.marks or {}).items() if i is None or i < outputs}
        if marks.get("eos") is None:
            raise ValueError(f"{model!r} has no weights of the mark for a text's end, which every line here has")
        marks = {"bos": marks["eos"], "pad": None, "unk": None, **marks}
        if torch.empty(0).is_meta:  # a check of the configuration, before any text is read
            self.vocab_size = vocab_size = tokenizer.vocab_size
        self.vocabulary = Vocabulary(vocab_size, outputs, marks, theirs.get_added_vocab().values())
        self.template = [i for i in _template(theirs, marks["eos"]) if i < outputs]
        self.prefix: list[int] = list(theirs(prefix, add_special_tokens=False).input_ids) if prefix else []
        self.longest = _longest(config)
        self.settle(config, marks, iterations, mask, sampler)

    def settle(self, config: Any, marks: Mapping[str, Any], iterations, mask, sampler) -> None:
        """What the kind adds to the constructor."""

    def room(self, max_len: int, prompt: Int[Tensor, "n p"] | None) -> int:
        """The tokens that can follow a prompt. Raises: ValueError where there are none."""
        try:
            return super().room(max_len, prompt)
        except ValueError as error:
            length, limit = 0 if prompt is None else prompt.shape[1], self.limit or 0
            before = (self.longest or 0) - limit
            others = f", {before} of them before it" if before else ""
            raise ValueError(
                f"the prompt has {length} tokens, and {self.model} reads {self.longest} in all{others}; "
                f"give {limit - 1} or fewer"
            ) from error

    def flops(self, tokens: int) -> float:
        """Two for each weight and token; embedding look-ups are counted once, as the output layer."""
        return 2.0 * tokens * sum(p.numel() for p in self.network.parameters())

    def state_dict(self, *args: Any, **options: Any) -> dict[str, Tensor]:
        """What a training could change: of a checkpoint that stays as it is, what was added to it."""
        return {name: value for name, value in super().state_dict(*args, **options).items() if self._kept(name)}

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        found = super().load_state_dict(state_dict, strict=False, assign=assign)
        found.missing_keys[:] = [name for name in found.missing_keys if self._kept(name)]
        if strict and (found.missing_keys or found.unexpected_keys):
            raise RuntimeError(f"missing {found.missing_keys}, unexpected {found.unexpected_keys}")
        return found

    def rests_on(self) -> dict[str, str]:
        if self.lora is None and not self.unchanged:
            return {}
        return {name: sha256(path) for name, path in weight_files(self.model).items()}

    def rest_on(self, files: Mapping[str, str]) -> None:
        found = weight_files(self.model)
        for name, digest in files.items():
            if name not in found:
                raise ValueError(f"the run needs {name} of the checkpoint {self.model!r}, which is gone; put it back")
            if (other := sha256(found[name])) != digest:
                raise ValueError(
                    f"the run needs {name} of the checkpoint {self.model!r} with the sha256 {digest}, and "
                    f"{found[name]} has {other}; put the file back that the run was made with"
                )
        self.unchanged = self.lora is None

    def _kept(self, name: str) -> bool:
        return not name.startswith("network.") or (not self.unchanged if self.lora is None else "lora_" in name)


_own = inspect.signature(Pretrained.__init__)  # else what checks a configuration is shown that of __new__
Pretrained.__signature__ = _own.replace(parameters=list(_own.parameters.values())[1:])  # type: ignore[attr-defined]


def kind_of(model: str) -> str:
    """causal, encoder_decoder or masked: what a checkpoint's configuration says that it is.

    Raises: ValueError where it is none of them.
    """
    library = transformers_for(model)
    config = hub_config(model)
    names = [str(name) for name in getattr(config, "architectures", None) or []]
    if getattr(config, "is_encoder_decoder", False):
        return "encoder_decoder"
    if any("ForMaskedLM" in name or "ForPreTraining" in name for name in names):
        return "masked"
    mapping = library.models.auto.modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING
    if any(name.endswith(("ForCausalLM", "LMHeadModel")) for name in names) or (not names and type(config) in mapping):
        return "causal"
    raise ValueError(
        f"model {model!r} is a {', '.join(names) or type(config).__name__}, which generates no text; family=pretrained "
        "takes a causal model (GPT-2, Llama), an encoder-decoder (T5, BART) or a masked one (BERT)"
    )


def _network(model: str, kind: str) -> nn.Module:
    """The checkpoint's network in single precision; without weights where a configuration is only checked."""
    library = transformers_for(model)
    loader, config = getattr(library, LOADERS[kind]), copy.deepcopy(hub_config(model))
    if torch.empty(0).is_meta:
        return loader.from_config(config)
    if (base := base_of(model)) is not None:
        network: Any = _network(base, kind)
        try:
            with _silent_peft():
                network.load_adapter(located(model)[0])
        except (ImportError, OSError, ValueError, RuntimeError, SafetensorError) as error:
            raise ValueError(f"model {model!r} cannot be put upon its base {base!r}: {error}") from error
        return network.requires_grad_(True).eval()  # of an adapter transformers freezes all
    network, found = loaded(model, loader.from_pretrained, config=config, dtype=torch.float32, output_loading_info=True)
    if located(model)[1]:  # of a GGUF file its numbers are plain ones by now, which transformers saves
        network.hf_quantizer.remove_quantization_config(network)
    if lacking := sorted(found["missing_keys"]):  # transformers draws them at random
        raise ValueError(
            f"model {model!r} lacks {len(lacking)} weights of {class_name(network)}, such as {lacking[0]}; give a "
            "checkpoint that holds the whole model"
        )
    return network.requires_grad_(True).eval()


def _with_lora(network: nn.Module, rank: int, alpha: int, kind: str) -> nn.Module:
    try:
        import peft
    except ImportError as error:
        raise ValueError(missing(f"family.lora={rank}", "peft", "hf")) from error
    from transformers.pytorch_utils import Conv1D

    task = {"causal": "CAUSAL_LM", "encoder_decoder": "SEQ_2_SEQ_LM", "masked": None}[kind]
    turned = any(isinstance(layer, Conv1D) for layer in network.modules())  # GPT-2's matrices lie the other way round
    chosen = peft.LoraConfig(
        r=rank, lora_alpha=alpha, target_modules="all-linear", task_type=task, fan_in_fan_out=turned
    )
    with _silent_peft():
        return peft.get_peft_model(network, chosen)


@contextmanager
def _silent_peft() -> Iterator[None]:
    """It asks transformers by a name that it has given up."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


def _template(tokenizer: Any, eos: int | None) -> list[int]:
    """The ids that the tokenizer sets before every text."""
    ids = list(tokenizer("").input_ids)
    return ids[: ids.index(eos)] if eos in ids[1:] or ids == [eos] else ids


def _longest(config: Any) -> int | None:
    """Tokens that the network reads at a time; None: any number."""
    names = ("max_position_embeddings", "n_positions", "max_sequence_length")
    found: Iterable[Any] = (getattr(config, name, None) for name in names)
    longest = next((int(value) for value in found if value), None)
    if longest is not None and getattr(config, "model_type", "") in ("roberta", "xlm-roberta", "camembert"):
        longest -= 2  # its positions begin after the padding's
    return None if getattr(config, "model_type", "") in ("t5", "mt5", "umt5") else longest
