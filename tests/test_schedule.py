"""The order of steps: right, the same every time, and no worse than as declared; the commit cannot fail."""

from __future__ import annotations

import random
from functools import partial
from operator import setitem

import numpy as np
import pytest

import graphnet as gn
from graphnet import nn, optim
from graphnet.graph.graph import Graph
from graphnet.memory import plan_memory
from graphnet.rewrite.materialize import materialize
from graphnet.schedule import base, is_step, schedule
from graphnet.verify import verify_plan


def training_graph(optimizer="Adam", width=6):
    gn.manual_seed(0)
    x, labels = gn.input("x", ("N", width)), gn.input("labels", ("N",), "int64")
    model = nn.Sequential(
        nn.Linear(width, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(0.1), nn.Linear(width, 3)
    )
    loss = gn.cross_entropy(model(x), labels)
    updates = getattr(optim, optimizer)(model.parameters(), lr=0.1).updates(loss)
    return gn.compile([x, labels], [loss, gn.argmax(model(x), axis=1)], updates)


def random_graph(seed):
    choose = random.Random(seed)
    x = gn.input("x", (4, 4))
    weights = [gn.parameter(np.ones((4, 4), np.float32), f"w{i}") for i in range(4)]
    pool = [x, *weights]
    for _ in range(30):
        a, b = choose.choice(pool[-6:]), choose.choice(pool)
        kind = choose.randrange(5)
        if kind == 0:
            pool.append(gn.transpose(a) + b)
        elif kind == 1:
            pool.append(a @ b)
        elif kind == 2:
            pool.append(gn.broadcast_to(gn.max(a, axis=0), (4, 4)))
        else:
            pool.append(a * 0.5 - b)
    updates = [gn.assign(w, choose.choice(pool)) for w in weights]
    return materialize(Graph((choose.choice(pool), gn.reshape(choose.choice(pool), (16,))), tuple(updates)))


@pytest.mark.parametrize("certain", [False, True])
@pytest.mark.parametrize("seed", range(40))
def test_random_graphs_are_ordered_rightly(seed, certain):
    graph = random_graph(seed)
    order = schedule(graph, lambda node: certain)
    assert set(order.steps) == {node for node in graph.nodes if is_step(node)}
    assert len(set(order.steps)) == len(order.steps)
    position = order.position
    for node in order.steps:
        assert all(position[base(value)] < position[node] for value in node.inputs if is_step(base(value)))
    for target, index in ((target, position[node]) for node, target in order.direct.items()):
        assert index >= order.commit_start
        for node in order.steps[index + 1 :]:
            assert target not in map(base, node.inputs), "the old value is read after it was written over"
    assert schedule(graph, lambda node: certain).steps == order.steps
    verify_plan(plan_memory(order))


@pytest.mark.parametrize("seed", range(40))
def test_the_peak_is_no_worse_than_that_of_the_declared_order(seed):
    graph = random_graph(seed)
    order = schedule(graph)
    body = order.steps[: order.commit_start]
    declared = [node for node in graph.nodes if node in set(body)]
    assert peak(order, body) <= peak(order, declared)


def peak(order, body):
    """The largest sum of bytes that are computed and still needed, by brute force, when the body runs like this."""
    elsewhere = {base(node) for node in order.graph.outputs} | set(order.direct)
    needed_at_end = {base(assign.inputs[1]) for assign in order.graph.updates}
    needed_at_end |= {base(value) for node in order.steps[order.commit_start :] for value in node.inputs}
    sums = []
    for index in range(len(body)):
        read_now_or_later = {base(value) for node in body[index:] for value in node.inputs}
        live = [n for n in body[:index] if n in read_now_or_later | needed_at_end] + [body[index]]
        sums.append(sum(n.type.nbytes for n in live if n not in elsewhere))
    return max(sums, default=0)


def test_branches_are_finished_one_by_one():
    """Side by side, four wide branches would all be live at once."""
    x = gn.input("x", (1000,))
    wide = [gn.broadcast_to(x, (50, 1000)) * float(i) for i in range(4)]
    sums = [gn.sum(gn.exp(branch)) for branch in wide]
    plan = gn.compile(x, sums[0] + sums[1] + sums[2] + sums[3]).specialize().plan
    assert plan.peak_bytes < 2 * 50 * 1000 * 4


def test_what_reads_nothing_computed_waits_for_its_reader():
    """Random numbers for the gradient would otherwise be drawn first, and lie there as long as a mask that is kept."""
    x, a = gn.input("x", (50, 50)), gn.random.uniform((50, 50))
    y = gn.transpose(gn.exp(x) @ gn.exp(x)) @ gn.exp(x)
    order = schedule(gn.compile(x, [gn.sum(y * a), a * gn.max(y)], backend="numpy").specialize().graph)
    names = [node.op.name for node in order.steps]
    assert names.index("uniform") > max(number for number, name in enumerate(names) if name == "matmul")


@pytest.mark.parametrize("width", [6, 300])  # weights so large are updated tile by tile, by fused steps
@pytest.mark.parametrize("optimizer", ["SGD", "RMSprop", "Adam", "AdamW"])
def test_the_commit_holds_only_what_can_neither_fail_nor_be_interrupted(optimizer, width):
    program = training_graph(optimizer, width).specialize(N=4)
    fused = [n for n in program.schedule.steps[program.schedule.commit_start :] if n.op.name == "fused"]
    assert bool(fused) == (width == 300)
    commit = program.lowered.commit_calls
    assert len(commit) >= len(program.graph.updates) > 4
    for call in commit:
        assert isinstance(call, partial) and (isinstance(call.func, np.ufunc) or call.func is setitem), call
    writes = [call.args[0] if call.func is setitem else call.keywords["out"] for call in commit]
    body = [program.lowered.arrays[node] for node in program.schedule.steps[: program.schedule.commit_start]]
    for assign in program.graph.updates:
        target = assign.inputs[0].op.storage.array
        assert any(np.shares_memory(target, array) for array in writes)
        assert not any(np.shares_memory(target, array) for array in body)


def test_the_same_model_gives_the_same_text():
    texts = {str(training_graph().specialize(N=4).schedule) for _ in range(3)}
    assert len(texts) == 1


def test_what_may_fail_stays_out_of_the_commit():
    w = gn.parameter(np.zeros(3, np.int64), "w")
    x = gn.input("x", (3,))
    step = gn.compile(x, None, gn.assign(w, gn.cast(x, "int64") + w))
    order = step.specialize().schedule
    assert [node.op.name for node in order.steps] == ["truncate", "add"] and order.commit_start == 1


def wide_graph(batch=4, **settings):
    """A training step of wide layers, as NumPy's backend has it rewritten."""
    gn.manual_seed(0)
    x, labels = gn.input("x", (batch, 40)), gn.input("labels", (batch,), "int64")
    model = nn.Sequential(nn.Linear(40, 60), nn.ReLU(), nn.Linear(60, 50), nn.ReLU(), nn.Linear(50, 3))
    loss = gn.cross_entropy(model(x), labels)
    updates = optim.Adam(model.parameters(), lr=0.1).updates(loss, **settings)
    return gn.compile([x, labels], loss, updates, backend="numpy").specialize().graph


def products(order):
    return [node for node in order.steps[order.commit_start :] if node.op.name == "matmul"]


def test_weight_gradients_wait_for_their_updates_where_no_product_can_fail():
    graph = wide_graph()
    early, order = schedule(graph), schedule(graph, lambda node: True)
    assert not products(early)
    assert [node.shape for node in sorted(products(order), key=lambda n: n.shape)] == [(50, 60), (60, 40)]
    for node in products(order):  # one gradient of its size at a time
        read = [order.position[reader] for reader in order.steps if node in map(base, reader.inputs)]
        assert max(read) - order.position[node] == len(read)
    plans = [plan_memory(of) for of in (early, order)]
    for plan in plans:
        verify_plan(plan)
    assert plans[1].live_bytes < plans[0].live_bytes


@pytest.mark.parametrize("settings", [{"batch": 100}, {"transform": optim.clip_grad_norm(1.0)}])
def test_a_weight_gradient_is_made_early_where_waiting_costs_more_bytes_or_its_norm_is_wanted(settings):
    assert not products(schedule(wide_graph(**settings), lambda node: True))


def test_a_commit_holds_only_so_much_work(monkeypatch):
    graph = wide_graph()
    monkeypatch.setattr("graphnet.schedule._MOST_OPERATIONS", 2 * 4 * 60 * 50 - 1)
    assert [node.shape for node in products(schedule(graph, lambda node: True))] in ([], [(60, 40)])


def test_a_value_is_written_directly_only_where_it_lies_as_its_parameter():
    x = gn.input("x", (4, 3))
    w = gn.parameter(np.zeros((3, 4), np.float32), "w")
    v = gn.parameter(np.zeros(12, np.float32), "v")
    turned = gn.transpose(x) * 2.0
    step = gn.compile(x, None, [gn.assign(w, turned), gn.assign(v, gn.reshape(gn.transpose(turned), (12,)) + 1.0)])
    array = np.arange(12, dtype=np.float32).reshape(4, 3)
    step(array)
    np.testing.assert_array_equal(w.value, array.T * 2)
    np.testing.assert_array_equal(v.value, array.ravel() * 2 + 1)
    assert set(step.schedule.direct.values()) == {v}


def test_text():
    x = gn.input("x", (2, 3))
    w, v = gn.parameter(np.ones(3, np.float32), "w"), gn.parameter(np.ones(3, np.float32), "v")
    y = gn.sum(x * w, axis=0)
    text = str(gn.compile(x, y, [gn.assign(w, w - y), gn.assign(v, w + v)]).specialize().schedule)
    assert text == (
        "   0 multiply() : float32[2, 3]  # forward\n"
        "   1 sum(axes=(0,), keepdims=False) : float32[3]  # forward\n"
        "-- commit: parameters change from here on --\n"
        "   2 add() : float32[3] -> v  # forward\n"
        "   3 subtract() : float32[3] -> w  # forward"
    )
    swap = gn.compile([], None, [gn.assign(w, v), gn.assign(v, w)]).specialize().schedule
    assert str(swap) == (
        "   0 contiguous() : float32[3]  # forward\n"
        "   1 contiguous() : float32[3]  # forward\n"
        "copy w <- its new value\n"
        "copy v <- its new value"
    )
