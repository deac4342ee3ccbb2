"""Standard-basis low-rank adapters (SBoRA) on arrays where they lie: torch's, numpy's, JAX's.

What is here is C++'s, under its names: Linear, fa_adapter, fb_adapter, Merger over one weight; make_adapter,
load_adapter and ModelAdapter.save over a whole model; merge_checkpoint over files. Arrays are float32 or bfloat16 on
the CPU, results are written into arrays that are given. Exceptions are sbora's, with its texts. No call holds the
interpreter's lock while it computes. sbora.torch has it for models of torch.
"""

from ._sbora import *  # noqa: F403
