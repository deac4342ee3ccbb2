"""include/sbora/plugs/torch.hpp in a C++ program of PyTorch's: libtorch/, a user's project over the installed package,
with the libraries that run.sh has built. Its cases compare with PyTorch's own arithmetic."""

import fcntl
import os
import pathlib
import re
import subprocess

import pytest
import torch

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CASES = re.findall(r'\{"(\w+)", \1\}', (HERE / "libtorch" / "libtorch.cpp").read_text())


@pytest.fixture(scope="session")
def program():
    """Built once, whichever process comes first."""
    tests = pathlib.Path(os.environ["SBORA_INTEROP"]).parents[2]
    build = tests / "libtorch"
    build.mkdir(exist_ok=True)
    cache = (tests / "CMakeCache.txt").read_text()
    setting = lambda name: re.search(rf"^{name}:\w+=(.*)$", cache, re.M).group(1)
    libraries = ";".join(str(tests / name) for name in ("libsbora_io_unit.a", "libsbora_kernels.a"))
    run = lambda *words: subprocess.run(list(map(str, words)), check=True)
    with open(build / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        run("cmake", "--install", tests, "--prefix", build / "sbora")
        # Of the build type whose sbora::io is linked: their flags have to fit.
        run("cmake", "-S", HERE / "libtorch", "-B", build, "-G", setting("CMAKE_GENERATOR"),
            f"-DCMAKE_CXX_COMPILER={setting('CMAKE_CXX_COMPILER')}", f"-DCMAKE_BUILD_TYPE={setting('CMAKE_BUILD_TYPE')}",
            "-DCMAKE_CXX_FLAGS_DEBUG=-O1", f"-DCMAKE_PREFIX_PATH={torch.utils.cmake_prefix_path};{build / 'sbora'}",
            f"-DSBORA_LIBRARIES={libraries}", f"-DREADME={ROOT / 'README.md'}")
        run("cmake", "--build", build)
    return build / "libtorch"


def test_all_cases_are_run(program):
    listed = subprocess.run([program], capture_output=True, text=True, check=True).stdout.split()
    assert listed == CASES and len(CASES) > 10


@pytest.mark.parametrize("case", CASES)
def test_case(program, case, tmp_path):
    done = subprocess.run([program, case, tmp_path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
