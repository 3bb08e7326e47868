"""`gentext export`: trained runs as other programs read them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
import torch
from tokenizers import processors

from gentext.checks import class_name, missing
from gentext.data.packages import PACKAGES
from gentext.files import atomic, write_text
from gentext.models import HMM, EncoderDecoder, NGram, Pretrained, Transformer
from gentext.models.output import AdaptiveOutput
from gentext.results import record as records
from gentext.results.naming import setting
from gentext.trained import TrainedModel
from gentext.types import BOS, EOS, PAD, UNK


def export(model: TrainedModel, out: Path) -> Path:
    """Where it was written: an n-gram as ARPA, an HMM as arrays (.npz), a Transformer as a folder of transformers.

    Raises: ValueError where there is no such form, with the reason; where something stands at `out` already.

    - n-gram: log10 probabilities, which KenLM and SRILM read.
    - HMM: `startprob_`, `transmat_` and `emissionprob_` of hmmlearn's CategoricalHMM over token ids.
    - Transformer: GPT-2's, Llama's or Qwen3's class where its options are theirs, with equal logits; tokenizer,
      generation config and a model card beside it. A checkpoint that was fine-tuned: as transformers or peft saves it.
    """
    family = model.family
    if isinstance(family, HMM) and out.suffix != ".npz":
        out = out.with_name(out.name + ".npz")
    if isinstance(family, NGram | HMM) and out.exists():
        raise ValueError(f"{out} is there already; name a file that is new")
    if isinstance(family, NGram):
        _arpa(model, family, out)
    elif isinstance(family, HMM):
        with atomic(out) as draft, draft.open("wb") as file:
            np.savez(file, allow_pickle=False, **hmm_arrays(family))
    elif isinstance(family, Pretrained):
        _pretrained(model, family, out)
    elif isinstance(family, Transformer) and not isinstance(family, EncoderDecoder):
        _transformers(model, family, out)
    else:
        raise ValueError(
            f"{model.folder} is {class_name(family)}, which no other program's format holds; n-grams are exported "
            "as ARPA, HMMs as arrays, Transformers as models of transformers"
        )
    return out


def hmm_arrays(family: HMM) -> dict[str, np.ndarray]:
    """The probabilities of an HMM under the names of hmmlearn's CategoricalHMM: dense, whatever its blocks and rank."""
    with torch.no_grad():
        tables = family.log_tables().map(torch.exp)
        transition = tables.factors[0] if len(tables.factors) == 1 else tables.factors[0] @ tables.factors[1]
        emission = torch.zeros(family.states, family.vocab_size)
        for word, block in enumerate(tables.block.tolist()):
            states = slice(block * tables.per_block, (block + 1) * tables.per_block)
            emission[states, word] = tables.emission[word]
    named = {"startprob_": tables.initial, "transmat_": transition, "emissionprob_": emission}
    arrays = {name: value.double().cpu().numpy() for name, value in named.items()}
    return {name: value / value.sum(-1, keepdims=True) for name, value in arrays.items()}


def card(model: TrainedModel) -> str:
    """A model card: what the model is, how it was trained, and the figures of its records."""
    found = records.find([str(model.folder)])
    lines = ["---", "library_name: transformers", "---", "", f"# {type(model.family).__name__} of gentext", ""]
    if found:
        lines += [f"Trained on {found[0].data} by", "", f"    {found[0].command}", ""]
    lines += [f"Tokens: {model.tokenizer.signature()}", ""]
    if isinstance(model.family, Pretrained) and model.family.lora is not None:
        lines += _read_by_peft(model.family.model)
    for one in found:
        lines += [
            f"## {setting(one.decode)}, seed {one.seed}",
            "",
            "| figure | value | unit | how |",
            "|---|---:|---|---|",
        ]
        for name, value in one.values.items():
            mark = {"exact": "", "upper": "≤", "lower": "≥", "pseudo": "~"}[value.exactness]
            how = value.signature.replace("|", " ")
            lines.append(f"| {name} | {mark}{value.value:.6g} | {value.unit} | {how} |")
        lines.append("")
    if model.tokenizer.rules.kind == "word":
        lines += ["The tokenizer here cuts at white space: give it text whose words are set apart by spaces.", ""]
    return "\n".join(lines)


