#!/bin/sh
# Processor time of plugs/torch.hpp on two of PyTorch's threads over that of sbora alone on them; run.sh calls it.
exec sh "$(dirname "$0")/../torch/plug.sh" "$1" torch_plug_processor_time
