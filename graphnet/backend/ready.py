"""A step that is ready to run: where its feeds go, what to call, where its results lie. And what was wanted of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from graphnet.graph.graph import Graph
from graphnet.graph.node import Node
from graphnet.ops.sources import Storage

if TYPE_CHECKING:
    from graphnet.backend.base import Kernel


class Freshness:
    """How often parameters had been written when values were worked out from them."""

    def __init__(self, storages: Sequence[Storage]) -> None:
        self.storages = tuple(storages)
        self.seen: list[int] | None = None

    def now(self) -> list[int]:
        """How often each has been written by now."""
        return [storage.writes for storage in self.storages]


def count_writes(storages: Sequence[Storage]) -> None:
    """Note that these may have changed."""
    for storage in storages:
        storage.writes += 1


@dataclass(frozen=True)
class Ready:
    """What running a step takes.

    taken: where each feed goes; None for one that nothing depends on. first: run only where `freshness` says that a
    parameter has changed. body: may fail. Each of their calls comes with the number of the step that it begins with.
    commit: changes parameters, `changed`; C-level callables only, run without a bytecode in between, so that no
    interrupt can leave some parameters changed and others not. given: where the outputs lie. is_silent: whether
    nothing of it is NumPy's, which warns of what it divides by or cannot round. keep: what must live as long.
    """

    taken: tuple[np.ndarray | None, ...]
    first: Sequence[tuple[int, Kernel]]
    body: Sequence[tuple[int, Kernel]]
    commit: tuple[Kernel, ...]
    given: tuple[np.ndarray, ...]
    freshness: Freshness
    changed: tuple[Storage, ...]
    is_silent: bool
    keep: object = None


@dataclass(frozen=True)
class Wanted:
    """All that decides what a program becomes: the graph as declared, its inputs, the sizes of names, the options."""

    graph: Graph
    inputs: Sequence[Node]
    sizes: Mapping[str, int]
    options: Sequence[bool]
