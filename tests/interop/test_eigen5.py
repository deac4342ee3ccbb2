"""sbora over a real Eigen 5, which Debian 12 lacks: the headers that the package eigency carries."""

import importlib.util
import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
EIGEN = pathlib.Path(importlib.util.find_spec("eigency").submodule_search_locations[0]) / "eigen"


def compile_flags():
    # g++ 12 takes Eigen 5's own packets for uninitialised.
    return [os.environ.get("CXX", "g++"), "-std=c++20", "-O0", "-Wall", "-Wextra", "-Werror",
            "-Wno-maybe-uninitialized", f"-I{ROOT / 'include'}", "-isystem", str(EIGEN)]


def test_is_eigen_5():
    assert "#define EIGEN_MAJOR_VERSION 5" in (EIGEN / "Eigen" / "Version").read_text()


@pytest.mark.parametrize("program", ["examples/quickstart/quickstart.cpp", "tests/consumer/project/main.cpp"])
def test_programs_of_users_run(program, tmp_path):
    binary = tmp_path / "program"
    subprocess.run([*compile_flags(), "-DNDEBUG", str(ROOT / program), "-o", str(binary)], check=True)
    subprocess.run([str(binary)], check=True, cwd=tmp_path)


def test_files_compile():
    subprocess.run([*compile_flags(), "-fsyntax-only", str(ROOT / "cmake" / "sbora_io.cpp")], check=True)


def test_every_public_header_compiles(tmp_path):
    source = tmp_path / "headers.cpp"
    headers = ("sbora.hpp", "quantized.hpp", "io.hpp", "optimisers/adamw_8bit.hpp", "executors/thread_pool.hpp")
    source.write_text("".join(f"#include <sbora/{header}>\n" for header in headers))
    subprocess.run([*compile_flags(), "-fsyntax-only", str(source)], check=True)
