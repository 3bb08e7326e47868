"""Tiny checkpoints of transformers, made on disk: random weights and tokenizers fitted to a few lines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tokenizers
import torch
from tokenizers import decoders, models, pre_tokenizers, processors, trainers

transformers = pytest.importorskip("transformers")

LINES = [
    "a man rides a horse on the beach",
    "a dog sits on the grass",
    "two men walk in the rain",
    "the café is old",
] * 4


def byte_level(folder: Path, marks: dict[str, str], before: list[str] | None = None, after: list[str] | None = None):
    """A byte-level BPE tokenizer whose marks come last, saved as transformers does."""
    model = tokenizers.Tokenizer(models.BPE())
    model.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    model.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    model.train_from_iterator(
        LINES, trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, show_progress=False)
    )
    return _saved(model, folder, marks, before, after)


def words(folder: Path, marks: dict[str, str], before: list[str], after: list[str]):
    """A WordPiece tokenizer, as BERT has one."""
    model = tokenizers.Tokenizer(models.WordPiece(unk_token=marks["unk_token"]))
    model.pre_tokenizer = pre_tokenizers.Whitespace()
    model.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(vocab_size=90, special_tokens=list(marks.values()), show_progress=False)
    model.train_from_iterator(LINES, trainer)
    return _saved(model, folder, marks, before, after)


def _saved(model, folder, marks, before, after):
    model.add_special_tokens(list(dict.fromkeys(marks.values())))
    if before or after:
        body = " ".join([*(before or []), "$A", *(after or [])])
        ids = [(mark, model.token_to_id(mark)) for mark in [*(before or []), *(after or [])]]
        model.post_processor = processors.TemplateProcessing(single=body, special_tokens=ids)
    made = transformers.PreTrainedTokenizerFast(tokenizer_object=model, **marks)
    made.save_pretrained(folder)
    return made


def save(network, folder: Path) -> Path:
    """Random weights, far from uniform predictions."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(std=0.2)
    network.save_pretrained(folder)
    return folder


def gpt2(folder: Path) -> Path:
    made = byte_level(folder, {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"})
    config = transformers.GPT2Config(
        vocab_size=len(made), n_positions=256, n_embd=32, n_layer=2, n_head=2,
        bos_token_id=made.eos_token_id, eos_token_id=made.eos_token_id,
    )  # fmt: skip
    return save(transformers.GPT2LMHeadModel(config), folder)


def llama(folder: Path, unknown: str = "<unk>") -> Path:
    made = byte_level(folder, {"bos_token": "<s>", "eos_token": "</s>", "unk_token": unknown}, before=["<s>"])
    config = transformers.LlamaConfig(
        vocab_size=len(made), hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=64,
        bos_token_id=made.bos_token_id, eos_token_id=made.eos_token_id,
    )  # fmt: skip
    return save(transformers.LlamaForCausalLM(config), folder)


def t5(folder: Path) -> Path:
    marks = {"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    made = byte_level(folder, marks, after=["</s>"])
    config = transformers.T5Config(
        vocab_size=len(made), d_model=32, d_kv=16, d_ff=48, num_layers=2, num_heads=2,
        pad_token_id=made.pad_token_id, eos_token_id=made.eos_token_id, decoder_start_token_id=made.pad_token_id,
    )  # fmt: skip
    return save(transformers.T5ForConditionalGeneration(config), folder)


def bart(folder: Path) -> Path:
    marks = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    made = byte_level(folder, marks, before=["<s>"], after=["</s>"])
    config = transformers.BartConfig(
        vocab_size=len(made), d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=48, decoder_ffn_dim=48, max_position_embeddings=64,
        pad_token_id=made.pad_token_id, bos_token_id=made.bos_token_id, eos_token_id=made.eos_token_id,
        decoder_start_token_id=made.eos_token_id, forced_bos_token_id=made.bos_token_id, forced_eos_token_id=None,
    )  # fmt: skip
    return save(transformers.BartForConditionalGeneration(config), folder)


def bert(folder: Path) -> Path:
    marks = {
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "mask_token": "[MASK]",
    }
    made = words(folder, marks, ["[CLS]"], ["[SEP]"])
    config = transformers.BertConfig(
        vocab_size=len(made), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=48,
        max_position_embeddings=64, pad_token_id=made.pad_token_id,
    )  # fmt: skip
    return save(transformers.BertForMaskedLM(config), folder)


def gguf(folder: Path, unknown: str = "<|endoftext|>") -> Path:
    """The file that holds the weights and the tokenizer of `llama`, as llama.cpp writes them."""
    writers = pytest.importorskip("gguf")
    whole = folder / "whole"
    whole.mkdir()
    network = transformers.LlamaForCausalLM.from_pretrained(llama(whole, unknown))
    held, config = json.loads((whole / "tokenizer.json").read_text()), network.config
    theirs = transformers.AutoTokenizer.from_pretrained(whole)
    writer = writers.GGUFWriter(str(folder / "model.gguf"), "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(len(theirs))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(theirs.convert_ids_to_tokens(range(len(theirs))))
    writer.add_token_types([3 if i in theirs.all_special_ids else 1 for i in range(len(theirs))])
    writer.add_token_merges([" ".join(merge) for merge in held["model"]["merges"]])
    writer.add_bos_token_id(theirs.bos_token_id)
    writer.add_eos_token_id(theirs.eos_token_id)
    writer.add_unk_token_id(theirs.unk_token_id)
    names = writers.get_tensor_name_map(writers.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    for name, weight in network.state_dict().items():
        if name.endswith(("q_proj.weight", "k_proj.weight")):  # llama.cpp turns pairs of neighbours, not halves
            rows = weight.view(-1, 2, config.head_dim // 2, config.hidden_size)
            weight = rows.transpose(1, 2).reshape(weight.shape)
        writer.add_tensor(names.get_name(name, (".weight",)), weight.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return folder / "model.gguf"


MAKERS = {"gpt2": gpt2, "llama": llama, "t5": t5, "bart": bart, "bert": bert}
