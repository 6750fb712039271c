"""The NumPy backend: ufuncs and matrix products straight into planned memory; convolution by im2col."""

from __future__ import annotations

from collections.abc import Sequence

from graphnet.backend.base import Bound, Kernel
from graphnet.rewrite.convolution import CONVOLUTION
from graphnet.rewrite.driver import Rule


class NumpyBackend:
    """Always there. Its kernels are the ops' own; what makes it fast is what rewriting and planning hand it."""

    name = "numpy"
    rules: Sequence[Rule] = CONVOLUTION

    def kernels(self, steps: Sequence[Bound]) -> Sequence[Kernel | None]:
        """None for each: every reference kernel is a NumPy kernel."""
        return [None] * len(steps)

    def joined(self, kernels: Sequence[Kernel]) -> list[tuple[int, Kernel]]:
        """Each by itself."""
        return list(enumerate(kernels))
