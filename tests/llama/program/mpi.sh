#!/bin/sh
# mpi.sh LLAMA COMPARE: two processes train what one trains. COMPARE prints the relative difference of two adapters.
# Exit code 77 (skipped) without mpirun, or a build without MPI.
#
# With one micro-batch for each process, both ways add the same two numbers for every element of the gradient: equal
# bits. With three, they are added in another order, and AdamW divides each sum by its own size: no bound of an
# adapter's numbers holds where they cancel (1.8e-5 seen). The losses show that nothing was left out or counted twice:
# equal within 1e-5.
set -eu
# shellcheck source=small_run.sh
. "$(dirname "$0")/small_run.sh"
compare=$2
command -v mpirun >/dev/null || exit 77

# Root, as in containers; more processes than cores, as here.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
export OMPI_MCA_btl_vader_single_copy_mechanism=none
one=$llama
two() { mpirun -n 2 --bind-to none "$one" "$@"; }

# train PROGRAM NAME OPTIONS...: into $work/NAME.
train() {
    llama=$1 name=$2
    shift 2
    small_run --output_dir "$work/$name" --threads 1 "$@" >"$work/out" 2>&1 && return
    if grep -q 'built without MPI' "$work/out"; then exit 77; fi
    fail "$name: $(cat "$work/out")"
}

# losses NAME: a line for each training and validation loss.
losses() { grep -o '"[a-z_]*loss":[^,}]*' "$work/$1/sbora_fa/metrics.jsonl"; }

train "$one" one --batch_size 4
train two two --batch_size 4
"$compare" "$work/one/sbora_fa" "$work/two/sbora_fa" 0 || fail "a micro-batch each: the adapters differ"

train "$one" one_of_three --batch_size 6
train two two_of_three --batch_size 6
losses one_of_three >"$work/expected"
losses two_of_three >"$work/got"
[ -s "$work/expected" ] || fail "no losses"
paste -d : "$work/expected" "$work/got" | awk -F : '
    { apart = ($2 - $4) / $2; if ($1 != $3 || !(apart <= 1e-5 && apart >= -1e-5)) { print; failed = 1 } }
    END { exit failed }' || fail "three micro-batches: the losses differ"
