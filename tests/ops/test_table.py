"""Every row of the table: values, gradients and second derivatives, on every backend, against independent judges."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path

import numpy as np
import pytest

import graphnet as gn
import graphnet.ops
from graphnet.gradient_check import check_gradients
from graphnet.graph.node import Node, Op
from graphnet.graph.traversal import topological
from graphnet.graph.types import type_of
from graphnet.ops.evaluate import evaluate
from tests.ops.case import BACKENDS, Case, assert_close, built, draw, generator, run, torch, torch_values

CASES: list[Case] = [
    case
    for path in sorted(Path(__file__).parent.glob("cases_*.py"))
    for case in importlib.import_module(f"tests.ops.{path.stem}").CASES
]
SOURCES = {"Input", "Constant", "Stored", "Assign", "WithUpdates", "SizeOf"}
"""Ops that compute nothing from data; each has tests of its own."""
MADE_BY_REWRITING = {"Fused", "FusedAhead"}
"""Ops that no declaration gives; the rows reach them through the compiled backends, and tests/rewrite/ tests them."""


def rows(*conditions: str) -> pytest.MarkDecorator:
    chosen = [case for case in CASES if all(getattr(case, name) for name in conditions)]
    return pytest.mark.parametrize("case", chosen, ids=str)


def test_names_are_unique() -> None:
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names), sorted({name for name in names if names.count(name) > 1})


@rows("torch")
@pytest.mark.skipif(torch is None, reason="torch is not installed")
def test_value_and_gradient_are_those_of_torch(case: Case) -> None:
    graph = built(case)
    value, *found = evaluate([graph.output, *graph.gradients], graph.feeds)
    expected, expected_gradients = torch_values(case)
    assert_close(value, expected, 1e-11, f"{case.name}: value")
    for node, actual, wanted in zip(graph.wrt, found, expected_gradients, strict=True):
        assert_close(actual, wanted, 1e-10, f"{case.name}: gradient by {node.op.attributes['label']}")


@rows("numpy")
def test_value_is_that_of_numpy(case: Case) -> None:
    assert case.numpy is not None
    graph = built(case)
    (value,) = evaluate([graph.output], graph.feeds)
    assert_close(value, np.asarray(case.numpy(*graph.arrays)), 1e-11, f"{case.name}: value")


@rows("has_gradient", "smooth")
def test_gradient_against_differences(case: Case) -> None:
    graph = built(case)
    check_gradients(graph.output, graph.wrt, graph.feeds, tolerance=1e-7)


@rows("has_gradient", "smooth", "second")
def test_second_derivative_against_differences(case: Case) -> None:
    graph = built(case)
    rng = generator(case.name + "/second")
    total: Node = gn.constant(0.0, "float64")
    for x, gradient in zip(graph.wrt, graph.gradients, strict=True):
        # x appears by itself as well, so that a gradient that does not depend on it is a check that none is needed.
        for node in (x, gradient):
            total = total + gn.sum(node * gn.constant(rng.uniform(0.5, 1.5, node.type.static_shape)))
    check_gradients(total, graph.wrt, graph.feeds, tolerance=1e-7, samples=25)


@rows()
def test_float32_follows_float64(case: Case) -> None:
    single = built(case, "float32")
    double = built(case, "float64")
    rounded = [a.astype(b.dtype) for a, b in zip(single.arrays, draw(case, "float64"), strict=True)]
    narrow = evaluate([single.output, *single.gradients], single.feeds)
    wide = evaluate([double.output, *double.gradients], dict(zip(double.inputs, rounded, strict=True)))
    for actual, expected in zip(narrow, wide, strict=True):
        assert actual.dtype == (np.float32 if expected.dtype == np.float64 else expected.dtype)
        assert_close(actual, expected, case.tolerance32, f"{case.name}: float32")


@rows()
@pytest.mark.parametrize("backend", BACKENDS[1:])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_backends_agree_with_the_reference(case: Case, backend: str, dtype: str) -> None:
    graph = built(case, dtype)
    outputs = [graph.output, *graph.gradients]
    tolerance = 1e-11 if dtype == "float64" else case.tolerance32
    expected = run(outputs, graph.inputs, graph.arrays, "reference")
    for actual, wanted in zip(run(outputs, graph.inputs, graph.arrays, backend), expected, strict=True):
        assert actual.dtype == wanted.dtype
        assert_close(actual, wanted, tolerance, f"{case.name}: {backend}")


@rows()
def test_strided_inputs_give_the_same(case: Case) -> None:
    graph = built(case)
    outputs = [graph.output, *graph.gradients]
    expected = evaluate(outputs, graph.feeds)
    strided = [_strided(array) for array in graph.arrays]
    for actual, wanted in zip(run(outputs, graph.inputs, strided, "reference"), expected, strict=True):
        assert_close(actual, wanted, 1e-12, f"{case.name}: strided inputs")


def _strided(array: np.ndarray) -> np.ndarray:
    """The same values in column-major order, backwards along the last axis, with gaps between them."""
    if not array.ndim:
        return array
    wide = np.ones((*array.shape[:-1], 2 * array.shape[-1]), array.dtype, order="F")
    view = wide[..., ::-2]
    view[...] = array
    return view


@rows()
def test_kernels_keep_their_word(case: Case) -> None:
    """Inputs stay as they are, all of `out` is written, and where `inplace` allows, `out` may be the input itself."""
    graph = built(case)
    nodes = topological([graph.output, *graph.gradients])
    values = dict(zip(nodes, evaluate(nodes, graph.feeds), strict=True))
    for node in nodes:
        if type(node.op).__name__ in SOURCES or node.op.is_view:
            continue
        inputs = [values[value] for value in node.inputs]
        for array in inputs:
            array.flags.writeable = False
        _compute_and_compare(node, np.full_like(values[node], _garbage(values[node].dtype)), inputs, values[node])
        for position in node.op.inplace:
            if position < len(inputs) and type_of(inputs[position]) == node.type:
                taken = np.array(inputs[position], order="C")
                # The other readings of the same node keep their own bytes: the planner gives away one operand's.
                shared = [taken if i == position else array for i, array in enumerate(inputs)]
                _compute_and_compare(node, taken, shared, values[node])


def _compute_and_compare(node: Node, out: np.ndarray, inputs: list[np.ndarray], expected: np.ndarray) -> None:
    types = node.op.workspace(*(type_of(array) for array in inputs))
    work = tuple(np.full(t.static_shape, _garbage(t.dtype), t.dtype) for t in types)
    with np.errstate(all="ignore"):
        node.op.compute(out, *inputs, **({"work": work} if work else {}))
    np.testing.assert_array_equal(out, expected, err_msg=f"{node!r} into given memory")


def _garbage(dtype: np.dtype) -> float | int | bool:
    return np.nan if dtype.kind == "f" else True if dtype.kind == "b" else 99


def test_every_op_has_a_row() -> None:
    for module in pkgutil.iter_modules(graphnet.ops.__path__):
        importlib.import_module(f"graphnet.ops.{module.name}")
    graphs = [built(case) for case in CASES]
    seen = {type(node.op) for graph in graphs for node in topological([graph.output, *graph.gradients])}
    missing = (
        {op.__name__ for op in _leaves(Op) if op.__module__.startswith("graphnet.ops.")} - SOURCES - MADE_BY_REWRITING
    )
    missing -= {op.__name__ for op in seen}
    assert not missing, f"ops in no row of the table: {sorted(missing)}"


def _leaves(base: type[Op]) -> set[type[Op]]:
    """The classes below `base` that nothing derives from: those that are meant to be used."""
    below = base.__subclasses__()
    return set().union(*(_leaves(cls) for cls in below)) if below else {base}
