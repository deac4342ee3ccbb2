"""Python's side of the C++ driver: arrays go by raw files, names of dtypes as sbora has them."""

import subprocess

import numpy
import torch

SCALARS = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}


class Refused(Exception):
    """sbora threw; the text is the exception's."""


class Driver:
    def __init__(self, program, folder):
        self.program, self.folder = program, folder

    def __call__(self, *words):
        done = subprocess.run([self.program, *map(str, words)], capture_output=True, text=True)
        if done.returncode == 1:
            raise Refused(done.stderr.strip())
        assert done.returncode == 0, done.stderr
        return done.stdout

    def write(self, name, tensor):
        """The tensor's bytes as a file of the folder. Returns its path."""
        path = self.folder / name
        tensor.detach().contiguous().view(-1).view(torch.uint8).numpy().tofile(path)
        return path

    def read(self, name, dtype, shape=(-1,)):
        integers = {1: numpy.uint8, 2: numpy.int16, 4: numpy.int32, 8: numpy.int64}[dtype.itemsize]
        return torch.from_numpy(numpy.fromfile(self.folder / name, integers)).view(dtype).reshape(shape)


def bits(tensor):
    """As integers of the same size, so that comparing them tells zeros from negative zeros."""
    return tensor.contiguous().view({1: torch.uint8, 2: torch.int16, 4: torch.int32}[tensor.element_size()])


def assert_same_bits(ours, theirs, what):
    assert ours.shape == theirs.shape and ours.dtype == theirs.dtype, what
    differs = (bits(ours) != bits(theirs)).reshape(-1).nonzero().reshape(-1)
    if len(differs):
        at = int(differs[0])
        raise AssertionError(
            f"{what}: {len(differs)} of {ours.numel()} elements differ, the first at {at}: "
            f"{ours.reshape(-1)[at].item()!r}, bitsandbytes {theirs.reshape(-1)[at].item()!r}")
