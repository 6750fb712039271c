"""graphnet's own ways to do the work, the referee's, and the limit of the machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from graphnet.autodiff import gradients
from graphnet.cli.rivals.work import Task
from graphnet.compiler import compile
from graphnet.extras import extra

_SIDE = 1024


class Own:
    """graphnet, by one of its backends."""

    backend: ClassVar[str] = "numpy"
    options: ClassVar[Mapping[str, Any]] = {}

    def __init__(self, task: Task) -> None:
        self._model = task.graph.model
        updates = () if task.optimizer is None or task.loss is None else task.optimizer.updates(task.loss)
        threads = task.work.threads if self.backend == "native" else None
        options = {"backend": self.backend, "threads": threads, **self.options}
        self._function = compile(list(task.inputs), list(task.wanted), updates, **options)
        self._program = self._function.specialize(task.sizes)

    def step(self, batch: tuple[np.ndarray, ...]) -> Sequence[np.ndarray]:
        results: list[np.ndarray] = self._function(*batch)
        return results

    def state(self) -> Mapping[str, np.ndarray]:
        return self._model.state_dict()

    @property
    def settings(self) -> Mapping[str, Any]:
        kernels = f"{self._program.lowered.own} of {len(self._program.schedule.steps)} steps"
        return {"numpy": np.__version__, "own kernels": kernels, "arena bytes": self._program.plan.peak_bytes}


class Naive(Own):
    """Nested Python loops."""

    backend = "naive"


class Unplanned(Own):
    """NumPy's kernels on the graph as it was declared, every value in bytes of its own."""

    options: ClassVar[Mapping[str, Any]] = {"rewrite": False, "reuse": False}


class Numpy(Own):
    """NumPy's kernels, compiled."""


class Native(Own):
    """Kernels generated for these very shapes."""

    backend = "native"

    @property
    def settings(self) -> Mapping[str, Any]:
        return {**super().settings, "llvmlite": extra("llvmlite").__version__}


class Referee(Numpy):
    """Whose results the others' are compared with: reference kernels, on the graph as it was declared.

    Its first loss' gradients say which moves of weights are more than rounding.
    """

    options: ClassVar[Mapping[str, Any]] = {"rewrite": False, "reuse": True}

    def __init__(self, task: Task) -> None:
        self.gradients: Mapping[str, np.ndarray] = {}
        if task.loss is not None:
            trained = {name: value for name, value in task.graph.model.named_parameters() if value.requires_grad}
            found = gradients(task.loss, list(trained.values()))
            function = compile(list(task.inputs), dict(zip(trained, found, strict=True)), backend=self.backend)
            running = {name: value.value for name, value in task.graph.model.named_buffers()}
            self.gradients = function(*task.batches[0])
            for name, value in task.graph.model.named_buffers():  # the step to compare is still to come
                value.set_value(running[name])
        super().__init__(task)


class Limit:
    """A product of two matrices of 1024 by 1024 through NumPy's BLAS: what this machine's arithmetic can give."""

    flops = 2 * _SIDE**3

    def __init__(self, task: Task) -> None:
        rng = np.random.default_rng(0)
        self._a, self._b = (rng.standard_normal((_SIDE, _SIDE), np.float32) for _ in range(2))
        self._out = np.empty_like(self._a)

    def step(self, batch: tuple[np.ndarray, ...]) -> Sequence[np.ndarray]:
        np.matmul(self._a, self._b, out=self._out)
        return [self._out[:1, :1]]

    def state(self) -> Mapping[str, np.ndarray]:
        return {}

    @property
    def settings(self) -> Mapping[str, Any]:
        blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
        return {"numpy": np.__version__, "blas": f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip()}
