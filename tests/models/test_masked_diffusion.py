import itertools
import math
from dataclasses import replace

import pytest
import torch
from scipy import stats
from torch import nn

from gentext.decode import Ancestral, Beam, Unmask
from gentext.decode.sampling import draws
from gentext.metrics import HeldOutLikelihood
from gentext.models import MaskedDiffusion, NGram
from gentext.results.record import comparable_signatures
from gentext.types import ANY, BOS, EOS, GAP, PAD, UNK, Scores, pad

WORDS = [UNK, 4, 5]  # a language of three words
CONTEXT = 3
TEXTS = [
    [*words, EOS][:CONTEXT] for k in range(CONTEXT + 1) for words in itertools.product(WORDS, repeat=k)
]  # all of them: of 0, 1, 2 words, and of 3, where they are cut


def make(v: int = 6, **more) -> MaskedDiffusion:
    torch.manual_seed(0)
    family = MaskedDiffusion(v, **{"width": 8, "layers": 1, "heads": 2, "context": CONTEXT, **more})
    for parameter in family.parameters():
        nn.init.normal_(parameter, std=0.6)
    return family.eval()


def conditional(family: MaskedDiffusion, line: list[int | None], place: int) -> torch.Tensor:
    """p(word at a place | the known tokens of a line, its end among them, None for a mask), from the encoder alone."""
    read = family.embedding(torch.tensor([[BOS, *(PAD if token is None else token for token in line)]]))
    logits = family.output(family.encoder(read, torch.ones(read.shape[:2], dtype=torch.bool)))[0, 1 + place].double()
    logits[[PAD, BOS, EOS]] = -torch.inf
    return logits.softmax(-1)


def log_prob_in_order(
    family: MaskedDiffusion, text: list[int], order: tuple[int, ...], cache: dict[tuple, torch.Tensor]
) -> float:
    """Its length first, then its words in the order."""
    words = [token for token in text if token != EOS]
    total = float(family.length_bias.double().log_softmax(0)[len(words)])
    line: list[int | None] = [None] * len(words) + [EOS] * (len(words) < CONTEXT)
    for place in (place for place in order if place < len(words)):
        key = (place, *line)
        if key not in cache:
            cache[key] = conditional(family, line, place)
        total += math.log(float(cache[key][text[place]]))
        line[place] = text[place]
    return total


@pytest.fixture(scope="module")
def by_order() -> torch.Tensor:
    """log p of every text under each of the six orders of three places."""
    family = make()
    orders, cache = list(itertools.permutations(range(CONTEXT))), {}
    with torch.no_grad():
        return torch.tensor(
            [[log_prob_in_order(family, text, order, cache) for order in orders] for text in TEXTS], dtype=torch.double
        )


def test_each_order_is_a_distribution_over_all_texts(by_order):
    assert torch.allclose(by_order.exp().sum(0), torch.ones(6, dtype=torch.double), atol=1e-5)


def test_the_bound_is_the_mean_over_orders_and_below_the_exact_log_probability(by_order):
    copies = 50
    with torch.no_grad():
        ours = make(draws=9).log_prob(pad(TEXTS * copies)).double().view(copies, len(TEXTS))
    error = ours.std(0) / copies**0.5
    assert float(((ours.mean(0) - by_order.mean(1)).abs() - 4.5 * error).max()) < 1e-5
    assert float((ours.mean(0) - by_order.mean(1)).mean()) == pytest.approx(0, abs=0.05)
    exact = by_order.logsumexp(1) - math.log(6)
    assert (by_order.mean(1) <= exact + 1e-12).all()  # equal where a text has one token, but for rounding
    assert (by_order.mean(1) < exact - 0.01).any()


def test_the_discrete_time_bound_reaches_the_mean_over_orders_as_steps_grow(by_order):
    """MDLM's own terms: each place masked with probability t, alpha = 1 - t, T steps from t = 1 to 0."""
    family, text = make(), [4, 5, 5]
    cost = {}
    with torch.no_grad():
        length = -float(family.length_bias.double().log_softmax(0)[CONTEXT])
        for size in range(1, CONTEXT + 1):
            for masked in itertools.combinations(range(CONTEXT), size):
                line = [None if j in masked else text[j] for j in range(CONTEXT)]
                cost[masked] = -sum(math.log(float(conditional(family, line, j)[text[j]])) for j in masked)

    def bound(steps: int) -> float:
        total = length
        for t, s in ((i / steps, (i - 1) / steps) for i in range(1, steps + 1)):
            mean = sum(t ** len(m) * (1 - t) ** (CONTEXT - len(m)) * nats for m, nats in cost.items())
            total += (t - s) / t * mean
        return total

    limit = -float(by_order[TEXTS.index(text)].mean())
    assert bound(1) == pytest.approx(length + cost[0, 1, 2])
    assert bound(4000) == pytest.approx(limit, abs=2e-3)
    assert abs(bound(4000) - limit) < abs(bound(40) - limit) < abs(bound(4) - limit)


