#!/bin/sh
# The same with --bf16; run.sh calls it.
exec sh "$(dirname "$0")/../llama/random_weights.sh" whole_step llama_mfu_bf16 "$1"
