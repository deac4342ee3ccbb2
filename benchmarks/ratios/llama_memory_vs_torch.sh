#!/bin/sh
# PyTorch's peak resident memory of training of a small LLaMA (FA, f32) over examples/llama's; run.sh calls it.
exec sh "$(dirname "$0")/../llama/step.sh" step llama_memory_vs_torch "$1"
