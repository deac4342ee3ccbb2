"""examples/sbora_tool/bin_to_safetensors.py on what people have in their .bin files: converted bit for bit, or refused
in words, and then nothing is written. The right tensors are those that PyTorch saved."""

import collections
import os
import pathlib
import pickle
import runpy
import subprocess
import sys
import tempfile
import traceback

import pytest
import torch
from safetensors.torch import load_file

from driver import assert_same_bits

SCRIPT = pathlib.Path(__file__).parents[2] / "examples/sbora_tool/bin_to_safetensors.py"


def run(*words, before=lambda: None):
    """In a copy of this process: one that imports torch anew takes seconds."""
    words = [str(SCRIPT), *map(str, words)]
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.dup2(out.fileno(), 1)
                os.dup2(err.fileno(), 2)
                sys.stdout, sys.stderr = (open(number, "w", closefd=False) for number in (1, 2))
                sys.argv = words
                before()
                runpy.run_path(words[0], run_name="__main__")
                status = 0
            except SystemExit as end:
                status = end.code or 0
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        out.seek(0)
        err.seek(0)
        done = subprocess.CompletedProcess(words, status, out.read(), err.read())
    assert "Traceback" not in done.stderr, done.stderr
    assert len(done.stderr.splitlines()) <= 20
    return done


def folder_with(tmp_path, saved, **options):
    torch.save(saved, tmp_path / "adapter_model.bin", **options)
    return tmp_path


def converted(folder, expected, *words):
    """Runs it, and holds the result against `expected`. Returns what it said."""
    done = run(folder, *words)
    assert done.returncode == 0, done.stderr
    written = folder / "adapter_model.safetensors"
    assert done.stdout == f"{written}\n"
    assert sorted(os.listdir(folder)) == ["adapter_model.bin", "adapter_model.safetensors"]
    tensors = load_file(written)
    assert sorted(tensors) == sorted(expected)
    for name, tensor in expected.items():
        ours = tensors[name]
        assert (ours.dtype, ours.shape) == (tensor.dtype, tensor.shape), name
        assert ours.contiguous().view(-1).view(torch.uint8).tolist() == (
            tensor.detach().contiguous().view(-1).view(torch.uint8).tolist()), name
    return done.stderr


def refused(folder, *texts, code=2):
    before = {name: (folder / name).read_bytes() for name in os.listdir(folder)}
    done = run(folder)
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    for text in texts:
        assert text in done.stderr, done.stderr
    assert {name: (folder / name).read_bytes() for name in os.listdir(folder)} == before


def weights():
    torch.manual_seed(3)
    return {"base_model.model.q_proj.lora_A.weight": torch.randn(4, 6), "q_proj.lora_B.weight": torch.randn(6, 4)}


@pytest.mark.parametrize("legacy", [False, True])
def test_plain(tmp_path, legacy):
    saved = weights() | {
        "bf16": torch.randn(3).bfloat16(), "f16": torch.randn(3).half(), "f64": torch.randn(2, 2).double(),
        "indices": torch.arange(5), "flag": torch.tensor([True, False]), "scalar": torch.tensor(1.5),
        "empty": torch.zeros(0, 3), "nan": torch.tensor([float("nan"), -0.0, float("inf")]),
    }
    if not legacy:  # which has no storage for it
        saved["f8"] = torch.randn(4).to(torch.float8_e4m3fn)
    assert converted(folder_with(tmp_path, saved, _use_new_zipfile_serialization=not legacy), saved) == ""


def test_same_mode_and_metadata(tmp_path):
    folder = folder_with(tmp_path, weights())
    os.chmod(folder / "adapter_model.bin", 0o640)
    converted(folder, weights())
    assert (folder / "adapter_model.safetensors").stat().st_mode & 0o777 == 0o640
    assert b'"__metadata__":{"format":"pt"}' in (folder / "adapter_model.safetensors").read_bytes()[:200]


def test_shared_sliced_and_strided(tmp_path):
    whole = torch.randn(6, 8)
    saved = {"whole": whole, "again": whole, "row": whole[1], "part": whole[2:4], "column": whole[:, 3],
             "transposed": whole.T, "expanded": whole[:1].expand(5, 8), "tail": torch.arange(10.0)[4:],
             "parameter": torch.nn.Parameter(whole.clone()), "negated": torch.complex(whole, whole).conj().imag}
    converted(folder_with(tmp_path, saved), saved)


@pytest.mark.parametrize("wrapper", ["state_dict", "model", "module"])
def test_wrapped(tmp_path, wrapper):
    saved = {wrapper: collections.OrderedDict(weights()), "epoch": 3, "optimizer": {"state": {}, "lr": 0.1}}
    said = converted(folder_with(tmp_path, saved), weights())
    assert f"taken from '{wrapper}'; left out: epoch, optimizer" in said


def test_wrapped_twice(tmp_path):
    said = converted(folder_with(tmp_path, {"model": {"state_dict": weights(), "step": 1}}), weights())
    assert "taken from 'model'" in said and "taken from 'state_dict'; left out: step" in said


def test_wrapped_in_two_ways(tmp_path):
    saved = {"model": weights(), "state_dict": weights()}
    refused(folder_with(tmp_path, saved), "several dictionaries that could be meant: state_dict, model")


def test_prefixes_stay(tmp_path):
    saved = {"module." + name: tensor for name, tensor in weights().items()} | {"model": torch.ones(2)}
    assert converted(folder_with(tmp_path, saved), saved) == ""


