"""LLM.int8: row-wise codes, SCB and values as bitsandbytes has them on the CPU."""

import bitsandbytes.functional as bnb
import pytest
import torch

import weights
from driver import SCALARS, Refused, assert_same_bits


def half_way(rows, columns):
    """Codes that stand at k + 1/2, or a half's ulp beside, where SCB is a power of two times 127."""
    codes = torch.arange(-126, 127).float() + 0.5
    values = torch.cat([codes, (codes.half().view(torch.int16) + 1).view(torch.float16).float(), codes.sign() * 0])
    values = values.repeat(rows * columns // len(values) + 1)[: rows * columns].reshape(rows, columns)
    values[:, 0] = 127
    return values * 2.0 ** -(torch.arange(rows) % 20).float().unsqueeze(1)


def other_scales(rows, columns):
    """The same beside rows whose 127 / SCB is rounded."""
    return half_way(rows, columns) * (1 + torch.arange(rows).unsqueeze(1) / 300)


def plain(function):
    return lambda rows, columns: function(rows * columns, columns).reshape(rows, columns)


WEIGHTS = {"normal": plain(weights.normal), "constant": plain(weights.constant), "denormal": plain(weights.denormal),
           "sparse": plain(weights.sparse), "half_way": half_way, "other_scales": other_scales}
SHAPES = [(1, 1), (3, 5), (7, 1023), (5, 1024), (40, 1025), (2, 4099)]


def quantise(sbora, weight, scalar):
    sbora("quantise-int8", scalar, *weight.shape, sbora.write("weight", weight), sbora.folder)
    return sbora.read("codes", torch.int8, weight.shape), sbora.read("absmax", torch.float32)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("scalar", SCALARS)
@pytest.mark.parametrize("name", WEIGHTS)
def test_codes_scales_and_values(sbora, name, scalar, shape):
    weight = WEIGHTS[name](*shape).to(SCALARS[scalar])
    theirs, scb, _ = bnb.int8_vectorwise_quant(weight.half())
    codes, absmax = quantise(sbora, weight, scalar)
    zero_rows = weight.half().abs().amax(dim=1) == 0  # README difference 6
    theirs[zero_rows] = 0
    assert_same_bits(codes, theirs, "codes")
    assert_same_bits(absmax, scb, "SCB")
    values = bnb.int8_vectorwise_dequant(codes, scb)
    for result, dtype in SCALARS.items():
        assert_same_bits(sbora.read(f"values.{result}", dtype, shape), values.to(dtype), f"values as {result}")


def test_zero_rows_are_zero(sbora):
    """README difference 6: upstream divides by 0 and casts NaN."""
    weight = weights.normal(4 * 70, 70).reshape(4, 70)
    weight[1] = 0
    weight[3] = 1e-9  # zero as a half
    codes, absmax = quantise(sbora, weight, "f32")
    assert (codes[1::2] == 0).all() and (absmax[1::2] == 0).all() and (codes[::2] != 0).any(dim=1).all()


def test_beyond_a_half_is_refused(sbora):
    """README difference 7: upstream casts to infinity."""
    weight = weights.normal(4 * 70, 70).reshape(4, 70)
    weight[2, 7] = 7e4
    with pytest.raises(Refused, match="row 2, column 7"):
        quantise(sbora, weight, "f32")
