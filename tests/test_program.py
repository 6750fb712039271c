"""One compiled step: run, checked step by step, profiled; errors that say which step and whose line."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

import graphnet as gn
from graphnet import nn, optim
from graphnet.errors import DataError, PlanError
from graphnet.graph.node import Op
from graphnet.program import Program, describe


def program_of(outputs, updates=(), **options) -> Program:
    x = gn.input("x", (4, 3))
    return gn.compile(x, outputs(x), updates, **options).specialize()


def with_kernel(program: Program, name: str, kernel) -> Program:
    """`program` with the kernel of its first step called `name` replaced: kernel(out, *inputs)."""
    index, node = next((i, n) for i, n in enumerate(program.schedule.steps) if n.op.name == name)
    arrays, kernels = program.lowered.arrays, list(program.lowered.body)
    kernels[index] = partial(kernel, arrays[node], *(arrays[value] for value in node.inputs))
    return replace(program, lowered=replace(program.lowered, body=tuple(kernels)))


ONES = np.ones((4, 3), np.float32)


def test_a_checked_run_gives_what_a_run_gives():
    program = program_of(lambda x: [gn.softmax(x @ gn.transpose(x), axis=0), x, gn.exp(x)[1:]])
    for plain, checked in zip(program.run([ONES * 0.3]), program.run_checked([ONES * 0.3]), strict=True):
        np.testing.assert_array_equal(plain, checked)


def test_a_kernel_that_computes_something_else_is_found():
    program = with_kernel(program_of(lambda x: gn.sum(gn.exp(x))), "exp", lambda out, x: np.add(x, 1.0, out))
    assert program.run([ONES])
    with pytest.raises(PlanError, match=r"step 0, exp float32\[4, 3\] .*differs from its reference"):
        program.run_checked([ONES])


def test_a_kernel_that_changes_its_input_is_found():
    def greedy(out, x):
        np.sum(x, axis=0, out=out)
        x[0] = 7

    program = program_of(lambda x: [gn.sum(gn.exp(x), axis=0), gn.sum(gn.cos(gn.exp(x)))])
    with pytest.raises(PlanError, match=r"sum .*changed its input"):
        with_kernel(program, "sum", greedy).run_checked([ONES])


def test_a_kernel_that_reads_what_is_dead_meets_nan():
    """The bytes of a value are NaN once its last reader is through."""
    dead = []

    def spy(out, x):
        np.sum(x, out=out)
        dead.append(arrays[square].copy())

    program = program_of(lambda x: gn.sum(gn.sum(gn.square(x), axis=0)), rewrite=False)
    arrays = program.lowered.arrays
    square = next(n for n in program.schedule.steps if n.op.name == "square")
    last = [i for i, n in enumerate(program.schedule.steps) if n.op.name == "sum"][-1]
    kernels = list(program.lowered.body)
    node = program.schedule.steps[last]
    kernels[last] = partial(spy, arrays[node], arrays[node.inputs[0]])
    spied = replace(program, lowered=replace(program.lowered, body=tuple(kernels)))
    spied.run_checked([ONES])
    assert np.isnan(dead[0]).all()


def test_a_checked_step_that_fails_in_the_commit_puts_parameters_back():
    first, second = (gn.parameter(np.zeros(3, np.float32), name) for name in ("first", "second"))
    program = gn.compile([], None, [gn.assign(first, first + 1.0), gn.assign(second, second * 2.0 + 1.0)]).specialize()
    commit = list(program.lowered.commit)
    commit[-1] = lambda: None
    broken = replace(program, lowered=replace(program.lowered, commit=tuple(commit)))
    with pytest.raises(PlanError, match="differs from its reference"):
        broken.run_checked([])
    assert first.value.tolist() == second.value.tolist() == [0, 0, 0]


@pytest.mark.parametrize("check", [0, 2])
def test_an_error_names_step_layer_and_line(check):
    x, labels = gn.input("table", (4, 3)), gn.input("picks", (4,), "int64")
    loss = gn.mean(gn.take(x, labels, axis=0))  # this line
    step = gn.compile([x, labels], loss, check=check)
    with pytest.raises(DataError) as raised:
        step(ONES, np.array([0, 1, 2, 9]))
    text = str(raised.value)
    assert text.startswith("take float32[4, 3] (forward): ") and "9" in text
    assert text.count("declared at") == 1 and "test_program.py:" in text


def test_any_other_error_passes_as_it_is_and_changes_nothing():
    w = gn.parameter(np.zeros(3, np.float32), "w")
    program = program_of(lambda x: gn.sum(gn.exp(x)), gn.assign(w, w + 1.0))

    def fail(out, x):
        raise MemoryError("no more")

    with pytest.raises(MemoryError, match="no more"):
        with_kernel(program, "exp", fail).run([ONES])
    assert w.value.tolist() == [0, 0, 0]


def test_floating_point_flags_are_the_models_business():
    program = program_of(lambda x: [gn.log(x), x / (x - x), gn.exp(x * 1e30)])
    with np.errstate(all="raise"):
        values = program.run([-ONES])
    assert np.isnan(values[0]).all() and np.isinf(values[1]).all()


def test_describe_names_layer_and_part():
    x = gn.input("x", ("N", 3))
    model = nn.Sequential(nn.Linear(3, 2))
    loss = gn.sum(model(x))
    program = gn.compile(x, loss, optim.SGD(model.parameters(), lr=0.1).updates(loss)).specialize(N=2)
    texts = [describe(node) for node in program.schedule.steps]
    assert any(text.endswith("(forward)") and "0" in text for text in texts)
    assert any(text.endswith("(backward)") for text in texts) and texts[-1].endswith("(update)")


def test_a_program_knows_what_was_declared_and_what_it_became():
    program = program_of(lambda x: gn.exp(x) * 1.0 + 0.0 * x)
    assert len(program.declared.nodes) > len(program.graph.nodes) - 1
    assert program.graph is program.schedule.graph is program.plan.schedule.graph
    assert [node.op.label for node in program.inputs] == ["x"]


class Reversed(Op):
    """An op of a user's own, to see that any op runs: no ufunc, no view, no gradient."""

    def infer(self, x):
        return x

    def compute(self, out, x):
        np.copyto(out, x[::-1])


def test_an_op_of_the_users_own():
    array = np.arange(12, dtype=np.float32).reshape(4, 3)
    for options in ({}, {"check": 2}, {"backend": "naive"}, {"reuse": False}):
        program = program_of(lambda x: gn.exp(Reversed()(x * 0.1)), **options)
        np.testing.assert_allclose(program.run([array])[0], np.exp(array[::-1] * np.float32(0.1)), rtol=1e-6)
