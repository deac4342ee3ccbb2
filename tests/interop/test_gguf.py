"""GGUF files that gguf-py writes: metadata and values of tensors are gguf-py's, those bit for bit."""

import json

import gguf
import numpy
import pytest
import torch
from gguf import GGMLQuantizationType as Type

from driver import Refused, assert_same_bits

# Where a block has its scales, as f16.
SCALES = {Type.Q4_0: [0], Type.Q4_1: [0, 2], Type.Q5_0: [0], Type.Q5_1: [0, 2], Type.Q8_0: [0], Type.Q4_K: [0, 2],
          Type.Q5_K: [0, 2], Type.Q6_K: [208], Type.IQ4_NL: [0], Type.MXFP4: []}
# Least and greatest of both kinds, ordinary ones, and zeros.
EXTREME = numpy.array([65504, -65504, 2**-24, -(2**-24), 2**-14, -(2**-14) - 2**-24, 0.0, -0.0, 1, -0.1],
                      numpy.float16)


def random_blocks(type, rows, blocks, seed, scales):
    """Codes at random; scales(generator, count) of them."""
    generator = numpy.random.default_rng(seed)
    elements, size = gguf.GGML_QUANT_SIZES[type]
    data = generator.integers(0, 256, (rows * blocks, size), numpy.uint8)
    for offset in SCALES[type]:
        halves = scales(generator, len(data)).astype(numpy.float16)
        data[:, offset : offset + 2] = halves.view(numpy.uint8).reshape(-1, 2)
    return data.reshape(rows, blocks * size)


def write(path, tensors, **metadata):
    writer = gguf.GGUFWriter(path, "llama")
    for key, value in metadata.items():
        writer.add_key_value(key, *value)
    for name, (data, type) in tensors.items():
        writer.add_tensor(name, data, raw_dtype=type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@numpy.errstate(over="ignore")  # the greatest scales of MXFP4
def check_values(sbora, path):
    """Returns what was listed."""
    listed = json.loads(sbora("read-gguf", path, sbora.folder))
    for tensor in gguf.GGUFReader(path).tensors:
        shape = [int(size) for size in reversed(tensor.shape)]
        assert listed["tensors"][tensor.name] == {"type": tensor.tensor_type.name, "shape": shape}
        theirs = gguf.dequantize(tensor.data, tensor.tensor_type).astype(numpy.float32).reshape(shape)
        assert_same_bits(sbora.read(tensor.name, torch.float32, shape), torch.from_numpy(theirs.copy()), tensor.name)
    return listed


@pytest.mark.parametrize("type", SCALES, ids=lambda type: type.name)
def test_values_of_blocks(sbora, type):
    tensors = {}
    for blocks in (1, 2, 5):
        for rows in (1, 3, 17):
            tensors[f"random {rows} {blocks}"] = (random_blocks(
                type, rows, blocks, rows + blocks, lambda random, count: random.normal(0, 0.1, count)), type)
    tensors["extreme"] = (random_blocks(type, 40, 3, 1, lambda random, count: random.choice(EXTREME, count)), type)
    tensors["zero"] = (numpy.zeros_like(tensors["extreme"][0]), type)
    write(sbora.folder / "file.gguf", tensors)
    check_values(sbora, sbora.folder / "file.gguf")


def test_every_scale_of_mxfp4(sbora):
    data = numpy.random.default_rng(1).integers(0, 256, (256, 17), numpy.uint8)
    data[:, 0] = numpy.arange(256)
    write(sbora.folder / "file.gguf", {"all": (data, Type.MXFP4)})
    check_values(sbora, sbora.folder / "file.gguf")


@pytest.mark.parametrize("type", [Type.F32, Type.F16, Type.BF16, Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1, Type.Q8_0,
                                  Type.MXFP4], ids=lambda type: type.name)
def test_values_that_gguf_py_quantises(sbora, type):
    values = numpy.random.default_rng(2).normal(0, 0.1, (9, 96)).astype(numpy.float32)
    values[3] = 0
    write(sbora.folder / "file.gguf", {"w": (gguf.quantize(values, type), type),
                                       "norm": (values[0].copy(), Type.F32)})
    check_values(sbora, sbora.folder / "file.gguf")


def test_metadata(sbora):
    value_type = gguf.GGUFValueType
    metadata = {"u8": (200, value_type.UINT8), "i8": (-3, value_type.INT8), "u16": (65535, value_type.UINT16),
                "i16": (-300, value_type.INT16), "u32": (2**32 - 1, value_type.UINT32),
                "i32": (-(2**31), value_type.INT32), "f32": (0.5, value_type.FLOAT32), "yes": (True, value_type.BOOL),
                "no": (False, value_type.BOOL), "text": ("caf\u00e9 \n", value_type.STRING),
                "empty": ("", value_type.STRING),
                "u64": (2**64 - 1, value_type.UINT64), "i64": (-(2**63), value_type.INT64),
                "f64": (1e300, value_type.FLOAT64)}
    path = sbora.folder / "file.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_custom_alignment(128)
    for key, value in metadata.items():
        writer.add_key_value(key, *value)
    tokens = ["<s>", "\u2581the", "", "\U0001f600"] * 5000
    writer.add_token_list(tokens)
    writer.add_token_types([1, 3, 6, 1] * 5000)
    writer.add_token_scores([0.5, -1.25, 0.0, 1e-3] * 5000)
    writer.add_tensor("w", numpy.ones((2, 3), numpy.float32))
    writer.add_tensor("v", numpy.ones((5, 7), numpy.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    listed = check_values(sbora, path)
    assert listed["version"] == 3 and listed["alignment"] == 128
    read = listed["metadata"]
    for key, (value, _) in metadata.items():
        assert read[key] == value, key
    assert read["tokenizer.ggml.tokens"] == tokens
    assert read["tokenizer.ggml.token_type"] == [1, 3, 6, 1] * 5000
    assert read["tokenizer.ggml.scores"] == [0.5, -1.25, 0.0, float(numpy.float32(1e-3))] * 5000
    assert read["general.architecture"] == "llama"


def test_other_types_are_refused_by_name(sbora):
    size = gguf.GGML_QUANT_SIZES[Type.IQ2_XS][1]
    write(sbora.folder / "file.gguf", {"w": (numpy.zeros((2, size), numpy.uint8), Type.IQ2_XS)})
    with pytest.raises(Refused, match=r"tensor 'w' is IQ2_XS \[2, 256\], expected F32, F16, BF16, Q4_0"):
        sbora("read-gguf", sbora.folder / "file.gguf", sbora.folder)


def test_truncated_files_are_refused(sbora):
    path = sbora.folder / "file.gguf"
    write(path, {"w": (random_blocks(Type.Q4_K, 3, 2, 1, lambda random, count: random.normal(0, 1, count)), Type.Q4_K)})
    whole = path.read_bytes()
    for size in (0, 3, 20, 60, len(whole) // 2, len(whole) - 40):
        path.write_bytes(whole[:size])
        with pytest.raises(Refused, match="sbora: .*file.gguf: "):
            sbora("read-gguf", path, sbora.folder)