def test_stray_values_are_left_out_by_name(tmp_path):
    said = converted(folder_with(tmp_path, weights() | {"step": 7, "note": "x", "nothing": None}), weights())
    assert "left out, no tensors: step (int), note (str), nothing (NoneType)" in said


@pytest.mark.parametrize("saved, text", [
    ({}, "no tensors: an empty dictionary"),
    ({"state_dict": {}}, "no tensors in 'state_dict': an empty dictionary"),
    ({"epoch": 3}, "no tensors, only epoch (int)"),
    (torch.ones(3), "expected a dictionary of tensors, found Tensor"),
    ([torch.ones(3)], "expected a dictionary of tensors, found list"),
    (weights() | {"layer": {"weight": torch.ones(2)}}, "hold dictionaries or lists: layer; save what"),
    (weights() | {"model": weights()}, "hold dictionaries or lists: model"),
    (weights() | {"list": [torch.ones(2)]}, "hold dictionaries or lists: list"),
    ({"state_dict": weights() | {3: torch.ones(2)}}, "in 'state_dict', found keys that aren't text: 3"),
    (weights() | {"thin": torch.eye(3).to_sparse()}, "thin (sparse)"),
    (weights() | {"thin": torch.eye(4).to_sparse_csr()}, "thin (sparse)"),
    (weights() | {"coarse": torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)}, "coarse (quantised"),
    (weights() | {"hollow": torch.ones(3, device="meta")}, "hollow (without data (meta))"),
    (weights() | {f"thin{i}": torch.eye(3).to_sparse() for i in range(300)}, "and 295 more"),
    (weights() | {"complex": torch.ones(3, dtype=torch.complex32)}, "safetensors can't hold it"),
])
def test_refused(tmp_path, saved, text):
    refused(folder_with(tmp_path, saved), text)


class Evil:
    def __reduce__(self):
        return os.system, ("touch executed",)


@pytest.mark.parametrize("content, text", [
    (b"", "PyTorch can't load it as tensors alone"),
    (b"rubbish" * 100, "PyTorch can't load it as tensors alone"),
    (pickle.dumps(Evil()), "PyTorch can't load it as tensors alone"),
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "git lfs pull"),
])
def test_not_a_pickle_of_tensors(tmp_path, content, text):
    (tmp_path / "adapter_model.bin").write_bytes(content)
    refused(tmp_path, text)
    assert not (tmp_path / "executed").exists()


def test_other_objects_and_truncated_files(tmp_path):
    folder = folder_with(tmp_path, {"weights": weights(), "evil": Evil()})
    refused(folder, "PyTorch can't load it as tensors alone")
    folder = folder_with(tmp_path, weights())
    whole = (folder / "adapter_model.bin").read_bytes()
    for size in (10, len(whole) // 2, len(whole) - 1):
        (folder / "adapter_model.bin").write_bytes(whole[:size])
        refused(folder, "PyTorch can't load it as tensors alone")


def test_what_is_there_is_replaced_with_force_only(tmp_path):
    folder = folder_with(tmp_path, weights())
    (folder / "adapter_model.safetensors").write_bytes(b"old")
    refused(folder, "adapter_model.safetensors exists; --force replaces it")
    converted(folder, weights(), "--force")
    # A failure leaves what is there, with --force too.
    before = (folder / "adapter_model.safetensors").read_bytes()
    folder_with(folder, weights() | {"thin": torch.eye(3).to_sparse()})
    assert run(folder, "--force").returncode == 2
    assert (folder / "adapter_model.safetensors").read_bytes() == before
    assert len(os.listdir(folder)) == 2


def test_a_full_disk_leaves_nothing(tmp_path):
    import resource

    folder = folder_with(tmp_path, {"large": torch.randn(1 << 18)})
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))
    done = run(folder, before=limit)
    assert done.returncode == 1, done.stderr
    assert os.listdir(folder) == ["adapter_model.bin"]


def test_files_folders_and_several(tmp_path):
    good, bad, named = tmp_path / "good", tmp_path / "bad", tmp_path / "named"
    for folder in (good, bad, named):
        folder.mkdir()
    folder_with(good, weights())
    torch.save(weights(), named / "pytorch_model.bin")
    done = run(bad, good, tmp_path / "nowhere", named)
    assert done.returncode == 2
    assert done.stdout == f"{good}/adapter_model.safetensors\n"
    assert f"{bad}: no adapter_model.bin in it\n" in done.stderr
    assert f"{tmp_path}/nowhere: no such file or folder" in done.stderr
    assert f"{named}: no adapter_model.bin in it; name the file that is meant: pytorch_model.bin" in done.stderr
    assert run(named / "pytorch_model.bin").returncode == 0
    assert run(good / "adapter_model.safetensors").returncode == 2
    assert_same_bits(load_file(named / "pytorch_model.safetensors")["q_proj.lora_B.weight"],
                     weights()["q_proj.lora_B.weight"], "named")


def test_help_and_usage(tmp_path):
    done = subprocess.run([sys.executable, SCRIPT, "--help"], capture_output=True, text=True, check=True)
    for text in ("PATH", "--force", "weights_only", "pip install torch safetensors", "Exit codes"):
        assert text in done.stdout
    assert run().returncode == 2
    assert run("--unknown", tmp_path).returncode == 2
