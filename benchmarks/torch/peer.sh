#!/bin/sh
# sh torch/peer.sh BUILD MODULES SCRIPT ARGUMENT...: runs SCRIPT with the arguments and the library that it measures, on
# one core, by a Python that has the MODULES.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=python.sh
. "$here/python.sh"
build=$1 modules=$2 script=$3
shift 3

find_python "$build" "$modules"
cmake --build "$build" --target bench_torch_step >"$build/build.log" 2>&1 || {
    cat "$build/build.log" >&2
    die "the build failed (see above)"
}
core=$(taskset -cp $$ | sed 's/.*[:, -]//')
OMP_NUM_THREADS=1 exec taskset -c "$core" "$python" "$here/$script" "$@" "$build/libbench_torch_step.so"