def _read_by_peft(base: str) -> list[str]:
    """The lines of a card that say how peft puts an adapter upon its base."""
    from gentext.data.checkpoint import located

    name, file = located(base)
    if base in PACKAGES:
        package = PACKAGES[base]
        name = f"FOLDER of {package.inside} in the package {package.name} {package.version}"
    given = "".join(f", {key}={value!r}" for key, value in file.items())
    return [
        f"An adapter of {base}:",
        "",
        f"    base = AutoModelForCausalLM.from_pretrained({name!r}{given})",
        "    model = peft.PeftModel.from_pretrained(base, FOLDER_OF_THIS_CARD)",
        "",
    ]


def _arpa(model: TrainedModel, family: Any, out: Path) -> None:
    blanks = str.maketrans({" ": "▁", "\n": "\\n", "\t": "\\t", "\r": "\\r"})  # ARPA separates tokens by them
    tokenizer = model.tokenizer
    family.export_arpa(
        out, [(tokenizer.model.id_to_token(i) or "").translate(blanks) for i in range(tokenizer.vocab_size)]
    )


def _pretrained(model: TrainedModel, family: Pretrained, out: Path) -> None:
    from gentext.data.checkpoint import hub_tokenizer

    _folder(out)
    if family.lora is None:
        family.network.save_pretrained(out)
    else:  # peft names the folder of a base, and not its .gguf file
        family.network.peft_config["default"].base_model_name_or_path = family.model
        family.network.save_pretrained(out, save_embedding_layers=False)  # else peft asks the hub whether they grew
    hub_tokenizer(family.model).save_pretrained(out)
    write_text(card(model), out / "README.md")


def _transformers(model: TrainedModel, family: Transformer, out: Path) -> None:
    library = _library()
    network = _network(library, family, model.config.family)
    _folder(out)
    network.save_pretrained(out)
    _fast_tokenizer(library, model).save_pretrained(out)
    settings = library.GenerationConfig(
        bos_token_id=BOS,
        eos_token_id=EOS,
        pad_token_id=PAD,
        suppress_tokens=[PAD, BOS],
        max_new_tokens=int(model.config.max_len),
        do_sample=True,
        top_k=0,
    )
    settings.save_pretrained(out)
    write_text(card(model), out / "README.md")


def _network(library: Any, family: Any, options: Any) -> Any:
    """The class of transformers whose options are these, with the same weights. Raises: ValueError for none."""
    if isinstance(family.output, AdaptiveOutput):
        raise ValueError(
            "no class of transformers has an output layer in clusters of words (family.cutoffs); train with "
            "family.cutoffs=null for this export"
        )
    given = {key: options.get(key) for key in ("positions", "norm", "activation", "qk_norm", "bias", "post_norm")}
    first = family.blocks[0]
    width, layers, heads = family.embedding.embedding_dim, len(family.blocks), first.heads
    tied = family.output.weight is family.embedding.weight
    shared = {"vocab_size": family.vocab_size, "bos_token_id": BOS, "eos_token_id": EOS, "pad_token_id": PAD}
    shared["tie_word_embeddings"] = tied
    like_gpt2 = {"positions": "learned", "norm": "layer", "activation": "gelu", "qk_norm": False, "bias": True}
    like_llama = {"positions": "rotary", "norm": "rms", "activation": "swiglu", "bias": False}
    if not given["post_norm"] and all(given[key] == value for key, value in like_gpt2.items()):
        config = library.GPT2Config(
            n_positions=family.context, n_embd=width, n_layer=layers, n_head=heads, n_inner=first.down.in_features,
            activation_function="gelu_new", attn_pdrop=0.0, embd_pdrop=family.dropout, resid_pdrop=family.dropout,
            **shared,
        )  # fmt: skip
        network, fill = library.GPT2LMHeadModel(config), _fill_gpt2
    elif not given["post_norm"] and all(given[key] == value for key, value in like_llama.items()):
        kind = "Qwen3" if given["qk_norm"] else "Llama"
        config = getattr(library, f"{kind}Config")(
            hidden_size=width, intermediate_size=first.down.in_features, num_hidden_layers=layers,
            num_attention_heads=heads, num_key_value_heads=heads, head_dim=width // heads, rms_norm_eps=1e-6,
            max_position_embeddings=family.context, hidden_act="silu", **shared,
        )  # fmt: skip
        network, fill = getattr(library, f"{kind}ForCausalLM")(config), _fill_llama
    else:
        named = " ".join(f"{key}={value}" for key, value in given.items() if value is not None)
        raise ValueError(
            f"no class of transformers computes this Transformer ({named}); those of family=gpt2 do, and of "
            "family=transformer with activation=swiglu, where norm=rms, positions=rotary and bias=false"
        )
    with torch.no_grad():
        fill(network, family)
    return network.eval()


