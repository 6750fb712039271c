"""The NumPy backend: ufuncs and matrix products straight into planned memory; convolution by im2col."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from graphnet.backend.base import Kernel
from graphnet.graph.node import Op
from graphnet.rewrite.convolution import CONVOLUTION
from graphnet.rewrite.driver import Rule


class NumpyBackend:
    """Always there. Its kernels are the ops' own; what makes it fast is what rewriting and planning hand it."""

    name = "numpy"
    rules: Sequence[Rule] = CONVOLUTION

    def kernel(
        self, op: Op, out: np.ndarray, inputs: Sequence[np.ndarray], work: tuple[np.ndarray, ...]
    ) -> Kernel | None:
        """None: every reference kernel is a NumPy kernel."""
        return None
