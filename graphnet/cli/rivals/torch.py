"""torch as its experts use it: fused optimizers, the faster memory format, no gradients where none are asked for."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from graphnet.cli.rivals.work import Task
from graphnet.errors import ArgumentError
from graphnet.extras import extra
from graphnet.interop.torch import to_module

_FUSED = ("SGD", "Adam", "AdamW", "Adagrad")
_TRIAL_STEPS = 5


class Eager:
    """torch, op by op. Of NCHW and channels_last, images and filters lie in memory as is faster, by trial."""

    def __init__(self, task: Task) -> None:
        self._torch = torch = extra("torch")
        torch.set_num_threads(task.work.threads)
        torch.set_num_interop_threads(1)
        self._task = task
        outputs = list(task.wanted)
        self._module = to_module(list(task.inputs), outputs, sizes=task.sizes).train(task.loss is not None)
        self._format: Any = None
        self._optimizer: Any = None
        self._made = self._module
        self._choose_format()
        self._made = self._compiled(self._module)
        if task.optimizer is not None:
            self._optimizer = self._fused(task.optimizer)

    def _compiled(self, module: Any) -> Any:
        return module

    def step(self, batch: tuple[np.ndarray, ...]) -> Sequence[np.ndarray]:
        return self._predict(batch) if self._optimizer is None else self._train(batch)

    def _train(self, batch: tuple[np.ndarray, ...]) -> Sequence[np.ndarray]:
        self._optimizer.zero_grad(set_to_none=True)
        loss = self._made(*self._tensors(batch))
        loss.backward()
        self._optimizer.step()
        return [np.asarray(loss.item(), np.float32)]

    def _predict(self, batch: tuple[np.ndarray, ...]) -> Sequence[np.ndarray]:
        with self._torch.inference_mode():
            results = self._made(*self._tensors(batch))
        listed = results if isinstance(results, tuple) else (results,)
        return [result.numpy() for result in listed]

    def _tensors(self, batch: tuple[np.ndarray, ...]) -> list[Any]:
        tensors = [self._torch.from_numpy(array) for array in batch]
        if self._format is None:
            return tensors
        return [value.contiguous(memory_format=self._format) if value.ndim == 4 else value for value in tensors]

    def state(self) -> Mapping[str, np.ndarray]:
        return {name: value.numpy(force=True).copy() for name, value in self._module.state_dict().items()}

    @property
    def settings(self) -> Mapping[str, Any]:
        named = "contiguous" if self._format is None else str(self._format).removeprefix("torch.")
        return {"torch": self._torch.__version__, "memory format": named, "threads": self._torch.get_num_threads()}

    # -- setting up ------------------------------------------------------------------------------------------------

    def _choose_format(self) -> None:
        """Forward, and in training backward, a few times in each format; buffers are put back afterwards."""
        if all(node.ndim != 4 for node in self._task.inputs):
            return
        before = {name: value.clone() for name, value in self._module.state_dict().items()}
        seconds: dict[Any, float] = {}
        for choice in (self._torch.contiguous_format, self._torch.channels_last):
            self._use(choice)
            seconds[choice] = min(self._trial() for _ in range(_TRIAL_STEPS))
        self._use(min(seconds, key=lambda choice: seconds[choice]))
        self._module.load_state_dict(before)

    def _use(self, choice: Any) -> None:
        self._module.to(memory_format=choice)
        self._format = None if choice is self._torch.contiguous_format else choice

    def _trial(self) -> float:
        start = time.perf_counter()
        if self._task.loss is None:
            self._predict(self._task.batches[0])
        else:
            self._made(*self._tensors(self._task.batches[0])).backward()
            self._module.zero_grad(set_to_none=True)
        return time.perf_counter() - start

    def _fused(self, own: Any) -> Any:
        """torch's optimizer of the same name and options."""
        kind, trained = type(own).__name__, [value for value in self._module.parameters() if value.requires_grad]
        made = getattr(self._torch.optim, kind, None)
        if made is None or len(own.param_groups) != 1:
            raise ArgumentError(f"the optimizer {kind} has no translation to torch")
        options = {name: value for name, value in own.param_groups[0].items() if name != "params"}
        if kind == "AdamW":
            options.pop("decoupled_weight_decay", None)
        options["fused" if kind in _FUSED else "foreach"] = True
        return made(trained, **options)


class Compiled(Eager):
    """torch.compile, which generates code for the whole step but the optimizer's, whose fused one it keeps.

    For predictions weights are frozen, which lets it bring them into the form that its kernels want.
    """

    def _compiled(self, module: Any) -> Any:
        extra("torch._inductor.config").freezing = self._task.loss is None
        return self._torch.compile(module, fullgraph=True, dynamic=False)

    @property
    def settings(self) -> Mapping[str, Any]:
        return {**super().settings, "weights frozen": self._task.loss is None}
