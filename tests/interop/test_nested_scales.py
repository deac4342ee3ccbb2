"""Double quantisation: codes, scales and offset of the scales as bitsandbytes' CPU library has them."""

import bitsandbytes.functional as bnb
import pytest
import torch

import weights
from driver import SCALARS, assert_same_bits

MAP = bnb.create_dynamic_map()


def random_scales(count):
    return torch.rand(count, generator=torch.Generator().manual_seed(1)) * 0.2 + 0.01


def normal_scales(count):
    return torch.randn(count, generator=torch.Generator().manual_seed(2)).abs()


def equal_scales(count):
    return torch.full((count,), 0.75)


def two_scales(count):
    return torch.where(torch.arange(count) % 3 == 0, 1.0, 1.0009765625)


def one_large(count):
    scales = random_scales(count)
    scales[count // 2] = 1000
    return scales


def small_scales(count):
    return random_scales(count) * 2.0**-120


def edges(count):
    """Around 1, so that the differences by their greatest stand on midpoints of codes, or between the two of 65536
    steps that the code changes between, or some ulps beside."""
    middle = weights.midpoints(MAP).double()
    centres = torch.cat([middle, ((middle + 1) * 32767.5).ceil().sub(0.5).div(32767.5).sub(1)]).float()
    near = centres.unsqueeze(1) * 0.5 + torch.arange(-4, 5) * 2.0**-23
    scales = (1 + near.reshape(-1))[torch.randperm(near.numel(), generator=torch.Generator().manual_seed(5))]
    scales = scales.repeat(count // len(scales) + 1)[:count]
    scales[::256], scales[1::256] = 1.5, 0.5
    return scales


SCALES = {function.__name__: function for function in
          (random_scales, normal_scales, equal_scales, two_scales, one_large, small_scales, edges)}


def one_value_a_block(scales, blocksize, columns):
    """A weight whose blocks have those scales, whatever else is in them."""
    weight = torch.zeros(len(scales), blocksize)
    weight[:, -1] = scales * -0.25
    weight[torch.arange(len(scales)), torch.arange(len(scales)) % blocksize] = scales
    return weight.reshape(-1, columns)


def quantise(sbora, weight, kind, blocksize, scalar, *offset):
    source = sbora.write("weight", weight)
    sbora("quantise-4bit", kind, blocksize, scalar, *weight.shape, source, sbora.folder, "nested", *offset)


def check(sbora, weight, kind, blocksize, scalar):
    packed, state = bnb.quantize_4bit(weight, blocksize=blocksize, quant_type=kind, compress_statistics=True)
    quantise(sbora, weight, kind, blocksize, scalar, state.offset.item().hex())
    where = f"{kind}, blocksize {blocksize}, {scalar}"
    assert_same_bits(sbora.read("absmax_codes", torch.uint8), state.absmax, f"codes of scales, {where}")
    assert_same_bits(sbora.read("nested_absmax", torch.float32), state.state2.absmax, f"nested absmax, {where}")
    assert_same_bits(sbora.read("nested_table", torch.float32), state.state2.code, f"nested table, {where}")
    assert_same_bits(sbora.read("nested_offset", torch.float32), state.offset.reshape(1), f"offset, {where}")
    theirs = bnb.dequantize_4bit(packed, state).reshape(weight.shape)
    ours = sbora.read(f"values.{scalar}", SCALARS[scalar], weight.shape)
    # ±0 of FP4's code 8: README difference 2, test_four_bit.py has its bits.
    assert_same_bits(ours + 0.0, theirs + 0.0, f"values, {where}")


@pytest.mark.parametrize("scales", SCALES)
@pytest.mark.parametrize("kind", ["nf4", "fp4"])
def test_given_upstreams_offset_everything_is_upstreams(sbora, kind, scales):
    for blocksize, count in ((32, 40000), (64, 3000), (128, 256), (256, 257), (512, 300), (1024, 300), (2048, 2),
                             (4096, 300)):
        weight = one_value_a_block(SCALES[scales](count), blocksize, columns=blocksize)
        check(sbora, weight, kind, blocksize, "f32")


@pytest.mark.parametrize("scalar", SCALARS)
def test_sources_of_each_precision(sbora, scalar):
    weight = weights.normal(300 * 64 + 64 * 7 + 38, 64).reshape(-1, 2).to(SCALARS[scalar])
    check(sbora, weight, "nf4", 64, scalar)


@pytest.mark.parametrize("scales", SCALES)
def test_own_offset_is_the_mean_in_double_and_near_upstreams(sbora, scales):
    """README difference 4: PyTorch's mean in f32 depends on vector width and threads."""
    absmax = SCALES[scales](40000)
    weight = one_value_a_block(absmax, 32, columns=32)
    quantise(sbora, weight, "nf4", 32, "f32")
    offset = sbora.read("nested_offset", torch.float32)
    assert_same_bits(offset, absmax.double().mean().float().reshape(1), "offset")
    # A sum of n positive terms in any order, then a division: (n - 1) + 1 roundings.
    theirs = bnb.quantize_4bit(weight, blocksize=32, quant_type="nf4", compress_statistics=True)[1].offset
    assert abs(offset - theirs) <= (len(absmax) + 1) * 2.0**-24 * offset


def test_differences_of_scales_without_an_inverse(sbora):
    """README difference 5: upstream multiplies by 1 / greatest, which is infinite, and casts NaN. sbora divides."""
    absmax = torch.full((600,), 1e-3)
    absmax[256:] = torch.arange(344) * 2.0**-140
    weight = one_value_a_block(absmax, 32, columns=32)
    quantise(sbora, weight, "nf4", 32, "f32", (0.0).hex())
    codes, greatest = sbora.read("absmax_codes", torch.uint8), sbora.read("nested_absmax", torch.float32)
    scales = MAP[codes.long()] * greatest.repeat_interleave(256)[:600]
    step = (MAP[1:] - MAP[:-1]).max() / 2 + 2 / 65535  # to the nearest code, of a value rounded to 65536 steps
    assert ((scales - absmax).abs() <= step * greatest.repeat_interleave(256)[:600] + 2.0**-149).all()
