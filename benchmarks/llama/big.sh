#!/bin/sh
# sh llama/big.sh BUILD: a training step of LLaMA-7B and LLaMA3-8B in 4 bits, beside PyTorch, PEFT and
# bitsandbytes. Half an hour on two cores, and 8 GiB of memory.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=../../cmake/scripts/common.sh
. "$here/../../cmake/scripts/common.sh"
# shellcheck source=../torch/python.sh
. "$here/../torch/python.sh"
build=$1

need_packages nlohmann-json3-dev libcli11-dev libfmt-dev libxxhash-dev >&2
{
    cmake "$build" && cmake --build "$build" --target bench_llama_big
} >"$build/build.log" 2>&1 || {
    cat "$build/build.log" >&2
    die "the build failed (see above)"
}
find_python "$build" bitsandbytes

echo '| model | tokens | checkpointing | memory | step | of the multiply-add peak | PyTorch: memory, step |'
echo '|---|---|---|---|---|---|---|'
big=
for case in "llama_7b 1 1" "llama_7b 1 0" "llama_7b 4 1" "llama_7b 4 0" "llama3_8b 1 1" "llama3_8b 4 1"; do
    # Word splitting of $case is meant.
    # shellcheck disable=SC2086
    ours=$("$build/bench_llama_big" $case) && theirs=$("$python" "$here/big.py" $case --threads "$(nproc)") ||
        die "no figures for $case"
    # shellcheck disable=SC2086
    set -- $ours $theirs
    echo "| $1 | $2 x 256 | $([ "$3" = 1 ] && echo yes || echo no) | $4 GiB | $5 s | $6 | ${10} GiB, ${11} s |"
    [ "$case" != "llama_7b 4 1" ] || big="ratio big_7b_gib $4
ratio big_7b_of_peak $6"
done
echo "$big"
