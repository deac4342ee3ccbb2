#!/bin/sh
# mpi.sh LLAMA COMPARE: two processes give the losses and the adapter of one, within 1e-5 relative. COMPARE prints
# the relative difference of two adapters. Exit code 77 (skipped) without mpirun, or a build without MPI.
set -eu
. "$(dirname "$0")/small_run.sh"
compare=$2
command -v mpirun >/dev/null || exit 77

# Root, as in containers; more processes than cores, as here.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
export OMPI_MCA_btl_vader_single_copy_mechanism=none
common="--threads 1 --batch_size 6"

# shellcheck disable=SC2086
small_run --output_dir "$work/one" $common >"$work/out" 2>&1 || fail "one process: $(cat "$work/out")"
status=0
# shellcheck disable=SC2086
llama_one=$llama
two() { mpirun -n 2 --bind-to none "$llama_one" "$@"; }
llama=two
# shellcheck disable=SC2086
small_run --output_dir "$work/two" $common >"$work/out" 2>&1 || status=$?
if grep -q 'built without MPI' "$work/out"; then exit 77; fi
[ $status = 0 ] || fail "two processes: $(cat "$work/out")"

"$compare" "$work/one/sbora_fa" "$work/two/sbora_fa" || fail "the adapters differ"
