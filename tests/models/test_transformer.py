import json
from dataclasses import replace

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from gentext import config
from gentext.adversarial.model import TextGAN
from gentext.decode import Ancestral
from gentext.language_model import Critic, LanguageModel
from gentext.models.transformer.model import Transformer
from gentext.models.vae.encoders import LSTMEncoder
from gentext.models.vae.model import VAE
from gentext.run_pipeline import open_corpus
from gentext.types import BOS, EOS, Batch, pad

ROWS = [[5, 6, 7, 8, EOS], [9, EOS], [4, 4, 10, EOS]]
PRESET = {"positions": "learned", "norm": "layer", "activation": "gelu", "qk_norm": False, "bias": True, "tied": True}


def gpt2(transformers):
    """The same random weights in `transformers`' GPT-2 and in ours."""
    torch.manual_seed(0)
    config = transformers.GPT2Config(vocab_size=40, n_positions=32, n_embd=24, n_layer=3, n_head=4)
    theirs = transformers.GPT2LMHeadModel(config).eval()
    ours = Transformer(40, layers=3, heads=4, width=24, context=32, **PRESET).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.normal_(std=0.2)
        ours.embedding.weight.copy_(theirs.transformer.wte.weight)
        ours.positions.weight.copy_(theirs.transformer.wpe.weight)
        ours.norm.load_state_dict(theirs.transformer.ln_f.state_dict())
        for block, their in zip(ours.blocks, theirs.transformer.h, strict=True):
            block.before_attention.load_state_dict(their.ln_1.state_dict())
            block.before_feedforward.load_state_dict(their.ln_2.state_dict())
            pairs = (block.qkv, their.attn.c_attn), (block.mix, their.attn.c_proj)
            for linear, conv in (*pairs, (block.up, their.mlp.c_fc), (block.down, their.mlp.c_proj)):
                linear.weight.copy_(conv.weight.T)
                linear.bias.copy_(conv.bias)
    return ours, theirs


def test_the_gpt2_preset_is_gpt2():
    transformers = pytest.importorskip("transformers")
    ours, theirs = gpt2(transformers)
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters())
    batch = pad([[5, 6, 7, 8, 30, 39, EOS], [9, 11, 12, 4, 4, 5, EOS]])
    read = torch.cat([torch.full((2, 1), BOS), batch.tokens[:, :-1]], 1)
    with torch.no_grad():
        logits = theirs(input_ids=read).logits
        logits[..., :EOS] = -torch.inf  # PAD and BOS are never emitted here
        expected = logits.log_softmax(-1).gather(2, batch.tokens[..., None])[..., 0]
        assert torch.allclose(ours(batch).log_prob, expected, atol=1e-5)
        stepped = ours.prime(batch.tokens).logits
        last = theirs(input_ids=torch.cat([read, batch.tokens[:, -1:]], 1)).logits[:, -1]
        assert torch.allclose(stepped[:, EOS:], last[:, EOS:], atol=1e-5)


