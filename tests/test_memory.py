"""Bytes: plans of whole models are right and tight; what reuse, views and results do to them."""

from __future__ import annotations

import importlib
from itertools import pairwise

import numpy as np
import pytest

import graphnet as gn
from graphnet import memory, optim
from graphnet.cli.models import find_model
from graphnet.cli.steps import training_graph
from graphnet.graph.graph import Graph
from graphnet.memory import ALIGNMENT, plan_memory
from graphnet.ops.sources import Constant, Input, Stored
from graphnet.rewrite.materialize import materialize
from graphnet.schedule import base, schedule
from graphnet.verify import verify_plan

MODELS = ["lenet", "mlp", "deep_mlp"]


def plan_of(outputs, updates=(), **options):
    return plan_memory(schedule(materialize(Graph(tuple(outputs), tuple(updates)))), **options)


def model_plans(name, optimizer, rewrite=True):
    """The plans of a model in train and in eval mode, at several batch sizes."""
    module = importlib.import_module(f"models.{name}")
    model = module.build()
    x, labels = gn.input("x", ("N", *module.INPUT_SHAPE)), gn.input("labels", ("N",), "int64")
    loss = gn.cross_entropy(model(x), labels)
    updates = getattr(optim, optimizer)(model.parameters(), lr=0.01).updates(loss)
    train = gn.compile([x, labels], loss, updates, rewrite=rewrite)
    model.eval()
    predict = gn.compile([x], gn.argmax(model(x), axis=1), rewrite=rewrite)
    for step in (train, predict):
        for size in (2, 7, 64, 128):
            yield step.specialize(N=size).plan


def test_where_holes_are_left_the_search_finds_a_tighter_arena():
    """The normalized net, by its recipe: by size alone its arena is 15 % too large, in the order of time 18 %."""
    graph = training_graph(find_model("models.deep_mlp"))
    plan = graph.compile().specialize(N=64).plan
    verify_plan(plan)
    assert plan.peak_bytes <= 1.05 * plan.live_bytes


def test_for_what_alignment_takes_no_other_arena_is_searched(monkeypatch):
    """Three values of 4 bytes live at once, each on a cache line of its own: no arena of 1.03 times 12 bytes exists."""
    monkeypatch.setattr(memory, "_place_by_search", None)
    x = gn.input("x", (7,))
    a, b = gn.sum(x), gn.max(x)
    plan = plan_of([gn.exp(a) * gn.exp(b) + a * b])
    assert plan.live_bytes == 12 and plan.peak_bytes == 3 * ALIGNMENT


@pytest.mark.parametrize("rewrite", [True, False])
@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
@pytest.mark.parametrize("name", MODELS)
def test_no_plan_of_a_model_takes_a_twentieth_more_than_it_must(name, optimizer, rewrite):
    for plan in model_plans(name, optimizer, rewrite):
        verify_plan(plan)
        assert plan.live_bytes <= plan.peak_bytes <= 1.05 * plan.live_bytes
        apart = plan_memory(plan.schedule, reuse=False)
        verify_plan(apart)
        assert apart.peak_bytes > plan.peak_bytes


def test_without_reuse_each_value_has_bytes_of_its_own():
    x = gn.input("x", (40,))
    y = gn.exp(gn.sin(gn.cos(x)) + 1.0)
    plan = plan_of([gn.sum(y)], reuse=False)
    verify_plan(plan)
    slots = sorted(plan.slots.values(), key=lambda slot: slot.offset)
    assert len(slots) == 4 and not plan.reused
    assert all(a.end <= b.offset for a, b in pairwise(slots))
    assert plan.peak_bytes == 4 * 192 and plan_of([gn.sum(y)]).peak_bytes == 192


def test_sources_results_and_what_is_written_directly_are_in_no_slot():
    x = gn.input("x", (8,))
    w = gn.parameter(np.ones(8, np.float32), "w")
    hidden = gn.exp(x * w)
    result = hidden * 2.0
    plan = plan_of([result, gn.reshape(result, (2, 4)), x], [gn.assign(w, w - hidden)])
    verify_plan(plan)
    assert result in plan.results and result not in plan.slots and hidden in plan.slots
    assert not any(isinstance(node.op, (Input, Constant, Stored)) or node.op.is_view for node in plan.slots)
    assert not set(plan.slots) & set(plan.schedule.direct)
    assert all(slot.offset % ALIGNMENT == 0 for slot in plan.slots.values())


