#!/bin/sh
# Time of PyTorch with bitsandbytes for a training step of the official layer (fa, NF4) over sbora's; run.sh calls it.
exec sh "$(dirname "$0")/../torch/step.sh" bnb_step_nf4 fa nf4 "$1"
