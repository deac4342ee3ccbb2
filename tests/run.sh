#!/bin/sh
# Builds the tests and runs them. `sh tests/run.sh --help` says what can be chosen.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/cmake/scripts/common.sh"

usage() {
    cat <<'END'
usage: sh tests/run.sh [OPTION...]

  --compiler g++|clang++      default g++
  --build-type TYPE           default Debug: assertions on, -O1; without it with a sanitizer
  --sanitize address|thread   address includes undefined behaviour
  --march FLAG                compile with -march=FLAG, such as native
  --single-target             with SBORA_SINGLE_TARGET: the baseline's kernels only, in half the time
  --label LABEL               build and run only: unit (all on Catch2), computing (those whose results kernels make), a
                              folder of tests/, or headers
  --target TARGET             build only this, and run nothing: for scripts that call a program of this build
  --python PYTHON             build the package of examples/python for it, too; it has nanobind
  --no-install                never call apt-get; also SBORA_NO_INSTALL=1

Builds in build/tests*, or in $SBORA_BUILD_DIR. The last line is "N passed, M failed"; exit status 1 if
anything failed, 2 if the tests could not be built or run for lack of a tool.
END
}

compiler=g++ build_type=Debug sanitize='' march='' single='' label='' target='' python=''
while [ $# -gt 0 ]; do
    case $1 in
    --help | -h) usage; exit 0 ;;
    --no-install) SBORA_NO_INSTALL=1; shift; continue ;;
    --single-target) single=single; shift; continue ;;
    --compiler | --build-type | --sanitize | --march | --label | --target | --python)
        [ $# -ge 2 ] || die "$1 needs a value"
        ;;
    *) usage >&2; die "unknown option $1" ;;
    esac
    case $1 in
    --compiler) compiler=$2 ;;
    --build-type) build_type=$2 ;;
    --sanitize) sanitize=$2 ;;
    --march) march=$2 ;;
    --label) label=$2 ;;
    --target) target=$2 ;;
    --python) python=$2 ;;
    esac
    shift 2
done

packages="g++ cmake ninja-build libeigen3-dev catch2 nlohmann-json3-dev libcli11-dev libfmt-dev pkg-config \
    binutils libicu-dev libsentencepiece-dev libcsv-dev libxxhash-dev gnuplot-nox"
case $compiler in
*clang*) packages="$packages clang libclang-rt-dev libomp-dev" ;;
esac
# shellcheck disable=SC2086
need_packages $packages

# What a Debug build is optimised with: -O0 runs and -O2 builds minutes longer. Optimising code that the
# sanitizers are in takes a minute a file.
flags='' debug=-O1 kernels=-O2 left_out=''
case $sanitize in
'') ;;
address)
    flags="-fsanitize=address,undefined -fno-sanitize-recover=all -g1" debug=-O0 kernels=-O0
    # They take four and ten minutes there. Guard pages see without it, and multi_task's parts have tests of their own.
    left_out='^(layers/guard_pages|llama/multi_task)$'
    export LSAN_OPTIONS="suppressions=$root/tests/support/leaks.supp:print_suppressions=0"
    ;;
thread) flags="-fsanitize=thread -g1" debug=-O0 kernels=-O0 ;;
*) die "--sanitize takes address or thread" ;;
esac
[ -z "$march" ] || flags="$flags -march=$march"
[ -z "$single" ] || flags="$flags -DSBORA_SINGLE_TARGET"

# One build directory per choice, so that changing between them doesn't rebuild everything.
default_dir=$root/build/tests
for choice in "${compiler#g++}" "${build_type#Debug}" "$sanitize" "$march" "$single"; do
    [ -z "$choice" ] || default_dir=$default_dir-$(basename "$choice")
done
build=${SBORA_BUILD_DIR:-$default_dir}
jobs=$(nproc)

# A failed step of the build is a failed test.
failed_step() {
    printf '%s\n' "$1"
    echo "0 passed, 1 failed"
    exit 1
}

mkdir -p "$build"
say "configure in $build ($compiler, $build_type${sanitize:+, $sanitize}${march:+, $march})"
cmake -S "$root" -B "$build" -G Ninja -DCMAKE_CXX_COMPILER="$compiler" -DCMAKE_BUILD_TYPE="$build_type" \
    -DCMAKE_CXX_FLAGS="$flags" -DCMAKE_CXX_FLAGS_DEBUG=$debug -DSBORA_KERNELS_OPTIONS=$kernels \
    -DSBORA_BUILD_TESTS=ON ${python:+"-DSBORA_TESTS_PYTHON=$python"} >"$build/configure.log" 2>&1 ||
    { cat "$build/configure.log"; failed_step "configuring failed"; }

say "build with $jobs jobs"
cmake --build "$build" -j "$jobs" --target "${target:-${label:+tests_}${label:-all}}" || failed_step "building failed"
[ -z "$target" ] || exit 0

say "run"
results=$build/results.log
{
    ctest --test-dir "$build" -j "$jobs" --output-on-failure --no-tests=error ${label:+-L "^$label\$"} \
        ${left_out:+-E "$left_out"} ||
        echo "ctest exit status $?"
} 2>&1 | tee "$results"

# ctest counts tests that skip themselves among the passed; we don't.
awk '
    /\*\*\*Skipped/ { skipped++ }
    # "75% tests passed, 1 tests failed out of 4"; newer ones "100% tests passed out of 4"
    /^[0-9]+% tests passed/ {
        total = $NF
        if (/failed/) failed = $4
    }
    /^ctest exit status/ { status = $NF }
    END {
        passed = total - failed - skipped
        if (status && !failed) failed = 1
        if (skipped) print skipped " skipped: not for this machine"
        printf "%d passed, %d failed\n", passed, failed
        exit failed != 0
    }' "$results"
