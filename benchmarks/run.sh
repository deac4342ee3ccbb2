#!/bin/sh
# Builds the benchmarks and runs them. `sh benchmarks/run.sh --help` says what can be chosen.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/cmake/scripts/common.sh"

usage() {
    cat <<'END'
usage: sh benchmarks/run.sh [--full] [--suite NAME]... [--filter REGEX] [--report [DIR]] [--no-install]
       sh benchmarks/run.sh --ratios [NAME...]
       sh benchmarks/run.sh --big

Without options: every Google Benchmark suite over one layer, in minutes; one JSON file a suite is kept in
build/benchmarks/results, and a table of medians is printed.

  --report [DIR]      then write report.md and plots (SVG) of all that is in build/benchmarks/results to DIR,
                      by default build/benchmarks/report. Installs gnuplot and the peers, OpenBLAS and oneDNN
  --full              layers over every combination of shape, tokens, rank and threads: hours
  --suite NAME        only this suite: machine_limits, products, layers, merge, adamw, gather_scatter, conversions,
                      or none, to write a report of what is there
  --filter REGEX      only benchmarks whose name matches
  --ratios [NAME...]  print "ratio NAME VALUE" for each name, for all without a name; how each came about
                      is printed on stderr. NAME@LEVEL (gemv_f32_of_bw@avx2): with that level forced, where
                      NAME is no script. An unknown name or level: exit 2, and the names are listed
  --big               a training step of LLaMA-7B and LLaMA3-8B in 4 bits, beside PyTorch: memory and time, as a table.
                      Half an hour on two cores, 8 GiB of memory
  --no-install        never call apt-get; also SBORA_NO_INSTALL=1

Builds in build/benchmarks, or in $SBORA_BUILD_DIR, with $CXX or g++. Runs on one core, but for what is measured
on two threads. SBORA_FORCE_ISA=scalar|avx2|avx512|avx512_bf16|avx512_amx measures another level,
SBORA_BENCH_HUGEPAGES=1 asks for 2 MiB pages. Exit status 1 if a result was wrong, 2 if nothing could be measured.
END
}

all_suites="machine_limits products layers merge adamw gather_scatter conversions"
filter=. ratios=no big=no names='' suites='' report=no report_dir=''
while [ $# -gt 0 ]; do
    case $1 in
    --help | -h) usage; exit 0 ;;
    --no-install) export SBORA_NO_INSTALL=1 ;;
    --filter)
        [ $# -ge 2 ] || die "--filter needs a value"
        filter=$2
        shift
        ;;
    --suite)
        [ $# -ge 2 ] || die "--suite needs a value"
        case " $all_suites none " in
        *" $2 "*) suites="$suites $2" ;;
        *) die "no suite $2; there are: $all_suites, none" ;;
        esac
        shift
        ;;
    --full) export SBORA_BENCH_FULL=1 ;;
    --report)
        report=yes
        case ${2:--} in
        -*) ;;
        *) report_dir=$2; shift ;;
        esac
        ;;
    --ratios) ratios=yes ;;
    --big) big=yes ;;
    -*) usage >&2; die "unknown option $1" ;;
    *)
        [ "$ratios" = yes ] || { usage >&2; die "unknown argument $1"; }
        names="$names $1"
        ;;
    esac
    shift
done

# What goes to stdout is only results.
packages="g++ cmake ninja-build libeigen3-dev libbenchmark-dev"
[ "$report" = no ] || packages="$packages libopenblas-dev libdnnl-dev gnuplot-nox python3"
# shellcheck disable=SC2086
need_packages $packages >&2
[ "$ratios" = no ] || want_packages libdnnl-dev >&2  # a peer of some ratios

build=${SBORA_BUILD_DIR:-$root/build/benchmarks}
target=suites
[ "$ratios" = no ] || target=ratios
[ "$big" = no ] || target=bench_support
[ "$suites" != " none" ] || target=bench_support
say "building $target in $build" >&2
mkdir -p "$build"
{
    cmake -S "$root/benchmarks" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release \
        -DCMAKE_CXX_COMPILER="${CXX:-g++}" &&
        cmake --build "$build" -j "$(nproc)" --target "$target"
} >"$build/build.log" 2>&1 || {
    cat "$build/build.log" >&2
    die "the build failed (see above)"
}

[ "$big" = no ] || exec sh "$root/benchmarks/llama/big.sh" "$build"

# The last core that this process may use: interrupts tend to go to the first.
pin=
if command -v taskset >/dev/null 2>&1; then
    core=$(taskset -cp $$ | sed 's/.*[:, -]//')
    ! taskset -c "$core" true 2>/dev/null || pin="taskset -c $core"
fi

if [ "$ratios" = yes ]; then
    # Names with a script ratios/NAME.sh are measured by it, the others by the executable.
    scripts=$root/benchmarks/ratios
    is_script() { case $1 in */*) return 1 ;; *) [ -f "$scripts/$1.sh" ] ;; esac; }
    for name in $names; do
        is_script "$name" || "$build/ratios" --check "$name"
    done
    if [ -z "$names" ]; then
        names=$("$build/ratios" --names)
        for script in "$scripts"/*.sh; do
            [ ! -f "$script" ] || names="$names $(basename "$script" .sh)"
        done
    fi
    status=0
    for name in $names; do
        if is_script "$name"; then
            sh "$scripts/$name.sh" "$build" || status=1
        else
            $pin "$build/ratios" "$name" || status=1
        fi
    done
    exit $status
fi

BENCH_COMMIT=$(git -C "$root" describe --always --dirty --abbrev=12 2>/dev/null || echo unknown)
export BENCH_COMMIT
results=$build/results
mkdir -p "$results"
status=0
for suite in ${suites:-$all_suites}; do
    [ "$suite" != none ] || continue
    say "$suite" >&2
    if ! $pin "$build/bench_$suite" --benchmark_filter="$filter" --benchmark_out_format=json \
        --benchmark_out="$results/$suite.part" >"$results/$suite.log" 2>&1; then
        cat "$results/$suite.log" >&2
        status=1
    elif [ -s "$results/$suite.part" ]; then  # empty: the filter left nothing of this suite
        mv "$results/$suite.part" "$results/$suite.json"
        awk -f "$root/benchmarks/summary.awk" "$results/$suite.json" || status=1
    fi
    rm -f "$results/$suite.part"
done
say "results in $results (machine, flags, commit and instruction set are in each file's context)" >&2
if [ "$report" = yes ]; then
    python3 -B "$root/benchmarks/report/report.py" "$results" "${report_dir:-$build/report}" || status=2
fi
exit $status
