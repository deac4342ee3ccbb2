#!/bin/sh
# PyTorch's time for a training step of the official layer (fa, bf16) over sbora's; run.sh calls it.
exec sh "$(dirname "$0")/../torch/step.sh" torch_step_fa_bf16 fa bf16 "$1"
