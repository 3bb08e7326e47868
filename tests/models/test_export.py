"""What is exported computes what the run computes, read back by the programs that it is for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from gentext.cli import main
from gentext.data.checkpoint import PretrainedTokenizer, located
from gentext.data.tokenizer import BPE
from gentext.export import export, hmm_arrays
from gentext.models import HMM, Pretrained, Transformer
from gentext.trained import TrainedModel, load
from gentext.types import EOS, pad

TEXTS = ["a man rides a horse on the beach", "a dog sits on the grass", "two men walk in the rain"]
GPT2 = {"positions": "learned", "norm": "layer", "activation": "gelu", "qk_norm": False, "bias": True}
LLAMA = {"positions": "rotary", "norm": "rms", "activation": "swiglu", "qk_norm": False, "bias": False}


def trained(options, folder: Path, **more) -> TrainedModel:
    torch.manual_seed(0)
    tokenizer = BPE(vocab_size=300).fit(TEXTS)
    family = Transformer(tokenizer.vocab_size, width=16, layers=2, heads=2, context=32, **options, **more).eval()
    for parameter in family.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return TrainedModel(family, tokenizer, OmegaConf.create({"family": options, "max_len": 32}), folder)


@pytest.mark.parametrize("options", [GPT2, LLAMA, {**LLAMA, "qk_norm": True}], ids=["gpt2", "llama", "qwen3"])
@pytest.mark.parametrize("tied", [True, False])
def test_transformers_reads_a_transformer_with_equal_logits_and_back(options, tied, tmp_path):
    transformers = pytest.importorskip("transformers")
    model = trained(options, tmp_path, tied=tied)
    out = export(model, tmp_path / "out")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(out).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(out)
    read = tokenizer(TEXTS[0], return_tensors="pt").input_ids
    assert read[0, 1:].tolist() == model.tokenizer.encode(TEXTS[:1])[0]
    with torch.no_grad():
        logits = theirs(read).logits[0]
        at = model.family.start(1)
        for place in range(read.shape[1]):
            assert torch.allclose(at.logits[0, EOS:], logits[place, EOS:], atol=1e-4)
            if place + 1 < read.shape[1]:
                at = model.family.step(at.state, read[:, place + 1])
        back = Pretrained(model.tokenizer.vocab_size + 4, model=str(out)).eval()
        ours = model.family.log_prob(pad([[*ids, EOS] for ids in model.tokenizer.encode(TEXTS)]))
        shifted = pad([[*(i + 4 for i in ids), EOS] for ids in model.tokenizer.encode(TEXTS)])
        assert torch.allclose(back.log_prob(shifted), ours, atol=1e-3)
    said = transformers.GenerationConfig.from_pretrained(out)
    assert (said.bos_token_id, said.eos_token_id, said.suppress_tokens) == (1, 2, [0, 1])
    assert "# Transformer of gentext" in (out / "README.md").read_text()


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")  # peft's own call of transformers
@pytest.mark.parametrize("kind", ["gpt2", "gguf"])
@pytest.mark.parametrize("lora", [None, 2])
def test_a_fine_tuned_checkpoint_goes_out_and_comes_back(lora, kind, tmp_path):
    transformers = pytest.importorskip("transformers")
    peft = pytest.importorskip("peft")
    from models import checkpoints

    base = str(getattr(checkpoints, kind)(tmp_path))
    tokenizer = PretrainedTokenizer(base)
    family = Pretrained(tokenizer.vocab_size, model=base, lora=lora).eval()
    torch.manual_seed(0)
    for parameter in family.parameters():
        if parameter.requires_grad:
            parameter.data += 0.1 * torch.randn_like(parameter)
    model = TrainedModel(family, tokenizer, OmegaConf.create({"max_len": 32}), tmp_path)
    out = export(model, tmp_path / "out")
    assert (out / "adapter_config.json").exists() == (lora is not None)
    back = Pretrained(tokenizer.vocab_size, model=str(out)).eval()
    assert all(parameter.requires_grad for parameter in back.parameters())  # it may be fine-tuned again
    assert PretrainedTokenizer(str(out)).encode(TEXTS) == tokenizer.encode(TEXTS)
    batch = pad([[*ids, EOS] for ids in tokenizer.encode(TEXTS)])
    with torch.no_grad():
        assert torch.allclose(back.log_prob(batch), family.log_prob(batch), atol=1e-4)
        untrained = Pretrained(tokenizer.vocab_size, model=base).eval()
        assert not torch.allclose(back.log_prob(batch), untrained.log_prob(batch), atol=1e-2)
    if lora is not None:  # the card says how peft reads it
        name, file = located(base)
        assert f"from_pretrained({name!r}{', gguf_file=' if file else ''}" in (out / "README.md").read_text()
        theirs = transformers.AutoModelForCausalLM.from_pretrained(name, **file)
        theirs = peft.PeftModel.from_pretrained(theirs, out).eval()
        ids = torch.tensor([[5, 6, 7]])
        assert torch.allclose(theirs(ids).logits, family.network(ids).logits, atol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [({**LLAMA, "activation": "relu2"}, "activation=relu2"), ({**LLAMA, "cutoffs": [20, 90]}, "family.cutoffs=null")],
)
def test_what_no_class_computes_is_refused_in_one_line(options, message, tmp_path):
    pytest.importorskip("transformers")
    with pytest.raises(ValueError, match=message) as refused:
        export(trained(options, tmp_path), tmp_path / "out")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("options", [{}, {"blocks": 2}, {"rank": 3}])
def test_hmmlearn_gives_a_sentence_the_same_likelihood(options):
    hmmlearn = pytest.importorskip("hmmlearn.hmm")
    torch.manual_seed(0)
    family = HMM(9, states=4, grow_from=None, **options).eval()
    theirs = hmmlearn.CategoricalHMM(4, n_features=9)
    for name, value in hmm_arrays(family).items():
        setattr(theirs, name, value)
    for row in ([4, 5, EOS], [8, EOS], [7, 7, 6, 5, EOS]):
        with torch.no_grad():
            ours = float(family.log_prob(pad([row])))
        assert theirs.score(np.array(row)[:, None]) == pytest.approx(ours, abs=1e-4)


def test_the_command_exports_each_kind(tmp_path, capsys):
    small = ["data.train=100", "data.valid=20", "data.test=20", "eval=latent", "eval.samples=5", f"out={tmp_path}"]
    assert main(["run", "family=hmm", "family.states=4", "train.iterations=1", *small]) == 0
    (run,) = [path.parent for path in tmp_path.rglob("trained.json")]
    assert main(["export", str(run), str(tmp_path / "hmm.npz")]) == 0
    assert set(np.load(tmp_path / "hmm.npz")) == {"startprob_", "transmat_", "emissionprob_"}
    assert main(["export", str(run), str(tmp_path / "hmm")]) == 2
    assert "hmm.npz is there already; name a file that is new" in capsys.readouterr().err
    assert isinstance(load(run).family, HMM)
    assert main(["export", str(tmp_path), "x"]) == 2
    assert "holds no trained model" in capsys.readouterr().err