def test_the_objective_is_in_the_mean_the_bound(by_order):
    family = make().train()
    for i in (0, 2, 7, 20):
        batch = pad([TEXTS[i]] * 3000)
        with torch.no_grad():
            outputs = family(batch)
        assert torch.allclose(outputs.terms["nelbo"], -outputs.log_prob.sum(1), atol=1e-4)
        assert float(outputs.terms["nelbo"].mean()) == pytest.approx(-float(by_order[i].mean()), rel=0.05)


def test_weighting_is_a_power_of_the_weights_of_the_bound_and_of_training_alone():
    batch = pad([[4, 5, 4, 5, 5, EOS]])
    found = {}
    for weighting in (0.0, 0.5, 1.0):
        family = make(context=6, weighting=weighting)
        with torch.no_grad():
            judged = family(batch).terms["nelbo"]
            family.train()
            torch.manual_seed(1)
            found[weighting] = family(batch).terms["nelbo"] + family.length_log_prob(batch)
        assert torch.equal(judged, found.setdefault("judged", judged))
    assert torch.allclose(found[0.5].square(), found[0.0] * found[1.0], rtol=1e-5)
    assert not torch.allclose(found[0.0], found[1.0])


def test_times_are_spread_evenly_over_a_batch():
    family = make(context=8).train()
    seen = []
    read, family._read = family._read, lambda canvas: seen.append(canvas.masked.sum(1)) or read(canvas)
    family(pad([[4, 5] * 4] * 16))
    assert sorted(seen[0].tolist()) == sorted([1, 2, 3, 4, 5, 6, 7, 8] * 2)


@pytest.mark.parametrize("positions", ["rotary", "learned"])
def test_the_objective_has_a_gradient_and_falls(positions):
    torch.manual_seed(0)
    family = MaskedDiffusion(6, width=8, layers=1, heads=2, context=CONTEXT, positions=positions)
    batch, found = pad([[4, 5, EOS], [5, EOS]] * 8), []
    descent = torch.optim.Adam(family.parameters(), lr=0.02)
    for _ in range(40):
        loss = family(batch).terms["nelbo"].mean()
        descent.zero_grad()
        loss.backward()
        descent.step()
        found.append(loss.item())
    assert sum(found[-10:]) < 0.6 * sum(found[:10])
    assert sum(found[-10:]) / 10 > math.log(2) * 0.8  # two texts with equal odds: not below their entropy


HOW = [
    {"order": "left_to_right"},
    {"order": "confidence"},
    {"order": "entropy"},
    {"order": "left_to_right", "steps": 2},
    {"order": "confidence", "steps": 2},
    {"order": "confidence", "steps": 1},
    {"order": "entropy", "block": 2},
    {"order": "confidence", "block": 2, "steps": 2},
    {"order": "entropy", "entropy_bound": 1.0},
    {"order": "confidence", "temperature": 0.7},
]


@pytest.mark.parametrize("how", HOW, ids=str)
def test_the_likelihood_of_a_fixed_order_is_exact_for_its_draws(how):
    family, decoder = make(), Unmask(**how)
    exact = decoder.distribution(family)
    with torch.no_grad():
        expected = exact.log_prob(pad(TEXTS)).exp()
    assert exact.likelihood == "exact"
    assert float(expected.sum()) == pytest.approx(1.0, abs=1e-5)
    draw = family.sample(3000, CONTEXT, decoder=decoder, rng=torch.Generator().manual_seed(0))
    places = {tuple(text): i for i, text in enumerate(TEXTS)}
    seen = torch.zeros(len(TEXTS))
    for tokens, mask in zip(draw.tokens, draw.mask, strict=True):
        seen[places[tuple(tokens[mask].tolist())]] += 1
    likely = expected * 3000 >= 5
    observed = torch.cat([seen[likely], seen[~likely].sum()[None]]).double()
    wanted = torch.cat([expected[likely], expected[~likely].sum()[None]]) * 3000
    assert stats.chisquare(observed.numpy(), (wanted / wanted.sum() * 3000).numpy()).pvalue > 1e-4


