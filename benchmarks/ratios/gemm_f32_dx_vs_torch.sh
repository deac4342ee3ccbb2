#!/bin/sh
# PyTorch's time for dx = dy·W of a frozen f32 layer over sbora's; run.sh calls it.
exec sh "$(dirname "$0")/../torch/peer.sh" "$1" torch dx.py gemm_f32_dx_vs_torch
