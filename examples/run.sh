#!/bin/sh
# Builds the examples and runs byte_lm with the options given: sh examples/run.sh [OPTION...]
# `sh examples/run.sh --help` prints them. Runs on generated text when no data are named.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/cmake/scripts/common.sh"

need_packages g++ cmake ninja-build libeigen3-dev libcli11-dev nlohmann-json3-dev

build=${SBORA_BUILD_DIR:-$root/build/examples}
say "building in $build (about a minute the first time)" >&2
mkdir -p "$build"
{
    cmake -S "$root/examples" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release &&
        cmake --build "$build" -j "$(nproc)"
} >"$build/build.log" 2>&1 || {
    cat "$build/build.log" >&2
    die "the build failed (see above)"
}

# Relative paths in the options are relative to where the caller stands, so no cd.
exec "$build/byte_lm" "$@"
