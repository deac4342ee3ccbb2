#!/bin/sh
# PyTorch's time for a training step of the official layer (fb, f32) over sbora's; run.sh calls it.
exec sh "$(dirname "$0")/../torch/step.sh" torch_step_fb_f32 fb f32 "$1"
