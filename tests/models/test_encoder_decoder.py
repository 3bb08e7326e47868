from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from gentext import config
from gentext.data.corpus import Corpus
from gentext.data.text_files import LocalText
from gentext.data.tokenizer import Word
from gentext.decode import Ancestral, Beam
from gentext.language_model import LanguageModel
from gentext.models.encoder_decoder import EncoderDecoder
from gentext.models.transformer.attention import Relative
from gentext.models.transformer.encoder import Encoder
from gentext.types import EOS, PAD, Batch, Step, pad

V = 23
SOURCES = torch.tensor([[11, 12, 13, EOS], [14, EOS, PAD, PAD], [15, 16, EOS, PAD]])
KINDS = ["sinusoidal", "learned", "relative", "rotary"]


def make(positions: str = "sinusoidal", **more) -> EncoderDecoder:
    torch.manual_seed(0)
    family = EncoderDecoder(V, width=16, layers=2, heads=2, positions=positions, context=32, **more)
    for parameter in family.parameters():
        nn.init.normal_(parameter, std=0.3)
    return family.eval()


class Uncached(LanguageModel):
    """The same distribution with no cache: all that was said is read anew by the parallel forward pass."""

    def __init__(self, family: EncoderDecoder) -> None:
        super().__init__()
        self.family, self.vocab_size = family, family.vocab_size

    def start(self, n, *, rng=None):
        return self.prime(torch.full((n, 1), EOS))

    def prime(self, prompt, *, rng=None):
        return self._next(prompt, prompt[:, :0])

    def step(self, state, tokens):
        return self._next(state[0], torch.cat([state[1], tokens[:, None]], 1))

    def _next(self, prompt, said):
        """Every token is tried as the next one."""
        n, v = len(prompt), self.vocab_size
        tokens = torch.cat([said.repeat_interleave(v, 0), torch.arange(v).repeat(n)[:, None]], 1)
        batch = Batch(tokens, torch.ones_like(tokens, dtype=torch.bool), prompt.repeat_interleave(v, 0))
        return Step(self.family(batch).log_prob[:, -1].view(n, v), (prompt, said))


@pytest.mark.parametrize("post_norm", [False, True])
@pytest.mark.parametrize("positions", KINDS)
def test_cached_steps_equal_the_parallel_pass_over_a_source(positions, post_norm):
    family, batch = make(positions, post_norm=post_norm), pad([[5, 6, 7, EOS], [8, EOS], [9, 10, EOS]])
    for prompt in (SOURCES, torch.cat([SOURCES, torch.tensor([[4], [PAD], [20]])], 1)):
        given = replace(batch, prompt=prompt)
        with torch.no_grad():
            assert torch.allclose(family(given).log_prob, LanguageModel.forward(family, given).log_prob, atol=1e-5)


@pytest.mark.parametrize("positions", KINDS)
def test_cached_beam_equals_uncached(positions):
    family = make(positions)
    rng = torch.Generator().manual_seed(0)
    for beam in (Beam(width=3), Beam(width=2, length_penalty=0.0, groups=2, diversity=0.5)):
        cached = beam.best(family, 3, 5, rng=rng, prompt=SOURCES)
        uncached = beam.best(Uncached(family), 3, 5, rng=rng, prompt=SOURCES)
        assert torch.equal(cached.batch.tokens, uncached.batch.tokens)
        assert torch.allclose(cached.scores, uncached.scores, atol=1e-5)


def test_a_source_is_read_and_its_padding_is_not():
    family, batch = make(), pad([[5, 6, EOS]] * 3)
    with torch.no_grad():
        scores = family(replace(batch, prompt=SOURCES)).log_prob
        wide = nn.functional.pad(SOURCES, (0, 5))
        assert torch.allclose(family(replace(batch, prompt=wide)).log_prob, scores, atol=1e-5)
        assert not torch.allclose(scores[0], scores[1], atol=1e-3)
        bare = family(replace(batch, prompt=None)).log_prob
        assert torch.allclose(family(replace(batch, prompt=torch.full((3, 1), EOS))).log_prob, bare, atol=1e-6)


def test_post_norm_blocks_are_those_of_torch():
    torch.manual_seed(0)
    ours = EncoderDecoder(
        V, width=16, layers=2, heads=2, inner=24, post_norm=True, positions="none", dropout=0.0
    ).eval()
    theirs = nn.Transformer(16, 2, 2, 2, 24, dropout=0.0, batch_first=True).eval()
    theirs.encoder.norm = theirs.decoder.norm = None
    theirs.encoder.use_nested_tensor = False
    for parameter in ours.parameters():
        nn.init.normal_(parameter, std=0.3)
    with torch.no_grad():
        layers = [*theirs.encoder.layers, *theirs.decoder.layers]
        for mine, their in zip([*ours.encoder.blocks, *ours.blocks], layers, strict=True):
            pairs = [(mine.qkv, their.self_attn), (mine.mix, their.self_attn.out_proj), (mine.up, their.linear1)]
            pairs += [(mine.down, their.linear2), (mine.before_attention, their.norm1)]
            for name, side in (("weight", "in_proj_weight"), ("bias", "in_proj_bias")):
                getattr(their.self_attn, side).copy_(getattr(mine.qkv, name))
                if hasattr(mine, "query"):
                    parts = [getattr(mine.query, name), getattr(mine.keys_values, name)]
                    getattr(their.multihead_attn, side).copy_(torch.cat(parts))
            last = their.norm2
            if hasattr(mine, "query"):
                pairs += [(mine.mix_source, their.multihead_attn.out_proj), (mine.before_source, their.norm2)]
                last = their.norm3
            for one, other in [*pairs[1:], (mine.before_feedforward, last)]:
                other.load_state_dict(one.state_dict())
        batch = replace(pad([[5, 6, 7, EOS], [8, EOS, PAD, PAD]]), prompt=SOURCES[:2])
        source = ours.embedding(batch.prompt)
        read = ours.embedding(torch.cat([torch.full((2, 1), 1), batch.tokens[:, :-1]], 1))
        causal = nn.Transformer.generate_square_subsequent_mask(4).isinf()
        absent = batch.prompt == PAD
        expected = theirs(source, read, tgt_mask=causal, src_key_padding_mask=absent, memory_key_padding_mask=absent)
        assert torch.allclose(ours(batch).hidden, expected, atol=1e-5)


