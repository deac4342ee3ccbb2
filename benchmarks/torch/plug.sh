#!/bin/sh
# sh torch/plug.sh BUILD NAME...: builds plug/ with the C++ library of a Python's PyTorch, and measures the ratios NAME.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=python.sh
. "$here/python.sh"
build=$1
shift

find_python "$build" torch
prefix=$("$python" -c 'import torch; print(torch.utils.cmake_prefix_path)')
{
    cmake --build "$build" --target sbora_kernels &&
        cmake -S "$here/plug" -B "$build/plug" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_COMPILER="${CXX:-g++}" \
            -DCMAKE_PREFIX_PATH="$prefix" -DSBORA_KERNELS="$build/sbora/libsbora_kernels.a" &&
        cmake --build "$build/plug"
} >"$build/build.log" 2>&1 || {
    cat "$build/build.log" >&2
    die "the build failed (see above)"
}
for name in "$@"; do "$build/plug/plug" "$name"; done
