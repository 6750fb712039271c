"""Every kind of kernel with each of its arrays against a page that may not be touched: before it, and behind it."""

from __future__ import annotations

import subprocess
import sys

import pytest

CHILD = """
import ctypes, itertools, mmap, sys
import numpy as np
from graphnet.backend.native.batch_last import (
    BatchLastConvolution, BatchLastFilterGradient, BatchLastInputGradient
)
from graphnet.backend.native.masks import Mask
from graphnet.backend.native.ops import (
    DirectConvolution,
    DirectFilterGradient,
    DirectInputGradient,
    Panels,
    ScatteredInputGradient,
)
from graphnet.ops import activations, elementwise, powers, reductions, shaping, unary
from graphnet.ops.indexing import Gather, IndexAdd, OneHot, ScatterAdd, Take
from graphnet.ops.joining import Concatenate, FoldEdges, PadEdges
from graphnet.ops.layout import DiagonalEmbed
from graphnet.ops.linear import Matmul
from graphnet.ops.random import Uniform
from graphnet.ops.softmax_cross_entropy import SoftmaxCrossEntropy, SoftmaxMinusTarget
from graphnet.backend.native.grouped_ops import (
    DepthwiseConvolution, DepthwiseFilterGradient, DepthwiseInputGradient, Grouped
)
from graphnet.ops.pooling import (
    AvgPool2d, AvgPool2dGradient, MaxPool2d, MaxPool2dGather, MaxPool2dGradient, MaxPool2dPlaces
)
from graphnet.ops.resampling import AdaptiveAvgPool2d, AdaptiveAvgPool2dGradient, Upsample
from graphnet.ops.windows import Col2im, Im2col
from graphnet.backend.native import winograd_choice
from graphnet.backend.native.triangles import LEFT_LOWER, LEFT_UPPER, OUT_LOWER, TriangularMatmul
from graphnet.backend.native.winograd import WinogradConvolution, WinogradFilterGradient, WinogradWeights
from tests.backend.native.kernels import native

PAGE = mmap.PAGESIZE
libc = ctypes.CDLL(None, use_errno=True)
keep = []

def guarded(shape, dtype, behind):
    "An array that ends (or begins) where an unreadable page begins (or ends)."
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    pages = -(-size // PAGE) * PAGE
    memory = mmap.mmap(-1, pages + 2 * PAGE)
    raw = np.frombuffer(memory, np.uint8)
    keep.append((memory, raw))
    for at in (0, pages + PAGE):
        assert libc.mprotect(ctypes.c_void_p(raw.ctypes.data + at), PAGE, 0) == 0
    start = PAGE + (pages - size if behind else 0)
    return raw[start : start + size].view(dtype).reshape(shape)

def filled(shape, behind, dtype="float32"):
    array = guarded(shape, dtype, behind)
    array[...] = np.random.default_rng(0).integers(0, 3, shape) if dtype == "int64" else 0.5
    return array

if len(sys.argv) > 1:  # to see that the guard guards
    guarded((8,), "float32", True).ctypes.data_as(ctypes.POINTER(ctypes.c_float))[8]
for behind in (False, True):
    for dtype in ("float32", "float64"):
        for n in (1, 5, 8, 13, 35):
            x, y = filled((n, 7), behind, dtype), filled((n, 7), behind, dtype)
            native(elementwise.Add(), y, [x, filled((7,), behind, dtype)])
            native(activations.Sigmoid(), y, [x])
            for axis in (0, 1):
                out = filled((7, n)[axis : axis + 1], behind, dtype)
                native(shaping.Sum((axis,), False), out, [x])
                native(reductions.Softmax(axis), y, [x])
                native(reductions.Cumsum(axis, True), y, [x])
                native(reductions.ArgMax(axis, False), filled(out.shape, behind, "int64"), [x])
            labels = filled((n,), behind, "int64")
            native(SoftmaxCrossEntropy(-100, 0.1), filled((n,), behind, dtype), [x, labels])
            native(SoftmaxMinusTarget(-100, 0.0), y, [x, labels])
            long = filled((4099, n), behind, dtype)  # is reduced in blocks, the last of which is short
            native(reductions.Var((0,), False, 1), filled((n,), behind, dtype), [long])
            for m, k in ((1, 3), (7, 16), (9, 19)):
                a, b = filled((m, k), behind, dtype), filled((k, n), behind, dtype)
                out = filled((m, n), behind, dtype)
                native(Matmul(), out, [a, b])
                native(Matmul(), out, [a, filled((n, k), behind, dtype).T])
                native(Matmul(), out, [filled((k, m), behind, dtype).T, b])
                assert np.allclose(out, 0.25 * k)
            for shape in ((n, 17), (16, n), (3, n, 9)):
                a = filled(shape, behind, dtype)
                native(shaping.Contiguous(), filled(shape[::-1], behind, dtype), [a.T])
                native(unary.Erf(), a, [a])
                native(unary.Cos(), a, [a])
                native(powers.Power(), a, [a, filled(shape, behind, dtype)])
                other, joined = filled((*shape[:-1], n), behind, dtype), (*shape[:-1], shape[-1] + n)
                native(Concatenate(len(shape) - 1), filled(joined, behind, dtype), [a, other])
                picks, taken = filled((11,), behind, "int64"), (shape[0], 11, *shape[2:])
                np.minimum(picks, shape[1] - 1, out=picks)
                native(Take(1, True), filled(taken, behind, dtype), [a, picks])
                native(IndexAdd(1, shape[1], True), a, [filled(taken, behind, dtype), picks])
                places = filled(shape, behind, "int64")
                np.minimum(places, shape[-1] - 1, out=places)
                native(Gather(len(shape) - 1, False), filled(shape, behind, dtype), [a, places])
                native(ScatterAdd(0, 3, False), filled((3, *shape[1:]), behind, dtype), [a, places])
                for mode in ("reflect", "replicate", "circular"):
                    most = 0 if n == 1 else 2
                    pairs = ((0, 0),) * (len(shape) - 1) + ((min(most, shape[-1] - 1), 1 if shape[-1] > 1 else 0),)
                    whole = (*shape[:-1], shape[-1] + sum(pairs[-1]))
                    native(PadEdges(pairs, mode), filled(whole, behind, dtype), [a])
                    native(FoldEdges(pairs, mode), a, [filled(whole, behind, dtype)])
            native(OneHot(3, np.dtype(dtype)), filled((n, 3), behind, dtype), [filled((n,), behind, "int64")])
            native(Uniform((n, 7), np.dtype(dtype), 3), filled((n, 7), behind, dtype), [filled((2,), behind, "int64")])
            for target, order in (((n, 8), (0, 1)), ((n, 8), (1, 0)), ((n, 7), (1, 0))):
                out = guarded([target[axis] for axis in order], "bool", behind)
                native(Mask(target, order, 3, 0.5, False), out, [filled((2,), behind, "int64")])
            native(DiagonalEmbed(0, 1), filled((n, n), behind, dtype), [filled((n,), behind, dtype)])
        for c in (1, 5, 8, 13):
            def images(h, w, kind=dtype):
                return filled((2, h, w, c), behind, kind).transpose(0, 3, 1, 2)
            fields = ((3, 2), (2, 1), ((1, 1), (1, 0)), True, (1, 1))
            x, y, places = images(7, 6), images(4, 6), images(4, 6, "uint8")
            native(MaxPool2d(*fields), y, [x])
            native(MaxPool2dPlaces(*fields), places, [x, y])
            native(MaxPool2dGather(*fields), y, [places, x])
            native(MaxPool2dGradient(*fields, (7, 6)), x, [places, y])
            for counts in (True, False):
                native(AvgPool2d(*fields[:4], counts, None), y, [x])
                native(AvgPool2dGradient(*fields[:4], counts, None, (7, 6)), x, [y])
            native(AdaptiveAvgPool2d((4, 6)), y, [x])
            native(AdaptiveAvgPool2dGradient((4, 6), (7, 6)), x, [y])
            native(Upsample((2, 3)), images(8, 18), [y])
            windows = ((3, 2), (2, 1), ((1, 1), (1, 0)), (1, 1))
            columns, turned = filled((c * 6, 4 * 6 * 2), behind, dtype), filled((c, 7, 6, 2), behind, dtype)
            native(Im2col(*windows), columns, [turned])
            native(Col2im(*windows, (c, 7, 6, 2)), turned, [columns])
            x, y, w = (filled(shape, behind, dtype) for shape in ((2, 7, 6, c), (2, 4, 6, c), (3, 2, c)))
            native(DepthwiseConvolution(*windows[1:]), y, [x, w])
            native(DepthwiseInputGradient(*windows[1:], (7, 6)), x, [y, w])
            native(DepthwiseFilterGradient(*windows[1:], (3, 2)), w, [x, y])
            x, y = filled((2, 7, 6, 3 * c), behind, dtype), filled((2, 5, 6, 6), behind, dtype)
            paneled = filled((1, 3, 3, 1, c, 16), behind, dtype)
            native(Grouped(DirectConvolution((1, 1), (1, 1), 2), 3), y, [x, paneled])
            weight = filled((6, c, 3, 1), behind, dtype)
            native(Grouped(DirectFilterGradient((1, 1), (1, 1), (3, 1)), 3), weight, [x, y])
for behind in (False, True):
    for dtype in ("float32", "float64"):
        for m, k, n in ((40, 300, 70), (67, 64, 129), (3, 300, 40), (70, 33, 1)):  # large enough to be packed
            a, b = filled((m, k), behind, dtype), filled((k, n), behind, dtype)
            turned = filled((k, m), behind, dtype).T, filled((n, k), behind, dtype).T
            for left, right in ((a, b), (turned[0], b), (a, turned[1]), turned):
                out = filled((m, n), behind, dtype)
                native(Matmul(), out, [left, right])
                assert np.allclose(out, 0.25 * k)
        for kind, n in itertools.product((LEFT_LOWER, LEFT_UPPER, OUT_LOWER), (33, 64)):
            a, b = filled((2, n, n), behind, dtype), filled((2, n, n), behind, dtype)
            for left, right in ((a, b), (a.swapaxes(1, 2), b.swapaxes(1, 2))):
                native(TriangularMatmul(kind), filled((2, n, n), behind, dtype), [left, right])
        shapes = ((1, 6, 5, 1, 1), (3, 17, 3, 2, 1), (33, 64, 3, 1, 2), (16, 1, 1, 2, 1), (300, 130, 5, 2, 2))
        for channels, filters, kernel, stride, dilation in shapes:
            steps, spread, span = (stride, stride), (dilation, dilation), dilation * (kernel - 1)
            x = filled((2, 13, 14, channels), behind, dtype)
            weight = filled((kernel, kernel, channels, filters), behind, dtype)
            panels = filled((-(-filters // 16), kernel, kernel, channels, 16), behind, dtype)
            native(Panels(16), panels, [weight])
            counts = [(size - span - 1) // stride + 1 for size in (13, 14)]
            y = filled((2, *counts, filters), behind, dtype)
            native(DirectConvolution(steps, spread, filters), y, [x, panels])
            assert np.allclose(y, 0.25 * kernel * kernel * channels)
            gradient = filled((filters, channels, kernel, kernel), behind, dtype)
            native(DirectFilterGradient(steps, spread, (kernel, kernel)), gradient, [x, y])
            back = filled((-(-channels // 16), kernel, kernel, filters, 16), behind, dtype)
            native(Panels(16), back, [filled((kernel, kernel, filters, channels), behind, dtype)])
            reach = span // stride + 2
            dy = filled((2, counts[0] + 2 * reach, counts[1] + 2 * reach, filters), behind, dtype)
            op = DirectInputGradient(steps, spread, (0, 0), (reach, reach), (13, 14), channels)
            native(op, filled((2, 13, 14, channels), behind, dtype), [dy, back])
            if channels <= (lanes := 32 // np.dtype(dtype).itemsize):
                single = filled((1, kernel, kernel, filters, lanes), behind, dtype)
                native(Panels(lanes), single, [filled((kernel, kernel, filters, channels), behind, dtype)])
                op = ScatteredInputGradient(steps, spread, (0, 0), (0, 0), (13, 14), channels)
                native(op, filled((2, 13, 14, channels), behind, dtype), [y, single])
        for batch, channels, filters, stride, dilation in ((16, 1, 6, 1, 1), (35, 6, 13, 2, 1), (3, 5, 4, 1, 2)):
            counts = [(n - 2 * dilation - 1) // stride + 1 for n in (9, 8)]
            steps, spread = (stride, stride), (dilation, dilation)
            x, weight = filled((9, 8, channels, batch), behind, dtype), filled((filters, channels, 3, 3), behind, dtype)
            y = filled((*counts, filters, batch), behind, dtype)
            native(BatchLastConvolution(steps, spread), y, [x, weight])
            assert np.allclose(y, 0.25 * 9 * channels)
            y[...] = 0.5
            native(BatchLastFilterGradient(steps, spread, (3, 3)), weight, [x, y])
            assert np.allclose(weight, 0.25 * batch * np.prod(counts))
            native(BatchLastInputGradient(steps, spread, (1, 1), (7, 6)), x[:7, :6], [y, weight])
            turned = filled((batch, channels, 9, 8), behind, dtype).transpose(2, 3, 1, 0)
            native(BatchLastConvolution(steps, spread), y, [turned, weight])
        sizes = ((1, 6, 5, 1, 1), (3, 5, 7, 17, 33), (19, 8, 4, 16, 24))
        for tile, staged, (n, h, w, c, o) in itertools.product((2, 4), (0, 6 << 20), sizes):
            winograd_choice._STAGED = staged
            weight = filled((-(-o // 16), 3, 3, c, 16), behind, dtype)
            u = filled(((tile + 2) ** 2, weight.shape[0], c, 16), behind, dtype)
            native(WinogradWeights(tile, False), u, [weight])
            x = filled((n, -(-h // tile) * tile + 2, -(-w // tile) * tile + 2, c), behind, dtype)
            y = filled((n, h, w, o), behind, dtype)
            native(WinogradConvolution(tile, (h, w), o), y, [x, u])
            assert np.allclose(y, 0.25 * 9 * c, rtol=1e-4)
            winograd_choice._GRADIENT_STAGED, winograd_choice._CHUNKS = staged, 1 if staged == 0 else 8
            native(WinogradFilterGradient(tile), filled((o, c, 3, 3), behind, dtype), [x, y])
print("through")
"""


def child(*arguments):
    return subprocess.run([sys.executable, "-c", CHILD, *arguments], capture_output=True, text=True)


@pytest.mark.slow
def test_no_kernel_reads_or_writes_past_an_array():
    result = child()
    assert (result.returncode, result.stdout) == (0, "through\n"), result.stderr


def test_the_guard_would_notice():
    assert child("touch").returncode < 0
