#!/bin/sh
# Time and peak memory of PEFT's LoRA r 16 over ours of FA r 32, on padded rows; run.sh calls it.
# Prints llama_epoch_memory_vs_peft too.
exec sh "$(dirname "$0")/../llama/step.sh" epoch llama_epoch_vs_peft "$1"
