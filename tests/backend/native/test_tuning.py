"""What `compile(tune=...)` measures changes no bit, is found again by later compilations, and is told by `explain`."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

import graphnet as gn
from graphnet import nn, optim
from graphnet.backend.base import Bound
from graphnet.backend.native import tuning
from graphnet.backend.native.choices import MODEL, Choice
from graphnet.backend.native.makers import Maker, signature
from graphnet.backend.native.spans import Access
from graphnet.backend.native.steps import Module, Native
from graphnet.backend.native.tuning import Case, Table, Tuned, cases, measured, said
from graphnet.errors import ArgumentError
from graphnet.executable import Executable

FOUND = Tuned(Choice(panel=3, left=True), 2e-3, 1e-3)
X, Y = np.linspace(-1, 1, 5 * 20, dtype="f").reshape(5, 20), np.arange(5)
KINDS = {"matmul", "direct_convolution", "direct_filter_gradient", "direct_input_gradient"}


def training(**options: object) -> Executable:
    """A step of two linear layers."""
    gn.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 33), nn.ReLU(), nn.Linear(33, 5))
    x, y = gn.input("x", (5, 20)), gn.input("y", (5,), "int64")
    updates = optim.SGD(model.parameters(), lr=0.1).updates(loss := gn.cross_entropy(model(x), y))
    return gn.compile([x, y], loss, updates, backend="native", threads=2, **options)  # type: ignore[arg-type]


def losses(step: Executable) -> list[float]:
    return [float(step(X, Y)) for _ in range(3)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GRAPHNET_CACHE", str(tmp_path))
    return tmp_path / "objects"


@pytest.fixture
def measuring(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Instead of measurements: `FOUND` for every product. The seconds of each time that they were asked for."""
    asked: list[float] = []

    def instead(found: list[Case], threads: int, seconds: float) -> dict[str, Tuned]:
        asked.append(seconds)
        return {said(case.op, case.views): FOUND for case in found if case.op.name == "matmul"}

    monkeypatch.setattr("graphnet.backend.native.backend.measured", instead)
    return asked


def test_measuring_in_earnest_keeps_to_its_time_and_changes_no_bit() -> None:
    step = training(tune=0.3)
    found = cases(step.schedule)
    assert {case.op.name for case in found} == {"matmul"}
    assert [case.cost for case in found] == sorted((case.cost for case in found), reverse=True)
    assert losses(step) == losses(training())
    assert not measured(found, 2, 1e-9)
    assert all(one.after <= one.before for one in measured(found[:2], 2, 0.1).values())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_no_bit_depends_on_any_choice(dtype: str) -> None:
    x, w, a, b = (
        gn.input(name, shape, dtype)
        for name, shape in (("x", (3, 20, 9, 6)), ("w", (33, 20, 3, 2)), ("a", (70, 29)), ("b", (50, 70)))
    )
    grown = gn.sum(gn.square(gn.conv2d(x, w, padding=1)))
    outputs = [*gn.gradients(grown, [x, w]), gn.transpose(a) @ gn.transpose(b)]
    order = gn.compile([x, w, a, b], outputs, backend="native").schedule
    seen = set()
    for case in cases(order):
        generator = np.random.default_rng(0)
        arrays = [tuning._filled(layout, generator) for layout in case.layouts]
        results, kernels = set(), set()
        for change in (lambda choice: choice, *case.variants()):
            maker = Maker()
            maker.choices[signature(case.op, case.views)] = change(MODEL)
            types = maker.scratch_types(case.op, case.layouts)
            assert types is not None
            work = tuple(np.full(t.static_shape, np.nan, t.dtype) for t in types)
            arrays[0][...] = np.nan
            step = Bound(case.op, arrays[0], tuple(arrays[1:]), work)
            located = maker.located(0, step, Access.of(step), None)
            assert located is not None
            Native([located], Module([located]), 2)()
            kernels.add(tuple(tuning.symbol(loops) for loops in located.loops))
            results.add(arrays[0].tobytes())
        assert len(results) == 1 < len(kernels), case
        seen.add(case.op.name)
    assert seen == KINDS


def test_what_was_found_is_taken_over_with_and_without_asking(folder: Path, measuring: list[float]) -> None:
    plain = losses(training())
    first = training(tune="2min")
    assert losses(first) == plain and measuring == [120.0]
    lines = [line for line in first.explain().splitlines() if line.startswith("tuned: ")]
    assert len(lines) == 5, "two products of the first layer, three of the second, whose input has a gradient too"
    assert all(line.startswith("tuned: matmul of (") for line in lines)
    assert all(
        line.endswith(": panels of 3 vectors, left operand packed; 1e+03 microseconds, not 2e+03") for line in lines
    )
    for later in (training(), training(tune=1)):
        assert losses(later) == plain
        assert [line for line in later.explain().splitlines() if line.startswith("tuned: ")] == lines
    assert len(measuring) == 2, "the last one measures what is not known yet, had it not all been found"


def test_damaged_and_foreign_entries_count_as_not_there(folder: Path, measuring: list[float]) -> None:
    assert training(tune=1).program
    table = Table(2)
    assert table.entries and not Table(3).entries
    file = folder / table._key
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert not Table(2).entries
    assert "tuned: " not in training().explain()
    assert training(tune=1).program
    assert Table(2).entries == table.entries and file.read_bytes() == whole


def test_without_a_cache_what_was_found_holds_for_the_function(measuring: list[float]) -> None:
    assert "tuned: matmul" in training(tune=1).explain()
    assert "tuned: " not in training().explain()


def test_a_table_has_so_many_entries(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "_MOST", 3)
    for number in range(5):
        Table(1).add({str(number): dataclasses.replace(FOUND, after=number / 8)})
    assert list(Table(1).entries) == ["2", "3", "4"]
    assert Table(1).entries["4"] == Tuned(FOUND.choice, FOUND.before, 0.5)


@pytest.mark.parametrize("tune", ["fast", "", "-3s", "3 weeks", 0, -1.5, float("nan"), float("inf"), True, [30]])
def test_what_is_no_time_is_told(tune: object) -> None:
    with pytest.raises(ArgumentError, match=r"tune=.*: expected seconds such as 30, '30s' or '2min'") as caught:
        training(tune=tune)
    assert repr(tune) in str(caught.value)


@pytest.mark.parametrize("backend", ["numpy", "naive"])
def test_backends_without_a_choice_refuse_a_time(backend: str) -> None:
    x = gn.input("x", (2,))
    with pytest.raises(ArgumentError, match=f"the {backend} backend has one way to do each step: tune='3s'"):
        gn.compile(x, x + 1, backend=backend, tune="3s")
