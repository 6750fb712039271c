"""One row of the table of operations, its data, and how a row is run by each backend and by torch."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

import graphnet as gn
from graphnet.backend.native.backend import NativeBackend
from graphnet.backend.native.steps import Checked, Native
from graphnet.graph.node import Node
from graphnet.ops.evaluate import evaluate
from graphnet.program import Program

try:
    import torch
except ImportError:  # the rows are then compared with NumPy and with differences only
    torch = None

BACKENDS: tuple[str, ...] = ("reference", "naive", "native", "numpy") if hasattr(gn, "compile") else ("reference",)
"""What runs every row. "reference" is each op's own kernel, one op at a time, and needs no compiler."""


@dataclass(frozen=True)
class Arg:
    """One input of a case.

    dtype: "float" for a case that runs in float64 and in float32, else a fixed dtype such as "int64" or "bool".
    low, high: floats are uniform in [low, high), integers are drawn from it. values: these, instead of drawn ones.
    """

    shape: tuple[int, ...]
    dtype: str = "float"
    low: float = -2.0
    high: float = 2.0
    values: Any = None


@dataclass(frozen=True, eq=False)
class Case:
    """An expression, and what it is compared with.

    name: unique; it also seeds the data. build: nodes in, one node out. torch: the same on tensors (values and
    gradients are compared). numpy: the same on arrays, where torch has none. differentiable: whether it has a
    gradient. smooth: False at a kink (a tie, a threshold) or at infinity, where differences say nothing and torch
    alone judges. second: whether the gradient is differentiated and checked in turn. tolerance32: how far float32 may
    be from float64, relative to the largest value.
    """

    name: str
    build: Callable[..., Node]
    args: tuple[Arg, ...]
    torch: Callable[..., Any] | None = None
    numpy: Callable[..., Any] | None = None
    differentiable: bool = True
    smooth: bool = True
    second: bool = True
    tolerance32: float = 2e-5

    @property
    def has_gradient(self) -> bool:
        return self.differentiable and any(arg.dtype in ("float", "float64") for arg in self.args)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, eq=False)
class Built:
    """A case as a graph: its inputs and their arrays, its output, and the gradients of a random projection of it."""

    inputs: tuple[Node, ...]
    arrays: tuple[np.ndarray, ...]
    output: Node
    projection: np.ndarray
    wrt: tuple[Node, ...]
    gradients: tuple[Node, ...]

    @property
    def feeds(self) -> dict[Node, np.ndarray]:
        return dict(zip(self.inputs, self.arrays, strict=True))


def generator(name: str) -> np.random.Generator:
    """A generator seeded by `name`, the same in every process."""
    return np.random.default_rng(int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little"))


def draw(case: Case, dtype: str) -> tuple[np.ndarray, ...]:
    """The arrays of a case; float32 ones are the float64 ones, rounded."""
    rng = generator(case.name)
    return tuple(_draw(rng, arg, dtype) for arg in case.args)


def _draw(rng: np.random.Generator, arg: Arg, dtype: str) -> np.ndarray:
    wanted = np.dtype(dtype if arg.dtype == "float" else arg.dtype)
    if arg.values is not None:
        array = np.array(arg.values, dtype=wanted)
        assert array.shape == arg.shape, f"values of shape {array.shape} for an argument of shape {arg.shape}"
        return array
    if wanted.kind == "f":
        return np.asarray(rng.uniform(arg.low, arg.high, arg.shape)).astype(wanted)
    if wanted.kind == "b":
        return np.asarray(rng.random(arg.shape) < 0.5)
    return np.asarray(rng.integers(int(arg.low), int(arg.high), arg.shape)).astype(wanted)


@lru_cache(maxsize=4096)
def built(case: Case, dtype: str = "float64") -> Built:
    """The graph of a case, with gradients by every float argument where it is differentiable."""
    arrays = draw(case, dtype)
    inputs = tuple(gn.input(f"x{i}", array.shape, array.dtype) for i, array in enumerate(arrays))
    output = case.build(*inputs)
    projection = generator(case.name + "/projection").uniform(0.5, 1.5, output.type.static_shape)
    projection = np.asarray(np.where(generator(case.name).random(projection.shape) < 0.5, -projection, projection))
    wrt = tuple(x for x in inputs if x.type.is_float) if case.has_gradient else ()
    if not wrt:
        return Built(inputs, arrays, output, projection, (), ())
    loss = gn.sum(output * gn.constant(projection, output.dtype))
    return Built(inputs, arrays, output, projection, wrt, tuple(gn.gradients(loss, wrt)))


def run(
    outputs: Sequence[Node], inputs: Sequence[Node], arrays: Sequence[np.ndarray], backend: str
) -> list[np.ndarray]:
    """The values of `outputs` by one of `BACKENDS`."""
    if backend == "reference":
        return evaluate(outputs, dict(zip(inputs, arrays, strict=True)))
    step = gn.compile(list(inputs), list(outputs), backend=backend)
    results = step(*arrays)
    if isinstance(step.program.lowered.backend, NativeBackend):
        assert_native(step.program)
    return [np.asarray(result) for result in results]


NOT_NATIVE = frozenset(["matmul"])
"""Ops of which some rows still run the reference kernel on the native backend."""


def assert_native(program: Program) -> None:
    """Every step on arrays with elements has a native kernel, but for those of the ops in `NOT_NATIVE`."""
    lowered = program.lowered
    kernels = (*lowered.first, *lowered.body, *lowered.commit)
    for node, kernel in zip(program.schedule.steps, kernels, strict=True):
        is_native = isinstance(kernel, Native | Checked) or node.op.name in NOT_NATIVE
        assert is_native or 0 in [value.type.static_size for value in (node, *node.inputs)], node


def torch_values(case: Case, dtype: str = "float64") -> tuple[np.ndarray, list[np.ndarray]]:
    """What torch gives for a case: its value, and the gradients of the same projection by every float argument."""
    assert case.torch is not None
    graph = built(case, dtype)
    tensors = [torch.from_numpy(array.copy()) for array in graph.arrays]
    floats = [t.requires_grad_() for t in tensors if t.is_floating_point()] if graph.wrt else []
    output = case.torch(*tensors)
    if not floats:
        return output.detach().numpy(), []
    loss = (output * torch.from_numpy(graph.projection).to(output.dtype)).sum()
    found = torch.autograd.grad(loss, floats, allow_unused=True)
    grads = [torch.zeros_like(x) if g is None else g for x, g in zip(floats, found, strict=True)]
    return output.detach().numpy(), [g.numpy() for g in grads]


def assert_close(actual: np.ndarray, expected: np.ndarray, tolerance: float, what: str) -> None:
    """Equal shapes, NaN and infinities in the same places, and differences within `tolerance` of the largest value."""
    assert actual.shape == expected.shape, f"{what}: shape {actual.shape}, expected {expected.shape}"
    finite = np.abs(expected[np.isfinite(expected)].astype("float64")) if expected.dtype.kind == "f" else ()
    scale = max(1.0, float(np.max(finite))) if np.size(finite) else 1.0
    if expected.dtype.kind == "f":
        tolerance = max(tolerance, 1e-6) if actual.dtype == np.float32 else tolerance
        np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance * scale, err_msg=what)
    else:
        np.testing.assert_array_equal(actual, expected, err_msg=what)
