"""What is compiled once: kernels that differ in names only, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import graphnet as gn
from graphnet import nn
from graphnet.backend.native.canonical import canonical
from graphnet.backend.native.emit import emit
from graphnet.backend.native.library import compiled, symbol
from graphnet.backend.native.loops import (
    Affine,
    Apply,
    Buffer,
    Const,
    For,
    Kernel,
    Load,
    Position,
    Register,
    Set,
    Splat,
    Store,
    Value,
    Var,
    show,
)


def kernel(
    *,
    dtype="f32",
    size=64,
    chunks=2,
    rows=4,
    factor=8,
    constant=0,
    lanes=8,
    active=None,
    op="add",
    number=1.0,
    step=1,
    names="xyiv",
    aligned=4,
):
    """y[...] = op(x[...], number) with every part that a kernel may have, each of them an argument."""
    x, y = (Buffer(name, dtype, size) for name in names[:2])
    chunk, row = Var(names[2], chunks), Var("r", rows)
    total = Register(names[3], dtype, lanes)
    index = Affine(constant, ((chunk, 32), (row, factor)))
    place = Apply("cast", (Position(Affine(0, ((row, 1),)), lanes, step),), dtype)
    value: Value = Apply(op, (Load(x, index, lanes, active), Const(number, dtype, lanes)))
    value = Apply("add", (Apply("mul", (value, value)), Apply("add", (place, Splat(Load(x, Affine()), lanes)))))
    body = (Set(total, value), Store(y, index, Apply("add", (total, value)), active))
    return Kernel(names, (x, y), chunk, (For(row, body),), {x: aligned})


def test_names_do_not_count():
    assert symbol(kernel()) == symbol(kernel(names="abcd"))


@pytest.mark.parametrize(
    "change",
    [
        {"dtype": "f64"}, {"size": 65}, {"chunks": 1}, {"rows": 3}, {"factor": 4}, {"constant": 1}, {"lanes": 4},
        {"active": 5}, {"op": "sub"}, {"number": -1.0}, {"number": float("nan")}, {"step": 2}, {"aligned": 32},
    ],
    ids=str,
)  # fmt: skip
def test_everything_else_does(change):
    assert symbol(kernel()) != symbol(kernel(**change))


def test_signs_of_zero_are_told_apart():
    assert symbol(kernel(number=0.0)) != symbol(kernel(number=-0.0))


def test_code_is_shared_within_a_program_and_between_programs():
    first, again, other = compiled([kernel(), kernel(names="abcd"), kernel(op="sub")])
    assert first is again and first is not other
    assert compiled([replace(kernel(), name="later")]) == [first]


def test_code_goes_with_its_last_user():
    (code,) = compiled([kernel(number=3.25)])
    del code
    (code,) = compiled([kernel(number=3.25)])  # linked anew, under a name that was taken before
    assert code.address


def test_layers_of_one_shape_share_their_code():
    x = gn.input("x", (5, 24))
    one = gn.compile(x, nn.Sequential(nn.Linear(24, 24), nn.Tanh())(x), backend="native")
    six = nn.Sequential(*[layer for _ in range(6) for layer in (nn.Linear(24, 24), nn.Tanh())])
    step = gn.compile(x, six(x), backend="native")
    array = np.random.default_rng(0).standard_normal((5, 24)).astype("f")
    expected = gn.compile(x, six(x), backend="numpy")(array)
    assert np.allclose(step(array), expected, atol=1e-5)
    assert one(array).shape == (5, 24)
    codes = {code.address for kernel in step.program.lowered.body for code in kernel.module.codes.values()}
    kernels = sum(len(located.loops) for kernel in step.program.lowered.body for located in kernel.steps)
    assert len(codes) < kernels / 2


def chained(length):
    """A kernel whose value uses each of its parts twice: 2 ** length parts, written as a tree."""
    x, chunk = Buffer("x", "f32", 4), Var("i", 4)
    index = Affine(0, ((chunk, 1),))
    value: Value = Load(x, index)
    for _ in range(length):
        value = Apply("mul", (value, value))
    return Kernel("chain", (x,), chunk, (Store(x, index, value),))


@pytest.mark.parametrize("text", [canonical, show])
def test_text_is_as_long_as_the_kernel_however_often_parts_are_used(text):
    short, long = (text(chained(length)) for length in (400, 800))
    assert len(long) < 2.2 * len(short)


def test_a_value_used_twice_is_shown_once():
    assert show(chained(2)).splitlines()[2:] == ["    t0 = mul(x[i], x[i])", "    x[i] = mul(t0, t0)"]


def test_the_code_does_not_depend_on_where_memory_lies():
    texts = {emit([kernel(names=names)]).replace(f"@{names}(", "@kernel(") for names in ("xyiv", "yxiv")}
    assert len(texts) == 1