def test_a_chain_of_elementwise_steps_stays_in_one_place():
    x = gn.input("x", (100,))
    y = x
    for _ in range(10):
        y = gn.tanh(y + 1.0)
    plan = plan_of([gn.sum(y)])
    assert {slot.offset for slot in plan.slots.values()} == {0} and len(plan.reused) == 19
    assert plan.peak_bytes == 448 and plan.live_bytes == 400


def test_what_is_read_later_is_not_written_over():
    x = gn.input("x", (100,))
    y = gn.exp(x)
    z = gn.tanh(y)
    plan = plan_of([gn.sum(z) + gn.sum(y)])
    verify_plan(plan)
    assert plan.slots[y].offset != plan.slots[z].offset and z not in plan.reused


def test_a_view_keeps_its_base_alive():
    x = gn.input("x", (10, 10))
    y = gn.exp(x)
    view = gn.transpose(y)[2:5]
    other = gn.sin(x)
    end = gn.sum(view) + gn.sum(gn.cos(other) @ other)
    plan = plan_of([end])
    verify_plan(plan)
    reader = next(n for n in plan.schedule.steps if n.op.name == "sum" and base(n.inputs[0]) is y)
    assert plan.slots[y].last == plan.schedule.position[reader] and view not in plan.slots


@pytest.mark.parametrize(
    ("build", "takes"),
    [
        (lambda a: a + 1.0, True),
        (lambda a: gn.reshape(a, (16,)) + 1.0, True),
        (lambda a: gn.transpose(a) + 1.0, True),  # the result lies as the transpose does
        (lambda a: gn.transpose(a) + a, False),
        (lambda a: a + a, False),  # a kernel may read its other operand after it began to write
        (lambda a: a[::-1] + 1.0, False),
        (lambda a: gn.broadcast_to(a[:1], (4, 4)) + 1.0, False),
        (lambda a: gn.sum(a, axis=0), False),
        (lambda a: a > 0.0, False),
        (lambda a: a @ a, False),
    ],
)
def test_who_may_write_over_an_input(build, takes):
    x = gn.input("x", (4, 4))
    first = gn.exp(x)
    second = build(first)
    graph = [gn.sum(second)]
    plan = plan_of(graph)
    verify_plan(plan)
    assert (second in plan.reused) == takes
    array = np.random.default_rng(0).standard_normal((4, 4)).astype(np.float32)
    wanted = gn.compile(x, graph, rewrite=False, reuse=False)(array)
    np.testing.assert_array_equal(gn.compile(x, graph, rewrite=False, check=2)(array), wanted)


def test_nothing_to_store():
    x = gn.input("x", (0, 3))
    for outputs in ([x], [gn.sum(gn.exp(x))], []):
        plan = plan_of(outputs)
        verify_plan(plan)
        assert plan.live_bytes == 0


def test_memory_map():
    x = gn.input("x", (4, 25))
    y = gn.exp(x * 2.0)
    plan = plan_of([gn.sum(y * gn.argmax(y, axis=0).astype("float32"))])
    assert (
        plan.memory_map()
        == str(plan)
        == (
            "arena 1,152 bytes; largest sum of live bytes 1,000\n"
            "           0 ..          400  steps    0 ..    1  multiply float32[4, 25]\n"
            "           0 ..          400  steps    1 ..    4  exp float32[4, 25], over multiply\n"
            "         448 ..          848  steps    2 ..    2  scratch of arg_max\n"
            "         896 ..        1,096  steps    2 ..    3  arg_max int64[25]\n"
            "         448 ..          548  steps    3 ..    4  cast float32[25]\n"
            "           0 ..          400  steps    4 ..    5  multiply float32[4, 25], over exp"
        )
    )
