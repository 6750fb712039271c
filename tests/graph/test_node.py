"""Nodes are immutable and interned: equal expressions are one object, on every thread, and are freed when unused."""

from __future__ import annotations

import gc
import math
import threading
from dataclasses import FrozenInstanceError

import numpy as np
import pytest

import graphnet as gn
from graphnet.errors import DtypeError, ShapeError
from graphnet.graph import node as node_module
from graphnet.graph.dims import Dim
from graphnet.graph.node import Node, Op
from graphnet.graph.types import TensorType, tensor_type


class Scaled(Op):
    """An op with a field of any type."""

    factor: object

    def infer(self, x: TensorType) -> TensorType:
        return x


X = gn.input("x", (2, 3))


def test_equal_expressions_are_one_object() -> None:
    assert gn.input("x", (2, 3)) is X
    assert X + 1 is X + 1
    assert gn.exp(X * X) is gn.exp(X * X)
    assert X + 1 is not X + 2
    assert gn.input("y", (2, 3)) is not X
    assert gn.sum(X, axis=-1) is gn.sum(X, axis=(1,))


def test_constants_are_equal_by_value_shape_and_dtype() -> None:
    assert gn.constant(np.arange(6.0)) is gn.constant(np.arange(6.0))
    assert gn.constant(np.arange(6.0)) is not gn.constant(np.arange(6.0).astype("float32"))
    assert gn.constant(np.zeros(4)) is not gn.constant(np.zeros((2, 2)))
    assert gn.constant(np.zeros(1)) is not gn.constant(-np.zeros(1))
    assert gn.constant(np.eye(50)) is gn.constant(np.asfortranarray(np.eye(50)))
    large = np.zeros(1000)
    other = large.copy()
    other[-1] = 1e-300
    assert gn.constant(large) is not gn.constant(other)


def test_a_constant_is_a_copy() -> None:
    array = np.zeros(3)
    node = gn.constant(array)
    array[0] = 1
    assert node is gn.constant(np.zeros(3))
    with pytest.raises(ValueError, match="read-only"):
        node.op.attributes["value"][0] = 1


def test_fields_compare_by_type_and_bits() -> None:
    values = [
        1,
        1.0,
        True,
        0.0,
        -0.0,
        "1",
        None,
        (1,),
        (1.0,),
        ((1,),),
        math.inf,
        -math.inf,
        np.dtype("int64"),
        Dim("N"),
    ]
    nodes = [Scaled(value)(X) for value in values]
    assert len(set(nodes)) == len(values)
    assert nodes == [Scaled(value)(X) for value in values]
    assert Scaled(math.nan)(X) is Scaled(math.nan)(X)


def test_parameters_are_never_equal() -> None:
    assert gn.parameter(np.zeros(3), "w") is not gn.parameter(np.zeros(3), "w")


def test_nodes_and_ops_are_immutable() -> None:
    node = X + 1
    with pytest.raises((FrozenInstanceError, AttributeError)):
        node.inputs = ()  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        node.op.anything = 1  # type: ignore[attr-defined]


def test_threads_build_the_same_objects() -> None:
    ready = threading.Barrier(8)
    built: list[list[Node]] = [[] for _ in range(8)]

    def build(mine: list[Node]) -> None:
        ready.wait()
        for i in range(200):
            mine.append(gn.sin(X * float(i)) + gn.constant(np.full(3, i, "float32")))

    threads = [threading.Thread(target=build, args=(mine,)) for mine in built]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(len({id(mine[i]) for mine in built}) == 1 for i in range(200))


def test_unused_nodes_are_freed() -> None:
    gc.collect()
    before = len(node_module._nodes)
    y = gn.exp(X * 1234.5)
    assert len(node_module._nodes) == before + 3
    del y
    gc.collect()
    assert len(node_module._nodes) == before


def test_a_node_dying_while_its_equal_is_built_stays_one_object() -> None:
    stop = threading.Event()

    def churn() -> None:
        while not stop.is_set():
            gn.exp(X * 77.25)

    threads = [threading.Thread(target=churn) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(500):
            first, second = gn.exp(X * 77.25), gn.exp(X * 77.25)
            assert first is second
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_a_chain_of_30_000_nodes_is_built_differentiated_and_freed() -> None:
    gc.collect()
    before = len(node_module._nodes)
    x = gn.input("deep", (2,), "float64")
    y = x
    for _ in range(15_000):
        y = gn.sin(y) * x
    loss = gn.sum(y)
    (gradient,) = gn.gradients(loss, [x])
    assert gradient.shape == (2,)
    repr(gradient)
    assert len(node_module._nodes) > before + 60_000
    del x, y, loss, gradient
    gc.collect()
    assert len(node_module._nodes) <= before


def test_a_symbolic_value_has_no_truth_length_or_array() -> None:
    with pytest.raises(TypeError, match="no truth value"):
        bool(X > 0)
    with pytest.raises(TypeError, match="split or indexing"):
        list(X)
    with pytest.raises(TypeError, match="symbolic"):
        np.asarray(X)


def test_arrays_and_numbers_on_either_side() -> None:
    row = np.arange(3, dtype="float32")
    assert (row + X) is (gn.constant(row) + X)
    assert (X - row).type == X.type
    assert (np.float64(2) * X).dtype == X.dtype
    assert (2.5 * X).dtype == np.float32
    assert (X == X) is True
    assert (7 // gn.input("k", (2,), "int64")).dtype == np.int64
    assert (True & (X > 0)) is (X > 0) & True


def test_errors_name_op_types_and_line() -> None:
    with pytest.raises(ShapeError, match=r"add\(float32\[2, 3\], float32\[4\]\): shapes .* do not broadcast") as caught:
        X + gn.input("b", (4,))
    assert "test_node.py:" in str(caught.value)
    with pytest.raises(DtypeError, match="expected a boolean"):
        gn.where(X, X, X)
    with pytest.raises(TypeError, match="input 0 must be a graph node, not int"):
        Scaled(1)(3)  # type: ignore[arg-type]


def test_an_op_without_infer_says_so() -> None:
    class Nothing(Op):
        """No verbs."""

    with pytest.raises(TypeError, match="Nothing does not say its type"):
        Nothing()(X)


def test_binding_names_in_fields() -> None:
    op = Scaled((Dim("N") * 2, tensor_type(("N", 3)), 5))
    assert op.bind({"N": 4}) == Scaled((8, tensor_type((4, 3)), 5))
    fixed = Scaled((1, 2))
    assert fixed.bind({"N": 4}) is fixed


def test_names_in_text() -> None:
    assert gn.leaky_relu(X).op.name == "leaky_relu"
    assert gn.log1p(X).op.name == "log1p"
    assert repr(X + 1).startswith("<add(): float32[2, 3]")
