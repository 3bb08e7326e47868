"""What every family must do, whatever its name: tests that judge the built-in families, or one of your own.

`pytest --pyargs gentext.contract --family my_family --config-dir FOLDER` judges a family outside the package; without
`--family` every built-in one is judged. Sizes are made small, since they are no part of the contract.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
import torch
from omegaconf import DictConfig
from safetensors.torch import load_model, save_model
from scipy import stats

from gentext import config
from gentext.config.search import searching
from gentext.decode import Ancestral, Beam
from gentext.language_model import LanguageModel, SupportsEM
from gentext.types import BOS, EOS, PAD, UNK, Batch, map_state, pad, select

V, LONGEST = 7, 4  # PAD BOS EOS UNK and three words; the longest text that is enumerated
WORDS = [UNK, 4, 5, 6]
SMALL = {"layers": 2, "heads": 2, "width": 16, "embedding": 16, "head_size": 8, "states": 32, "blocks": 4, "rank": 8}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each test is of the families that `--family` names, or of all built-in ones."""
    if "name" in metafunc.fixturenames:
        chosen = metafunc.config.getoption("--family", default=None) or sorted(config.groups()["family"])
        metafunc.parametrize("name", chosen, scope="module")


@pytest.fixture(scope="module", autouse=True)
def _options(request: pytest.FixtureRequest) -> Iterator[None]:
    with searching(request.config.getoption("--config-dir", default=None)):
        yield


@pytest.fixture(scope="module")
def family(name: str) -> LanguageModel:
    """A family of seven tokens, fitted to a few texts if it counts, else with random parameters."""
    return make(name)


def compose(name: str) -> DictConfig:
    sizes = [f"vocab_size={V}", f"max_len={LONGEST + 1}", f"context={LONGEST + 1}", "labels=3"]
    cfg = config.compose([f"family={name}", *sizes])
    if cfg.family._target_ == "gentext.models.Pretrained":
        pytest.skip("it wants a checkpoint, and its own tests judge tiny ones")
    shrink(cfg.family)
    return cfg


def shrink(node: DictConfig) -> None:
    for key, value in node.items():
        if isinstance(value, DictConfig):
            shrink(value)
        elif isinstance(value, int) and value > SMALL.get(str(key), value):
            node[str(key)] = SMALL[str(key)]


def make(name: str) -> LanguageModel:
    torch.manual_seed(0)
    cfg = compose(name)
    family: LanguageModel = config.build(cfg.family)
    rng = torch.Generator().manual_seed(1)
    if isinstance(family, SupportsEM) and cfg.train._target_.endswith("EMTrainer"):
        for _ in range(2):
            texts = [
                [*torch.tensor(WORDS)[torch.randint(4, (k,), generator=rng)].tolist(), EOS] for k in (0, 1, 2, 3, 4) * 8
            ]
            family.accumulate(pad(texts))
            family.maximize()
    else:
        with torch.no_grad():
            for parameter in family.parameters():  # an initial zero would hide what it multiplies
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=rng).to(parameter))
    return family.eval()


def scored(family: LanguageModel) -> LanguageModel:
    if family.likelihood != "exact":
        pytest.skip(f"its likelihood is {family.likelihood}")
    return family


def enumerated(length: int) -> tuple[list[list[int]], list[list[int]]]:
    """Every finished text of fewer than `length` words, and every unfinished one of `length` words."""
    finished = [[*words, EOS] for k in range(length) for words in itertools.product(WORDS, repeat=k)]
    return finished, [list(words) for words in itertools.product(WORDS, repeat=length)]


def log_prob(family: LanguageModel, rows: list[list[int]]) -> torch.Tensor:
    with torch.no_grad():
        return torch.cat([family.log_prob(pad(rows[i : i + 512])) for i in range(0, len(rows), 512)]).double()


def test_probabilities_sum_to_one(family):
    scored(family)
    for length in (1, LONGEST):
        finished, open_ = enumerated(length)
        assert log_prob(family, finished + open_).exp().sum().item() == pytest.approx(1.0, abs=2e-5)


def test_forward_equals_step(family):
    scored(family)
    rows = enumerated(3)[0][:12] + enumerated(3)[1][:5]
    batch = pad(rows)
    with torch.no_grad():
        ours = family(batch).log_prob
        stepped = LanguageModel.forward(family, batch).log_prob
    assert torch.allclose(ours, stepped, atol=2e-5), (ours - stepped).abs().max()


def test_padding_changes_nothing(family):
    scored(family)
    rows = enumerated(3)[0][:9]
    wide = pad(rows, width=9)
    with torch.no_grad():
        assert torch.allclose(family(pad(rows)).log_prob.sum(1), family(wide).log_prob.sum(1), atol=2e-5)
        assert (family(wide).log_prob[~wide.mask] == 0).all()


def test_the_future_does_not_move_the_past(family):
    scored(family)
    one, other = pad([[4, 5, 6, 4, EOS]]), pad([[4, 5, 3, 6, EOS]])
    with torch.no_grad():
        assert torch.allclose(family(one).log_prob[:, :2], family(other).log_prob[:, :2], atol=1e-6)


