#!/bin/sh
# Model flops per second of a training step on SmolLM2-135M's shape, over multiply-adds on registers; run.sh calls it.
exec sh "$(dirname "$0")/../llama/random_weights.sh" whole_step llama_mfu "$1"
