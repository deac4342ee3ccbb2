"""fp8 checkpoints as DeepSeek-V3 and compressed-tensors have them: values are PyTorch's float8_e4m3fn times the scales."""

import json

import pytest
import torch
from safetensors.torch import save_file

from driver import Refused, assert_same_bits

SHAPES = [(1, 1), (3, 130), (128, 128), (260, 300), (129, 512)]


def codes(shape, seed):
    """Every code but the two of NaN, in any order."""
    numbers = torch.cat([torch.arange(0x7F), torch.arange(0x80, 0xFF)]).to(torch.uint8)
    at = torch.randint(len(numbers), shape, generator=torch.Generator().manual_seed(seed))
    return numbers[at].view(torch.float8_e4m3fn)


def scales(shape, seed):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 1e-2 + 1e-4


def checkpoint(shape):
    rows, columns = shape
    blocks = (-(-rows // 128), -(-columns // 128))
    tensors = {"a.weight": codes(shape, 1), "a.weight_scale": scales((), 2),
               "b.weight": codes(shape, 3), "b.weight_scale": scales((rows, 1), 4),
               "c.weight": codes(shape, 5), "c.weight_scale_inv": scales(blocks, 6),
               "d.weight": codes(shape, 7), "d.weight_scale": scales((rows, 1), 8).bfloat16(),
               "norm.weight": torch.ones(columns)}
    by_blocks = tensors["c.weight_scale_inv"].repeat_interleave(128, 0)[:rows].repeat_interleave(128, 1)[:, :columns]
    values = {"a.weight": tensors["a.weight"].float() * tensors["a.weight_scale"],
              "b.weight": tensors["b.weight"].float() * tensors["b.weight_scale"],
              "c.weight": tensors["c.weight"].float() * by_blocks,
              "d.weight": tensors["d.weight"].float() * tensors["d.weight_scale"].float()}
    return tensors, values


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_values(sbora, shape):
    tensors, values = checkpoint(shape)
    save_file(tensors, sbora.folder / "fp8.safetensors")
    listed = json.loads(sbora("dequantise-fp8-checkpoint", sbora.folder / "fp8.safetensors", sbora.folder))
    assert listed.keys() == values.keys()
    for name, theirs in values.items():
        assert_same_bits(sbora.read(name, torch.float32, shape), theirs, name)
        assert listed[name]["in_place"]


def test_nan_is_nan(sbora):
    every = torch.arange(256).to(torch.uint8).view(torch.float8_e4m3fn).reshape(4, 64)
    save_file({"a.weight": every, "a.weight_scale": torch.tensor(1.0)}, sbora.folder / "fp8.safetensors")
    sbora("dequantise-fp8-checkpoint", sbora.folder / "fp8.safetensors", sbora.folder)
    assert_same_bits(sbora.read("a.weight", torch.float32, (4, 64)), every.float(), "all codes")


def test_scales_that_do_not_fit_are_refused(sbora):
    tensors, _ = checkpoint((260, 300))
    tensors["c.weight_scale_inv"] = tensors["c.weight_scale_inv"][:, :2].contiguous()
    save_file(tensors, sbora.folder / "fp8.safetensors")
    with pytest.raises(Refused, match=r"c.weight_scale_inv: \[3, 2\], expected"):
        sbora("dequantise-fp8-checkpoint", sbora.folder / "fp8.safetensors", sbora.folder)
