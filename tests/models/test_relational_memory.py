"""The relational memory core against the equations written out, one text, one slot and one head at a time."""

import pytest
import torch

from gentext.adversarial import Gumbel, PointwiseLoss, Reinforce
from gentext.adversarial.critics import TextCNN
from gentext.adversarial.model import TextGAN
from gentext.adversarial.rewards import ProbabilityReward
from gentext.models.relational_memory import RelationalMemory
from gentext.types import BOS, EOS, Batch, pad

V = 11
SIZES = [(1, 2, 3, 4), (3, 2, 4, 5), (2, 1, 5, 3)]  # slots, heads, head size, embedding


def make(slots, heads, head_size, embedding):
    torch.manual_seed(0)
    model = RelationalMemory(V, slots=slots, heads=heads, head_size=head_size, embedding=embedding).double()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return model.eval()


def layer_norm(x, norm):
    centred = x - x.mean()
    return centred / (centred.square().mean() + norm.eps).sqrt() * norm.weight + norm.bias


def sigmoid(x):
    return 1 / (1 + (-x).exp())


def written_out(model, memory, token):
    """The next memory of one text: Santoro et al. 2018, equations 1, 2 and 5 to 9, with a skip around each part."""
    m, d = memory.shape
    size = d // model.heads
    x = model.input.weight @ model.embedding.weight[token] + model.input.bias
    rows = [*memory, x]
    projected = [layer_norm(model.project.weight @ row, model.project_norm) for row in rows]
    attended = []
    for i in range(m):
        parts = []
        for head in range(model.heads):
            at = 3 * size * head
            q = projected[i][at : at + size]
            keys = [row[at + size : at + 2 * size] for row in projected]
            values = [row[at + 2 * size : at + 3 * size] for row in projected]
            weights = torch.stack([(q * key).sum() / size**0.5 for key in keys]).exp()
            parts.append(sum(w * value for w, value in zip(weights / weights.sum(), values, strict=True)))
        attended.append(torch.cat(parts))
    made = []
    for row, seen in zip(memory, attended, strict=True):
        new = layer_norm(row + seen, model.attention_norm)
        first, _, second = model.mlp
        inner = (first.weight @ new + first.bias).clamp(min=0)
        new = layer_norm(new + second.weight @ inner + second.bias, model.mlp_norm)
        gates = model.gate_input.weight @ x + model.gate_memory.weight @ row.tanh()
        made.append(sigmoid(gates[:d]) * new.tanh() + sigmoid(gates[d:] + model.forget_bias) * row)
    return torch.stack(made)


@pytest.mark.parametrize("sizes", SIZES)
def test_it_is_the_equations(sizes):
    model = make(*sizes)
    memory = torch.eye(model.slots, model.width, dtype=torch.double)
    at = model.start(1)
    for token in (BOS, 4, 9, 6):
        memory = written_out(model, memory, token)
        if token != BOS:
            at = model.step(at.state, torch.tensor([token]))
        assert torch.allclose(at.state[0], memory, atol=1e-12)
    logits = model.output.weight @ memory.flatten() + model.output.bias
    assert torch.allclose(at.logits[0, 2:], logits[2:], atol=1e-12)
    assert (at.logits[0, :2] == -torch.inf).all()


@pytest.mark.parametrize("sizes", SIZES)
def test_reading_in_one_pass_is_reading_step_by_step(sizes):
    model = make(*sizes)
    batch = pad([[4, 5, 6, EOS], [7, EOS], [8, 9, 10, 4]])
    by_step = super(RelationalMemory, model).forward(batch)
    assert torch.allclose(model(batch).log_prob, by_step.log_prob, atol=1e-12)


def test_a_stream_is_read_on():
    model = make(*SIZES[1])
    tokens = torch.tensor([[4, 5, 6, 7, 8, 9], [5, 5, 4, 4, 10, 6]])
    whole = model(Batch(tokens, torch.ones_like(tokens, dtype=torch.bool))).log_prob
    mask = torch.ones(2, 3, dtype=torch.bool)
    parts = [model(Batch(tokens[:, i : i + 3], mask, carry=bool(i))).log_prob for i in (0, 3)]
    assert torch.allclose(torch.cat(parts, 1), whole, atol=1e-12)


def test_the_sizes_of_relgan():
    model = RelationalMemory(5004)
    assert model.start(2).state.shape == (2, 1, 512)
    d = 512
    assert model.size() == (
        (5004 * 32) + (32 * d + d) + 3 * d * d + 2 * 3 * d + 2 * (d * d + d) + 2 * 2 * d + 2 * 2 * d * d
        + 5004 * d + 5004
    )  # fmt: skip


@pytest.mark.parametrize("loss", ["gumbel", "reinforce"])
def test_it_plays(loss):
    estimator = {
        "gumbel": lambda: Gumbel(PointwiseLoss("relativistic"), temperature=0.5),
        "reinforce": lambda: Reinforce(PointwiseLoss(), ProbabilityReward(), rollouts=2),
    }[loss]()
    critic = TextCNN(V, embedding=4, filters={2: 32})  # of few filters none may answer
    players = TextGAN(make(*SIZES[0]).float(), critic)
    estimator.check(players)
    real = pad([[4, 5, 6, EOS], [7, EOS]] * 8)
    estimator(players, real, rng=torch.Generator().manual_seed(0), step=1, total=1).loss.backward()
    for name, parameter in players.generator.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.isfinite().all()), name
        assert bool(parameter.grad.any()), name
