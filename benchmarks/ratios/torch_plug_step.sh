#!/bin/sh
# A step of PyTorch's own operations over one of plugs/torch.hpp, in C++; run.sh calls it.
exec sh "$(dirname "$0")/../torch/plug.sh" "$1" torch_plug_step
