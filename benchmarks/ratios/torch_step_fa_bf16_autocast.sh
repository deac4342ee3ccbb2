#!/bin/sh
# As torch_step_fa_bf16, PyTorch's step under torch.autocast; run.sh calls it.
exec sh "$(dirname "$0")/../torch/step.sh" torch_step_fa_bf16_autocast fa bf16_autocast "$1"
