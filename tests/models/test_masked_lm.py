from dataclasses import replace

import pytest
import torch
from scipy import stats
from torch import nn

from gentext.decode import Ancestral, Beam
from gentext.models.masked_lm import MaskedLM
from gentext.types import BOS, EOS, PAD, UNK, Batch, pad

V = 23
ROWS = [[5, 6, 7, 8, EOS], [9, EOS], [4, 4, 10, EOS]]


def make(v: int = V, **more) -> MaskedLM:
    torch.manual_seed(0)
    family = MaskedLM(v, **{"width": 16, "layers": 2, "heads": 2, "context": 12, **more})
    for parameter in family.parameters():
        nn.init.normal_(parameter, std=0.3)
    return family.eval()


def alone(family: MaskedLM, tokens: list[int], masked: list[int]) -> torch.Tensor:
    """Log-probabilities at every place of one line of ids, BOS first, some of its places masked."""
    x = family.embedding(torch.tensor([tokens]))
    x[0, masked] = family.masked
    hidden = family.encoder(x, torch.ones(1, len(tokens), dtype=torch.bool))
    return family.output(hidden)[0].log_softmax(-1)


@pytest.mark.parametrize("positions", ["sinusoidal", "learned", "relative", "rotary"])
def test_the_pseudo_log_likelihood_masks_each_token_alone(positions):
    family = make(positions=positions)
    for prompt in (None, torch.tensor([[11, 12], [PAD, PAD], [13, PAD]])):
        with torch.no_grad():
            ours = family.log_prob(replace(pad(ROWS, width=7), prompt=prompt))
            for i, row in enumerate(ROWS):
                given = [] if prompt is None else [t for t in prompt[i].tolist() if t != PAD]
                line, total = [BOS, *given, *row], 0.0
                for place in range(1 + len(given), len(line)):
                    total += float(alone(family, line, [place])[place, line[place]])
                assert float(ours[i]) == pytest.approx(total, abs=1e-4)


