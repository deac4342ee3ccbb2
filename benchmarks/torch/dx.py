"""Prints "ratio NAME VALUE": PyTorch's time for dx = dy·W in f32 over sbora's, the worst of few tokens of a large
weight and of many of tall ones, in one process, alternating, on one thread. usage: dx.py NAME LIBRARY"""

import argparse
import ctypes
import itertools
import sys

import torch

from alternation import alternate

SHAPES = [(4096, 4096, tokens) for tokens in (17, 24, 32, 48, 64)] + [(3072, 768, 256), (2304, 768, 256)]
TOGETHER = 128 << 20  # bytes of the weights in turn


def ratio_of(library, d_out, d_in, tokens):
    weights = [torch.rand(d_out, d_in) - 0.5 for _ in range(max(1, TOGETHER // (4 * d_out * d_in)))]
    dy = torch.rand(tokens, d_out) * 2 - 1
    dx, own_dx = torch.empty(tokens, d_in), torch.empty(tokens, d_in)
    theirs_next, own_next = itertools.cycle(weights), itertools.cycle(weights)

    def theirs():
        torch.mm(dy, next(theirs_next), out=dx)

    def own():
        library.frozen_dx(d_out, d_in, tokens, next(own_next).data_ptr(), dy.data_ptr(), own_dx.data_ptr())

    theirs()
    own()
    worst = (dx - own_dx).abs().max() / dx.abs().max()
    if not worst < 1e-4:
        sys.exit(f"dx.py: the results differ by {worst:.2g} of the largest element")
    ratio, spread, their_time, own_time = alternate(theirs, own)
    print(f"  {d_out} x {d_in}, {tokens} tokens: PyTorch {torch.__version__} {1e3 * their_time:.4g} ms, "
          f"sbora {1e3 * own_time:.4g} ms, ratio {ratio:.3f}, spread {spread:.2g}", file=sys.stderr)
    return ratio


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("library", help="libbench_torch_step.so")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    library = ctypes.CDLL(args.library)
    library.frozen_dx.argtypes = [ctypes.c_int64] * 3 + [ctypes.c_void_p] * 3
    library.frozen_dx.restype = None
    print(f"ratio {args.name} {min(ratio_of(library, *shape) for shape in SHAPES):.4g}")


if __name__ == "__main__":
    main()
