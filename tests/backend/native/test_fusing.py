"""Few passes over memory: reductions that take in what they read, several sums at once, mean and variance at once."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

import graphnet as gn
from graphnet import nn, optim
from graphnet.backend.native.fusing import FACTORS, MOMENTS, fuse_passes
from graphnet.backend.native.loops import Store, accesses
from graphnet.backend.native.statistics import Moments, Sums
from graphnet.graph.graph import Graph
from graphnet.ops.elementwise import Add, Multiply, Subtract
from graphnet.ops.evaluate import apply_op
from graphnet.ops.fused import Fused
from graphnet.ops.reductions import Mean
from graphnet.ops.shaping import Sum
from graphnet.ops.slicing import Pad
from graphnet.rewrite.driver import Log, rewrite
from tests.backend.native.kernels import native

SHAPE = (64, 70)
X, Y, C = (gn.input(name, shape) for name, shape in (("x", SHAPE), ("y", SHAPE), ("c", (1, 70))))


def fused(*outputs):
    return fuse_passes(Graph(outputs), Log()).outputs


def test_mean_and_variance_are_moments():
    mean = Mean((0,), True)(X)
    before = Graph((Sum((0,), False)(gn.square(X - mean)), mean, X - mean))
    variance, mean_after, centered = rewrite(before, MOMENTS).outputs
    moments = Moments((0,))(X)
    assert variance is gn.reshape(moments[1], (70,))
    assert mean_after is gn.reshape(moments[0], (1, 70))
    assert centered is X - mean_after


@pytest.mark.parametrize(
    "value",
    [
        Sum((0,), True)(gn.square(X - Mean((1,), True)(X))),
        Sum((0,), True)(gn.square(Y - Mean((0,), True)(X))),
        Mean((0,), True)(X),
    ],
)
def test_what_only_looks_like_moments_stays(value):
    assert rewrite(Graph((value,)), MOMENTS).outputs == (value,)


@pytest.mark.parametrize("keepdims", [True, False])
@pytest.mark.parametrize("factor", [C, gn.constant(np.float32(0.3)), gn.input("d", (70,))])
def test_what_is_the_same_for_all_that_is_summed_is_multiplied_once(factor, keepdims):
    kept = (1, 70) if keepdims else (70,)
    as_kept = factor if keepdims or factor.ndim == 0 else gn.reshape(factor, (70,))
    total, other = (gn.reshape(Sum((0,), False)(value), kept) for value in (X, X * Y))
    given = (Sum((0,), keepdims)(factor * X), Mean((0,), keepdims)(X * factor), Sum((0,), keepdims)((X * factor) * Y))
    found = rewrite(Graph(given), FACTORS).outputs
    assert found == (total * as_kept, total / np.float32(64) * as_kept, other * as_kept)


@pytest.mark.parametrize(
    "value",
    [
        Sum((1,), True)(X * C),  # differs along the row
        Sum((0,), True)(C * C),  # nothing is of the full shape
        Sum((0,), True)(X * Y),
        gn.sum(X * C),
    ],
)
def test_what_differs_among_the_summed_is_multiplied_before(value):
    assert rewrite(Graph((value,)), FACTORS).outputs == (value,)


def test_what_is_there_anyway_is_summed_as_it_is():
    """x would have to wait for the sum of x * c, which is stored, only to be read once more."""
    product = gn.exp(X) * C
    graph = Graph((Sum((0,), True)(product), product))
    assert rewrite(graph, FACTORS).outputs == graph.outputs


def test_batch_normalization_and_its_parameters_need_two_sums():
    norm = nn.BatchNorm2d(6)
    x, dy = gn.input("x", (8, 6, 20, 20)), gn.input("dy", (8, 6, 20, 20))
    found = gn.compile([x, dy], gn.gradients(gn.sum(norm(x) * dy), [x, norm.weight, norm.bias]), backend="native")
    sums = [node.op for node in found.specialize().schedule.steps if isinstance(node.op, Sums)]
    assert [len(op.results) for op in sums] == [2]
    exact = gn.compile([x, dy], gn.gradients(gn.sum(norm(x) * dy), [x, norm.weight, norm.bias]), backend="numpy")
    arrays = [np.random.default_rng(seed).standard_normal((8, 6, 20, 20)).astype("f") for seed in (0, 1)]
    for a, b in zip(found(*arrays), exact(*arrays), strict=True):
        # Sums of 3200 products of about 1, in another order: as many roundings, of sums of at most 4 times their root.
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=3200 * np.finfo("f").eps)


def test_a_sum_takes_in_what_it_alone_reads():
    (total,) = fused(Sum((0,), True)(X * Y))
    assert total is gn.reshape(Sums(2, ((Multiply(), (0, 1)),), (2,), (0,))(X, Y)[0], (1, 70))


def test_sums_of_the_same_array_are_one():
    of_x, of_both = fused(Sum((0,), False)(X), Mean((0,), False)(X * Y))
    sums = Sums(2, ((Multiply(), (0, 1)),), (0, 2), (0,))(X, Y)
    assert of_x is gn.reshape(sums[0], (70,)) or of_x is sums[0]
    assert of_both.inputs[0] is sums[1] and of_both.op.name in ("divide", "multiply")


@pytest.mark.parametrize(
    "outputs",
    [
        (Sum((0,), False)(X), Sum((1,), False)(X)),
        (Sum((0,), False)(X), Sum((0,), False)(Y)),
        (Sum((0,), True)(X), Sum((0,), True)(X * Sum((0,), True)(X))),
    ],
)
def test_other_axes_other_arrays_and_sums_that_wait_for_one_another_stay_apart(outputs):
    assert not any(isinstance(node.op, Sums) and len(node.op.results) > 1 for node in Graph(fused(*outputs)).nodes)


def test_sums_that_would_wait_for_one_another_in_a_circle():
    """a and d read x, b and c read y; c waits for a, and d for b."""
    a, b = Sum((0,), True)(X), Sum((0,), True)(Y)
    c, d = Sum((0,), True)(Y * a), Sum((0,), True)(X * b)
    nodes = Graph(fused(a, b, c, d)).nodes
    counts = sorted(len(node.op.results) for node in nodes if isinstance(node.op, Sums))
    assert counts in ([1, 2], [1, 1])  # one pair may be one, not both
    feeds = [np.random.default_rng(0).standard_normal(SHAPE).astype("f") for _ in range(2)]
    got = gn.compile([X, Y], [a, b, c, d], backend="native")(*feeds)
    expected = gn.compile([X, Y], [a, b, c, d], backend="numpy")(*feeds)
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-3)


def test_what_comes_from_one_array_is_worked_out_by_each_reader():
    shifted = X - C
    product, total = fused(shifted * Y, Sum((0,), False)(shifted))
    assert product.op == Fused(3, ((Subtract(), (0, 1)), (Multiply(), (3, 2)))) and product.inputs == (X, C, Y)
    assert total is Sums(2, ((Subtract(), (0, 1)),), (2,), (0,))(X, C)[0] or total.inputs[0].op.name == "slice"


@pytest.mark.parametrize("value", [gn.exp(X), X + Y])
def test_what_is_much_work_or_comes_from_two_arrays_is_stored(value):
    read = fused(value * Y, value * C)
    assert value in Graph(read).nodes


def test_a_value_that_somebody_else_reads_is_stored():
    shifted = X - C
    outputs = fused(shifted * Y, shifted.T @ Y, Sum((0,), False)(shifted))
    assert shifted in Graph(outputs).nodes


IMAGES = gn.input("images", (4, 16, 16, 8))
AROUND = Pad((0, 1, 1, 0), (1, 1, 1, 1), (4, 18, 18, 8), 0.0)


def test_what_is_stored_with_a_border_is_read_there():
    """Also where channels lie last in memory only, so that a transposition stands before the border."""
    x, dy = gn.relu(IMAGES), gn.input("dy", IMAGES.shape)
    padded, product = fused(AROUND(x), x * dy)
    assert product.inputs[0] is padded[:, 1:17, 1:17] and padded.inputs[0] is x
    first = gn.transpose(IMAGES, (0, 3, 1, 2))
    y = gn.relu(first)
    padded, total = fused(AROUND(gn.transpose(y, (0, 2, 3, 1))), Sum((0, 2, 3), False)(y))
    cropped = gn.transpose(padded[:, 1:17, 1:17], (0, 3, 1, 2))
    assert total.inputs[0] is cropped


@pytest.mark.parametrize(
    "outputs",
    [
        (AROUND(gn.relu(IMAGES)), gn.relu(IMAGES)),
        (AROUND(gn.relu(IMAGES)), gn.reshape(gn.relu(IMAGES), (1024, 8)).T @ gn.reshape(IMAGES, (1024, 8))),
        (Pad((0, 1, 1, 0), (1, 2, 1, 1), (4, 33, 18, 8), 0.0)(gn.relu(IMAGES)), gn.relu(IMAGES) * IMAGES),
        (AROUND(IMAGES), IMAGES * 2.0),
    ],
)
def test_results_and_what_others_than_elementwise_steps_read_stay_where_they_are(outputs):
    assert fused(*outputs)[1] is outputs[1] and not any(
        node.op.name == "slice" for node in Graph(fused(*outputs)).nodes
    )


def test_a_padded_value_is_stored_once():
    dy = gn.input("dy", IMAGES.shape)
    x = gn.exp(IMAGES) + 1.0
    kernel = gn.input("kernel", (8, 8, 3, 3))
    out = gn.conv2d(gn.transpose(x, (0, 3, 1, 2)), kernel, padding=1)
    step = gn.compile([IMAGES, dy, kernel], [out, gn.sum(x * dy)], backend="native")
    rng = np.random.default_rng(0)
    feeds = [rng.standard_normal(node.shape).astype("f") for node in (IMAGES, dy, kernel)]
    got, expected = step(*feeds), gn.compile([IMAGES, dy, kernel], [out, gn.sum(x * dy)], backend="numpy")(*feeds)
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-3)
    steps = step.program.schedule.steps
    (numbers,) = [group for group in step.program.lowered.merged if any(steps[n].op.name == "pad" for n in group)]
    (passed,) = [one for _, call in step.program.lowered.body_calls for one in call.steps if one.numbers == numbers]
    stored = {a.buffer for loops in passed.loops for _, a in accesses(loops.body) if isinstance(a, Store)}
    assert len(stored) == 1


# -- the loops -----------------------------------------------------------------------------------------------------

LAYOUTS = [
    ((1, 1), (0,), (0, 1)),
    ((3, 5), (0,), (0, 1)),
    ((7, 33), (1,), (0, 1)),
    ((4001, 17), (0,), (0, 1)),
    ((4001, 17), (0,), (1, 0)),
    ((5, 3, 40, 41), (0, 2, 3), (0, 1, 2, 3)),
    ((5, 3, 40, 41), (0, 2, 3), (0, 2, 3, 1)),
    ((9, 16, 30, 31), (0, 2, 3), (1, 2, 3, 0)),
    ((64, 300, 12), (1,), (0, 1, 2)),
    ((70_001,), (0,), (0,)),
]


def laid(rng, shape, order, dtype):
    """Random numbers whose axes lie in `order`."""
    flat = rng.standard_normal([shape[axis] for axis in order]).astype(dtype)
    return flat.transpose(np.argsort(order))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("shape", "axes", "order"), LAYOUTS)
def test_sums_and_moments_in_every_layout(shape, axes, order, dtype):
    rng = np.random.default_rng(0)
    x, y = laid(rng, shape, order, dtype), laid(rng, shape, order, dtype)
    c = rng.standard_normal([1 if axis in axes else size for axis, size in enumerate(shape)]).astype(dtype)
    parts = ((Subtract(), (0, 2)), (Multiply(), (3, 1)), (Add(), (4, 3)))
    op = Sums(3, parts, (0, 4, 5), axes)
    kept = [size for axis, size in enumerate(shape) if axis not in axes]
    out = [np.full([3, *kept], np.nan, dtype) for _ in range(2)]
    wide = [array.astype(np.float64) for array in (x, y, c)]
    exact = apply_op(op, *wide)
    for found, threads in zip(out, (1, 3), strict=True):
        native(op, found, (x, y, c), threads)
    assert np.array_equal(*out)
    # Partial sums are rounded, each by half an ulp of a part of the sum of magnitudes: 128 of them in a block at most,
    # and these roundings go either way. What float64 is compared with adds 4001 numbers one by one.
    size = np.abs(wide[0]) + np.abs(wide[2]) + np.abs((wide[0] - wide[2]) * wide[1])
    largest = np.max(np.sum(size, axis=axes))
    np.testing.assert_allclose(
        out[0], exact, rtol=0, atol=np.finfo(dtype).eps * largest * (2 if dtype == "float32" else 64)
    )
    found = np.full([2, *kept], np.nan, dtype)
    native(Moments(axes), found, (x,), 2)
    exact = apply_op(Moments(axes), x.astype(np.float64))
    np.testing.assert_allclose(found[0], exact[0], rtol=0, atol=np.finfo(dtype).eps * 64)
    np.testing.assert_allclose(found[1], exact[1], rtol=np.finfo(dtype).eps * 128, atol=1e-30)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_variance_keeps_its_digits_far_from_zero(order):
    """Mean 10,000, deviation 1; where elements of the first block are far from all others, too."""
    rng = np.random.default_rng(0)
    x = laid(rng, (40_000, 12), order, "float64") + 1e4
    x[:50] -= 1e4
    given = laid(rng, (40_000, 12), order, "float32")
    given[...] = x
    out = np.zeros((2, 12), "f")
    native(Moments((0,)), out, (given,))
    exact = apply_op(Moments((0,)), given.astype(np.float64))
    np.testing.assert_allclose(out, exact, rtol=1e-5)


# -- whole training steps ------------------------------------------------------------------------------------------


def passes(step, least):
    """How often each kind of step reads or writes arrays of at least this size."""
    steps = step.program.schedule.steps
    large = [node for node in steps if max(v.type.static_size for v in (node, *node.inputs)) >= least]
    return Counter(node.op.name for node in large)


def test_batch_normalization_is_few_passes():
    """Moments, then the result; two sums and more in one pass for the gradients, then the input's gradient."""
    gn.manual_seed(0)
    norm = nn.BatchNorm2d(16)
    x = gn.input("x", (8, 16, 12, 12))
    w = gn.input("w", (8, 16, 12, 12))
    loss = gn.sum(gn.relu(norm(x)) * w)
    updates = optim.SGD(norm.parameters(), lr=0.1).updates(loss)
    step = gn.compile([x, w], [loss, gn.gradients(loss, [x])[0]], updates, backend="native")
    counts = passes(step, x.type.static_size)
    assert counts["moments"] == 1 and counts["mean"] == counts["sum"] == counts["square"] == counts["subtract"] == 0
    assert sum(counts.values()) <= 6, counts


