#!/bin/sh
# sh llama/step.sh SCRIPT NAME BUILD: the ratio NAME, by SCRIPT.py beside bench_llama_step.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=../torch/python.sh
. "$here/../torch/python.sh"
script=$1 name=$2 build=$3

find_python "$build" "torch, transformers, peft"
need_packages nlohmann-json3-dev libcli11-dev libfmt-dev libxxhash-dev >&2
{
    cmake "$build" && cmake --build "$build" --target bench_llama_step
} >"$build/build.log" 2>&1 || {
    cat "$build/build.log" >&2
    die "the build failed (see above)"
}
exec env HF_HUB_OFFLINE=1 TRANSFORMERS_VERBOSITY=error "$python" "$here/$script.py" "$name" "$build/bench_llama_step" \
    "$build/$script"
