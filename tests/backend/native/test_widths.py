"""A cross-section of native code with vectors of other widths than the machine's, which LLVM makes of its own."""

from __future__ import annotations

import numpy as np
import pytest

import graphnet as gn
from graphnet import nn, optim
from graphnet.backend.native.target import target
from graphnet.executable import Executable
from graphnet.ops.linear import Matmul
from graphnet.ops.shaping import Contiguous
from tests.backend.native.kernels import native

OTHERS = ["16", "64"]  # of 32 bytes are those of most machines that run the tests


@pytest.fixture(params=OTHERS, autouse=True)
def width(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setenv("GRAPHNET_NATIVE_VECTOR", request.param)
    assert target().vector == int(request.param)
    return int(request.param)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_products(dtype: str) -> None:
    generator = np.random.default_rng(0)
    for m, k, n in [(7, 33, 17), (29, 20, 3), (67, 64, 65)]:
        a, b = generator.standard_normal((k, m)).astype(dtype).T, generator.standard_normal((k, n)).astype(dtype)
        out = np.full((m, n), np.nan, dtype)
        native(Matmul(), out, [a, b], threads=2)
        scale = np.abs(a).astype(np.longdouble) @ np.abs(b).astype(np.longdouble)
        # Each of k products and additions rounds once: k units of the sum of magnitudes is the worst that can come.
        assert (np.abs(out - a.astype(np.longdouble) @ b) <= k * np.finfo(dtype).eps * scale).all(), (m, k, n)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64"])
def test_layouts(dtype: str) -> None:
    for rows, columns in [(1, 5), (2, 3), (6, 17), (40, 33)]:
        x = (np.arange(3 * rows * columns) % 251).astype(dtype).reshape(3, rows, columns)
        out = np.zeros((3, columns, rows), dtype)
        native(Contiguous(), out, [x.swapaxes(1, 2)])
        assert (out == x.swapaxes(1, 2)).all(), (rows, columns)


def _training(backend: str, threads: int | None = None) -> Executable:
    """A step in which every kind of loops is: three channels and 10 classes leave lanes of every width idle."""
    gn.manual_seed(0)
    images, labels = gn.input("images", (6, 3, 9, 9), "float64"), gn.input("labels", (6,), "int64")
    model = nn.Sequential(
        nn.Conv2d(3, 20, kernel_size=3, padding=1),
        nn.BatchNorm2d(20),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(20, 4, kernel_size=2, stride=2),
        nn.Flatten(),
        nn.Linear(16, 10),
    ).to("float64")
    loss = gn.cross_entropy(model(images), labels)
    updates = optim.SGD(model.parameters(), lr=1e-2).updates(loss)
    return gn.compile([images, labels], loss, updates, backend=backend, threads=threads)


def test_training_agrees_with_numpy_on_any_number_of_threads() -> None:
    generator = np.random.default_rng(0)
    batches = [(generator.standard_normal((6, 3, 9, 9)), generator.integers(0, 10, 6)) for _ in range(3)]
    exact, one, three = (
        [float(step(*batch)) for batch in batches]
        for step in (_training("numpy"), _training("native", 1), _training("native", 3))
    )
    assert one == three
    # Three steps of a few thousand roundings each, relative 1e-16.
    assert np.allclose(one, exact, rtol=1e-11, atol=0)