def test_layer_normalization_and_its_gradients_agree_with_numpy():
    def trained(backend):
        gn.manual_seed(0)
        model = nn.Sequential(nn.Linear(70, 96), nn.LayerNorm(96), nn.GELU(), nn.Linear(96, 80), nn.BatchNorm1d(80))
        x = gn.input("x", ("N", 70))
        loss = gn.mean(gn.square(model(x) - 1.0) * gn.sigmoid(model(x)))
        updates = optim.AdamW(model.parameters(), lr=1e-2).updates(loss)
        step = gn.compile(x, loss, updates, backend=backend)
        given = np.random.default_rng(0).standard_normal((65, 70)).astype("f")
        return [float(step(given)) for _ in range(6)]

    np.testing.assert_allclose(trained("native"), trained("numpy"), rtol=2e-4)


@pytest.mark.parametrize(
    "reader",
    [
        lambda total, z: gn.exp(total) * z,
        lambda total, z: gn.sum(total, axis=0) + z,
    ],
)
@pytest.mark.parametrize("reduced", [gn.sum, gn.mean])
def test_what_reads_a_large_reduction_is_no_part_of_it(reduced, reader):
    """Its elements are as many as are worth a pass, and it is a pass itself: of another shape than what it takes in."""
    x, y, z = gn.input("x", (3, 2, 2500)), gn.input("y", (3, 2, 2500)), gn.input("z", (2, 2500))
    rng = np.random.default_rng(0)
    feeds = [rng.standard_normal(node.shape).astype("f") for node in (x, y, z)]
    value = reader(reduced(x * y, axis=0), z)
    found, wanted = (gn.compile([x, y, z], value, backend=name)(*feeds) for name in ("native", "numpy"))
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)
