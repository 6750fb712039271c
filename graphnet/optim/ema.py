"""An exponential moving average of weights, kept while training, to evaluate with."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from graphnet.errors import ArgumentError
from graphnet.graph.node import Node
from graphnet.graph.provenance import UPDATE, acting_as, deriving, scope
from graphnet.nn.arguments import fraction
from graphnet.ops.comparison import equal, where
from graphnet.ops.shaping import cast
from graphnet.ops.sources import Parameter, assign, constant
from graphnet.optim.clipping import Transform
from graphnet.optim.optimizer import Optimizer
from graphnet.optim.wrapper import Wrapper, check_optimizer


class EMA(Wrapper):
    """`optimizer`, and averages of what it trains: a <- decay * a + (1 - decay) * w, with w as just updated.

    The first step copies w, and there is no bias correction: what `torch.optim.swa_utils.AveragedModel` with
    `get_ema_multi_avg_fn(decay)` does after each step. Buffers, such as running statistics, are not averaged, which
    is PyTorch's default too. Polyak and Juditsky, "Acceleration of stochastic approximation by averaging", 1992.

        ema = optim.EMA(optim.Adam(model.parameters()), decay=0.99)
        train_step = gn.compile([images, labels], loss, updates=ema.updates(loss))
        ...
        with ema.averaged():
            print(evaluate(test_images))
    """

    def __init__(self, optimizer: Optimizer, decay: float = 0.999) -> None:
        check_optimizer("EMA", optimizer)
        if isinstance(optimizer, Wrapper):
            kind = type(optimizer).__name__
            hint = "; to accumulate, write Accumulate(EMA(...), steps)" if kind == "Accumulate" else ""
            raise ArgumentError(f"EMA: averages go around a plain optimizer, got an {kind}{hint}")
        super().__init__(optimizer, "averaged")
        self.decay = fraction("EMA", "decay", decay)
        self._inside = 0

    def _step(self, trained: list[Parameter], found: list[Node], transform: Transform | None) -> list[Node]:
        updates = self._wrapped_step(trained, found, transform)
        after = {update.inputs[0]: update.inputs[1] for update in updates}
        with acting_as(UPDATE), scope("EMA"):
            kept = where(equal(self.count, 0), constant(0.0, "float64"), self.decay)
            updates.append(assign(self.count, self.count + 1))
        for value in trained:
            with deriving(value, role=UPDATE):
                average = self._slots_of(value).starting_as("average", value.value)
                share, rest = cast(kept, value.dtype), cast(1.0 - kept, value.dtype)
                updates.append(assign(average, share * average + rest * after[value]))
        return updates

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """While it lasts the parameters hold their averages; then they are what they were, also after an error.

        To evaluate, and to save the averages with the model: its `state_dict` has them then, while the optimizer's
        stays what it is. Whatever else happens to the parameters inside is undone at the end. A training step made
        inside would be lost by half, its moments kept and its weights not: that raises `ArgumentError` at the end.
        Before the first step nothing changes; inside another `averaged()` of the same EMA nothing more does.
        """
        before = self.count.value.item()
        if self._inside or not before:
            saved = {}
        else:
            held = {value: slots["average"].value for value, slots in self._slots.items() if "average" in slots}
            saved = {value: value.value for value in held}
        try:
            self._inside += 1
            for value in saved:
                value.set_value(held[value])
            yield
        finally:
            self._inside -= 1
            for value, weights in saved.items():
                value.set_value(weights)
            if saved and self.count.value.item() != before and sys.exc_info()[0] is None:
                raise ArgumentError("EMA: a training step was made inside averaged(); train outside of it")
