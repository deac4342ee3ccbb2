#!/bin/sh
# PyTorch's time for a training step of a small LLaMA (FA, f32) over examples/llama's; run.sh calls it.
exec sh "$(dirname "$0")/../llama/step.sh" step llama_step_vs_torch "$1"
