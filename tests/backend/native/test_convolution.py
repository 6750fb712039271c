"""Direct convolutions and their gradients against the definition, on the shapes that hurt."""

from __future__ import annotations

import numpy as np
import pytest

import graphnet as gn
from graphnet.ops.convolution import Conv2d, Conv2dFilterGradient, Conv2dInputGradient
from graphnet.ops.windows import Pair, Sides

# batch, channels, height and width, filters, kernel, stride, padding, dilation
Case = tuple[int, int, Pair, int, Pair, Pair, Sides, Pair]
SAME: Sides = ((1, 1), (1, 1))
NONE: Sides = ((0, 0), (0, 0))
CASES: dict[str, Case] = {
    "one of everything": (1, 1, (1, 1), 1, (1, 1), (1, 1), NONE, (1, 1)),
    "three channels": (3, 3, (8, 9), 17, (3, 3), (1, 1), SAME, (1, 1)),
    "prime sizes": (7, 17, (11, 13), 5, (3, 3), (1, 1), SAME, (1, 1)),
    "33 channels": (2, 33, (5, 5), 33, (3, 3), (1, 1), SAME, (1, 1)),
    "a kernel as large as the image": (3, 4, (6, 7), 9, (6, 7), (1, 1), NONE, (1, 1)),
    "a stride larger than the kernel": (2, 3, (10, 11), 6, (2, 1), (3, 4), NONE, (1, 1)),
    "two strides": (4, 16, (9, 12), 24, (3, 3), (2, 1), ((1, 0), (0, 1)), (1, 1)),
    "a dilation": (3, 6, (12, 10), 7, (3, 2), (1, 1), ((2, 2), (1, 1)), (2, 3)),
    "a dilation and a stride": (2, 5, (13, 12), 8, (3, 3), (2, 3), ((2, 1), (0, 3)), (3, 2)),
    "padding wider than the kernel": (2, 3, (4, 4), 5, (2, 2), (1, 1), ((3, 4), (2, 5)), (1, 1)),
    "small images of a large batch": (48, 20, (2, 2), 24, (3, 3), (1, 1), SAME, (1, 1)),
    "a single long row": (1, 2, (1, 70), 40, (1, 5), (1, 2), ((0, 0), (2, 2)), (1, 1)),
    "many filters, one place": (5, 300, (1, 1), 100, (1, 1), (1, 1), NONE, (1, 1)),
    "few channels of a wide kernel": (20, 6, (14, 14), 16, (5, 5), (1, 1), NONE, (1, 1)),
    "weights in parts": (2, 70, (4, 4), 16, (5, 5), (1, 1), ((2, 2), (2, 2)), (1, 1)),
    "more weights than places": (1, 112, (4, 5), 130, (3, 3), (1, 1), SAME, (1, 1)),
    "more weights than places, in steps": (2, 130, (9, 8), 112, (3, 4), (2, 2), SAME, (1, 1)),
}


def _windows(x: np.ndarray, case: Case) -> np.ndarray:
    """(N, C, kernel rows, kernel columns, rows, columns) of the padded image."""
    _, _, _, _, (height, width), (down, right), padding, (tall, wide) = case
    padded = np.pad(x, ((0, 0), (0, 0), *padding))
    spans = (tall * (height - 1) + 1, wide * (width - 1) + 1)
    seen = np.lib.stride_tricks.sliding_window_view(padded, spans, axis=(2, 3))
    return seen[:, :, ::down, ::right, ::tall, ::wide].transpose(0, 1, 4, 5, 2, 3)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CASES)
def test_convolution_and_gradients(name: str, dtype: str) -> None:
    _held_to_the_definition(name, dtype)


def _held_to_the_definition(name: str, dtype: str) -> set[str]:
    """Run the case, forward and both gradients, and compare. The names of the ops that it became."""
    case = CASES[name]
    batch, channels, size, filters, kernel, stride, padding, dilation = case
    generator = np.random.default_rng(0)
    x = generator.standard_normal((batch, channels, *size)).astype(dtype)
    w = generator.standard_normal((filters, channels, *kernel)).astype(dtype)
    windows = _windows(x.astype("float64"), case)
    dy = generator.standard_normal((batch, filters, *windows.shape[4:])).astype(dtype)
    xs, ws, dys = (gn.input(n, a.shape, dtype) for n, a in (("x", x), ("w", w), ("dy", dy)))
    plain = (stride, padding, dilation, 1)
    made = [Conv2d(*plain)(xs, ws), Conv2dFilterGradient(*plain, kernel)(xs, dys)]
    made.append(Conv2dInputGradient(*plain, size)(dys, ws))
    step = gn.compile([xs, ws, dys], made, backend="native", threads=2)
    y, dw, dx = step(x, w, dy)
    assert "the others the ops' own" in step.explain()
    assert step.program.lowered.own == len(step.schedule.steps), "some of it is left to reference kernels"
    exact_y = np.einsum("ncijhw,ocij->nohw", windows, w)
    exact_dw = np.einsum("ncijhw,nohw->ocij", windows, dy)
    spread = np.zeros((batch, channels, *(n + sum(side) for n, side in zip(size, padding, strict=True))))
    gradient = np.einsum("nohw,ocij->ncijhw", dy.astype("float64"), w)
    for i, j in np.ndindex(*kernel):
        rows = slice(i * dilation[0], i * dilation[0] + stride[0] * (dy.shape[2] - 1) + 1, stride[0])
        columns = slice(j * dilation[1], j * dilation[1] + stride[1] * (dy.shape[3] - 1) + 1, stride[1])
        spread[:, :, rows, columns] += gradient[:, :, i, j]
    (top, _), (left, _) = padding
    exact_dx = spread[:, :, top : top + size[0], left : left + size[1]]
    for found, exact, terms in ((y, exact_y, w[0].size), (dw, exact_dw, dy[:, 0].size), (dx, exact_dx, w[:, 0].size)):
        # Each of so many products of about 1 rounds once, and so does each addition to a sum of about the root of it.
        assert np.abs(found - exact).max() <= 8 * terms * np.finfo(dtype).eps, name
    return {node.op.name for node in step.schedule.steps}


