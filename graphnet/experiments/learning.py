"""What the experiments train with: the digits, and networks that start again without being compiled again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np

from graphnet.compiler import compile
from graphnet.graph.node import Node
from graphnet.nn import Flatten, Linear, Module, ReLU, Sequential, init
from graphnet.ops.losses import cross_entropy
from graphnet.ops.random import manual_seed
from graphnet.ops.sources import Parameter, input
from graphnet.optim import Optimizer
from graphnet.training import DataLoader, Digits, Split, accuracy, digits

SIDE = 8  # pixels a side: the digits as they were scanned
PIXELS = SIDE * SIDE
CLASSES = 10

MakeOptimizer: TypeAlias = "Callable[[Iterable[Parameter]], Optimizer]"
Loss: TypeAlias = "Callable[[Node, Node], Node]"


class Score(NamedTuple):
    """The mean loss over some examples, and the share that is classified right."""

    loss: float
    accuracy: float


def small_digits(seed: int) -> Digits:
    """The digits as 8 by 8 pixels; `seed` says which fifth is for testing."""
    return digits(SIDE, seed=seed)


def dense(hidden: Sequence[int], norm: Callable[[int], Module] | None = None, bias: bool = True) -> Sequential:
    """8 by 8 images to scores by linear layers, each hidden one followed by `norm` of its width, if any, and ReLU."""
    model = Sequential(Flatten())
    width = PIXELS
    for size in hidden:
        model.append(Linear(width, size, bias=bias))
        if norm is not None:
            model.append(norm(size))
        model.append(ReLU())
        width = size
    return model.append(Linear(width, CLASSES, bias=bias))


def outputs_of(model: Module, kind: type[Module], images: Node) -> list[Node]:
    """What each layer of class `kind` gives, of a model whose children follow one another."""
    found, x = [], images
    for layer in model.children():
        x = layer(x)
        if isinstance(layer, kind):
            found.append(x)
    return found


class Learner:
    """A network for 8 by 8 images with its compiled training and evaluation steps."""

    def __init__(self, model: Module, optimizer: MakeOptimizer, loss: Loss = cross_entropy) -> None:
        images, labels = input("images", ("N", 1, SIDE, SIDE)), input("labels", ("N",), "int64")
        self.model = model
        self.optimizer = optimizer(model.parameters())
        value = loss(model.train()(images), labels)
        self.step = compile([images, labels], value, self.optimizer.updates(value))
        scores = model.eval()(images)
        self._score = compile([images, labels], [loss(scores, labels), accuracy(scores, labels)])
        self._start = model.state_dict(), self.optimizer.state_dict()

    def start(self, seed: int, std: float | None = None) -> None:
        """Forget all learning: normal weights of `std` (None: sqrt(2 / fan_in), He et al., 2015), biases 0."""
        manual_seed(seed)
        self.model.load_state_dict(self._start[0])
        self.optimizer.load_state_dict(self._start[1])
        for name, value in self.model.named_parameters():
            if value.ndim >= 2:
                init.kaiming_normal_(value) if std is None else init.normal_(value, 0.0, std)
            elif name.endswith("bias"):
                init.zeros_(value)

    def learn(self, split: Split, epochs: int, batch_size: int, seed: int) -> Iterator[float]:
        """Train in an order drawn by `seed`; after each epoch, its mean loss over the batches as they were trained."""
        loader = DataLoader(tuple(split), batch_size, shuffle=True, seed=seed, drop_last=True)
        for _ in range(epochs):
            yield float(np.mean([self.step(*batch) for batch in loader], dtype=np.float64))

    def score(self, split: Split) -> Score:
        """Loss and accuracy in eval mode."""
        loss, share = self._score(*split)
        return Score(float(loss), float(share))
