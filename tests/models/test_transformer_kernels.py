import torch
import torch.nn.functional as F

from gentext.models.transformer.kernels import relu2, rms_norm


def test_rms_norm_is_torchs_and_so_is_its_gradient():
    x = torch.randn(3, 7, 16, dtype=torch.float64, requires_grad=True)
    upstream = torch.randn(3, 7, 16, dtype=torch.float64)
    ours, theirs = rms_norm(x), F.rms_norm(x, (16,))
    assert torch.allclose(ours, theirs, atol=1e-5)
    (gradient,) = torch.autograd.grad(ours, x, upstream)
    assert torch.allclose(gradient, torch.autograd.grad(theirs, x, upstream)[0], atol=1e-5)
    with torch.no_grad():
        assert torch.equal(rms_norm(x), ours)


def test_zero_has_a_norm_too():
    x = torch.zeros(2, 4, requires_grad=True)
    y = rms_norm(x)
    y.sum().backward()
    assert torch.equal(y, x)
    assert x.grad.isfinite().all()


def test_squared_relu_and_its_gradient():
    x = torch.randn(5, 6, dtype=torch.float64, requires_grad=True)
    assert torch.equal(relu2(x), F.relu(x).square())
    assert torch.autograd.gradcheck(relu2, x)
    with torch.no_grad():
        assert torch.equal(relu2(x), F.relu(x).square())


def test_half_precision_stays_half_precision():
    x = torch.randn(5, 8, dtype=torch.bfloat16, requires_grad=True)
    for act in (rms_norm, relu2):
        y = act(x)
        assert y.dtype == torch.bfloat16
        y.sum().backward()
        assert x.grad.dtype == torch.bfloat16
