#!/bin/sh
# PyTorch's time for a training step of the official layer (fa, f32) over sbora's; run.sh calls it.
exec sh "$(dirname "$0")/../torch/step.sh" torch_step_fa_f32 fa f32 "$1"
