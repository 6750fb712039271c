"""The driver: patterns, application, the type check, coming to rest, provenance, the log, what a rule may ask."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import graphnet as gn
from graphnet.graph.graph import Graph
from graphnet.graph.node import Node
from graphnet.graph.traversal import topological
from graphnet.ops.elementwise import Add, Multiply, Subtract
from graphnet.ops.shaping import broadcast_to
from graphnet.ops.unary import Exp, Negative
from graphnet.rewrite.algebra import EXACT
from graphnet.rewrite.driver import Any, Apply, Context, Log, Number, Rule, number_of, rewrite, rule
from tests.rewrite.row import once

x, y = gn.input("x", (2, 3)), gn.input("y", (2, 3))


def _twice(node: Node) -> Node:
    return gn.negative(gn.negative(node))


def _matches(pattern: Apply, node: Node) -> list[dict[str, Node]]:
    return list(pattern.match(node, {}))


def test_any_gives_a_name_and_the_same_name_means_the_same_node() -> None:
    assert _matches(Apply(Add, Any("a"), Any("b")), x + y) == [{"a": x, "b": y}]
    assert _matches(Apply(Add, Any("a"), Any("a")), x + y) == []
    assert _matches(Apply(Add, Any("a"), Any("a")), x + x) == [{"a": x}]
    assert _matches(Apply(Subtract, Any("a"), Any("b")), x + y) == []


def test_either_order_gives_both_ways_and_one_for_equal_operands() -> None:
    pattern = Apply(Add, Any("a"), Any("b"), either_order=True)
    assert _matches(pattern, x + y) == [{"a": x, "b": y}, {"a": y, "b": x}]
    assert _matches(pattern, x + x) == [{"a": x, "b": x}]
    nested = Apply(Add, Apply(Multiply, Any("a"), Any("b"), either_order=True), Any("a"), either_order=True)
    assert _matches(nested, x + y * x) == [{"a": x, "b": y}]


def test_a_later_match_is_tried_where_the_rule_refuses_the_first() -> None:
    @rule(Apply(Add, Any("a"), Any("b"), either_order=True))
    def only_y_first(a: Node, b: Node) -> Node | None:
        """x + y  -->  y - x"""
        return a - b if a is y else None

    assert once(x + y, only_y_first) is y - x


def test_names_of_applied_ops_and_several_ops() -> None:
    pattern = Apply((Add, Subtract), Apply(Exp, Any("a"), name="e"), Any("e"), name="node")
    node = gn.exp(x) - gn.exp(x)
    assert _matches(pattern, node) == [{"a": x, "e": gn.exp(x), "node": node}]
    assert _matches(pattern, gn.exp(x) - gn.exp(y)) == []
    assert _matches(Apply(Add, name="sum"), x + y) == [{"sum": x + y}]


def test_numbers_are_compared_to_the_bit_and_seen_through_views() -> None:
    zero, minus_zero = gn.constant(0.0), gn.constant(-0.0)
    assert list(Number(0.0).match(zero, {})) and not list(Number(0.0).match(minus_zero, {}))
    assert list(Number(-0.0).match(minus_zero, {})) and not list(Number(-0.0).match(zero, {}))
    assert list(Number(2, name="c").match(gn.constant(2), {})) == [{"c": gn.constant(2)}]
    assert not list(Number().match(x, {}))
    assert number_of(broadcast_to(gn.constant(3.0), (4, 5)).T) == 3
    assert number_of(gn.constant(np.full((2, 2), 7))) == 7
    assert number_of(gn.constant(np.array([1.0, 2.0]))) is None
    assert number_of(gn.constant(np.array([0.0, -0.0]))) is None
    assert number_of(gn.constant(np.array([np.nan, np.nan]))) is None
    assert number_of(gn.constant(np.zeros(0))) is None
    assert number_of(x) is None


def test_a_rule_that_changes_the_type_is_an_error() -> None:
    @rule(Apply(Negative, Any("a")))
    def shrinks(a: Node) -> Node:
        """-x  -->  sum(x)"""
        return gn.sum(a)

    with pytest.raises(gn.RewriteError, match=r"rule shrinks turned .* the type must not change"):
        once(-x, shrinks)


def test_rules_that_feed_each_other_are_an_error() -> None:
    @rule(Apply(Add, Any("a"), Any("b"), name="node"))
    def swapped(a: Node, b: Node, node: Node) -> Node:
        """x + y  -->  y + x"""
        return Add()(b, a)

    with pytest.raises(gn.RewriteError, match=r"my pass does not come to rest after 100 rounds.*swapped"):
        rewrite(Graph((x + y,)), [swapped], name="my pass")


def test_inputs_are_rewritten_before_their_users_and_updates_too() -> None:
    weight = gn.parameter(np.ones((2, 3)), "weight", dtype="float32")
    graph = rewrite(Graph((_twice(x * -1) * -1,), (gn.assign(weight, _twice(weight)),)), EXACT)
    assert graph.outputs == (x,)
    assert graph.updates == (gn.assign(weight, weight),)


def test_a_chain_that_folds_node_by_node_takes_few_rounds() -> None:
    weight, biases = gn.parameter(np.ones((3, 3)), "w"), gn.parameter(np.ones(3), "b")
    total = gn.input("x", (4, 3)) @ gn.cast(weight, "float32")
    for index in range(300):
        total = total + gn.cast(biases, "float32") * float(index)
    step = gn.compile([gn.input("x", (4, 3))], total)
    assert step(np.zeros((4, 3), "float32"))[0, 0] == pytest.approx(300 * 299 / 2, rel=1e-5)


def test_what_a_rule_makes_keeps_the_users_line_and_names_the_rule() -> None:
    line = inspect.currentframe().f_lineno + 1  # type: ignore[union-attr]
    before = (x - gn.constant(5.0)) * gn.constant(-1.0)
    with gn.graph.provenance.scope("block"):
        whole = gn.exp(before)
    log = Log()
    (after,) = rewrite(Graph((whole,)), EXACT, log, "simplify").outputs
    negated = after.inputs[0]
    assert isinstance(negated.op, Negative)
    assert negated.provenance.rule == "multiply_by_minus_one"
    assert (negated.provenance.file, negated.provenance.line) == (__file__, line)
    assert after.provenance.scope == ("block",) and after.provenance.rule == ""


def test_the_log_says_what_fired_where_and_what_went() -> None:
    log = Log()
    line = inspect.currentframe().f_lineno + 1  # type: ignore[union-attr]
    rewrite(Graph((gn.tanh(x * 1) * 1,)), EXACT, log, "simplify")
    assert [firing.rule for firing in log.firings] == ["multiply_by_one", "multiply_by_one"]
    assert log.removed() == {"multiply": 2, "constant": 1}
    text = str(log)
    assert "simplify: 5 nodes -> 2" in text and "2 x multiply_by_one" in text and "x * 1  -->  x" in text
    assert f"{__file__}:{line}" in text and "removed: 2 multiply, 1 constant" in text


def test_explain_tells_it_to_the_user() -> None:
    a = gn.input("a", (3,))
    text = gn.compile([a], gn.log(gn.softmax(a)) * 1).explain()
    for said in ("log_of_softmax", "log(softmax(x))  -->  log_softmax(x)", "multiply_by_one", __file__, "removed: "):
        assert said in text


def test_a_rule_may_ask_who_reads_a_node() -> None:
    shared, total = gn.exp(x), gn.exp(x) + gn.exp(x) * y
    context = Context(Graph((total, gn.tanh(y))))
    assert context.users(shared) == [shared * y, total] and not context.is_read_once(shared)
    assert context.is_read_once(shared * y)
    assert not context.is_read_once(total)
    assert context.users(x * 99) == [] and not context.is_read_once(x * 99)
    result_too = Context(Graph((shared * y, total)))
    assert not result_too.is_read_once(shared * y)


def test_a_question_about_the_graph_is_asked_once_a_round() -> None:
    asked: list[Graph] = []

    def is_large(graph: Graph) -> bool:
        asked.append(graph)
        return len(graph.nodes) > 3

    @rule(Apply(Exp, Any("a")))
    def of_large(a: Node, context: Context) -> Node | None:
        """exp(x)  -->  x    in a large graph"""
        return a if context.of_graph(is_large) else None

    graph = Graph((gn.exp(gn.exp(x)) + gn.exp(y),))
    assert rewrite(graph, [of_large]).outputs == (x + y,)
    assert asked == [graph]


def test_a_node_takes_over_the_readers_of_what_it_replaces() -> None:
    seen: dict[str, int] = {}

    @rule(Apply(Exp, Any("a"), name="e"))
    def counts(a: Node, e: Node, context: Context) -> None:
        """exp(x)  -->  exp(x)    (only looks)"""
        seen["readers"] = len(context.users(a))

    product = x * y
    once_more: list[Rule] = [*EXACT, counts]
    rewrite(Graph((gn.exp(product * 1), product + x)), once_more)
    assert seen["readers"] == 2


def test_only_parameters_and_constants_are_fixed() -> None:
    weight = gn.parameter(np.ones((2, 3)), "weight", dtype="float32")
    context = Context(Graph((x * weight,)))
    assert context.is_fixed(weight) and context.is_fixed(gn.exp(weight) * 2 + 1) and context.is_fixed(gn.constant(1))
    assert not context.is_fixed(x) and not context.is_fixed(gn.exp(weight) * x)
    deep = weight
    for _ in range(5000):
        deep = gn.tanh(deep)
    assert context.is_fixed(deep) and len(topological([deep])) == 5001
