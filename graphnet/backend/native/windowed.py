"""The ops on sliding windows that are no matrix products: pooling, upsampling, depthwise convolution, columns."""

from __future__ import annotations

from collections.abc import Sequence

from graphnet.backend.native.averages import averages
from graphnet.backend.native.columns import columns
from graphnet.backend.native.depthwise import depthwise
from graphnet.backend.native.grouped import grouped
from graphnet.backend.native.grouped_ops import Grouped
from graphnet.backend.native.loops import Kernel
from graphnet.backend.native.pooling import pooling
from graphnet.backend.native.views import Scratch, View
from graphnet.graph.node import Op
from graphnet.ops.pooling import MaxPooling
from graphnet.ops.windows import Col2im, Im2col


def windowed(op: Op, out: View, inputs: Sequence[View], scratch: Scratch) -> list[Kernel] | None:
    """Kernels that fill `out`; None for an op that is none of these."""
    if isinstance(op, MaxPooling):
        return pooling(op, out, inputs, scratch)
    if isinstance(op, (Im2col, Col2im)):
        return columns(op, out, inputs[0])
    if isinstance(op, Grouped):
        return grouped(op, out, inputs, scratch)
    return depthwise(op, out, inputs, scratch) or averages(op, out, inputs, scratch)
