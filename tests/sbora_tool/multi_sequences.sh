#!/bin/sh
# multi_sequences.sh MULTI_SEQUENCES: 1,000 sequences of merge and remove for each kind, in memory where the system has
# files there: every command waits for the disk twice.
set -eu
scratch=$(mktemp -d -p /dev/shm 2>/dev/null || mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"$1" "$scratch/work" >/dev/null
