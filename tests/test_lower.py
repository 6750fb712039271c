"""Memory and callables: where arrays lie, that they are aligned, and that nothing else is allocated for them."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

import graphnet as gn
from graphnet.backend.numpy import NumpyBackend
from graphnet.backend.registry import get_backend
from graphnet.errors import PlanError
from graphnet.graph.graph import Graph
from graphnet.graph.types import tensor_type
from graphnet.lower import lower
from graphnet.memory import ALIGNMENT, plan_memory
from graphnet.rewrite.materialize import materialize
from graphnet.schedule import base, schedule
from graphnet.verify import verify_plan


def lowered_of(outputs, updates=(), **options):
    plan = plan_memory(schedule(materialize(Graph(tuple(outputs), tuple(updates)))), **options)
    return lower(plan, get_backend("numpy"))


def address(array):
    return array.__array_interface__["data"][0]


@pytest.mark.parametrize("reuse", [True, False])
def test_every_value_lies_where_the_plan_says(reuse):
    x = gn.input("x", (5, 7))
    w = gn.parameter(np.ones((5, 7), np.float32), "w")
    y = gn.exp(gn.transpose(x * w)) + 1.0
    lowered = lowered_of([gn.sum(y @ x, axis=0), y[1:]], [gn.assign(w, w - gn.transpose(y))], reuse=reuse)
    start = address(lowered.arena)
    assert start % ALIGNMENT == 0 and lowered.arena.nbytes == lowered.plan.peak_bytes
    for node, array in lowered.arrays.items():
        assert array.shape == node.shape and array.dtype == node.dtype
        slot = lowered.plan.slots.get(base(node))
        assert np.shares_memory(array, lowered.arena) == (slot is not None)
        if slot is not None and not node.op.is_view:
            assert address(array) == start + slot.offset and array.nbytes == slot.nbytes
        if node.op.is_view:
            assert np.shares_memory(array, lowered.arrays[base(node)])
    for node, slots in lowered.plan.scratch.items():
        for slot, array in zip(slots, lowered.scratch[node], strict=True):
            assert address(array) == start + slot.offset


def test_parameters_and_constants_are_used_where_they_are():
    w = gn.parameter(np.ones(3, np.float32), "w")
    c = gn.constant(np.full(3, 2, np.float32))
    new = w * c
    lowered = lowered_of([], [gn.assign(w, new)])
    assert lowered.arrays[w] is w.op.storage.array is lowered.arrays[new]
    assert lowered.arrays[c] is c.op.value and not c.op.value.flags.writeable
    assert not lowered.body and len(lowered.commit) == 1 and lowered.plan.peak_bytes == 0


def test_the_commit_is_taken_apart_into_single_calls():
    w = gn.parameter(np.ones((300, 300), np.float32), "w")
    x = gn.input("x", (300, 300))
    program = gn.compile(x, None, gn.assign(w, w * 0.5 + x * x - 1.0)).specialize()
    assert [node.op.name for node in program.schedule.steps] == ["fused"]
    assert len(program.lowered.commit) == 1 and len(program.lowered.commit_calls) > 4
    assert all(isinstance(call.func, np.ufunc) for call in program.lowered.commit_calls)


def test_two_programs_share_parameters_and_nothing_else():
    x = gn.input("x", ("N", 3))
    w = gn.parameter(np.ones(3, np.float32), "w")
    step = gn.compile(x, gn.sum(gn.exp(x * w)), gn.assign(w, w + gn.sum(gn.sin(x), axis=0)))
    two, three = step.specialize(N=2).lowered, step.specialize(N=3).lowered
    for a in two.arrays.values():
        for node, b in three.arrays.items():
            assert not np.shares_memory(a, b) or base(node) in (w, *step.schedule.direct) or not b.flags.writeable


class Asking(NumpyBackend):
    """Wants 7 numbers of scratch for each step, and keeps what it is given."""

    def __init__(self, has_kernels):
        self.has_kernels, self.given = has_kernels, []

    def workspace(self, node, layouts):
        assert set(node.inputs) <= set(layouts) and layouts[node].shape == node.shape
        return (tensor_type((7,), "float64"),)

    def kernels(self, steps):
        self.given = [step.work for step in steps]
        return [partial(step.op.compute, step.out, *step.inputs) if self.has_kernels else None for step in steps]


def asked(backend):
    x = gn.input("x", (3, 5))
    order = schedule(Graph((gn.exp(gn.square(x)),)))
    wanted = {node: backend.workspace(node, order.graph.layouts) for node in order.steps}
    plan = plan_memory(order, wanted)
    verify_plan(plan)
    return lower(plan, backend)


def test_a_backend_gets_the_scratch_it_asks_for():
    backend = Asking(has_kernels=True)
    lowered = asked(backend)
    assert [[w.shape for w in work] for work in backend.given] == [[(7,)], [(7,)]]
    assert all(np.shares_memory(work[0], lowered.arena) for work in backend.given)
    assert lowered.plan.peak_bytes >= 7 * 8 + 3 * 5 * 4


def test_a_backend_that_asks_for_scratch_has_to_have_a_kernel():
    with pytest.raises(PlanError, match=r"numpy planned scratch for <square.* and has no kernel for it"):
        asked(Asking(has_kernels=False))
