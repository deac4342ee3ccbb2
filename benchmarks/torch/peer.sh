#!/bin/sh
# sh torch/peer.sh BUILD MODULES SCRIPT ARGUMENT...: runs SCRIPT with the arguments and the library that it measures, on
# one core. Takes $PYTHON (python3) if it has the MODULES, else a virtual environment under BUILD that gets PyPI's.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=../../cmake/scripts/common.sh
. "$here/../../cmake/scripts/common.sh"
build=$1 modules=$2 script=$3
shift 3

python=${PYTHON:-python3}
if ! "$python" -c "import $modules" 2>/dev/null; then
    [ "${SBORA_NO_INSTALL:-0}" != 1 ] || [ -x "$build/venv/bin/python" ] ||
        die "$1 needs a Python with $modules; name it in PYTHON"
    python_environment "$build/venv" "$here/requirements.txt" >&2
fi

cmake --build "$build" --target bench_torch_step >"$build/build.log" 2>&1 || {
    cat "$build/build.log" >&2
    die "the build failed (see above)"
}
core=$(taskset -cp $$ | sed 's/.*[:, -]//')
OMP_NUM_THREADS=1 exec taskset -c "$core" "$python" "$here/$script" "$@" "$build/libbench_torch_step.so"
