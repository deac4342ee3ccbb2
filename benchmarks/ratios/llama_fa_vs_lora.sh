#!/bin/sh
# Time of a training step of FA over one of LoRA of half the rank, the worse of two models; run.sh calls it.
exec sh "$(dirname "$0")/../llama/random_weights.sh" whole_step llama_fa_vs_lora "$1"
