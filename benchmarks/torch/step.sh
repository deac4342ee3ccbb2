#!/bin/sh
# sh torch/step.sh NAME KIND TYPE BUILD: the ratio NAME, by step.py. Takes $PYTHON (python3) if it has the packages,
# else a virtual environment under BUILD that gets PyPI's.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=../../cmake/scripts/common.sh
. "$here/../../cmake/scripts/common.sh"
name=$1 kind=$2 type=$3 build=$4

python=${PYTHON:-python3}
modules=torch
[ "$type" != nf4 ] || modules="torch, bitsandbytes"
if ! "$python" -c "import $modules" 2>/dev/null; then
    [ "${SBORA_NO_INSTALL:-0}" != 1 ] || [ -x "$build/venv/bin/python" ] ||
        die "$name needs a Python with $modules; name it in PYTHON"
    python_environment "$build/venv" "$here/requirements.txt" >&2
fi

cmake --build "$build" --target bench_torch_step >"$build/build.log" 2>&1 || {
    cat "$build/build.log" >&2
    die "the build failed (see above)"
}
core=$(taskset -cp $$ | sed 's/.*[:, -]//')
OMP_NUM_THREADS=1 exec taskset -c "$core" "$python" "$here/step.py" "$name" "$kind" "$type" \
    "$build/libbench_torch_step.so"
