"""Random numbers: their distribution, that the same seed gives the same bits, and what a step draws."""

from __future__ import annotations

import numpy as np
import pytest

import graphnet as gn
from graphnet.graph.traversal import topological
from graphnet.ops.evaluate import evaluate
from graphnet.ops.random import Uniform


def value(node: gn.Node) -> np.ndarray:
    return evaluate([node], {})[0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_uniform_is_uniform(dtype: str) -> None:
    draws = value(gn.random.uniform((50_000,), -1.0, 3.0, dtype, gn.Generator(1)))
    assert draws.dtype == dtype and draws.min() >= -1.0 and draws.max() <= 3.0
    counts, _ = np.histogram(draws, 20, (-1, 3))
    assert ((counts - 2500) ** 2 / 2500).sum() < 50  # chi-squared with 19 degrees of freedom: p < 1e-4


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_normal_has_its_moments(dtype: str) -> None:
    draws = value(gn.random.normal((100_000,), 2.0, 3.0, dtype, gn.Generator(1))).astype("float64")
    z = (draws - 2) / 3
    assert abs(z.mean()) < 0.02 and abs(z.var() - 1) < 0.03 and abs((z**3).mean()) < 0.06
    assert abs((z**4).mean() - 3) < 0.2 and abs((np.abs(z) < 1).mean() - 0.6827) < 0.01


def test_bernoulli_has_its_probability() -> None:
    draws = value(gn.random.bernoulli(0.3, (50_000,), generator=gn.Generator(1)))
    assert set(np.unique(draws)) == {0.0, 1.0} and abs(draws.mean() - 0.3) < 0.01
    each = value(gn.random.bernoulli(np.array([0.0, 1.0, 0.0, 1.0]), dtype="bool", generator=gn.Generator(1)))
    assert each.tolist() == [False, True, False, True]


def test_dropout_keeps_the_mean_and_drops_its_share() -> None:
    x = gn.constant(np.ones((200, 300)))
    y = value(gn.dropout(x, 0.25, generator=gn.Generator(1)))
    assert abs((y == 0).mean() - 0.25) < 0.01 and set(np.unique(y)) == {0.0, 1 / 0.75}


def test_dropout2d_drops_whole_channels() -> None:
    y = value(gn.dropout2d(gn.constant(np.ones((40, 50, 2, 3))), 0.5, generator=gn.Generator(1)))
    assert (y == y[:, :, :1, :1]).all() and abs((y[:, :, 0, 0] == 0).mean() - 0.5) < 0.05


def test_dropout_is_the_identity_in_evaluation_and_zero_at_one() -> None:
    x = gn.input("x", (3,))
    assert gn.dropout(x, 0.5, training=False) is x and gn.dropout(x, 0.0) is x
    y = gn.dropout(x, 1.0)
    found = evaluate([y, *gn.gradients(gn.sum(y), [x])], {x: np.array([1, np.inf, np.nan], "float32")})
    assert not found[0].any() and not found[1].any()


def test_the_gradient_of_dropout_is_its_mask() -> None:
    x = gn.input("x", (100,), "float64")
    y = gn.dropout(x, 0.5)
    dropped, gradient = evaluate([y, *gn.gradients(gn.sum(y), [x])], {x: np.ones(100)})
    np.testing.assert_array_equal(dropped, gradient)


def test_streams_differ_and_the_same_seed_repeats() -> None:
    first = gn.Generator(5)
    a, b = gn.random.uniform((100,), generator=first), gn.random.uniform((100,), generator=first)
    assert a is not b and not (value(a) == value(b)).any()
    np.testing.assert_array_equal(value(a), value(gn.random.uniform((100,), generator=gn.Generator(5))))
    assert not (value(a) == value(gn.random.uniform((100,), generator=gn.Generator(6)))).any()


def test_a_step_counts_once_and_seeding_again_reaches_compiled_functions() -> None:
    gn.manual_seed(3)
    x, y = gn.random.uniform(("N",)), gn.random.uniform(("N",))
    n = gn.input("n", ("N",))
    draw = gn.compile([n], [x + n, y + n])
    zeros = np.zeros(4, "float32")
    runs = [draw(zeros) for _ in range(3)]
    state = gn.random.default_generator.state
    assert state.value.tolist() == [3, 3]
    assert len({run[0].tobytes() for run in runs} | {run[1].tobytes() for run in runs}) == 6
    gn.manual_seed(3)
    for expected in runs:
        for a, b in zip(draw(zeros), expected, strict=True):
            np.testing.assert_array_equal(a, b)
    state.set_value(np.array([3, 1]))  # as a checkpoint does
    np.testing.assert_array_equal(draw(zeros)[0], runs[1][0])


def test_initial_weights_come_from_the_seed() -> None:
    gn.manual_seed(9)
    first = gn.random.host_generator().random(3)
    gn.manual_seed(9)
    np.testing.assert_array_equal(first, gn.random.host_generator().random(3))


def test_shapes_may_have_names() -> None:
    node = gn.dropout(gn.input("x", ("N", 3)), 0.5)
    (uniform,) = (n for n in topological([node]) if isinstance(n.op, Uniform))
    assert uniform.shape == (gn.Dim("N"), 3)
    assert uniform.op.bind({"N": 7}).infer(gn.random.default_generator.state.type).shape == (7, 3)


@pytest.mark.parametrize("seed", [-1, 1 << 63, 1.5, True, "1"])
def test_a_seed_must_be_an_integer_in_range(seed: object) -> None:
    with pytest.raises(gn.ArgumentError, match="seed must be an integer"):
        gn.manual_seed(seed)  # type: ignore[arg-type]


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan"), "half"])
def test_a_probability_must_be_one(p: object) -> None:
    for function in (gn.dropout, gn.dropout2d):
        with pytest.raises(gn.ArgumentError, match="probability"):
            function(gn.input("x", (2, 3)), p)  # type: ignore[arg-type]
    with pytest.raises(gn.ArgumentError, match="probability"):
        gn.random.bernoulli(p, (3,))  # type: ignore[arg-type]


def test_what_dropout_refuses() -> None:
    with pytest.raises(gn.DtypeError, match="floats"):
        gn.dropout(gn.input("x", (2, 3), "int64"), 0.5)
    with pytest.raises(gn.ShapeError, match=r"\(N, C"):
        gn.dropout2d(gn.input("x", (2,)), 0.5)
    with pytest.raises(gn.DtypeError, match="floats"):
        gn.random.uniform((2,), dtype="int64")