@pytest.mark.parametrize("order", ["left_to_right", "confidence", "entropy"])
def test_a_text_is_as_likely_beside_others_as_alone(order):
    exact = Unmask(order=order, steps=4, block=4).distribution(make(context=14))
    texts = pad([[4, 5, 4, 5, 2], [*[4, 5] * 6, 2], [5, 2]])
    with torch.no_grad():
        alone = torch.cat([exact.log_prob(texts.rows(slice(i, i + 1))) for i in range(3)])
        assert torch.allclose(exact.log_prob(texts), alone, atol=1e-5)


def test_from_left_to_right_it_is_the_product_of_its_conditionals(by_order):
    family = make()
    exact = Unmask(order="left_to_right").distribution(family)
    with torch.no_grad():
        assert torch.allclose(exact.log_prob(pad(TEXTS)).float(), by_order[:, 0].float(), atol=1e-4)
        other = Unmask(order="confidence").distribution(family)
        assert not torch.allclose(other.log_prob(pad(TEXTS)).float(), by_order[:, 0].float(), atol=1e-2)
    assert not exact.sequential


def test_a_step_says_the_next_word_of_a_text_of_the_drawn_length():
    family = make()
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        at = family.start(40, rng=rng)
        words = at.state.text.sum(1)
        assert set(words.tolist()) == {0, 1, 2, 3}
        for i, token in enumerate([4, 5, 4]):
            for row in range(40):
                line = [*[4, 5, 4][:i], *[None] * (3 - i)][: words[row]] + [EOS] * (int(words[row]) < CONTEXT)
                own = at.logits[row].double().softmax(-1)
                expected = conditional(family, line, i) if i < words[row] else torch.eye(6).double()[EOS]
                assert torch.allclose(own, expected, atol=1e-5)
            at = family.step(at.state, torch.full((40,), token))
        assert (at.logits.argmax(1) == EOS).all()


def test_the_length_is_that_of_the_training_texts_and_is_drawn_first():
    family = MaskedDiffusion(6, width=8, layers=1, heads=2, context=5).eval()
    family.prepare([pad([[4, EOS], [4, 4, EOS], [4, 4, EOS], [4] * 5])], rng=torch.Generator())
    odds = torch.tensor([0.5, 1.5, 2.5, 0.5, 0.5, 1.5])
    assert torch.allclose(family.length_bias.softmax(0), odds / odds.sum())
    with torch.no_grad():
        ours = family.length_log_prob(pad([[EOS], [4, EOS], [4, 4], [4] * 5])).exp()
    assert torch.allclose(ours, torch.tensor([0.5, 1.5, 5.0, 1.5]) / odds.sum())
    draw = family.sample(2000, 3, decoder=Ancestral(), rng=torch.Generator().manual_seed(0))
    seen = [int((draw.tokens == EOS).any(1)[draw.lengths == length].sum()) for length in (1, 2, 3)]
    cut = int((~(draw.tokens == EOS).any(1)).sum())
    assert (draw.lengths[~(draw.tokens == EOS).any(1)] == 3).all()
    wanted = torch.tensor([0.5, 1.5, 2.5, 2.5]) / odds.sum() * 2000
    assert stats.chisquare([*seen, cut], wanted.numpy()).pvalue > 1e-3


def test_a_prompt_moves_the_length_and_padding_moves_nothing():
    family, prompt = make(context=6), torch.tensor([[4, 5], [5, PAD]])
    text = pad([[4, EOS], [4, EOS]])
    with torch.no_grad():
        told = family.length_log_prob(type(text)(text.tokens, text.mask, prompt))
        alone = family.length_log_prob(type(text)(text.tokens[1:], text.mask[1:], prompt[1:, :1]))
    assert float(told[1]) == pytest.approx(float(alone[0]), abs=1e-6)
    assert abs(float(told[0] - told[1])) > 1e-3


def test_draws_in_a_random_order_have_the_mean_probability_over_orders(by_order):
    expected = by_order.exp().mean(1)
    draw = make().sample(3000, CONTEXT, decoder=Ancestral(), rng=torch.Generator().manual_seed(0))
    places = {tuple(text): i for i, text in enumerate(TEXTS)}
    seen = torch.zeros(len(TEXTS))
    for tokens, mask in zip(draw.tokens, draw.mask, strict=True):
        seen[places[tuple(tokens[mask].tolist())]] += 1
    likely = expected * 3000 >= 5
    observed = torch.cat([seen[likely], seen[~likely].sum()[None]]).double()
    wanted = torch.cat([expected[likely], expected[~likely].sum()[None]]) * 3000
    assert stats.chisquare(observed.numpy(), (wanted / wanted.sum() * 3000).numpy()).pvalue > 1e-4


