"""Walking a graph: inputs first, one order, each node once, at any depth."""

from __future__ import annotations

import graphnet as gn
from graphnet.graph.traversal import reaching, topological, users

A, B = gn.input("a", (2,)), gn.input("b", (2,))


def test_inputs_come_first_and_left_before_right() -> None:
    left, right = gn.exp(A), gn.sin(B)
    total = left + right
    assert topological([total]) == [A, left, B, right, total]
    assert topological([total]) == topological([total])


def test_each_node_once_however_often_it_is_read() -> None:
    x = A
    for _ in range(60):  # 2 ** 60 paths
        x = x * x + x
    order = topological([x, A, x])
    assert len(order) == len(set(order)) == 121
    position = {node: i for i, node in enumerate(order)}
    assert all(position[value] < position[node] for node in order for value in node.inputs)


def test_users_lists_each_reader_once() -> None:
    square, total = A * A, A * A + B
    readers = users(topological([total]))
    assert readers[A] == [square]
    assert readers[square] == [total]
    assert readers[total] == []


def test_reaching_is_what_depends_on_the_targets() -> None:
    kept, other = gn.exp(A), gn.exp(B)
    total = kept + other
    assert reaching(topological([total]), [A]) == {A, kept, total}


def test_no_recursion_at_any_depth() -> None:
    x = A
    for i in range(20_000):
        x = gn.sin(x) if i % 2 else gn.cos(x)
    assert len(topological([x])) == 20_001
