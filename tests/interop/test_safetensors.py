"""Files byte for byte those of the safetensors package, and refused where it refuses them."""

import json
import random
import struct

import pytest
import safetensors
import safetensors.torch
import torch

from driver import Refused

DTYPES = {"BOOL": torch.bool, "U8": torch.uint8, "I8": torch.int8, "F8_E5M2": torch.float8_e5m2,
          "F8_E4M3": torch.float8_e4m3fn, "F8_E8M0": torch.float8_e8m0fnu, "F8_E4M3FNUZ": torch.float8_e4m3fnuz,
          "F8_E5M2FNUZ": torch.float8_e5m2fnuz, "I16": torch.int16, "U16": torch.uint16, "F16": torch.float16,
          "BF16": torch.bfloat16, "I32": torch.int32, "U32": torch.uint32, "F32": torch.float32,
          "C64": torch.complex64, "F64": torch.float64, "I64": torch.int64, "U64": torch.uint64}
NAMES = ["model.layers.0.q_proj.weight", "a", "B", "ü", "漢字", "🙂", 'quo"te', "back\\slash", "new\nline\ttab\r\b\f",
         "\x01\x1f\x7f", "/path/like", "", " ", "\u2028", "z" * 300]


def filled(dtype, shape, seed):
    count = torch.Size(shape).numel()
    generator = torch.Generator().manual_seed(seed)
    if dtype == torch.bool:
        return torch.randint(0, 2, shape, generator=generator).bool()
    raw = torch.randint(0, 256, (count * dtype.itemsize,), generator=generator).to(torch.uint8)
    return raw.view(dtype).reshape(shape)


def random_file(seed):
    choose = random.Random(seed)
    tensors = {}
    for number in range(choose.randint(0, 40)):
        shape = [choose.choice([0, 1, 2, 3, 7]) for _ in range(choose.randint(0, 4))]
        name = choose.choice(NAMES) + choose.choice(["", ".weight", str(number)])
        tensors[name] = filled(choose.choice(list(DTYPES.values())), shape, 100 * seed + number)
    metadata = choose.choice([None, {"format": "pt"}, {choose.choice(NAMES): choose.choice(NAMES)}])
    return tensors, metadata


def rewritten(sbora, theirs):
    ours = sbora.folder / "ours.safetensors"
    sbora("rewrite-safetensors", theirs, ours)
    return ours


@pytest.mark.parametrize("seed", range(25))
def test_the_same_bytes_for_the_same_tensors(sbora, seed):
    tensors, metadata = random_file(seed)
    theirs = sbora.folder / "theirs.safetensors"
    safetensors.torch.save_file(tensors, theirs, metadata)
    assert rewritten(sbora, theirs).read_bytes() == theirs.read_bytes()


@pytest.mark.parametrize("name", DTYPES)
def test_every_dtype_is_read_and_comes_back(sbora, name):
    tensor = filled(DTYPES[name], (3, 5), 1)
    theirs = sbora.folder / "theirs.safetensors"
    safetensors.torch.save_file({"x": tensor, "scalar": tensor[1, 2].clone(), "empty": tensor[:0].clone()}, theirs)
    listed = json.loads(sbora("list-tensors", theirs))
    assert listed["x"] == {"dtype": name, "shape": [3, 5], "bytes": tensor.view(torch.uint8).reshape(-1).tolist()}
    assert listed["scalar"]["shape"] == [] and listed["empty"]["shape"] == [0, 5]
    loaded = safetensors.torch.load_file(rewritten(sbora, theirs))
    assert torch.equal(loaded["x"].view(torch.uint8), tensor.view(torch.uint8))
    assert loaded["x"].dtype == tensor.dtype and loaded["scalar"].shape == () and loaded["empty"].shape == (0, 5)


def test_metadata_of_several_keys_is_the_same_but_for_their_order(sbora):
    theirs = sbora.folder / "theirs.safetensors"
    metadata = {name or "empty": str(number) for number, name in enumerate(NAMES)}
    safetensors.torch.save_file({"x": torch.ones(2)}, theirs, metadata)
    with safetensors.safe_open(rewritten(sbora, theirs), "pt") as file:
        assert file.metadata() == metadata and torch.equal(file.get_tensor("x"), torch.ones(2))


def test_empty_metadata_are_none(sbora):
    """README: the package writes an object without keys where it is given one."""
    with_none, with_empty = sbora.folder / "none.safetensors", sbora.folder / "empty.safetensors"
    safetensors.torch.save_file({"x": torch.ones(2)}, with_none)
    safetensors.torch.save_file({"x": torch.ones(2)}, with_empty, {})
    assert with_none.read_bytes() != with_empty.read_bytes()
    assert rewritten(sbora, with_empty).read_bytes() == with_none.read_bytes()