def test_attention_maps_are_those_of_gpt2():
    transformers = pytest.importorskip("transformers")
    ours, theirs = gpt2(transformers)
    theirs.set_attn_implementation("eager")
    tokens = torch.randint(4, 40, (3, 9), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = theirs(input_ids=tokens, output_attentions=True).attentions
        for mine, their in zip(ours.attention(tokens), expected, strict=True):
            assert torch.allclose(mine, their, atol=1e-6)


@pytest.mark.parametrize("positions", ["rotary", "relative"])
def test_attention_reads_what_the_blocks_read(positions):
    torch.manual_seed(0)
    family = Transformer(20, width=16, layers=2, heads=2, positions=positions, context=4).eval()
    for parameter in family.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    with torch.no_grad():
        layers = family.attention(torch.randint(4, 20, (2, 9)))
    place = torch.arange(9)
    seen = (place <= place[:, None]) & (place > place[:, None] - 4)
    for weights in layers:
        assert torch.equal(weights > 0, seen.expand_as(weights))
        assert torch.allclose(weights.sum(-1), torch.ones(2, 2, 9))


@pytest.mark.parametrize("positions", ["rotary", "learned", "sinusoidal", "relative"])
def test_the_cache_grows_past_its_first_room(positions):
    torch.manual_seed(0)
    family = Transformer(20, width=16, layers=2, heads=2, positions=positions, context=200).eval()
    for parameter in family.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    tokens = torch.randint(4, 20, (2, 70))
    with torch.inference_mode():
        at = family.start(2)
        for column in tokens.T:
            at = family.step(at.state, column)
        uncached = family.prime(tokens)
    assert at.state.memory[0].shape[3] > 70
    assert torch.allclose(at.logits, uncached.logits, atol=1e-4)


@pytest.mark.parametrize("positions", ["rotary", "sinusoidal", "relative", "none"])
def test_no_token_reads_further_back_than_the_context(positions):
    torch.manual_seed(0)
    family = Transformer(20, width=16, layers=1, heads=2, positions=positions, context=4).eval()
    for parameter in family.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    batch = pad([[5, 6, 7, 8, 9, 10, 11, 12, EOS], [4, 6, 7, EOS]])
    ragged = Batch(batch.tokens, batch.mask, torch.tensor([[13, 14, 15], [13, 0, 0]]))
    with torch.no_grad():
        for given in (batch, ragged):
            assert torch.allclose(family(given).log_prob, LanguageModel.forward(family, given).log_prob, atol=1e-5)
        near, far = torch.tensor([[5, 9, 7, 8, 9]]), torch.tensor([[5, 6, 7, 8, 9]])  # BOS 5 | 9 7 8 9
        assert not torch.allclose(family.prime(near).logits, family.prime(far).logits, atol=1e-3)
        near, far = torch.tensor([[6, 6, 7, 8, 9]]), torch.tensor([[5, 6, 7, 8, 9]])
        assert torch.allclose(family.prime(near).logits, family.prime(far).logits, atol=1e-5)


def test_positions_are_told_apart():
    for positions in ("rotary", "learned", "sinusoidal", "relative"):
        torch.manual_seed(0)
        family = Transformer(20, width=16, layers=1, heads=2, positions=positions).eval()
        for parameter in family.parameters():
            torch.nn.init.normal_(parameter, std=0.5)
        with torch.no_grad():
            one, other = family.prime(torch.tensor([[5, 6, 7]])).logits, family.prime(torch.tensor([[6, 5, 7]])).logits
        assert not torch.allclose(one[:, EOS:], other[:, EOS:], atol=1e-3), positions


def test_learned_positions_end_and_say_so():
    family = Transformer(20, width=16, layers=1, heads=2, positions="learned", context=4)
    with pytest.raises(ValueError, match="context=6"):
        family(pad([[5, 6, 7, 8, 9, EOS]]))


def test_a_width_that_heads_do_not_divide_is_refused():
    with pytest.raises(ValueError, match="heads"):
        Transformer(20, width=30, heads=4)


@pytest.mark.parametrize("options", [{}, PRESET, {"activation": "swiglu"}])
def test_flops_agree_with_torchs_counter(options):
    family, batch = Transformer(50, width=16, layers=2, heads=2, **options), pad([[4] * 9])
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter, torch.no_grad():
        family(batch)
    assert counter.get_total_flops() == family.flops(9)


def test_a_draw_after_a_prompt_ends_with_the_learned_positions():
    torch.manual_seed(0)
    family = Transformer(20, width=16, layers=1, heads=2, positions="learned", context=6).eval()
    prompt, rng = torch.tensor([[5, 6, 7], [8, 0, 0]]), torch.Generator().manual_seed(0)
    endless = Ancestral(min_len=3)
    for whole in (family, TextGAN(family, Critic())):
        assert whole.sample(2, 6, decoder=endless, rng=rng, prompt=prompt).tokens.shape[1] == 3
        assert whole.sample(2, 2, decoder=Ancestral(), rng=rng, prompt=prompt).tokens.shape[1] <= 2
        assert whole.sample(2, 9, decoder=Ancestral(min_len=6), rng=rng).tokens.shape[1] == 6
        with pytest.raises(ValueError, match="give 5 or fewer"):
            whole.sample(1, 6, decoder=Ancestral(), rng=rng, prompt=torch.tensor([[5] * 6]))
    vae = VAE(LSTMEncoder(20, width=8), family, latent=2).eval()
    assert vae.sample(2, 6, decoder=endless, rng=rng, prompt=prompt).tokens.shape[1] == 3


def test_by_its_options_it_reads_the_longest_source_to_the_end_of_the_longest_text(tmp_path, monkeypatch):
    monkeypatch.setenv("GENTEXT_CACHE", str(tmp_path / "cache"))
    rows = [{"de": " ".join(f"{(i + j) % 9}" for j in range(9)), "en": "a b c"} for i in range(40)]
    (tmp_path / "text.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    overrides = [f"data.path={tmp_path}/text.jsonl", "data.source=de", "data.target=en", "family.layers=1"]
    cfg = config.compose(["data=text", "family=transformer", *overrides])
    corpus = open_corpus(cfg)
    torch.manual_seed(0)
    family = config.build(cfg.family).eval()
    for parameter in family.parameters():  # the way out of attention begins at zero
        torch.nn.init.normal_(parameter, std=0.2)
    batch = next(corpus.batches("train", 1))
    assert family.context == batch.tokens.shape[1] + batch.prompt.shape[1] == corpus.context
    other = batch.prompt.clone()
    other[0, 0] = batch.prompt[0, 1]
    with torch.no_grad():
        same, moved = (family(replace(batch, prompt=prompt)).log_prob[0, -1] for prompt in (batch.prompt, other))
    assert abs(float(same - moved)) > 1e-6