BESIDE = {"batch_last_convolution", "batch_last_filter_gradient", "batch_last_input_gradient"}


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("a kernel as large as the image", "float32"),
        ("prime sizes", "float64"),
        ("a stride larger than the kernel", "float32"),
        ("two strides", "float32"),
        ("a dilation and a stride", "float32"),
        ("padding wider than the kernel", "float32"),
        ("small images of a large batch", "float32"),
        ("few channels of a wide kernel", "float64"),
    ],
)
def test_images_beside_one_another(name: str, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As they lie where that takes less time, but for every batch, stride, dilation and padding."""
    monkeypatch.setattr("graphnet.backend.native.rules.images_beside", lambda *_: True)
    monkeypatch.setenv("GRAPHNET_NATIVE_WINOGRAD", "off")
    assert _held_to_the_definition(name, dtype) >= BESIDE


@pytest.mark.parametrize("batch", [64, 80])
def test_images_lie_beside_one_another_where_filters_would_leave_lanes_idle(batch: int) -> None:
    """And so do what follows: biases, activations and pooling ride along as elsewhere, with the same bits."""
    gn.manual_seed(0)
    x, t = gn.input("x", ("N", 1, 20, 20)), gn.input("t", ("N", 10, 4, 4))
    shapes = ((6, 1, 5, 5), (6, 1, 1), (10, 6, 5, 5))
    first, bias, second = (gn.input(name, shape) for name, shape in zip("wbv", shapes, strict=True))
    y = gn.max_pool2d(gn.relu(gn.conv2d(x, first, padding=2) + bias), 2)
    loss = gn.mean(gn.square(gn.tanh(gn.conv2d(y, second)[:, :, 1:5, 1:5]) - t))
    inputs, made = [x, t, first, bias, second], [loss, *gn.gradients(loss, [first, bias, second])]
    generator = np.random.default_rng(0)
    feeds = [generator.standard_normal(n.type.bind({"N": batch}).static_shape).astype("f") / 4 for n in inputs]
    steps = [gn.compile(inputs, made, backend="native", threads=threads) for threads in (1, 3)]
    alone, together = (step(*feeds) for step in steps)
    assert {node.op.name for node in steps[0].specialize(N=batch).schedule.steps} >= BESIDE
    for found, same, wanted in zip(alone, together, gn.compile(inputs, made, backend="numpy")(*feeds), strict=True):
        np.testing.assert_array_equal(found, same)
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


SCATTERED = [name for name, case in CASES.items() if case[1] <= 8]


@pytest.mark.parametrize("name", SCATTERED)
def test_input_gradients_that_are_scattered(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As they are where that takes less time, but of every stride, dilation and padding; and what finishes them."""
    monkeypatch.setattr("graphnet.backend.native.scattering._GAIN", 1e9)
    monkeypatch.setenv("GRAPHNET_NATIVE_WINOGRAD", "off")
    batch, channels, size, filters, kernel, stride, padding, dilation = CASES[name]
    generator = np.random.default_rng(0)
    w = generator.integers(-3, 4, (filters, channels, *kernel)).astype("f")
    x, weight = gn.input("x", (batch, channels, *size)), gn.input("w", w.shape)
    y = Conv2d(stride, padding, dilation, 1)(gn.tanh(x), weight)
    (dx,) = gn.gradients(gn.sum(y * y), [x])
    values = generator.standard_normal((batch, channels, *size)).astype("f")
    step = gn.compile([x, weight], dx, backend="native", threads=3)
    found = step(values, w)
    assert any(node.op.name == "scattered_input_gradient" for node in step.schedule.steps)
    exact = gn.compile([x, weight], dx, backend="numpy")(values, w)
    gn.compile([x, weight], dx, backend="native", check=2)(values, w)  # the reference of each step agrees with it
    # Both are sums of so many products, each rounded once; beside them the largest counts.
    terms = w[:, 0].size + w[0].size
    assert np.abs(found - exact).max() <= 8 * terms * np.finfo("f").eps * max(1.0, np.abs(exact).max())


def test_elements_are_scattered_where_most_sums_would_be_over_zeros() -> None:
    for kernel, padding, wanted in ((5, 0, True), (3, 1, False)):
        x, w = gn.input("x", (8, 6, 14, 14)), gn.input("w", (16, 6, kernel, kernel))
        y = gn.conv2d(x, w, padding=padding)
        step = gn.compile([x, w], gn.gradients(gn.sum(y * y), [x, w]), backend="native")
        step.specialize()
        assert ("scattered_input_gradient" in [node.op.name for node in step.schedule.steps]) == wanted


@pytest.mark.parametrize(("batch", "filters", "wanted"), [(64, 16, 4), (64, 40, 0), (34, 16, 0), (256, 16, 0)])
def test_all_convolutions_of_a_graph_have_their_images_beside_one_another_or_none(
    batch: int, filters: int, wanted: int
) -> None:
    """Not with a convolution of many filters behind, nor with batches that are no whole vectors, or too large."""
    x, v, w = gn.input("x", (batch, 1, 16, 16)), gn.input("v", (6, 1, 5, 5)), gn.input("w", (filters, 6, 5, 5))
    step = gn.compile([x, v, w], gn.gradients(gn.sum(gn.square(gn.conv2d(gn.conv2d(x, v), w))), [v]), backend="native")
    names = [node.op.name for node in step.specialize().schedule.steps]
    assert sum(name.startswith("batch_last") for name in names) == wanted
    assert wanted or any("direct" in name for name in names)


@pytest.mark.parametrize(("batch", "channels", "filters"), [(0, 6, 6), (64, 0, 6), (64, 6, 0)])
@pytest.mark.parametrize("groups", [1, 6])
def test_convolutions_of_nothing_are_zero(batch: int, channels: int, filters: int, groups: int) -> None:
    shapes = (batch, channels, 8, 8), (filters, channels // groups, 3, 3)
    x, w = gn.input("x", shapes[0]), gn.input("w", shapes[1])
    y = gn.conv2d(x, w, padding=1, groups=groups)
    step = gn.compile([x, w], [y, *gn.gradients(gn.sum(gn.square(y)), [x, w])], backend="native")
    made = step(*(np.ones(shape, "f") for shape in shapes))
    assert [array.shape for array in made] == [(batch, filters, 8, 8), *shapes]
    assert not any(array.any() for array in made)


@pytest.mark.parametrize(("kernel", "wanted"), [(1, False), (3, True)])
def test_images_stay_apart_where_turning_them_takes_as_long_as_the_products(kernel: int, wanted: bool) -> None:
    x, w = gn.input("x", (64, 3, 16, 16)), gn.input("w", (6, 3, kernel, kernel))
    made = gn.gradients(gn.sum(gn.square(gn.conv2d(x, w))), [w])
    step = gn.compile([x, w], made, backend="native").specialize()
    assert any(node.op.name.startswith("batch_last") for node in step.schedule.steps) == wanted


@pytest.mark.parametrize(("kernel", "size", "chunk"), [(3, 8, "panel < 8"), (3, 40, "h < 20"), (1, 8, "panel < 32")])
def test_large_weights_are_read_once_where_places_are_few(kernel: int, size: int, chunk: str) -> None:
    """Then panels of filters are chunks, which ask for the weights that come next; other chunks read all of them."""
    few, many = (112, 128) if kernel > 1 else (512, 512)
    x, w = gn.input("x", (1, few, size, size)), gn.input("w", (many, few, kernel, kernel))
    program = gn.compile(
        [x, w], gn.conv2d(x, w, stride=1 + kernel // 2, padding=kernel // 2), backend="native"
    ).specialize()
    (text,) = [str(call) for _, call in program.lowered.body_calls if "direct_convolution" in str(call)]
    assert f"each {chunk}:" in text
    assert ("elements" in text) == ("panel" in chunk), "prefetches of what lies so many elements on"


@pytest.mark.parametrize("threads", [2, 3, 8])
def test_bits_do_not_depend_on_threads(threads: int) -> None:
    generator = np.random.default_rng(0)
    x, w = gn.input("x", ("N", 6, 9, 9)), gn.input("w", (20, 6, 3, 3))
    y = gn.conv2d(x, w, padding=1)
    loss = gn.sum(y * y)
    made = [y, *gn.gradients(loss, [x, w])]
    feeds = [generator.standard_normal(shape).astype("f") for shape in ((13, 6, 9, 9), (20, 6, 3, 3))]
    alone = gn.compile([x, w], made, backend="native", threads=1)(*feeds)
    for a, b in zip(alone, gn.compile([x, w], made, backend="native", threads=threads)(*feeds), strict=True):
        np.testing.assert_array_equal(a, b)
