"""c.h from Python's standard library alone: by_ctypes.py LIBRARY. An FB adapter's step against the formula."""

import array
import ctypes
import random
import sys


class Matrix(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("rows", ctypes.c_int64), ("cols", ctypes.c_int64),
                ("stride", ctypes.c_int64), ("type", ctypes.c_int32)]


F32 = 0
library = ctypes.CDLL(sys.argv[1])
library.sbora_last_error.restype = ctypes.c_char_p
library.sbora_adapter_parameters.restype = ctypes.POINTER(ctypes.c_float)
library.sbora_adapter_gradient.restype = ctypes.POINTER(ctypes.c_float)
library.sbora_adapter_parameter_count.restype = ctypes.c_int64


def check(status):
    if status != 0:
        raise RuntimeError(library.sbora_last_error().decode())


def matrix(values, rows, cols):
    return ctypes.byref(Matrix(values.buffer_info()[0], rows, cols, 0, F32))


def rows_of(values, cols):
    return [values[i : i + cols] for i in range(0, len(values), cols)]


draw = random.Random(5)
numbers = lambda count: array.array("f", (draw.uniform(-1, 1) for _ in range(count)))
d_out, d_in, rank, tokens, alpha = 9, 14, 2, 5, 3.0
w, x, dx = numbers(d_out * d_in), numbers(tokens * d_in), numbers(tokens * d_in)
y, dy = numbers(tokens * d_out), numbers(tokens * d_out)
idx = array.array("q", [6, 1])
adapter = ctypes.c_void_p()
check(library.sbora_adapter_new(1, ctypes.c_int64(d_out), ctypes.c_int64(d_in), ctypes.c_int64(rank),
                                ctypes.c_double(alpha), ctypes.c_void_p(idx.buffer_info()[0]), ctypes.c_uint64(0),
                                ctypes.byref(adapter)))
assert library.sbora_adapter_parameter_count(adapter) == rank * d_in
half = library.sbora_adapter_parameters(adapter)
for i, value in enumerate(numbers(rank * d_in)):
    half[i] = value
weight = matrix(w, d_out, d_in)
check(library.sbora_forward(adapter, weight, None, matrix(x, tokens, d_in), matrix(y, tokens, d_out), 1, None))
check(library.sbora_backward(adapter, weight, matrix(dy, tokens, d_out), matrix(dx, tokens, d_in), None))

# W + s * B * A, with B one-hot on rows idx.
scale = alpha / rank
full = rows_of(w, d_in)
for j, row in enumerate(idx):
    for i in range(d_in):
        full[row][i] += scale * half[j * d_in + i]
X, DY = rows_of(x, d_in), rows_of(dy, d_out)
close = lambda ours, theirs: abs(ours - theirs) < 1e-5
for t in range(tokens):
    for o in range(d_out):
        assert close(y[t * d_out + o], sum(X[t][i] * full[o][i] for i in range(d_in))), "y"
    for i in range(d_in):
        assert close(dx[t * d_in + i], sum(DY[t][o] * full[o][i] for o in range(d_out))), "dx"
gradient = library.sbora_adapter_gradient(adapter)
for j, row in enumerate(idx):
    for i in range(d_in):
        assert close(gradient[j * d_in + i], scale * sum(DY[t][row] * X[t][i] for t in range(tokens))), "gradient"

assert library.sbora_forward(adapter, weight, None, matrix(x, tokens, d_in - 1), matrix(y, tokens, d_out), 1, None) == 2
assert b"d_in is 14" in library.sbora_last_error(), library.sbora_last_error()
library.sbora_adapter_free(adapter)