def test_pad_and_bos_are_never_emitted(family):
    with torch.no_grad():
        at = family.start(2, rng=torch.Generator().manual_seed(0))
        assert at.logits.shape == (2, V)
        for tokens in (torch.tensor([4, 5]), torch.tensor([6, UNK])):
            assert (at.logits[:, [PAD, BOS]] == -torch.inf).all()
            at = family.step(at.state, tokens)


def test_select_commutes_with_step(family):
    rng = torch.Generator().manual_seed(0)
    index = torch.tensor([2, 0, 2])
    tokens = torch.tensor([4, 5, 6])
    with torch.no_grad():
        before = family.step(family.start(3, rng=rng).state, tokens)
        copy = map_state(before.state, torch.clone)
        first = family.step(select(before.state, index), tokens[index]).logits
        second = family.step(copy, tokens).logits[index]
    assert torch.allclose(first, second, atol=1e-5)


def test_a_state_can_be_gone_on_from_twice(family):
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        state = family.step(family.start(2, rng=rng).state, torch.tensor([4, 5])).state
        first = family.step(state, torch.tensor([6, 6])).logits.clone()
        family.step(state, torch.tensor([4, 4]))
        assert torch.allclose(first, family.step(state, torch.tensor([6, 6])).logits, atol=1e-6)


def test_a_prompt_is_a_prefix(family):
    scored(family)
    prompt = torch.tensor([[4, 5], [6, PAD]])
    with torch.no_grad():
        primed = family.prime(prompt)
        if type(family).prime is not LanguageModel.prime:
            pytest.skip("its prompt is not a prefix")
        at = family.step(family.step(family.start(1).state, torch.tensor([4])).state, torch.tensor([5]))
        assert torch.allclose(primed.logits[0], at.logits[0], atol=1e-5)
        at = family.step(family.start(1).state, torch.tensor([6]))
        assert torch.allclose(primed.logits[1], at.logits[0], atol=1e-5)


def test_full_width_beam_finds_the_argmax(family):
    scored(family)
    finished, open_ = enumerated(3)
    rows = finished + open_
    best = rows[int(log_prob(family, rows).argmax())]
    beam = Beam(width=4**3, length_penalty=0.0)
    found = family.sample(1, 3, decoder=beam, rng=torch.Generator().manual_seed(0))
    assert found.tokens[0][found.mask[0]].tolist() == best


def test_sampling_frequencies_match_log_prob(family):
    scored(family)
    finished, open_ = enumerated(2)
    rows = finished + open_
    expected = log_prob(family, rows).exp()
    n = 4000
    draw = family.sample(n, 2, decoder=Ancestral(), rng=torch.Generator().manual_seed(0))
    places = {tuple(row): i for i, row in enumerate(rows)}
    seen = torch.zeros(len(rows))
    for tokens, mask in zip(draw.tokens, draw.mask, strict=True):
        seen[places[tuple(tokens[mask].tolist())]] += 1
    likely = expected * n >= 5
    observed = torch.cat([seen[likely], seen[~likely].sum()[None]])
    wanted = torch.cat([expected[likely], expected[~likely].sum()[None]]) * n
    keep = wanted > 0
    assert seen[expected == 0].sum() == 0
    wanted = wanted[keep] * (observed[keep].sum() / wanted[keep].sum())
    assert stats.chisquare(observed[keep].double().numpy(), wanted.double().numpy()).pvalue > 1e-4


def test_samples_are_well_formed_and_repeatable(family):
    def draw() -> Batch:
        return family.sample(6, LONGEST, decoder=Ancestral(), rng=torch.Generator().manual_seed(3))

    one, two = draw(), draw()
    assert torch.equal(one.tokens, two.tokens)
    assert one.tokens.shape[0] == 6
    assert one.tokens.shape[1] <= LONGEST
    assert not (one.tokens == BOS).any()
    assert (one.tokens[~one.mask] == PAD).all()
    assert (one.tokens[one.mask] != PAD).all()
    for tokens, mask in zip(one.tokens, one.mask, strict=True):
        assert EOS not in tokens[mask][:-1].tolist()


def test_likelihood_is_a_log_probability(family):
    if family.likelihood == "none":
        pytest.skip("it has no likelihood")
    rows = enumerated(3)[0]
    assert (log_prob(family, rows) <= 1e-6).all()


def test_checkpoints_round_trip(name, tmp_path):
    family = make(name)
    save_model(family, str(tmp_path / "model.safetensors"))
    torch.manual_seed(99)
    cfg = compose(name)
    fresh = config.build(cfg.family)
    load_model(fresh, tmp_path / "model.safetensors")
    fresh.eval()
    rng = torch.Generator().manual_seed
    with torch.no_grad():
        one, two = family.start(2, rng=rng(0)), fresh.start(2, rng=rng(0))
        assert torch.equal(one.logits, two.logits)
        tokens = torch.tensor([4, 6])
        assert torch.equal(family.step(one.state, tokens).logits, fresh.step(two.state, tokens).logits)
