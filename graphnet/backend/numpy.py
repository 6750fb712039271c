"""The NumPy backend: ufuncs and matrix products straight into planned memory; convolution by im2col."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from graphnet.backend.base import Kernel
from graphnet.graph.node import Op
from graphnet.ops.activations import Relu
from graphnet.rewrite.convolution import CONVOLUTION
from graphnet.rewrite.driver import Rule


class NumpyBackend:
    """Always there. Its kernels are the ops' own; what makes it fast is what rewriting and planning hand it."""

    name = "numpy"
    rules: Sequence[Rule] = CONVOLUTION

    def kernel(
        self, op: Op, out: np.ndarray, inputs: Sequence[np.ndarray], work: tuple[np.ndarray, ...]
    ) -> Kernel | None:
        return _relu(out, *inputs) if isinstance(op, Relu) else None


_ZEROS_IN_A_ROW = 4096


def _relu(out: np.ndarray, x: np.ndarray) -> Kernel | None:
    """max(x, 0) against rows of zeros: NumPy vectorizes its loop for two arrays, not that for an array and a number.

    Three times as fast where there is enough to do, and both arrays are whole and lie in memory in one order.
    """
    flat_x, flat_out = x.ravel("K"), out.ravel("K")
    whole = x.size - x.size % _ZEROS_IN_A_ROW
    if (
        not whole
        or x.strides != out.strides
        or not (np.may_share_memory(flat_x, x) and np.may_share_memory(flat_out, out))
    ):
        return None
    zeros = np.zeros(_ZEROS_IN_A_ROW, x.dtype)
    rows, rows_out = flat_x[:whole].reshape(-1, _ZEROS_IN_A_ROW), flat_out[:whole].reshape(-1, _ZEROS_IN_A_ROW)
    rest, rest_out = flat_x[whole:], flat_out[whole:]

    def run() -> None:
        np.maximum(rows, zeros, out=rows_out)
        np.maximum(rest, zeros[: rest.size], out=rest_out)

    return run