def file_of(header, data=b"", length=None):
    header = header if isinstance(header, bytes) else header.encode()
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def entry(dtype="F32", shape=(2,), offsets=(0, 8), name="x"):
    return (f'"{name}":{{"dtype":"{dtype}","shape":{json.dumps(list(shape))},'
            f'"data_offsets":{json.dumps(list(offsets))}}}')


FILES = {
    "good": file_of("{" + entry() + "}", bytes(8)),
    "no tensors": file_of("{}"),
    "spaces around": file_of(" \n{}\t\r "),
    "not padded": file_of("{" + entry("U8", (1,), (0, 1)) + "}", bytes(1)),
    "unaligned": file_of("{" + entry("U8", (1,), (0, 1), "a") + "," + entry("F32", (1,), (1, 5), "b") + "}", bytes(5)),
    "unknown field": file_of('{"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"more":{}}}', bytes(1)),
    "metadata last": file_of("{" + entry() + ',"__metadata__":{"a":"b"}}', bytes(8)),
    "nothing": b"",
    "seven bytes": bytes(7),
    "header too large": file_of("{}", length=100_000_001),
    "header beyond the file": file_of("{}", length=3),
    "header of no bytes": file_of(""),
    "length of all ones": b"\xff" * 8 + b"{}",
    "not UTF-8": file_of(b'{"\xff":1}'),
    "no object": file_of("[]"),
    "cut JSON": file_of("{" + entry()),
    "text behind": file_of("{}x"),
    "NaN": file_of('{"x":NaN}'),
    "trailing comma": file_of("{" + entry() + ",}", bytes(8)),
    "unknown dtype": file_of("{" + entry("F31") + "}", bytes(8)),
    "dtype in small letters": file_of("{" + entry("f32") + "}", bytes(8)),
    "no shape": file_of('{"x":{"dtype":"U8","data_offsets":[0,1]}}', bytes(1)),
    "negative size": file_of("{" + entry("F32", (-2,)) + "}", bytes(8)),
    "fractional size": file_of('{"x":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}}', bytes(8)),
    "size as text": file_of('{"x":{"dtype":"F32","shape":["2"],"data_offsets":[0,8]}}', bytes(8)),
    "three offsets": file_of('{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8,8]}}', bytes(8)),
    "metadata of a number": file_of('{"__metadata__":{"a":1}}'),
    "metadata as text": file_of('{"__metadata__":"a"}'),
    "hole": file_of("{" + entry(offsets=(4, 12)) + "}", bytes(12)),
    "overlap": file_of("{" + entry(name="a") + "," + entry(name="b", offsets=(4, 12)) + "}", bytes(12)),
    "same bytes twice": file_of("{" + entry(name="a") + "," + entry(name="b") + "}", bytes(8)),
    "end before begin": file_of("{" + entry(offsets=(8, 0)) + "}", bytes(8)),
    "shape too small": file_of("{" + entry(shape=(1,)) + "}", bytes(8)),
    "shape overflows": file_of("{" + entry(shape=(2, 2**64 - 2)) + "}", bytes(8)),
    "bits overflow": file_of("{" + entry(shape=(2, 2**63 - 1)) + "}", bytes(8)),
    "offset beyond 64 bits": file_of(
        '{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,18446744073709551616]}}', bytes(8)),
    "byte missing": file_of("{" + entry() + "}", bytes(7)),
    "byte too many": file_of("{" + entry() + "}", bytes(9)),
}


@pytest.mark.parametrize("name", FILES)
def test_refused_where_the_package_refuses(sbora, name):
    path = sbora.folder / "file.safetensors"
    path.write_bytes(FILES[name])
    try:
        theirs = sorted(name for name, _ in safetensors.deserialize(FILES[name]))
    except safetensors.SafetensorError:
        with pytest.raises(Refused, match="file.safetensors"):
            sbora("list-tensors", path)
    else:
        assert sorted(json.loads(sbora("list-tensors", path))) == theirs


def test_a_name_twice_is_refused(sbora):
    """README: the package takes the last of the two, unless that leaves a hole."""
    path = sbora.folder / "file.safetensors"
    path.write_bytes(file_of("{" + entry() + "," + entry() + "}", bytes(8)))
    assert [name for name, _ in safetensors.deserialize(path.read_bytes())] == ["x"]
    with pytest.raises(Refused, match="'x'"):
        sbora("list-tensors", path)