def hidden_and_read(family: MaskedLM, batch: Batch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Of one training pass: which tokens are predicted, which are masked, and what is read elsewhere."""
    seen = []
    read, family._read = family._read, lambda *given: seen.append(given) or read(*given)
    try:
        predicted = family(batch).log_prob != 0
    finally:
        del family._read
    tokens, _, masked = seen[0]
    return predicted, masked[:, 1:], tokens[:, 1:]


def test_of_the_hidden_tokens_eight_in_ten_are_masked_and_one_in_ten_is_another():
    family, tokens = make(), torch.randint(4, V, (400, 12))
    batch = Batch(tokens, torch.ones_like(tokens, dtype=torch.bool))
    predicted, masked, read = hidden_and_read(family, batch)
    n = int(predicted.sum())
    assert stats.binomtest(n, tokens.numel(), 0.15).pvalue > 1e-3
    assert not (masked & ~predicted).any()
    assert stats.binomtest(int(masked.sum()), n, 0.8).pvalue > 1e-3
    other = (read != tokens) & ~masked
    assert not (other & ~predicted).any()
    assert stats.binomtest(int(other.sum()), n, 0.1 * (1 - 1 / (V - 4))).pvalue > 1e-3
    assert (read >= 4).all()


def test_the_tokens_of_a_word_are_hidden_together():
    family = make(mask=0.5)
    inside = torch.arange(V) >= 14
    family.subwords(inside)
    tokens = torch.tensor([[4, 14, 15, 5, 6, 16, 7, 17]]).repeat(200, 1)  # words of 3, 1, 2 and 2 tokens
    batch = Batch(tokens, torch.ones_like(tokens, dtype=torch.bool))
    predicted = hidden_and_read(family, batch)[0]
    for together in ((0, 1, 2), (4, 5), (6, 7)):
        assert (predicted[:, together].all(1) == predicted[:, together].any(1)).all()
    assert 0.4 < predicted.float().mean() < 0.6
    family.whole_words = False
    predicted = hidden_and_read(family, batch)[0]
    assert (predicted[:, (0, 1, 2)].all(1) != predicted[:, (0, 1, 2)].any(1)).any()


@pytest.mark.parametrize("mask", [0.15, None])
def test_the_objective_is_in_the_mean_of_every_token(mask):
    """Where the predictions do not hang on what is masked, it is the sum over all tokens whatever the share."""
    family = make(mask=mask)
    for parameter in family.encoder.parameters():
        nn.init.zeros_(parameter)
    batch = pad([ROWS[0]] * 3000)
    with torch.no_grad():
        mean = family(batch).log_prob.sum(1).mean()
        every = family.log_prob(pad(ROWS[:1]))
    assert float(mean) == pytest.approx(float(every), rel=0.06)


def test_lengths_are_those_of_the_training_text():
    family = make(iterations=1)
    family.prepare([pad([[4, EOS]] * 3 + [[5, 6, 7, 8, EOS]])], rng=torch.Generator())
    assert family.lengths.nonzero()[:, 0].tolist() == [2, 5]
    draw = family.sample(400, 12, decoder=Ancestral(), rng=torch.Generator().manual_seed(0))
    assert set(draw.lengths.tolist()) == {2, 5}
    assert stats.binomtest(int((draw.lengths == 2).sum()), 400, 0.75).pvalue > 1e-3
    assert (draw.tokens.gather(1, draw.lengths[:, None] - 1) == EOS).all()
    short = family.sample(50, 3, decoder=Ancestral(), rng=torch.Generator().manual_seed(0))
    assert set(short.lengths.tolist()) == {2}


@pytest.mark.parametrize("decoder", [Ancestral(), Ancestral(repetition_penalty=1.1), Beam(width=2)])
@pytest.mark.parametrize("sampler", ["gibbs", "mask_predict"])
def test_a_prompt_is_gone_on_from(sampler, decoder):
    family = make(sampler=sampler)
    family.prepare([pad([[4, 5, 6, 7, EOS]])], rng=torch.Generator())
    prompt = torch.tensor([[11, 12, 13], [14, PAD, PAD], [4, 5, 15]])
    draw = family.sample(3, 8, decoder=decoder, rng=torch.Generator().manual_seed(0), prompt=prompt)
    assert draw.lengths.tolist() == [2, 4, 2]  # five tokens each, the prompt among them
    assert (draw.tokens[draw.mask] != PAD).all()
    assert not (draw.tokens == BOS).any()


def test_gibbs_sampling_reaches_the_distribution_of_its_sweeps():
    """Two places of four words each: the distribution after two sweeps by enumeration."""
    family = make(7, iterations=2)
    family.prepare([pad([[4, 5, EOS]])], rng=torch.Generator())
    words = [UNK, 4, 5, 6]

    def given(other: int | None, place: int) -> torch.Tensor:
        line = [BOS, 4, 4, EOS]
        line[3 - place] = 4 if other is None else other
        logits = alone(family, line, [place] if other is not None else [1, 2])[place]
        return logits[words].softmax(-1)

    with torch.no_grad():
        first = torch.stack([given(word, 1) for word in words])  # of the word at 1, by the word at 2
        second = torch.stack([given(word, 2) for word in words])
        begun = [given(None, 1)[:, None] * second, (given(None, 2)[:, None] * first).T]
    after = (begun[0] + begun[1]) / 2  # [word at 1, word at 2]
    sweeps = [after.sum(0)[:, None] * first, after.sum(1)[:, None] * second]  # drawn first: 1, then 2
    one = sweeps[0].sum(0)[:, None] * second
    other = (sweeps[1].sum(0)[:, None] * first).T
    expected = (one + other) / 2
    draw = family.sample(2000, 3, decoder=Ancestral(), rng=torch.Generator().manual_seed(0)).tokens
    code = torch.tensor([words.index(int(a)) * 4 + words.index(int(b)) for a, b, _ in draw])
    wanted = expected.flatten().double().numpy()
    assert stats.chisquare(code.bincount(minlength=16).numpy(), wanted / wanted.sum() * 2000).pvalue > 1e-3


def test_mask_predict_keeps_what_it_is_surest_of():
    family = make(sampler="mask_predict", iterations=2)
    family.prepare([pad([[4, 5, 6, 7, EOS]])], rng=torch.Generator())
    with torch.no_grad():
        first = alone(family, [BOS, 4, 4, 4, 4, EOS], [1, 2, 3, 4])[1:5]
        first[:, [PAD, BOS, EOS]] = -torch.inf
        sure, best = first.softmax(-1).max(-1)
        again = sure.argsort()[:2]  # half of the four are masked once more
        line = [BOS, *best.tolist(), EOS]
        second = alone(family, line, (again + 1).tolist())[1:5]
        second[:, [PAD, BOS, EOS]] = -torch.inf
        best[again] = second[again].argmax(-1)
    draw = family.sample(1, 8, decoder=Ancestral(top_k=1), rng=torch.Generator().manual_seed(0))
    assert draw.tokens[0].tolist() == [*best.tolist(), EOS]


def test_senseless_masks_are_refused():
    for wrong in (0.0, -0.1, 1.0):
        with pytest.raises(ValueError, match="mask"):
            MaskedLM(9, mask=wrong)
    with pytest.raises(ValueError, match="sampler"):
        MaskedLM(9, sampler="gibs")
