"""Converts the pickles that the official SBoRA code writes: bin_to_safetensors.py FOLDER...

Makes adapter_model.safetensors of each FOLDER/adapter_model.bin, with the same names, types and bits.
Needs torch and safetensors from PyPI. Nothing in the pickle is executed (weights_only).
"""

import pathlib
import sys

import torch
from safetensors.torch import save_file

if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
    sys.exit(__doc__)
for folder in map(pathlib.Path, sys.argv[1:]):
    tensors = torch.load(folder / "adapter_model.bin", map_location="cpu", weights_only=True)
    tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    print(folder / "adapter_model.safetensors")
