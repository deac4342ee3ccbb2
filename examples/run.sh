#!/bin/sh
# Builds one of the example programs and runs it with the options given: sh examples/run.sh [PROGRAM] [OPTION...]
#
#   llama     (default) fine-tunes a LLaMA, or shows the whole cycle on a small one of its own
#   byte_lm   the smaller one: a byte-level network of four layers
#
# `sh examples/run.sh --help` and `sh examples/run.sh byte_lm --help` print their options. An option that only
# byte_lm has (they are spelt with hyphens: --base-data, --steps ...) selects it without its name.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/cmake/scripts/common.sh"

program=
case ${1:-} in
llama | byte_lm)
    program=$1
    shift
    ;;
esac
if [ -z "$program" ]; then
    program=llama
    for argument in "$@"; do
        case ${argument%%=*} in
        --?*-?* | --rank | --alpha | --steps | --batch | --quant | --output) program=byte_lm ;;
        esac
    done
fi

need_packages g++ cmake ninja-build libeigen3-dev libcli11-dev nlohmann-json3-dev >&2
if [ "$program" = llama ]; then
    need_packages libxxhash-dev >&2
    # Several processes, tokenizer.json, tokenizer.model.
    want_packages libopenmpi-dev openmpi-bin libicu-dev libsentencepiece-dev >&2
fi

build=${SBORA_BUILD_DIR:-$root/build/examples}
say "building $program in $build (some minutes the first time)" >&2
mkdir -p "$build"
{
    cmake -S "$root/examples" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release &&
        cmake --build "$build" -j "$(nproc)" --target "$program"
} >"$build/build.log" 2>&1 || {
    cat "$build/build.log" >&2
    die "the build failed (see above)"
}

# Relative paths in the options are relative to where the caller stands, so no cd.
case $program in
llama) exec "$build/llama/llama" "$@" ;;
byte_lm) exec "$build/byte_lm" "$@" ;;
esac
