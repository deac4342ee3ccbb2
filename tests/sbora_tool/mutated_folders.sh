#!/bin/sh
# mutated_folders.sh TOOL MAKE_FILES MUTATED_FOLDERS: 200 broken folders through inspect, convert and merge.
set -eu
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"$2" "$scratch/originals"
"$3" tool "$1" "$scratch/originals" "$scratch/work"
