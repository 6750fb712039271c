"""Every model file in native code: no reference kernels, NumPy's losses, the same bits on any number of threads."""

from __future__ import annotations

import numpy as np
import pytest

import graphnet as gn
from graphnet import optim
from graphnet.cli.models import ModelFile
from graphnet.executable import Executable
from graphnet.nn.module import Module
from tests.models.common import NAMES, data, small

pytest.importorskip("sklearn")
pytest.importorskip("llvmlite")
QUICK = ("lenet", "char_transformer")
ALL = [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in NAMES]
BATCH = 6
# Rounding differs from NumPy's, and each step begins where the last one ended: a few hundred roundings of the loss,
# which batch normalization of few examples makes larger.
AGREES = {"float32": 2e-3, "float64": 1e-8}


class Steps:
    """A model file in one dtype, with batches, ready to be compiled as often as wanted from the same weights."""

    def __init__(self, name: str, dtype: str) -> None:
        self.file: ModelFile = small(name)
        self.dtype = dtype
        everything = next(data(self.file))
        self.batches = [
            tuple(self._cast(array[n : n + BATCH]) for array in everything) for n in range(0, 4 * BATCH, BATCH)
        ]

    def _cast(self, array: np.ndarray) -> np.ndarray:
        return array.astype(self.dtype) if array.dtype.kind == "f" else array

    def _inputs(self) -> tuple[list[gn.Node], gn.Node]:
        nodes = [*self.file.input_nodes(), self.file.target_node()]
        cast = [gn.input(node.op.label, node.shape, self.dtype) if node.type.is_float else node for node in nodes]
        return cast[:-1], cast[-1]

    def training(self, backend: str, threads: int | None = None) -> Executable:
        """The step by the file's own optimizer, from the first weights of one seed."""
        gn.manual_seed(0)
        model: Module = self.file.build().to(self.dtype)
        nodes, target = self._inputs()
        loss = self.file.loss_of(model)(self.file.outputs(model.train(), nodes), target)
        updates = optim.Adam(model.parameters(), lr=1e-3).updates(loss)
        return gn.compile([*nodes, target], loss, updates, backend=backend, threads=threads)

    def prediction(self, backend: str = "native") -> Executable:
        """What the model gives in eval mode, with the first weights of one seed."""
        gn.manual_seed(0)
        nodes, _ = self._inputs()
        found = self.file.outputs(self.file.build().to(self.dtype).eval(), nodes)
        return gn.compile(nodes, [found] if isinstance(found, gn.Node) else list(found), backend=backend)

    def losses(self, step: Executable, count: int) -> list[np.ndarray]:
        """Of so many steps."""
        return [step(*self.batches[n % len(self.batches)]) for n in range(count)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ALL)
def test_every_step_is_native_and_agrees_with_numpy(name: str, dtype: str) -> None:
    steps = Steps(name, dtype)
    native = steps.training("native")
    found = np.array(steps.losses(native, 4))
    for step in (native, steps.prediction()):
        program = step.specialize(N=BATCH)
        assert program.lowered.own == len(program.schedule.steps), "some steps run their reference kernels"
    exact = np.array(steps.losses(steps.training("numpy"), 4))
    np.testing.assert_allclose(found, exact, rtol=AGREES[dtype])


@pytest.mark.parametrize("name", ALL)
def test_predictions_of_whole_batches_agree_with_numpy(name: str) -> None:
    """128 and what a test set leaves over: products then have rows enough to be packed, beside few columns."""
    steps = Steps(name, "float32")
    for size in (128, 103):
        given = [steps._cast(array[:size]) for array in next(data(steps.file))][:-1]
        found, exact = (steps.prediction(backend)(*given) for backend in ("native", "numpy"))
        for one, other in zip(found, exact, strict=True):
            # Some thousand roundings of half a unit, 6e-8, which go either way, in each of up to 20 layers.
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-4 * np.abs(other).max())


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_same_bits_on_any_number_of_threads(name: str) -> None:
    steps = Steps(name, "float32")
    first: list[np.ndarray] | None = None
    for threads in (1, 2, 3, 4, 8, 2):
        found = steps.losses(steps.training("native", threads), 200)
        assert np.isfinite(found).all()
        if first is None:
            first = found
        assert np.array_equal(first, found), f"{threads} threads give other bits than one"
