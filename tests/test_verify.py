"""The verifier against plans that are right and plans that were broken at random."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

import graphnet as gn
from graphnet.errors import PlanError
from graphnet.graph.graph import Graph
from graphnet.graph.traversal import topological
from graphnet.memory import ALIGNMENT, Plan, Slot, plan_memory
from graphnet.rewrite.materialize import materialize
from graphnet.schedule import base, schedule
from graphnet.verify import ByteMap, verify_plan


@cache
def random_plan(seed: int) -> Plan:
    """The plan of a random graph with views, broadcasts, long and short lives, and updates."""
    choose = random.Random(seed)
    x = gn.input("x", (8, 16))
    weights = [gn.parameter(np.ones((8, 16), np.float32), f"w{i}") for i in range(3)]
    pool = [x, *weights]
    for _ in range(40):
        a, b = choose.choice(pool[-8:]), choose.choice(pool)
        kind = choose.randrange(4)
        if kind == 0:
            pool.append(gn.reshape(gn.reshape(a, (16, 8)) * 2.0, (8, 16)) + b)
        elif kind == 1:
            pool.append(a * gn.sum(b, axis=1, keepdims=True))
        else:
            pool.append(a * b + float(choose.randrange(5)))
    loss = gn.sum(pool[-1] + pool[-2] * pool[-3])
    used = [w for w in weights if w in topological([loss])]
    updates = [gn.assign(w, w - 0.1 * g) for w, g in zip(used, gn.gradients(loss, used), strict=True)]
    return plan_memory(schedule(materialize(Graph((loss,), tuple(updates)))))


def truly_broken(plan: Plan) -> bool:
    """By brute force over pairs: two values live at one step share bytes, and one did not take over the other."""
    lives = list(plan.slots.values())
    scratch = [slot for slots in plan.scratch.values() for slot in slots]
    for slot in lives + scratch:
        if slot.offset < 0 or slot.end > plan.peak_bytes:
            return True
    everything = lives + scratch
    for i, a in enumerate(everything):
        for b in everything[:i]:
            early, late = sorted((a, b), key=lambda slot: slot.first)
            apart = a.end <= b.offset or b.end <= a.offset
            if not apart and early.last > late.first:
                return True
            if not apart and early.last == late.first and not takes_over(late, early):
                return True
    return False


def takes_over(late: Slot, early: Slot) -> bool:
    sources = [base(value) for value in late.node.inputs]
    positions = [p for p, s in enumerate(sources) if s is early.node]
    return (
        late.offset == early.offset
        and len(positions) == 1
        and positions[0] in late.node.op.inplace
        and late.node.inputs[positions[0]].type == late.node.type
    )


def break_plan(plan: Plan, choose: random.Random) -> Plan:
    """The plan with one slot moved onto another, shrunk, or with the arena cut."""
    slots = dict(plan.slots)
    victim = choose.choice(list(slots))
    kind = choose.randrange(3)
    if kind == 0:
        other = choose.choice(list(slots.values()))
        slots[victim] = replace(slots[victim], offset=other.offset)
    elif kind == 1:
        slots[victim] = replace(slots[victim], offset=slots[victim].offset + ALIGNMENT * choose.randrange(-8, 9))
    else:
        return replace(plan, peak_bytes=plan.peak_bytes - ALIGNMENT)
    return replace(plan, slots=slots)


def test_right_plans_pass():
    for seed in range(40):
        plan = random_plan(seed)
        assert not truly_broken(plan)
        verify_plan(plan)


def test_every_one_of_200_broken_plans_is_caught():
    choose = random.Random(7)
    caught = 0
    for seed in range(10_000):
        plan = break_plan(random_plan(seed % 40), choose)
        if not truly_broken(plan):
            continue
        with pytest.raises(PlanError):
            verify_plan(plan)
        caught += 1
        if caught == 200:
            return
    pytest.fail(f"only {caught} plans could be broken")


def test_a_life_that_is_declared_too_short_is_caught():
    plan = random_plan(0)
    node, slot = max(plan.slots.items(), key=lambda item: item[1].last - item[1].first)
    with pytest.raises(PlanError, match="after its life ends"):
        verify_plan(replace(plan, slots={**plan.slots, node: replace(slot, last=slot.last - 1)}))


def test_a_missing_slot_is_caught():
    plan = random_plan(0)
    slots = dict(plan.slots)
    slots.pop(next(iter(slots)))
    with pytest.raises(PlanError, match="no place"):
        verify_plan(replace(plan, slots=slots))


def test_a_parameter_written_before_its_old_value_was_read_is_caught():
    w = gn.parameter(np.ones(4, np.float32), "w")
    v = gn.parameter(np.ones(4, np.float32), "v")
    plan = plan_memory(schedule(Graph((), (gn.assign(w, w + 1.0), gn.assign(v, w * 2.0)))))
    verify_plan(plan)
    order = replace(plan.schedule, steps=plan.schedule.steps[::-1])
    with pytest.raises(PlanError, match="old value of 'w'"):
        verify_plan(replace(plan, schedule=order))


def test_byte_map_against_a_plain_list():
    choose = random.Random(3)
    for _ in range(200):
        size = choose.randrange(1, 40)
        runs, plain = ByteMap(size), [None] * size
        for tag in map(str, range(12)):
            start, end = sorted((choose.randrange(size + 1), choose.randrange(size + 1)))
            runs.write(start, end, tag)
            plain[start:end] = [tag] * (end - start)
            low, high = sorted((choose.randrange(size + 1), choose.randrange(size + 1)))
            for wanted in {*plain[low:high], tag}:
                assert runs.holds(low, high, wanted) == all(t == wanted for t in plain[low:high])
