#!/bin/sh
# sh llama/step.sh NAME BUILD: the ratio NAME, by step.py. Takes $PYTHON (python3) if it has PyTorch and transformers,
# else a virtual environment under BUILD that gets PyPI's.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=../../cmake/scripts/common.sh
. "$here/../../cmake/scripts/common.sh"
name=$1 build=$2

python=${PYTHON:-python3}
if ! "$python" -c 'import torch, transformers' 2>/dev/null; then
    python=$build/venv/bin/python
    if ! "$python" -c 'import torch, transformers' 2>/dev/null; then
        [ "${SBORA_NO_INSTALL:-0}" != 1 ] ||
            die "$name needs a Python with PyTorch and transformers; name it in PYTHON"
        need_packages python3 python3-venv >&2
        say "installing PyTorch and transformers from PyPI in $build/venv" >&2
        python3 -m venv "$build/venv" >&2 &&
            "$build/venv/bin/pip" install -q torch==2.13.0 transformers==5.24.0 numpy >&2 ||
            die "$name: cannot install PyTorch and transformers"
    fi
fi

need_packages nlohmann-json3-dev libcli11-dev libfmt-dev libxxhash-dev >&2
{
    cmake "$build" && cmake --build "$build" --target bench_llama_step
} >"$build/build.log" 2>&1 || {
    cat "$build/build.log" >&2
    die "the build failed (see above)"
}
exec env HF_HUB_OFFLINE=1 TRANSFORMERS_VERBOSITY=error "$python" "$here/step.py" "$name" "$build/bench_llama_step" \
    "$build/llama"
