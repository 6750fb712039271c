"""Every node points at the user's line, in the forward graph, in gradients, and across threads."""

from __future__ import annotations

import inspect
import threading
from pathlib import Path

import pytest

import graphnet as gn
from graphnet import nn
from graphnet.graph.provenance import BACKWARD, FORWARD, UPDATE, acting_as, deriving, scope
from graphnet.graph.traversal import topological


def _here() -> int:
    frame = inspect.currentframe()
    assert frame is not None and frame.f_back is not None
    return frame.f_back.f_lineno


def test_a_node_knows_the_line_that_declared_it() -> None:
    x = gn.input("somewhere", (3,))
    y, line = gn.softplus(x, beta=1.75), _here()
    assert Path(y.provenance.file) == Path(__file__)
    assert (y.provenance.line, y.provenance.role, y.provenance.scope) == (line, FORWARD, ())
    assert y.provenance.location.endswith(f"test_provenance.py:{line}")


def test_what_a_function_builds_inside_points_at_its_caller() -> None:
    x = gn.input("inside", (3, 4), "int64")
    y, line = gn.selu(gn.mean(x, axis=1) - 0.625), _here()
    built = [node for node in topological([y]) if node is not x]
    assert len(built) > 4
    assert {node.provenance.line for node in built if node.inputs} == {line}


def test_an_equal_expression_keeps_the_first_line() -> None:
    x = gn.input("first", (3,))
    first, line = gn.exp(x), _here()
    second = gn.exp(x)
    assert second is first
    assert second.provenance.line == line


def test_gradients_point_at_the_line_they_are_the_gradient_of() -> None:
    x = gn.input("differentiated", (3, 41))
    hidden, hidden_line = gn.tanh(x * 1.125), _here()
    loss, loss_line = gn.sum(gn.square(hidden)), _here()
    (gradient,) = gn.gradients(loss, [x])
    forward = set(topological([loss]))
    # Only what depends on x: of the rest, another test's graph may have declared an equal node before.
    backward = [node for node in topological([gradient]) if node not in forward and x in topological([node])]
    assert backward
    assert {node.provenance.role for node in backward} == {BACKWARD}
    assert {node.provenance.line for node in backward} <= {hidden_line, loss_line}
    assert gradient.provenance.line == hidden_line


def test_scopes_nest_and_end() -> None:
    x = gn.input("scoped", (3,))
    with scope("block"), scope("conv1"):
        y = gn.exp(x * 3.5)
    z = gn.log(y)
    assert y.provenance.scope == ("block", "conv1")
    assert z.provenance.scope == ()
    (gradient,) = gn.gradients(gn.sum(y), [x])
    assert gradient.provenance.scope == ("block", "conv1")


def test_roles_and_rules() -> None:
    x = gn.input("roles", (3,))
    with acting_as(UPDATE):
        y = x * 0.375
    assert y.provenance.role == UPDATE
    with deriving(y, rule="fuse"):
        z = gn.sin(y)
    assert (z.provenance.rule, z.provenance.line, z.provenance.role) == ("fuse", y.provenance.line, UPDATE)


def test_a_scope_ends_with_an_error() -> None:
    x = gn.input("failing", (3,))
    with pytest.raises(gn.ShapeError), scope("broken"):
        x + gn.input("other", (4,))
    assert gn.exp(x * 8.25).provenance.scope == ()


def test_threads_do_not_share_scopes() -> None:
    x = gn.input("threads", (3,))
    found: list[tuple[str, ...]] = []

    def declare() -> None:
        found.append((x * 9.875).provenance.scope)

    with scope("mine"):
        thread = threading.Thread(target=declare)
        thread.start()
        thread.join()
    assert found == [()]


def test_errors_name_function_type_and_line() -> None:
    x = gn.input("wrong", (2, 3))
    with pytest.raises(gn.ShapeError) as caught:
        gn.sum(x, axis=2)
    message = str(caught.value)
    assert message.startswith("sum(float32[2, 3]): axis 2 is out of range for 2 dimensions")
    assert f"test_provenance.py:{_here() - 3}" in message


def test_a_layer_called_by_a_container_stands_for_the_line_that_made_it() -> None:
    layers = [
        nn.Linear(3, 2),
        nn.ReLU(),
    ]
    y = nn.Sequential(*layers)(gn.input("contained", ("N", 3)))
    assert y.provenance.file == __file__
    assert [y.inputs[0].provenance.line, y.provenance.line] == [_here() - 5, _here() - 4]


def test_a_layer_called_by_the_user_takes_the_line_of_the_call() -> None:
    layer = nn.ReLU()
    y = layer(gn.input("called", (3,)))
    assert y.provenance.line == _here() - 1


def test_an_error_that_names_no_line_ends_with_the_users() -> None:
    with pytest.raises(gn.ArgumentError) as caught:
        nn.Linear(0, 2)
    line = _here() - 1
    assert str(caught.value) == f"{caught.value.problem}\n  at {__file__}:{line}"
    with pytest.raises(gn.ShapeError, match=rf"flip: axis 3 is out of range for 1 dimension\n  at {__file__}:\d+$"):
        gn.flip(gn.input("flipped", (3,)), 3)
