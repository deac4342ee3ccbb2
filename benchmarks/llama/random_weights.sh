#!/bin/sh
# sh llama/decode.sh NAME BUILD: the ratio NAME, by decode.cpp. Keeps 540 MB of random weights in BUILD.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=../../cmake/scripts/common.sh
. "$here/../../cmake/scripts/common.sh"
name=$1 build=$2

need_packages nlohmann-json3-dev libcli11-dev libfmt-dev libxxhash-dev >&2
{
    cmake "$build" && cmake --build "$build" --target bench_llama_decode
} >"$build/build.log" 2>&1 || {
    cat "$build/build.log" >&2
    die "the build failed (see above)"
}
exec "$build/bench_llama_decode" "$name" "$build/smollm2"