def passes(family: MaskedDiffusion, decoder: Unmask, n: int = 1, seed: int = 0) -> tuple[int, torch.Tensor]:
    """How often the network is asked in a draw, and the draw."""
    asked = []
    read, family._read = family._read, lambda canvas: asked.append(len(canvas.tokens)) or read(canvas)
    draw = family.sample(n, family.context, decoder=decoder, rng=torch.Generator().manual_seed(seed))
    del family._read
    return len(asked), draw.tokens


def test_so_many_passes_are_made_and_none_that_unmasks_nothing():
    family = make(context=12)
    for how, least, most in (
        ({"order": "confidence", "steps": 4}, 4, 4),
        ({"order": "left_to_right", "steps": 5}, 4, 5),
        ({"order": "entropy", "steps": 4, "block": 6}, 4, 4),
        ({"order": "confidence"}, 12, 12),
        ({"order": "random", "steps": 3}, 1, 3),
        ({"order": "random", "steps": 1000}, 8, 12),  # a place each, or two in one pass
        ({"order": "entropy", "entropy_bound": 1e9}, 1, 1),
        ({"order": "entropy", "entropy_bound": 0.0}, 12, 12),
    ):
        asked, tokens = passes(family, Unmask(min_len=12, **how))
        assert least <= asked <= most, how
        assert tokens.shape == (1, 12)
        assert not (tokens == EOS).any()


def test_blocks_are_filled_one_after_the_other():
    family, seen = make(context=6), []
    decoder = Unmask(order="confidence", block=2, min_len=6)
    read, family._read = family._read, lambda canvas: seen.append(canvas.masked[0, 1:].tolist()) or read(canvas)
    family.sample(1, 6, decoder=decoder, rng=torch.Generator().manual_seed(0))
    for turn, masked in enumerate(seen):
        done = turn // 2 * 2
        assert not any(masked[:done])
        assert all(masked[done + 2 :])


def test_remasking_changes_known_tokens_and_never_given_ones():
    family = make(context=8)
    seen = []
    read, family._read = family._read, lambda canvas: seen.append(canvas.masked[0].clone()) or read(canvas)
    filled_in = family.given([[4, ANY, ANY, ANY, ANY, 5]], 8)
    decoder = Unmask(order="random", steps=30, remask=0.5)
    draw = filled_in.sample(1, 8, decoder=decoder, rng=torch.Generator().manual_seed(0))
    again = [(after & ~before).any() for before, after in itertools.pairwise(seen)]
    assert any(again)
    assert draw.tokens[0, [0, 5, 6]].tolist() == [4, 5, EOS]
    assert not any(masked[[1, 6, 7]].any() for masked in seen)


def test_known_tokens_stand_and_gaps_are_as_long_as_training_texts():
    family = make(context=5)
    with torch.no_grad():
        family.length_bias.copy_(torch.tensor([2.0, 1, 7, 3, 1, 4]).log())
    rng = torch.Generator().manual_seed(0)
    for decoder in (Ancestral(), Unmask(order="confidence", steps=2), Ancestral(ban_unk=True)):
        draw = family.given([[GAP, 5, ANY]], 5).sample(300, 5, decoder=decoder, rng=rng)
        lengths = draw.lengths
        assert set(lengths.tolist()) == {3, 4, 5}
        seen, wanted = [int((lengths == k).sum()) for k in (3, 4, 5)], [300 * k / 11 for k in (7, 3, 1)]
        assert stats.chisquare(seen, wanted).pvalue > 1e-3
        assert (draw.tokens.gather(1, lengths[:, None] - 1) == EOS).all()
        assert ((draw.tokens == EOS).sum(1) == 1).all()
        assert (draw.tokens.gather(1, lengths[:, None] - 3) == 5).all()
    assert not (draw.tokens == UNK).any()
    fixed = family.given([[ANY, ANY]], 5).sample(50, 5, decoder=Ancestral(), rng=rng)
    assert set(fixed.lengths.tolist()) == {3}


