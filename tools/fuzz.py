"""Random graphs, compiled in every way: with and without rewriting, with and without reuse of bytes, checked or not.

    python -m tools.fuzz [--seconds 60] [--seed 0] [--nodes 25] [--dtype float64] [--native]

Each graph is also differentiated, and updates a parameter. All ways must agree with the reference kernels, one op at a
time, and the native ones with each other, bit by bit, on any number of threads; the first graph that does not is
printed with its seed, which gives the same graph again. Of odd seeds the native backend fuses all that it can: arrays
as small as these it would leave alone.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import numpy as np

import graphnet as gn
from graphnet.backend.native import fusing
from graphnet.graph.node import Node
from graphnet.graph.text import graph_text
from graphnet.ops.evaluate import evaluate
from graphnet.ops.sources import Parameter

WAYS: dict[str, dict[str, Any]] = {
    "rewritten": {},
    "checked": {"check": 2},
    "as declared": {"rewrite": False},
    "as declared, checked": {"rewrite": False, "check": 2},
    "own bytes for every value": {"reuse": False},
    "as declared, own bytes": {"rewrite": False, "reuse": False},
    "fast math": {"fast_math": True, "check": 2},
}
NATIVE: dict[str, dict[str, Any]] = {
    "native, 1 thread": {"backend": "native", "threads": 1},
    "native, 2 threads": {"backend": "native", "threads": 2},
    "native, 5 threads": {"backend": "native", "threads": 5},
    "native, checked": {"backend": "native", "threads": 2, "check": 2},
    "native, as declared": {"backend": "native", "threads": 2, "rewrite": False},
    "native, own bytes for every value": {"backend": "native", "threads": 2, "reuse": False},
}
_SAME = tuple(way for way, options in NATIVE.items() if options.keys() == {"backend", "threads"})
_TOLERANCE = 1e-9  # of the largest magnitude of a value
_TIMES = 32  # what a float32 way may be off, in times of what the reference kernels in float32 are
_ROUNDING = 1e-4  # and of the largest magnitude: 25 steps and their gradients lose some 800 roundings of 6e-8 and more
_LARGEST = 10  # beyond it a value is squashed: formulas as textbooks have them lose digits there, and rewriting helps
_SHAPES = ((), (3,), (4, 3), (1, 3), (4, 1), (2, 4, 3), (2, 3, 5, 4), (2, 3, 1, 1), (11, 7), (2, 11, 7))
_FUSED = (fusing.LEAST, 2)  # elements of what is fused: of even seeds, of odd ones

Unary = Callable[[Node], Node]

ELEMENTWISE: list[Unary] = [
    gn.tanh, gn.sigmoid, gn.square, gn.relu, gn.abs, gn.negative, gn.sin, gn.gelu, gn.silu, gn.softplus, gn.elu,
    lambda x: gn.exp(gn.tanh(x)),
    lambda x: gn.log(gn.sigmoid(x)),
    lambda x: gn.log(1 - gn.sigmoid(x)),
    lambda x: gn.log(1 + gn.exp(x)),
    lambda x: gn.sqrt(gn.square(x) + 0.1),
    lambda x: 1 / (gn.abs(x) + 0.5),
    lambda x: gn.clip(x, -0.7, 0.9),
    lambda x: gn.where(x > 0.1, x, x * 0.3),
    lambda x: gn.tanh(x) ** 3,
    lambda x: gn.exp(-gn.abs(x)) - 1,
    lambda x: gn.stop_gradient(x) + x,
    lambda x: x * 1 + 0.0,
    lambda x: -1 * x - 0.0,
    lambda x: x / 4,
    lambda x: x / 3,
    lambda x: x * x,
    lambda x: gn.gelu(x, "tanh"),
    lambda x: gn.selu(x),
    lambda x: gn.leaky_relu(x, 0.2),
    lambda x: gn.log1p(gn.square(x)),
    lambda x: gn.expm1(gn.tanh(x)),
    lambda x: gn.cast(x > 0.2, str(x.dtype)) * x,
]  # fmt: skip
MOVES: list[Unary] = [
    lambda x: x.T,
    lambda x: x.T.T,
    lambda x: gn.flatten(x),
    lambda x: x.reshape(-1, 1),
    lambda x: gn.broadcast_to(x, (2, *x.shape)),
    lambda x: gn.concatenate([x, x * 2], 0) if x.ndim else x,
    lambda x: x[::-1] if x.ndim else x,
    lambda x: x[..., ::2] if x.ndim else x,
    lambda x: gn.pad(x, [(1, 2)] * x.ndim) if x.ndim else x,
    lambda x: gn.stack([x, -x], -1),
    lambda x: gn.concatenate([x, x[::-1]], -1) if x.ndim else x,
    lambda x: gn.take(x, np.array([0, 0, 0]), 0) if x.ndim else x,
    lambda x: x[..., 1:] if x.ndim and x.type.static_shape[-1] > 1 else x,
    lambda x: gn.expand_dims(x, 0),
    lambda x: gn.squeeze(x),
]
ALONG_AXES: list[Callable[[Node, int], Node]] = [
    lambda x, axis: gn.sum(x, axis),
    lambda x, axis: gn.mean(x, axis, keepdims=True),
    lambda x, axis: gn.max(x, axis),
    lambda x, axis: gn.softmax(x, axis),
    lambda x, axis: gn.log(gn.softmax(x, axis)),
    lambda x, axis: gn.log(gn.sum(gn.exp(x), axis)),
    lambda x, axis: gn.log_softmax(x, axis),
    lambda x, axis: gn.cumsum(x, axis),
    lambda x, axis: gn.var(x, axis, keepdims=True, correction=0),
    lambda x, axis: gn.min(x, axis, keepdims=True) + x,
    lambda x, axis: gn.sum(x / (gn.square(x) + 0.5), axis),
    lambda x, axis: x * gn.rsqrt(gn.var(x, axis, keepdims=True, correction=0) + 0.1),
]
BINARY: list[Callable[[Node, Node], Node]] = [
    lambda a, b: a + b,
    lambda a, b: a - b,
    lambda a, b: a * b,
    lambda a, b: a + -b,
    lambda a, b: -a * -b,
    lambda a, b: a / (gn.square(b) + 0.5),
    lambda a, b: gn.maximum(a, b),
    lambda a, b: gn.where(a > b, b, a),
]


@dataclass
class Drawn:
    """A random graph: its inputs and their arrays, its results, and the assignments that go with it."""

    inputs: list[Node] = field(default_factory=list)
    arrays: list[np.ndarray] = field(default_factory=list)
    parameters: list[Parameter] = field(default_factory=list)
    outputs: list[Node] = field(default_factory=list)
    updates: list[Node] = field(default_factory=list)
    seed: int = 0
    nodes: int = 0
    dtype: str = "float64"

    def parameter(self, array: np.ndarray) -> Node:
        """A new parameter."""
        self.parameters.append(gn.parameter(array.astype(self.dtype), f"p{len(self.parameters)}"))
        return self.parameters[-1]


def draw(seed: int, nodes: int = 25, dtype: str = "float64") -> Drawn:
    """The graph of `seed`, of some `nodes` operations before it is differentiated."""
    rng = np.random.default_rng(seed)
    drawn = Drawn(seed=seed, nodes=nodes, dtype=dtype)
    sources = [_source(drawn, rng, _SHAPES[int(index)]) for index in rng.permutation(len(_SHAPES))[:4]]
    pool = list(sources)
    values = dict(zip(drawn.inputs, drawn.arrays, strict=True))
    for _ in range(nodes):
        node = _step(drawn, rng, pool)
        if 0 < int(np.prod(node.type.static_shape)) <= 500 and node.ndim <= 4:
            pool.append(_bounded(node, values))
    chosen = [pool[int(index)] for index in rng.integers(len(sources) - 1, len(pool), 3)]
    loss = gn.mean(chosen[0]) + gn.mean(gn.square(chosen[1]))
    for source in (*drawn.inputs, *drawn.parameters):  # so that it depends on each
        loss = loss + gn.mean(source) * 0.01
    drawn.outputs = [chosen[2], loss, *gn.gradients(loss, drawn.inputs)]
    gradients = gn.gradients(loss, drawn.parameters)
    drawn.updates = [gn.assign(p, p - 0.1 * gradient) for p, gradient in zip(drawn.parameters, gradients, strict=True)]
    return drawn


def _source(drawn: Drawn, rng: np.random.Generator, shape: tuple[int, ...]) -> Node:
    array = np.asarray(rng.normal(size=shape))
    if rng.random() < 0.3:
        return drawn.parameter(array)
    drawn.inputs.append(gn.input(f"x{len(drawn.inputs)}", shape, drawn.dtype))
    drawn.arrays.append(array.astype(drawn.dtype))
    return drawn.inputs[-1]


def _step(drawn: Drawn, rng: np.random.Generator, pool: Sequence[Node]) -> Node:
    x = pool[int(rng.integers(len(pool)))]
    kind = rng.random()
    if kind < 0.3:
        return ELEMENTWISE[int(rng.integers(len(ELEMENTWISE)))](x)
    if kind < 0.6:
        return _binary(rng, x, pool)
    if kind < 0.7:
        return MOVES[int(rng.integers(len(MOVES)))](x)
    if kind < 0.8 and x.ndim:
        return ALONG_AXES[int(rng.integers(len(ALONG_AXES)))](x, int(rng.integers(x.ndim)))
    return _layer(drawn, rng, x)


def _binary(rng: np.random.Generator, x: Node, pool: Sequence[Node]) -> Node:
    op = BINARY[int(rng.integers(len(BINARY)))]
    for index in rng.permutation(len(pool)):
        other = pool[int(index)]
        try:
            np.broadcast_shapes(x.type.static_shape, other.type.static_shape)
        except ValueError:
            continue
        return op(x, other)
    return op(x, x)


def _layer(drawn: Drawn, rng: np.random.Generator, x: Node) -> Node:
    """A layer with parameters of its own, for the axes that x has, perhaps normalized as in evaluation."""
    channels = 4

    def weight(*shape: int) -> Node:
        return drawn.parameter(rng.normal(size=shape) * 0.5)

    if x.ndim == 4:
        rows, columns = x.type.static_shape[2:]
        kernel = (min(rows, int(rng.integers(1, 4))), min(columns, int(rng.integers(1, 4))))
        filters = weight(channels, x.type.static_shape[1], *kernel)
        y = gn.conv2d(x, filters, weight(channels), padding=int(rng.integers(2)))
    elif x.ndim == 2:
        y = gn.linear(x, weight(channels, x.type.static_shape[1]), weight(channels))
    elif x.ndim == 3:
        return x @ gn.swapaxes(x, 1, 2)
    else:
        return gn.tanh(x)
    if rng.random() < 0.6:
        mean, spread = weight(channels), gn.square(weight(channels)) + 0.1
        y = gn.batch_norm(y, mean, spread, weight(channels), weight(channels))
    return gn.max_pool2d(y, 2) if y.ndim == 4 and min(y.type.static_shape[2:]) >= 2 and rng.random() < 0.3 else y


def _bounded(node: Node, values: dict[Node, np.ndarray]) -> Node:
    """The node, squashed where it is large; its value is then known."""
    (value,) = evaluate([node], values)
    bounded = node if np.abs(value).max() < _LARGEST else gn.tanh(node)
    (values[bounded],) = evaluate([bounded], values)
    return bounded


def differences(drawn: Drawn, ways: Sequence[str] = tuple(WAYS)) -> list[str]:
    """What each of `ways` to compile gets wrong: nothing, where all is well."""
    wanted = _reference(drawn)
    allowed = [_TOLERANCE * _scale(value) for value in wanted]
    if drawn.dtype == "float32":
        wide = _wider(drawn)
        lost = [np.abs(value - exact).max(initial=0.0) for value, exact in zip(wanted, wide, strict=True)]
        allowed = [_ROUNDING * _scale(value) + _TIMES * float(off) for value, off in zip(wanted, lost, strict=True)]
    start = [parameter.value.copy() for parameter in drawn.parameters]
    found = []
    first: list[np.ndarray] = []
    for way in ways:
        options = {"backend": "numpy", **{**WAYS, **NATIVE}[way]}
        step = gn.compile(drawn.inputs, drawn.outputs, drawn.updates, **options)
        for parameter, value in zip(drawn.parameters, start, strict=True):
            parameter.set_value(value)
        # How much is fused is not in the key of a compiled program, so none is kept.
        fused = mock.patch.object(fusing, "LEAST", _FUSED[drawn.seed % 2])
        with fused, mock.patch.dict(os.environ, {"GRAPHNET_CACHE": "off"}):
            results = [*step(*drawn.arrays), *(parameter.value.copy() for parameter in drawn.parameters)]
        for position, (result, expected, most) in enumerate(zip(results, wanted, allowed, strict=True)):
            if not np.allclose(result, expected, rtol=0, atol=most, equal_nan=True):
                off = np.abs(result - expected).max()
                found.append(f"{way}: result {position} is off by {off:.3g} of {_scale(expected):.3g}")
        if way in _SAME:
            first = first or results
            differ = [at for at, pair in enumerate(zip(first, results, strict=True)) if not _same_bits(*pair)]
            found += [f"{way}: result {position} has other bits than with other threads" for position in differ]
    for parameter, value in zip(drawn.parameters, start, strict=True):
        parameter.set_value(value)
    return found


def _reference(drawn: Drawn) -> list[np.ndarray]:
    """The outputs and new values, by the reference kernels."""
    feeds = dict(zip(drawn.inputs, drawn.arrays, strict=True))
    return evaluate([*drawn.outputs, *(update.inputs[1] for update in drawn.updates)], feeds)


def _wider(drawn: Drawn) -> list[np.ndarray]:
    """What the graph gives in float64."""
    wide = draw(drawn.seed, drawn.nodes)
    for parameter, own in zip(wide.parameters, drawn.parameters, strict=True):
        parameter.set_value(own.value.astype(np.float64))
    wide.arrays = [array.astype(np.float64) for array in drawn.arrays]
    return _reference(wide)


def _scale(value: np.ndarray) -> float:
    return max(1.0, float(np.abs(value).max())) if value.size else 1.0


def _same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    return a.tobytes() == b.tobytes()


def main(arguments: Sequence[str] | None = None) -> int:
    """0 where every graph agrees, 1 with the first that does not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60, help="how long to go on")
    parser.add_argument("--seed", type=int, default=0, help="of the first graph; the next ones count on from it")
    parser.add_argument("--nodes", type=int, default=25, help="operations drawn for each graph")
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float64", help="of every value")
    parser.add_argument("--native", action="store_true", help="also by the native backend; with float32, only by it")
    options = parser.parse_args(arguments)
    ways = (*(() if options.dtype == "float32" and options.native else WAYS), *(NATIVE if options.native else ()))
    seed, end = options.seed, time.monotonic() + options.seconds
    while seed == options.seed or time.monotonic() < end:
        drawn = draw(seed, options.nodes, options.dtype)
        try:
            wrong = differences(drawn, ways)
        except Exception as error:
            error.add_note(f"the graph of seed {seed}, {options.nodes} nodes, {options.dtype}")
            raise
        if wrong:
            print(f"seed {seed}, {options.nodes} nodes, {options.dtype}:", *wrong, sep="\n  ")
            print(graph_text([*drawn.outputs, *drawn.updates], provenance=False))
            return 1
        seed += 1
    print(f"{seed - options.seed} graphs, each compiled in {len(ways)} ways: no difference")
    return 0


if __name__ == "__main__":
    sys.exit(main())
