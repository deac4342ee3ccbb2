"""Gradients of what is trained whole, a bias, a weight, a normalisation's weight: those of PyTorch's autograd."""

import pytest
import torch

from driver import SCALARS
from models import relative

TOKENS, D_OUT, D_IN = 37, 70, 33


def gradients(sbora, dtype, dy, x):
    name = next(name for name, scalar in SCALARS.items() if scalar == dtype)
    sbora("full-tensor-gradients", name, TOKENS, sbora.write("dy", dy), sbora.write("x", x), sbora.folder)
    return (sbora.read("bias_gradient", torch.float32),
            sbora.read("weight_gradient", torch.float32, (dy.shape[1], x.shape[1])))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_linear(sbora, dtype):
    generator = torch.Generator().manual_seed(5)
    x, dy = (torch.randn(TOKENS, size, generator=generator).to(dtype) for size in (D_IN, D_OUT))
    weight = torch.randn(D_OUT, D_IN, generator=generator, requires_grad=True)
    bias = torch.randn(D_OUT, generator=generator, requires_grad=True)
    torch.nn.functional.linear(x.float(), weight, bias).backward(dy.float())
    of_bias, of_weight = gradients(sbora, dtype, dy, x)
    assert relative(of_bias, bias.grad) < 1e-5
    assert relative(of_weight, weight.grad) < 1e-5


@pytest.mark.parametrize("norm", ["rms_norm", "layer_norm"])
def test_norm_weight(sbora, norm):
    """y = weight·normalised(x) + bias: the weight's gradient is that of a bias for dy·normalised(x)."""
    generator = torch.Generator().manual_seed(6)
    x, dy = (torch.randn(TOKENS, D_OUT, generator=generator) for _ in range(2))
    weight = torch.randn(D_OUT, generator=generator, requires_grad=True)
    bias = torch.randn(D_OUT, generator=generator, requires_grad=True)
    normalise = getattr(torch.nn.functional, norm)
    both = [weight] if norm == "rms_norm" else [weight, bias]
    normalise(x, (D_OUT,), *both, eps=1e-5).backward(dy)
    of_weight, _ = gradients(sbora, torch.float32, dy * normalise(x, (D_OUT,), eps=1e-5), x)
    assert relative(of_weight, weight.grad) < 1e-5
    if norm == "layer_norm":
        of_bias, _ = gradients(sbora, torch.float32, dy, x)
        assert relative(of_bias, bias.grad) < 1e-5
