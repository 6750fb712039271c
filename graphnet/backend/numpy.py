"""The NumPy backend: ufuncs and matrix products straight into planned memory; convolution by im2col."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from graphnet.backend.base import Bound, Kernel, own_workspace
from graphnet.backend.ready import Ready, Wanted
from graphnet.graph.graph import Graph
from graphnet.graph.node import Node
from graphnet.graph.types import TensorType
from graphnet.rewrite.convolution import CONVOLUTION
from graphnet.rewrite.driver import Log, Rule
from graphnet.rewrite.fusion import fuse
from graphnet.schedule import Schedule

if TYPE_CHECKING:
    from graphnet.lower import Lowered


class NumpyBackend:
    """Always there. Its kernels are the ops' own; what makes it fast is what rewriting and planning hand it."""

    name = "numpy"
    rules: Sequence[Rule] = CONVOLUTION

    def fuse(self, graph: Graph, log: Log) -> Graph:
        """Elementwise work, tile by tile."""
        return fuse(graph, log)

    def is_certain(self, node: Node) -> bool:
        """No: it is called from Python, where signals are answered."""
        return False

    def tune(self, order: Schedule) -> None:
        """Nothing: there is one way to do each step."""

    def notes(self, order: Schedule) -> Sequence[str]:
        """None."""
        return ()

    def workspace(self, node: Node, layouts: Mapping[Node, np.ndarray]) -> Sequence[TensorType]:
        """What the op says."""
        return own_workspace(node)

    def held(self, order: Schedule) -> Mapping[Node, int]:
        """None: each step is over before the next begins."""
        return {}

    def kernels(self, steps: Sequence[Bound]) -> Sequence[Kernel | None]:
        """None for each: every reference kernel is a NumPy kernel."""
        return [None] * len(steps)

    def joined(self, kernels: Sequence[Kernel]) -> list[tuple[int, Kernel]]:
        """Each by itself."""
        return list(enumerate(kernels))

    def recall(self, wanted: Wanted) -> None:
        """Nothing is compiled, so nothing is kept."""

    def remember(self, wanted: Wanted, lowered: Lowered, ready: Ready) -> None:
        """Nothing is compiled, so nothing is kept."""
