"""Optimizers that torch does not have, against their papers' formulas in NumPy."""

from __future__ import annotations

import numpy as np
import pytest

import graphnet as gn
from graphnet import optim

SHAPES = ((3, 4), (5,), ())


def gradient(w):
    """Of sum(sin(3 w) + w**2)."""
    return 3.0 * np.cos(3.0 * w) + 2.0 * w


def lion(w, m, t, lr=1e-4, betas=(0.9, 0.99), weight_decay=0.0):
    g = gradient(w)
    update = np.sign(betas[0] * m["m"] + (1 - betas[0]) * g)
    m["m"] = betas[1] * m["m"] + (1 - betas[1]) * g
    return w - lr * (update + weight_decay * w)


def lamb(w, m, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-6, weight_decay=0.01):
    g = gradient(w)
    m["m"] = betas[0] * m["m"] + (1 - betas[0]) * g
    m["v"] = betas[1] * m["v"] + (1 - betas[1]) * g * g
    ratio = m["m"] / (1 - betas[0] ** t) / (np.sqrt(m["v"] / (1 - betas[1] ** t)) + eps)
    update = ratio + weight_decay * w
    lengths = np.linalg.norm(w), np.linalg.norm(update)
    return w - lr * (lengths[0] / lengths[1] if min(lengths) > 0 else 1.0) * update


CASES = {
    "lion": (optim.Lion, lion, dict()),
    "lion-all": (optim.Lion, lion, dict(lr=0.01, betas=(0.5, 0.8), weight_decay=0.1)),
    "lamb": (optim.LAMB, lamb, dict()),
    "lamb-all": (optim.LAMB, lamb, dict(lr=0.02, betas=(0.5, 0.8), eps=1e-3, weight_decay=0.1)),
    "lamb-no-decay": (optim.LAMB, lamb, dict(weight_decay=0.0)),
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", CASES)
def test_steps_follow_the_paper(name, dtype):
    made, formula, options = CASES[name]
    generator = np.random.default_rng(0)
    values = [generator.normal(size=shape).astype(dtype).astype("float64") for shape in SHAPES]
    values.append(np.zeros(3))  # LAMB's rate has nothing to be relative to
    ours = [gn.parameter(value.astype(dtype), f"p{i}") for i, value in enumerate(values)]
    loss = sum((gn.sum(gn.sin(3.0 * p) + p * p) for p in ours), gn.constant(0, dtype))
    step = gn.compile([], None, made(ours, **options).updates(loss))
    memory = [{"m": 0.0, "v": 0.0} for _ in values]
    for t in range(1, 26):
        step()
        values = [formula(w, m, t, **options) for w, m in zip(values, memory, strict=True)]
        for mine, wanted in zip(ours, values, strict=True):
            np.testing.assert_allclose(mine.value, wanted, rtol=1e-12 if dtype == "float64" else 1e-4, atol=1e-6)


def test_maximize_is_the_negated_gradient():
    for made in (optim.Lion, optim.LAMB):
        up, down = gn.parameter([1.0, -2.0], "up"), gn.parameter([1.0, -2.0], "down")
        gn.compile([], None, made([up], maximize=True).updates(gn.sum(up * up)))()
        gn.compile([], None, made([down]).updates(-gn.sum(down * down)))()
        np.testing.assert_array_equal(up.value, down.value)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_lions_step_is_a_sign_and_zero_stays(dtype):
    tiny = np.finfo(dtype).tiny
    g = np.array([0.0, -0.0, tiny, -tiny, 1e-20, -1e30, np.inf, np.nan], dtype)
    w = gn.parameter(np.zeros(len(g), dtype), "w")
    gn.compile([], None, optim.Lion([w], lr=0.5).updates_from([gn.constant(g)]))()
    np.testing.assert_array_equal(w.value, -0.5 * np.sign(g))


def test_lamb_takes_a_parameter_whose_gradient_is_zero():
    w = gn.parameter([1.0, 2.0], "w")
    gn.compile([], None, optim.LAMB([w], weight_decay=0.0).updates_from([gn.constant([0.0, 0.0])]))()
    assert w.value.tolist() == [1.0, 2.0]