def test_an_encoders_relative_positions_are_those_of_t5():
    t5 = pytest.importorskip("transformers.models.t5.modeling_t5")
    ours = Relative(2, both=True)
    nn.init.normal_(ours.weight)
    place = torch.arange(200)
    bucket = t5.T5Attention._relative_position_bucket(place - place[:, None], bidirectional=True)
    # T5 gives the upper half of the table to what follows, and so do we
    assert torch.equal(ours.bias(0, 200), ours.weight[bucket].movedim(-1, 0))


def test_an_encoder_reads_what_follows():
    torch.manual_seed(0)
    encoder = Encoder(8, layers=2, heads=2, positions="rotary").eval()
    for parameter in encoder.parameters():
        nn.init.normal_(parameter, std=0.3)
    x, real = torch.randn(1, 5, 8), torch.ones(1, 5, dtype=torch.bool)
    other = x.clone()
    other[0, 4, 0] += 3
    assert not torch.allclose(encoder(x, real)[0, 0], encoder(other, real)[0, 0], atol=1e-3)
    real[0, 4] = False
    assert torch.allclose(encoder(x, real)[0, :4], encoder(other, real)[0, :4], atol=1e-6)


def test_alignments_are_shares_of_the_source():
    family = make()
    with torch.no_grad():
        layers = family.alignment(SOURCES, torch.tensor([[5, 6], [7, 8], [9, 4]]))
    assert [tuple(share.shape) for share in layers] == [(3, 2, 3, 4)] * 2
    for share in layers:
        assert torch.allclose(share.sum(-1), torch.ones(3, 2, 3))
        assert (share[1, :, :, 2:] == 0).all()


def test_it_shows_the_alignment_of_a_corpus_of_pairs(tmp_path):
    (tmp_path / "pairs.tsv").write_text("source\ttext\n" + "".join(f"ein hund {i}\ta dog {i}\n" for i in range(30)))
    source = LocalText(str(tmp_path / "pairs.tsv"), source="source", valid=5, test=5, words="whitespace")
    corpus = Corpus.open(source, Word(), cache=tmp_path / "cache")
    family = EncoderDecoder(corpus.tokenizer.vocab_size, width=16, layers=2, heads=2).eval()
    with torch.no_grad():
        panels = family.panels(corpus, torch.Generator().manual_seed(0))
    assert [panel.title for panel in panels] == [f"What layer {i} reads of the source" for i in (1, 2)]
    assert len(panels[0].rows) == len(panels[0].columns) == 4


def test_a_long_source_leaves_room_for_the_answer():
    family = make("learned")
    long = torch.cat([torch.full((1, 31), 5), torch.tensor([[EOS]])], 1)
    assert family.room(20, long) == 20
    drawn = family.sample(1, 20, decoder=Ancestral(), rng=torch.Generator().manual_seed(0), prompt=long)
    assert drawn.tokens.shape[1] <= 20
    with pytest.raises(ValueError, match=r"33 tokens.*family\.context=33"):
        family.prime(torch.cat([long[:, :1], long], 1))


def test_label_smoothing_has_its_term():
    family, batch = make(dropout=0.0), pad([[5, 6, 7, EOS], [8, EOS]])
    uniform = family.train()(batch).terms["uniform"]
    assert torch.allclose(uniform[:, 0], family.start(2).logits.log_softmax(-1)[:, EOS:].mean(-1), atol=1e-5)
    assert (uniform[~batch.mask] == 0).all()


def test_flops_agree_with_torchs_counter():
    n, t = 3, 32
    family = EncoderDecoder(V, width=16, layers=2, heads=2, context=t).eval()
    batch = Batch(torch.full((n, t), 4), torch.ones(n, t, dtype=torch.bool), torch.full((n, t), EOS))
    with FlopCounterMode(display=False) as counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        family(batch)
    assert counter.get_total_flops() == pytest.approx(family.flops(n * t), rel=0.02)


@pytest.mark.slow
def test_the_preset_learns_to_copy_backwards():
    """Which wants attention over the source."""
    torch.manual_seed(0)
    cfg = config.compose(["family=encoder_decoder", "vocab_size=12", "max_len=8", "family.width=32", "family.layers=1"])
    family = config.build(cfg.family).train()
    optimizer = torch.optim.Adam(family.parameters(), 3e-3)
    for _ in range(500):
        source = torch.randint(4, 12, (32, 4))
        rows = torch.cat([source.flip(1), torch.full((32, 1), EOS)], 1)
        batch = Batch(rows, torch.ones_like(rows, dtype=torch.bool), torch.cat([source, rows[:, -1:]], 1))
        (-family(batch).log_prob.mean()).backward()
        optimizer.step()
        optimizer.zero_grad()
    source = torch.randint(4, 12, (64, 4))
    prompt = torch.cat([source, torch.full((64, 1), EOS)], 1)
    said = family.eval().sample(64, 6, decoder=Beam(width=3), rng=torch.Generator(), prompt=prompt)
    right = (said.tokens[:, :4] == source.flip(1)).all(1).float().mean()
    assert right > 0.9
