#!/bin/sh
# sh llama/random_weights.sh PROGRAM NAME BUILD: the ratio NAME, by bench_llama_PROGRAM. Keeps checkpoints of random
# weights in BUILD, 540 MB for SmolLM2-135M's shape.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=../../cmake/scripts/common.sh
. "$here/../../cmake/scripts/common.sh"
program=bench_llama_$1 name=$2 build=$3

need_packages nlohmann-json3-dev libcli11-dev libfmt-dev libxxhash-dev >&2
{
    cmake "$build" && cmake --build "$build" --target "$program"
} >"$build/build.log" 2>&1 || {
    cat "$build/build.log" >&2
    die "the build failed (see above)"
}
exec "$build/$program" "$name" "$build/random"