def test_a_blank_is_drawn_from_the_conditional():
    """Of one masked place between known ones there is one conditional, whatever the order."""
    family = make()
    with torch.no_grad():
        expected = conditional(family, [4, None, EOS], 1)[WORDS]
    draw = family.given([[4, ANY]], 3).sample(2000, 3, decoder=Ancestral(), rng=torch.Generator().manual_seed(0))
    seen = torch.stack([(draw.tokens[:, 1] == word).sum() for word in WORDS]).numpy()
    wanted = (expected / expected.sum()).numpy() * 2000
    assert stats.chisquare(seen, wanted).pvalue > 1e-3


def test_a_prompt_stands_before_the_text_and_costs_nothing():
    family, prompt = make(context=6), torch.tensor([[4, 5], [5, PAD]])
    exact, batch = Unmask(order="left_to_right").distribution(family), pad([[4, EOS], [4, 4]])  # the second is cut
    answer = type(batch)(batch.tokens, batch.mask, prompt)
    with torch.no_grad():
        words = exact.log_prob(answer) - family.length_log_prob(answer)
        first = conditional(family, [4, 5, None, EOS], 2)[4].log()
        second = conditional(family, [5, None, None], 1)[4].log() + conditional(family, [5, 4, None], 2)[4].log()
        assert torch.allclose(words.float(), torch.stack([first, second]).float(), atol=1e-5)
        assert float((family(answer).log_prob[1] != 0).sum()) == 2
    draw = family.sample(2, 6, decoder=Ancestral(), rng=torch.Generator().manual_seed(0), prompt=prompt)
    assert draw.tokens.shape[1] <= 5
    assert not ((draw.tokens == PAD) & draw.mask).any()


def test_the_far_tail_is_reached_in_double_precision():
    """2^18 tokens of e^-17 each: Gumbel noise of single precision ends at 16.6, and would seldom draw them."""
    logits = torch.full((1, 2**18 + 1), -17.0)
    logits[0, 0] = 0.0
    mass = 2**18 * math.exp(-17) / (1 + 2**18 * math.exp(-17))
    tail = int((draws(logits, 40_000, torch.Generator().manual_seed(0)) > 0).sum())
    assert stats.binomtest(tail, 40_000, mass).pvalue > 1e-3
    once = [int(Unmask().choose(logits, torch.Generator().manual_seed(seed))) > 0 for seed in range(3)]
    same = [int(draws(logits, 1, torch.Generator().manual_seed(seed))) > 0 for seed in range(3)]
    assert once == same


def test_what_does_not_fit_is_refused():
    family = make()
    with pytest.raises(ValueError, match=r"family\.context=4"):
        family.log_prob(pad([[4, 4, 4, 4]]))
    with pytest.raises(ValueError, match="one condition"):
        family.given([[GAP, 4, GAP], [ANY]], 3)
    with pytest.raises(ValueError, match="4 tokens"):
        family.given([[4, 4, 4]], 3)
    with pytest.raises(ValueError, match="left to right"):
        family.given([[4, ANY]], 3).sample(1, 3, decoder=Beam(width=2), rng=torch.Generator())
    with pytest.raises(ValueError, match="NGram has none"):
        NGram(6, order=1).sample(1, 3, decoder=Unmask(order="confidence"), rng=torch.Generator())
    for wrong in (
        {"order": "rightmost"},
        {"steps": 0},
        {"remask": 0.5},
        {"order": "random", "entropy_bound": 1.0},
        {"repetition_penalty": 1.2},
    ):
        with pytest.raises(ValueError, match=next(reversed(wrong))):
            Unmask(**wrong)


def test_the_draws_of_the_bound_stand_in_its_signature_and_part_no_column():
    scores = Scores(
        -torch.ones(2), *[torch.ones(2, dtype=torch.long)] * 4, split="test", kind="bound", convention="line+nelbo:16"
    )
    metric = HeldOutLikelihood(resamples=100)
    metric.update(scores=scores)
    found = metric.values()["nll_test"]
    assert found.signature == "nll_test|line|nelbo:16|split:test|seqs:2|v:1"
    exact = replace(found, signature="nll_test|line|split:test|seqs:2|v:1")
    more = replace(found, signature=found.signature.replace("16", "64"))
    assert comparable_signatures([found, exact, more]) == [exact.signature]


def test_only_what_has_a_known_likelihood_gets_one():
    family = make()
    assert Unmask().distribution(family) is family
    for how in ({"steps": 2}, {"order": "confidence", "top_k": 2}, {"order": "confidence", "ban_unk": True}):
        assert Unmask(**how).distribution(family) is None
