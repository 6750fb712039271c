"""A sanity check before long training: can the model learn a few samples by heart?"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from graphnet.autodiff import gradients
from graphnet.compiler import compile
from graphnet.errors import ArgumentError
from graphnet.graph.node import Node
from graphnet.graph.traversal import topological
from graphnet.nn.module import Module
from graphnet.ops.random import manual_seed
from graphnet.ops.reductions import max as max_of
from graphnet.ops.sources import Parameter
from graphnet.ops.unary import abs as absolute
from graphnet.optim import Adam, Optimizer
from graphnet.training.callbacks import number, whole
from graphnet.training.data import Batch, DataLoader
from graphnet.training.steps import Measure, called, inputs_for
from graphnet.training.trainer import Trainer

_LOOKS = 5  # steps at which gradients are looked at: some are zero at the first only, behind weights that begin as zero
_FAR = 0.5  # how far off log(classes) the first loss may be, as a share of it


@dataclass
class Overfit:
    """What trying to overfit a few samples found; as text it is a report.

    could: whether the loss reached came near its floor. first_loss: before training. expected_loss: log(classes), the
    loss of a classifier that knows nothing; None where classes were not given. reached_loss: the lowest of the last
    steps, and after them in eval mode. zero, nan, unused: names of parameters whose gradient was zero at each of the
    first steps, was NaN or infinite at one, or is not there, since the loss does not depend on them.
    """

    could: bool
    examples: int
    steps: int
    first_loss: float
    expected_loss: float | None
    reached_loss: float
    goal: float
    zero: list[str] = field(default_factory=list)
    nan: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Whether it could, and every parameter had a gradient."""
        return self.could and not (self.zero or self.nan or self.unused)

    def __str__(self) -> str:
        return "\n".join([*self._about_losses(), *self._about_gradients()])

    def _about_losses(self) -> list[str]:
        lines = [f"first loss    {self.first_loss:.4g}{self._beside_expected()}"]
        verdict = "it learned them by heart" if self.could else "it could NOT learn them by heart"
        took = f"after {self.steps} steps on {self.examples} samples"
        lines.append(f"loss reached  {self.reached_loss:.4g} {took}; a loss of at most {self.goal:.3g} was the goal")
        return [*lines, f"verdict       {verdict}"]

    def _beside_expected(self) -> str:
        if self.expected_loss is None:
            return ""
        near = abs(self.first_loss - self.expected_loss) <= _FAR * self.expected_loss
        said = "as it should be" if near else "far from it; look at the last layer's first weights and at the inputs"
        return f", log(classes) is {self.expected_loss:.4g}: {said}"

    def _about_gradients(self) -> list[str]:
        said = {
            "NaN or infinite gradients": self.nan,
            f"zero gradients in the first {min(_LOOKS, self.steps)} steps": self.zero,
            "no gradients, the loss does not depend on them": self.unused,
        }
        lines = [f"gradients     {what}: {', '.join(names)}" for what, names in said.items() if names]
        return lines or ["gradients     every parameter has one that is neither zero nor NaN"]


def can_overfit(
    model_builder: Callable[[], Module],
    loss: Measure,
    batch: Sequence[np.ndarray],
    *,
    optimizer: Callable[[Sequence[Parameter]], Optimizer] | None = None,
    steps: int = 300,
    classes: int | None = None,
    floor: float = 0.0,
    share: float = 0.1,
    seed: int = 0,
    backend: str | None = None,
) -> Overfit:
    """Train a new model on one batch (input, ..., target) again and again, and say whether it learned it.

    It could where the loss falls to floor + share * (first loss - floor) or below. floor: what the loss cannot fall
    below. loss: a function of what the model gives and the target. optimizer: makes one from the parameters (default:
    Adam at 1e-3). classes: how many, where the loss is a cross-entropy; then the first loss is compared with log of it.
    It takes an error in the layers, the loss or the data to fail here; so do a rate that is too high and strong
    regularization.
    """
    name = "can_overfit"
    steps = whole(name, "steps", steps, 1)
    share, floor = number(name, "share", share, 0.0, above=True), number(name, "floor", floor)
    expected = None if classes is None else math.log(whole(name, "classes", classes, 2))
    manual_seed(seed)
    model = model_builder()
    if not isinstance(model, Module):
        raise ArgumentError(f"{name}: model_builder must give a Module, got {model!r}")
    arrays = tuple(np.asarray(array) for array in batch)
    loader = DataLoader(arrays, batch_size=len(arrays[0]) if arrays and arrays[0].ndim else 1)
    make = optimizer or Adam
    trained, look, unused = _gradients(model, loss, arrays, backend)
    trainer = Trainer(model, loss, make(trained), backend=backend)
    losses: list[float] = []
    largest: list[np.ndarray] = []
    with np.errstate(all="ignore"):
        for step in range(steps):
            if step < _LOOKS:
                largest.append(look(arrays))
            losses.append(trainer.fit(loader, progress=False)[-1]["train_loss"])
        reached = min([value for value in losses[-max(1, steps // 20) :] if math.isfinite(value)], default=math.nan)
        after = trainer.evaluate(loader)["loss"]
    reached = min(reached, after) if math.isfinite(after) else reached
    goal = floor + share * (losses[0] - floor)
    names = [value.name for value in trained]
    tall = np.array(largest)
    return Overfit(
        could=bool(reached <= goal),
        examples=len(arrays[0]),
        steps=steps,
        first_loss=losses[0],
        expected_loss=expected,
        reached_loss=reached,
        goal=goal,
        zero=[name for name, column in zip(names, tall.T, strict=True) if not column.any()],
        nan=[name for name, column in zip(names, tall.T, strict=True) if not np.isfinite(column).all()],
        unused=unused,
        losses=losses,
    )


def _gradients(
    model: Module, loss: Measure, batch: Batch, backend: str | None
) -> tuple[list[Parameter], Callable[[Batch], np.ndarray], list[str]]:
    """The parameters that the loss depends on; what gives the largest magnitude in each one's gradient; the others."""
    *given, target = inputs = inputs_for(model, batch)
    value = loss(called(model, given, training=True), target)
    if not isinstance(value, Node) or value.shape != ():
        raise ArgumentError(f"can_overfit: loss must give a scalar node, got {value!r}")
    reached = set(topological([value]))
    own = [parameter for parameter in model.parameters() if parameter.requires_grad]
    trained = [parameter for parameter in own if parameter in reached]
    unused = [parameter.name for parameter in own if parameter not in reached]
    if not trained:
        raise ArgumentError("can_overfit: the loss depends on no parameter that is trained")
    magnitudes = [max_of(absolute(gradient)) for gradient in gradients(value, trained)]
    look = compile(inputs, magnitudes, backend=backend)

    def largest(batch: Batch) -> np.ndarray:
        arrays = [array.astype(node.dtype) if node.type.is_float else array
                  for array, node in zip(batch, inputs, strict=True)]  # fmt: skip
        return np.array([float(value) for value in look(*arrays)])

    return trained, largest, unused
