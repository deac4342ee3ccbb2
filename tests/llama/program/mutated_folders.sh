#!/bin/sh
# mutated_folders.sh LLAMA DIFFERENCE MUTATED_FOLDERS: 200 broken models through the fine-tuner's checks.
set -eu
mutated_folders=$3
# shellcheck source=small_run.sh
. "$(dirname "$0")/small_run.sh"
small_run --output_dir "$work/base" --max_steps 1 >/dev/null 2>&1 || fail "no base model"
"$mutated_folders" llama "$llama" "$(echo "$work"/cache/base-*)" "$work/mutated"
