"""A graph as text in which nothing but its structure counts: graphs of one text become the same program.

Names of layers, lines of source and what parameters hold are left out. All else is in it: every op with its fields,
shapes, dtypes, the values of constants, how parameters lie in memory, and who reads whom.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from graphnet.backend.ready import Wanted
from graphnet.graph.dims import Dim
from graphnet.graph.node import Node, Op
from graphnet.graph.types import TensorType
from graphnet.ops.gradient_control import CustomGradient
from graphnet.ops.sources import Storage


class UnsaidError(Exception):
    """What has no text: an op of the user's own, or a field that is no plain value."""


def structure(wanted: Wanted) -> tuple[str, list[Storage]]:
    """The text of what is wanted, and the parameters by the numbers that the text gives them. Raises `UnsaidError`."""
    numbers: dict[Node, int] = {}
    said = _Said()
    lines = []
    for node in wanted.graph.nodes:
        numbers[node] = len(numbers)
        lines.append(f"{said.op(node.op)} {' '.join([str(numbers[value]) for value in node.inputs])}")
    for roots in (wanted.graph.outputs, wanted.graph.updates):
        lines.append(" ".join([str(numbers[node]) for node in roots]))
    lines += [said.op(node.op) for node in wanted.inputs]
    lines.append(f"{sorted(wanted.sizes.items())} {[bool(option) for option in wanted.options]}")
    return "\n".join(lines), list(said.storages)


class _Said:
    """Ops and values as text."""

    def __init__(self) -> None:
        self.storages: dict[Storage, int] = {}
        self.known: dict[Op, str] = {}

    def op(self, op: Op) -> str:
        if op not in self.known:
            if not type(op).__module__.startswith("graphnet."):
                raise UnsaidError(f"{type(op).__name__} is no op of graphnet's")
            # Gradients are built by now: what a function of the user's says of them does not count.
            values = () if isinstance(op, CustomGradient) else op.attributes.values()
            self.known[op] = f"{type(op).__module__}.{type(op).__qualname__}{self.value(tuple(values))}"
        return self.known[op]

    def value(self, value: Any) -> str:
        if value is None or isinstance(value, (bool, int, str, bytes)):
            return f"{type(value).__name__}:{value!r}"
        if isinstance(value, float):
            return value.hex()
        if isinstance(value, (tuple, list)):
            return f"({','.join([self.value(item) for item in value])})"
        if isinstance(value, (Dim, TensorType, np.dtype)):
            return f"{type(value).__name__}:{value}"
        if isinstance(value, (np.ndarray, np.generic)):
            digest = hashlib.sha256(value.tobytes()).hexdigest()
            return f"array:{value.dtype.str}{value.shape}{value.strides}:{digest}"
        if isinstance(value, Op):
            return self.op(value)
        if isinstance(value, Storage):
            number = self.storages.setdefault(value, len(self.storages))
            return f"storage:{number}:{value.array.dtype.str}{value.array.shape}{value.array.strides}:{value.trainable}"
        raise UnsaidError(f"{value!r} is no plain value")
