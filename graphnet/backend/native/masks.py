"""Dropout's masks: drawn where they are wanted, as they are wanted, and drawn again for the gradient."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from graphnet.backend.native.ops import DirectConvolution, Native
from graphnet.graph.graph import Graph, reapply
from graphnet.graph.layout import axis_order, layout
from graphnet.graph.node import Node
from graphnet.graph.provenance import BACKWARD, FORWARD
from graphnet.graph.types import TensorType
from graphnet.ops.comparison import GreaterEqual
from graphnet.ops.layout import transpose
from graphnet.ops.linear import Matmul
from graphnet.ops.random import Uniform
from graphnet.ops.shaping import Contiguous
from graphnet.ops.slicing import Pad
from graphnet.ops.sources import Constant
from graphnet.rewrite.driver import Any, Apply, Context, Firing, Log, Rule, rule

_LEAST = 4096  # elements of a mask that is worth it


class Mask(Native):
    """draw >= least for float32 numbers uniform in [0, 1), those of `Uniform`: bool, the axes of `target` in `order`.

    again: whether the same mask has been drawn before: they are two values, each there when it is wanted.
    """

    target: tuple[int, ...]
    order: tuple[int, ...]
    stream: int
    least: float
    again: bool

    def infer(self, *inputs: TensorType) -> TensorType:
        return TensorType(np.dtype(bool), tuple(self.target[axis] for axis in self.order))

    def compute(self, out: np.ndarray, *inputs: np.ndarray) -> None:
        """For checking: the numbers in memory of their own."""
        drawn = np.empty(self.target, np.float32)
        Uniform(self.target, drawn.dtype, self.stream).compute(drawn, *inputs)
        np.greater_equal(drawn, np.float32(self.least), out=out.transpose(np.argsort(self.order)))


state, least = Any("state"), Any("least")


@rule(Apply(GreaterEqual, Apply(Uniform, state, name="drawn"), least, name="node"))
def draw_mask(state: Node, drawn: Node, least: Node, node: Node, context: Context) -> Node | None:
    """uniform(state) >= p  -->  mask(state, p)    which stores no numbers"""
    large = node.type.static_size >= _LEAST and node.shape == drawn.shape and context.is_read_once(drawn)
    if not (large and drawn.dtype == np.float32 and isinstance(least.op, Constant) and least.shape == ()):
        return None
    op, bound = drawn.op, float(least.op.value)
    assert isinstance(op, Uniform)
    shape = node.type.static_shape
    return Mask(shape, tuple(range(len(shape))), op.stream, bound, False)(state) if 0 <= bound <= 1 else None


MASKS: list[Rule] = [draw_mask]


_EQUATION = "mask(state) that y and dy are kept by  -->  mask(state), drawn as y lies; mask(state), drawn again for dy"


def place_masks(graph: Graph, log: Log) -> Graph:
    """`graph` with each mask lying as what it is a mask of, and drawn again for the gradient where that costs little.

    A draw takes 1.1 ns, as some 100 operations of a product do; a mask that is kept until then, a byte. So it is drawn
    again where what it leaves is multiplied by at least _WORK operations an element: three times as many, gradients
    included, take 30 times as long. (784-1024-1024-10 with p = 0.5: 0.9 % of the time. In a transformer of 128
    features, where masks are kept, it would take 6 %, and lower the peak by 8 %.)
    """
    if not any(isinstance(node.op, Mask) for node in graph.nodes):
        return graph
    return graph.map(_Places(graph, log).replaced)


_WORK = 1000


class _Places:
    """A graph as its masks find their places: how each new node lies, and what each mask becomes."""

    def __init__(self, graph: Graph, log: Log) -> None:
        self.graph, self.log = graph, log
        self.layouts: dict[Node, np.ndarray] = {}
        self.placed: dict[tuple[Node, bool], Node] = {}

    def replaced(self, node: Node, inputs: tuple[Node, ...]) -> Node:
        """The node on its new inputs."""
        made = reapply(node, [self._placed(node, value, inputs) for value in inputs])
        self._layout(made)
        return made

    def _layout(self, node: Node) -> np.ndarray:
        if node not in self.layouts:
            inputs = [self._layout(value) for value in node.inputs]
            try:
                self.layouts[node] = layout(node, inputs)
            except ValueError:  # a view that will be one of a copy
                self.layouts[node] = layout(node, [layout(Contiguous()(*node.inputs), inputs)])
        return self.layouts[node]

    def _placed(self, node: Node, mask: Node, inputs: Sequence[Node]) -> Node:
        """An input of a node: where it is a mask, one that lies as the first array of its size beside it."""
        op = mask.op
        if not isinstance(op, Mask) or mask in self.graph.roots:
            return mask
        again = node.provenance.role == BACKWARD and self._is_drawn_again(mask)
        if (mask, again) not in self.placed:
            beside = [self._layout(x) for x in inputs if x is not mask and x.shape == mask.shape]
            order = axis_order(beside[0]) if beside else tuple(range(mask.ndim))
            drawn = Mask(op.target, order, op.stream, op.least, again)(*mask.inputs)
            self.placed[mask, again] = transpose(drawn, np.argsort(order).tolist())
            self.log.firings.append(Firing("place_masks", _EQUATION, mask, drawn))
        return self.placed[mask, again]

    def _is_drawn_again(self, mask: Node) -> bool:
        """Whether products that read what the mask leaves take long enough."""
        stack = [node for node in self.graph.users[mask] if node.provenance.role == FORWARD]
        operations = 0
        while stack:
            for reader in self.graph.users[stack.pop()]:
                if reader.op.is_view or isinstance(reader.op, Pad):
                    stack.append(reader)
                elif reader.provenance.role == FORWARD:
                    operations += _operations(reader)
        return operations >= _WORK * mask.type.static_size


def _operations(node: Node) -> int:
    """Of a product or a convolution; 0 for others."""
    if isinstance(node.op, Matmul):
        return 2 * node.type.static_size * node.inputs[0].type.static_shape[-1]
    if isinstance(node.op, DirectConvolution):
        return 2 * node.type.static_size * math.prod(node.inputs[1].type.static_shape[1:4])
    return 0
