"""Prints "ratio NAME VALUE": PEFT's time for a forward of 64 tokens of 64 LoRAs in one batch over sbora's with FA and
FB of the same ranks, in one process, alternating, with the same threads. usage: mixed.py NAME LIBRARY

PEFT's way: adapter_names beside the input, one adapter for each row. Its LoRAs have the one-hot halves of sbora's
adapters, so both compute the same."""

import argparse
import ctypes
import random
import sys

import peft
import torch

from alternation import alternate

D_OUT, D_IN, TOKENS = 4096, 4096, 64


class Plan(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int64) for name in ("d_out", "d_in", "tokens", "threads")] + [
        (name, ctypes.c_void_p) for name in ("kinds", "ranks", "indices", "halves", "w", "x", "y")]


class Layer(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.proj = torch.nn.Linear(D_IN, D_OUT, bias=False)

    def forward(self, x):
        return self.proj(x)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("library", help="libbench_torch_step.so")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    choose = random.Random(61)

    kinds = [i % 2 for i in range(TOKENS)]
    ranks = [choose.randrange(8, 65) for _ in range(TOKENS)]
    names = [f"a{i}" for i in range(TOKENS)]
    model, indices, halves = None, [], []
    for name, kind, rank in zip(names, kinds, ranks):
        config = peft.LoraConfig(r=rank, lora_alpha=rank, target_modules=["proj"])
        if model is None:
            model = peft.get_peft_model(Layer(), config, adapter_name=name)
        else:
            model.add_adapter(name, config)
        index = torch.tensor(choose.sample(range(D_OUT if kind else D_IN), rank))
        half = (torch.rand((rank, D_IN) if kind else (D_OUT, rank)) - 0.5) * 0.1
        layer = model.base_model.model.proj
        a, b = layer.lora_A[name].weight.data, layer.lora_B[name].weight.data
        (b.T if kind else a).zero_()[torch.arange(rank), index] = 1
        (a if kind else b).copy_(half)
        indices.append(index)
        halves.append(half.reshape(-1))
    model.eval()
    indices, halves = torch.cat(indices), torch.cat(halves)
    kinds, ranks = torch.tensor(kinds), torch.tensor(ranks)
    w = model.base_model.model.proj.base_layer.weight.data
    x = torch.rand(TOKENS, D_IN) * 2 - 1
    y = torch.empty(TOKENS, D_OUT)

    library = ctypes.CDLL(args.library)
    library.mixed_make.restype = ctypes.c_void_p
    ours = library.mixed_make(ctypes.byref(Plan(D_OUT, D_IN, TOKENS, args.threads, *(
        tensor.data_ptr() for tensor in (kinds, ranks, indices, halves, w, x, y)))))
    if not ours:
        sys.exit(2)
    ours = ctypes.c_void_p(ours)

    @torch.no_grad()
    def theirs_step():
        return model(x, adapter_names=names)

    def own_step():
        library.mixed_run(ours)

    theirs = theirs_step()
    own_step()
    worst = (theirs - y).abs().max() / theirs.abs().max()
    adapted = (theirs - torch.nn.functional.linear(x, w)).abs().max() / theirs.abs().max()
    if not worst < 1e-4 or not adapted > 1e-2:
        sys.exit(f"mixed.py: the results differ by {worst:.2g} of the largest element, the adapters' is {adapted:.2g}")

    ratio, spread, their_time, own_time = alternate(theirs_step, own_step)
    print(f"  PEFT {peft.__version__}, PyTorch {torch.__version__}: {1e3 * their_time:.4g} ms, "
          f"sbora: {1e3 * own_time:.4g} ms, spread of the ratio {spread:.2g}", file=sys.stderr)
    print(f"ratio {args.name} {ratio:.4g}")


if __name__ == "__main__":
    main()
