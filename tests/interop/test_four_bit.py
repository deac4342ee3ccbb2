"""NF4 and FP4: sbora's codes, scales and values are those of bitsandbytes' CPU path, bit for bit. What differs is
listed in README.md, and is expected here exactly where the list says."""

import bitsandbytes.functional as bnb
import pytest
import torch
from bitsandbytes.backends.default.ops import _dequantize_4bit_compute as upstream_formula

import weights
from driver import SCALARS, assert_same_bits, bits

BLOCKSIZES = [32, 64, 128, 256, 512, 1024, 2048, 4096]
CODES = {kind: bnb.get_4bit_type(kind, device="cpu") for kind in ("nf4", "fp4")}
AVX512 = torch.backends.cpu.get_cpu_capability() == "AVX512"

WEIGHTS = {name: getattr(weights, name)
           for name in ("normal", "constant", "zero", "some_zero_blocks", "denormal", "huge", "sparse")}

# (rows, columns) in units of the blocksize: whole blocks; a ragged last one; rows that aren't whole blocks, even and
# odd; fewer elements than a block.
SHAPES = {
    "whole": lambda b: (6, 2 * b),
    "ragged": lambda b: (1, 5 * b + b // 2 + 1),
    "straddling": lambda b: (7, b + 6),
    "straddling by 16": lambda b: (7, b + 16),
    "odd": lambda b: (7, b - 1),
    "small": lambda b: (3, 5),
}


def make(kind, name, blocksize, shape, scalar):
    rows, columns = SHAPES[shape](blocksize)
    function = weights.knife_edge(CODES[kind]) if name == "knife_edge" else WEIGHTS[name]
    values = function(rows * columns, blocksize)
    if name == "huge" and scalar == "f16":
        values = values / 1e34
    return values.to(SCALARS[scalar]).reshape(rows, columns)


def nibbles(packed, count):
    packed = packed.reshape(-1)
    return torch.stack([packed >> 4, packed & 15], 1).reshape(-1)[:count]


def swap_zeros(packed):
    """FP4 codes 0 and 8 exchanged."""
    swapped = torch.arange(16, dtype=torch.uint8)
    swapped[0], swapped[8] = 8, 0
    return swapped[(packed >> 4).long()] << 4 | swapped[(packed & 15).long()]


def expected_codes(kind, packed):
    """Upstream's codes, README difference 1 taken back: which of FP4's zeros stands for tiny positive values."""
    order = torch.argsort(CODES[kind]).tolist()
    return swap_zeros(packed) if kind == "fp4" and order.index(8) < order.index(0) else packed


def table_values(table, codes, rows, columns):
    return table[codes.long()].reshape(rows, columns)


def upstream_kernel_expects(kind, codes, absmax, blocksize, weight):
    """What bitsandbytes' compiled kernel gives: as sbora, but for README differences 2 (-0 for FP4's code 8) and 3
    (AVX-512 scales of rows that aren't whole blocks)."""
    rows, columns = weight.shape
    scales = absmax.repeat_interleave(blocksize)[: weight.numel()].reshape(rows, columns)
    compiled = columns % 2 == 0 and not (AVX512 and blocksize >= 2048)
    if AVX512 and compiled and columns % 16 == 0:
        row, column = torch.arange(rows).unsqueeze(1), torch.arange(columns)
        scales = absmax[row * (columns // blocksize) + column // blocksize]
        compiled = False  # its table has no -0
        if weight.dtype == torch.bfloat16 and bnb.has_avx512bf16():  # vcvtneps2bf16 takes denormals for zeros
            values = table_values(CODES[kind], codes, rows, columns) * scales
            return torch.where(values.abs() < 2.0**-126, values * 0.0, values).to(weight.dtype)
    table = CODES[kind].clone()
    if kind == "fp4" and compiled:
        table[8] = -0.0
    return (table_values(table, codes, rows, columns) * scales).to(weight.dtype)


def check(sbora, kind, blocksize, weight, scalar):
    where = f"{kind}, blocksize {blocksize}, {tuple(weight.shape)}"
    source = sbora.write("weight", weight)
    sbora("quantise-4bit", kind, blocksize, scalar, *weight.shape, source, sbora.folder)
    packed, state = bnb.quantize_4bit(weight, blocksize=blocksize, quant_type=kind)
    codes = sbora.read("codes", torch.uint8)
    assert_same_bits(codes, expected_codes(kind, packed.reshape(-1)), f"codes, {where}")
    assert_same_bits(sbora.read("absmax", torch.float32), state.absmax, f"absmax, {where}")
    each = nibbles(codes, weight.numel())
    for name, dtype in SCALARS.items():
        values = sbora.read(f"values.{name}", dtype, weight.shape)
        formula = upstream_formula(codes, state.absmax, CODES[kind], blocksize, weight.shape, dtype)
        assert_same_bits(values, formula, f"values as {name}, {where}")
    # Through the public call, in the type that the weight had. Of one row it returns the transpose.
    state.shape = weight.shape
    theirs = bnb.dequantize_4bit(codes.unsqueeze(1), state).reshape(weight.shape)
    assert_same_bits(theirs, upstream_kernel_expects(kind, each, state.absmax, blocksize, weight),
                     f"the compiled kernel's values, {where}")


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scalar", SCALARS)
@pytest.mark.parametrize("name", [*WEIGHTS, "knife_edge"])
@pytest.mark.parametrize("kind", CODES)
def test_codes_scales_and_values(sbora, kind, name, scalar, shape):
    for blocksize in BLOCKSIZES:
        check(sbora, kind, blocksize, make(kind, name, blocksize, shape, scalar), scalar)
