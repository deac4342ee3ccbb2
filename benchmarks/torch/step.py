"""Prints "ratio NAME VALUE": PyTorch's time for a training step of the official SBoRA layer over sbora's, in
one process, alternating, with the same threads. usage: step.py NAME KIND TYPE LIBRARY

The trained half is f32 on both sides, as the official code has it whatever the weight's type: its forward computes
lora_B(x.to(lora_B.weight.dtype)[..., index]) * scaling and adds that to the result in place.

TYPE bf16_autocast: the same under torch.autocast, which rounds the trained half to bf16 for every product with it;
sbora's arm stays as with bf16. TYPE nf4: f32 activations over a nested NF4 weight, in PyTorch through bitsandbytes;
sbora reads the bytes that bitsandbytes made."""

import argparse
import ctypes
import sys

import torch
import torch.nn.functional as F

from alternation import alternate

D_OUT, D_IN, TOKENS, RANK = 4096, 4096, 512, 64
ALPHA, LEARNING_RATE = 128.0, 1e-3


class Plan(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int64) for name in ("d_out", "d_in", "tokens", "rank")] + [
        ("indices", ctypes.c_void_p), ("alpha", ctypes.c_double), ("learning_rate", ctypes.c_double),
        ("threads", ctypes.c_int64)] + [(name, ctypes.c_void_p) for name in ("x", "y", "dy", "dx")]


class Dense(ctypes.Structure):
    _fields_ = [("elements", ctypes.c_void_p)]


class Nf4(ctypes.Structure):
    _fields_ = [("blocksize", ctypes.c_int64)] + [
        (name, ctypes.c_void_p) for name in ("codes", "absmax_codes", "nested_absmax", "nested_table")] + [
        ("nested_offset", ctypes.c_double)]


def official_step(kind, product, x, index, half, dy, optimiser, autocast):
    """The arithmetic of the paper's code, layer.py: gather and thin product, or thin product and index_add."""
    scaling = ALPHA / RANK
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        y = product(x)
        if kind == "fa":
            y += F.linear(x.to(half.dtype)[..., index], half) * scaling
        else:
            y.index_add_(-1, index, (F.linear(x.to(half.dtype), half) * scaling).to(y.dtype))
    y.backward(dy)
    optimiser.step()
    optimiser.zero_grad()
    return y


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("kind", choices=["fa", "fb"])
    parser.add_argument("type", choices=["f32", "bf16", "bf16_autocast", "nf4"])
    parser.add_argument("library", help="libbench_torch_step.so")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    base = args.type.removesuffix("_autocast")
    autocast = base != args.type
    dtype = torch.bfloat16 if base == "bf16" else torch.float32
    w = ((torch.rand(D_OUT, D_IN) - 0.5) * 0.1).to(dtype)
    x = (torch.rand(TOKENS, D_IN) * 2 - 1).to(dtype).requires_grad_()
    dy = (torch.rand(TOKENS, D_OUT) * 2 - 1).to(dtype)
    index = torch.randperm(D_IN if args.kind == "fa" else D_OUT)[:RANK].contiguous()
    half = torch.zeros((D_OUT, RANK) if args.kind == "fa" else (RANK, D_IN), requires_grad=True)
    try:
        optimiser = torch.optim.AdamW([half], lr=LEARNING_RATE, fused=True)
    except (TypeError, RuntimeError):  # before PyTorch 2.4: not on the CPU
        optimiser = torch.optim.AdamW([half], lr=LEARNING_RATE)

    library = ctypes.CDLL(args.library)
    library.step_make.restype = library.step_make_nf4.restype = ctypes.c_void_p
    library.step_parameters.restype = ctypes.POINTER(ctypes.c_float)
    own_y, own_dx = torch.empty(TOKENS, D_OUT, dtype=dtype), torch.empty(TOKENS, D_IN, dtype=dtype)
    plan = Plan(D_OUT, D_IN, TOKENS, RANK, index.data_ptr(), ALPHA, LEARNING_RATE, args.threads, x.data_ptr(),
                own_y.data_ptr(), dy.data_ptr(), own_dx.data_ptr())
    kind, against = args.kind.encode(), f"PyTorch {torch.__version__}"
    if args.type == "nf4":
        import bitsandbytes

        packed, state = bitsandbytes.functional.quantize_4bit(w, quant_type="nf4", compress_statistics=True)
        product = lambda x: bitsandbytes.matmul_4bit(x, packed.t(), state)
        against += f", bitsandbytes {bitsandbytes.__version__}"
        weight = Nf4(state.blocksize, packed.data_ptr(), state.absmax.data_ptr(), state.state2.absmax.data_ptr(),
                     state.state2.code.data_ptr(), state.offset.item())
        ours = library.step_make_nf4(kind, ctypes.byref(plan), ctypes.byref(weight))
    else:
        product = lambda x: F.linear(x, w)
        weight = Dense(w.data_ptr())
        ours = library.step_make(kind, base.encode(), ctypes.byref(plan), ctypes.byref(weight))
    if not ours:
        sys.exit(2)
    ours = ctypes.c_void_p(ours)

    def torch_step():
        x.grad = None
        return official_step(args.kind, product, x, index, half, dy, optimiser, autocast)

    def own_step():
        library.step_run(ours)

    # Two steps of each must agree before anything is timed: y and dx of the second see the first's update.
    bound = 4e-2 if dtype == torch.bfloat16 else 2e-3
    for _ in range(2):
        y = torch_step()
        own_step()
    parameters = torch.tensor(library.step_parameters(ours)[: half.numel()]).view_as(half)
    for what, theirs, own in (("y", y, own_y), ("dx", x.grad, own_dx), ("trained half", half, parameters)):
        theirs = theirs.detach().float()
        worst = (theirs - own.float()).abs().max() / theirs.abs().max()
        if not worst < bound:
            sys.exit(f"step.py: {what} differs from PyTorch's by {worst:.2g} of its largest element")

    ratio, spread, theirs, own = alternate(torch_step, own_step)
    print(f"  {against}: {1e3 * theirs:.4g} ms, "
          f"sbora: {1e3 * own:.4g} ms, spread of the ratio {spread:.2g}", file=sys.stderr)
    print(f"ratio {args.name} {ratio:.4g}")


if __name__ == "__main__":
    main()
