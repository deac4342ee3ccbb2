# sh torch/step.sh NAME KIND TYPE BUILD: the ratio NAME, by step.py. Takes $PYTHON (python3) if it has PyTorch, else a
# virtual environment under BUILD that gets PyPI's.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../../cmake/scripts/common.sh"
name=$1 kind=$2 type=$3 build=$4

python=${PYTHON:-python3}
if ! "$python" -c 'import torch' 2>/dev/null; then
    python=$build/venv/bin/python
    if ! "$python" -c 'import torch' 2>/dev/null; then
        [ "${SBORA_NO_INSTALL:-0}" != 1 ] || die "$name needs a Python with PyTorch; name it in PYTHON"
        need_packages python3 python3-venv >&2
        say "installing PyTorch from PyPI in $build/venv" >&2
        python3 -m venv "$build/venv" >&2 &&
            "$build/venv/bin/pip" install -q torch==2.13.0 numpy >&2 || die "$name: cannot install PyTorch"
    fi
fi

cmake --build "$build" --target bench_torch_step >"$build/build.log" 2>&1 || {
    cat "$build/build.log" >&2
    die "the build failed (see above)"
}
core=$(taskset -cp $$ | sed 's/.*[:, -]//')
OMP_NUM_THREADS=1 exec taskset -c "$core" "$python" "$here/step.py" "$name" "$kind" "$type" "$build/libbench_torch_step.so"
