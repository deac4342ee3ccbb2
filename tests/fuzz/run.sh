#!/bin/sh
# Builds the fuzz targets and runs them. `sh tests/fuzz/run.sh --help` says what can be chosen.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
. "$root/cmake/scripts/common.sh"

usage() {
    cat <<'END'
usage: sh tests/fuzz/run.sh [OPTION...] [TARGET...]

  --runs N        inputs for each target, default 200000
  --seed N        of the mutations, default 1
  --no-install    never call apt-get; also SBORA_NO_INSTALL=1

A target is tests/fuzz/TARGET.cpp; without one, all of them. libFuzzer with AddressSanitizer and
UndefinedBehaviorSanitizer, by clang. Inputs start from tests/fuzz/corpus/TARGET, or from what the target makes with
sbora's own writers, and grow in build/fuzz, where
what is found is kept as TARGET-crash-...; copy that to tests/fuzz/corpus/TARGET once it is mended.
The last line is "N passed, M failed"; exit status 1 if anything failed.
END
}

runs=200000 seed=1 targets=
while [ $# -gt 0 ]; do
    case $1 in
    --help | -h) usage; exit 0 ;;
    --no-install) SBORA_NO_INSTALL=1 ;;
    --runs | --seed)
        [ $# -ge 2 ] || die "$1 needs a value"
        case $2 in '' | *[!0-9]*) die "$1 takes a number, not $2" ;; esac
        if [ "$1" = --runs ]; then runs=$2; else seed=$2; fi
        shift
        ;;
    -*) usage >&2; die "unknown option $1" ;;
    *)
        [ -f "$root/tests/fuzz/$1.cpp" ] || die "no target $1"
        targets="$targets $1"
        ;;
    esac
    shift
done
if [ -z "$targets" ]; then
    for source in "$root"/tests/fuzz/*.cpp; do targets="$targets $(basename "$source" .cpp)"; done
fi

need_packages clang libclang-rt-dev pkg-config libeigen3-dev nlohmann-json3-dev
build=${SBORA_BUILD_DIR:-$root/build/fuzz}
mkdir -p "$build"

# Targets that mutate by themselves, trees and lengths, have nothing of comparisons that were seen, and of libFuzzer's
# book of rare features, which takes more time than they do.
mutates_itself() { grep -q LLVMFuzzerCustomMutator "$root/tests/fuzz/$1.cpp"; }

# One level of kernels: instrumented ones take long to compile.
build_target() {
    coverage=
    if mutates_itself "$1"; then coverage=-fno-sanitize-coverage=trace-cmp; fi
    # shellcheck disable=SC2046,SC2086
    clang++ -std=c++20 -O2 -g1 -march=native -DSBORA_SINGLE_TARGET -fsanitize=fuzzer,address,undefined $coverage \
        -fno-sanitize-recover=all -I"$root/include" $(pkg-config --cflags eigen3 nlohmann_json) \
        "$root/tests/fuzz/$1.cpp" -o "$build/$1"
}

run_target() {
    set -- "$1" "$build/$1-corpus"
    mkdir -p "$2"
    [ ! -d "$root/tests/fuzz/corpus/$1" ] || set -- "$@" "$root/tests/fuzz/corpus/$1"
    longest=1024
    if mutates_itself "$1"; then
        longest=2048
        set -- "$@" -mutate_depth=1 -len_control=0 -entropic=0 -use_counters=0 -reduce_inputs=0 -shrink=0
    fi
    dictionary=$root/tests/fuzz/$1.dict
    [ ! -f "$dictionary" ] || set -- "$@" "-dict=$dictionary"
    target=$1
    shift
    ASAN_OPTIONS=quarantine_size_mb=16:malloc_context_size=8:max_allocation_size_mb=512 \
        "$build/$target" -runs="$runs" -seed="$seed" -max_len=$longest -timeout=600 -rss_limit_mb=2048 \
        -print_final_stats=1 -verbosity=0 -artifact_prefix="$build/$target-" "$@"
}

passed=0 failed=0
for target in $targets; do
    say "$target: $runs inputs"
    rm -f "$build/$target.log"
    if build_target "$target" && run_target "$target" 2>"$build/$target.log"; then
        grep -E 'number_of_executed_units|average_exec_per_sec|peak_rss_mb' "$build/$target.log"
        passed=$((passed + 1))
    else
        [ ! -f "$build/$target.log" ] || tail -n 60 "$build/$target.log"
        failed=$((failed + 1))
    fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