def _fill_gpt2(network: Any, family: Any) -> None:
    network.transformer.wte.weight.copy_(family.embedding.weight)
    network.transformer.wpe.weight.copy_(family.positions.weight)
    network.transformer.ln_f.load_state_dict(family.norm.state_dict())
    network.lm_head.weight.copy_(family.output.weight)
    for theirs, ours in zip(network.transformer.h, family.blocks, strict=True):
        theirs.ln_1.load_state_dict(ours.before_attention.state_dict())
        theirs.ln_2.load_state_dict(ours.before_feedforward.state_dict())
        pairs = (theirs.attn.c_attn, ours.qkv), (theirs.attn.c_proj, ours.mix), (theirs.mlp.c_fc, ours.up)
        for conv, linear in (*pairs, (theirs.mlp.c_proj, ours.down)):
            conv.weight.copy_(linear.weight.T)
            conv.bias.copy_(linear.bias)


def _fill_llama(network: Any, family: Any) -> None:
    """Its norms keep gains of one, which is what a norm without gains is."""
    network.model.embed_tokens.weight.copy_(family.embedding.weight)
    network.lm_head.weight.copy_(family.output.weight)
    for theirs, ours in zip(network.model.layers, family.blocks, strict=True):
        for name, part in zip("qkv", ours.qkv.weight.chunk(3), strict=True):
            getattr(theirs.self_attn, f"{name}_proj").weight.copy_(part)
        theirs.self_attn.o_proj.weight.copy_(ours.mix.weight)
        theirs.mlp.gate_proj.weight.copy_(ours.up.weight[::2])
        theirs.mlp.up_proj.weight.copy_(ours.up.weight[1::2])
        theirs.mlp.down_proj.weight.copy_(ours.down.weight)


def _fast_tokenizer(library: Any, model: TrainedModel) -> Any:
    inner = tokenizers.Tokenizer.from_str(model.tokenizer.model.to_str())  # a copy: the run's own adds no mark
    spelled = {name: inner.id_to_token(i) for name, i in (("pad", PAD), ("bos", BOS), ("eos", EOS), ("unk", UNK))}
    marks = {f"{name}_token": mark for name, mark in spelled.items()}
    inner.post_processor = processors.TemplateProcessing(
        single=f"{spelled['bos']} $A", special_tokens=[(spelled["bos"], BOS)]
    )
    return library.PreTrainedTokenizerFast(tokenizer_object=inner, **marks)


def _library() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise ValueError(missing("this export", "transformers", "hf")) from error
    return transformers


def _folder(out: Path) -> None:
    """Make the folder. Raises: ValueError where it holds something already."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} is there already; name a folder that is new or empty")
    out.mkdir(parents=True, exist_ok=True)
