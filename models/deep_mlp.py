"""A fully connected net of any depth: each hidden layer linear, normalized, rectified, and thinned by dropout.

Ioffe and Szegedy, "Batch normalization", 2015; Ba, Kiros and Hinton, "Layer normalization", 2016; Srivastava et al.,
"Dropout", 2014. A normalization comes before the activation and takes the place of the bias.
"""

from collections.abc import Sequence
from itertools import pairwise

import graphnet as gn
from graphnet import nn, optim
from graphnet.training import random_shift

INPUT_SHAPE = (1, 28, 28)
CLASSES = 10
RECIPE = {
    "optimizer": "AdamW",
    "lr": optim.cosine(3e-3, steps=315),  # 15 epochs of 21 batches
    "epochs": 15,
    "batch_size": 64,
    "transform": random_shift(1),
}
NORMS = {"none": None, "batch": nn.BatchNorm1d, "layer": nn.LayerNorm}


class FullyConnected(nn.Sequential):
    """Scores (N, classes) of anything of `inputs` numbers, (N, ...); one hidden layer a number in `hidden`.

    norm: "batch", "layer" or "none". keep: the share of values that dropout keeps. l2: the factor of `penalty()`.
    weight_scale: the standard deviation of the first weights, and biases are 0; None: as nn.Linear has them.
    """

    def __init__(
        self,
        inputs: int,
        hidden: Sequence[int],
        classes: int,
        norm: str = "batch",
        keep: float = 1.0,
        l2: float = 0.0,
        weight_scale: float | None = None,
        dtype: str = "float32",
    ) -> None:
        super().__init__(nn.Flatten())
        if norm not in NORMS:
            raise gn.ArgumentError(f"FullyConnected: norm must be one of {', '.join(NORMS)}, got {norm!r}")
        self.l2 = l2
        make_norm = NORMS[norm]
        widths = [inputs, *hidden]
        for before, width in pairwise(widths):
            self.append(nn.Linear(before, width, bias=make_norm is None, dtype=dtype))
            if make_norm is not None:
                self.append(make_norm(width, dtype=dtype))
            self.append(nn.ReLU())
            if keep < 1:
                self.append(nn.Dropout(1 - keep))
        self.append(nn.Linear(widths[-1], classes, dtype=dtype))
        if weight_scale is not None:
            for layer in self.linears():
                nn.init.normal_(layer.weight, std=weight_scale)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    def linears(self) -> list[nn.Linear]:
        """The linear layers, from the first to the last."""
        return [layer for layer in self if isinstance(layer, nn.Linear)]

    def penalty(self) -> gn.Node:
        """l2 / 2 times the sum of the squares of all weights (not biases), to be added to the loss."""
        return 0.5 * self.l2 * sum(gn.sum(layer.weight * layer.weight) for layer in self.linears())


def build(
    inputs: int = 784,
    hidden: Sequence[int] = (256, 256, 256, 256),
    classes: int = CLASSES,
    norm: str = "batch",
    keep: float = 0.8,
    l2: float = 0.0,
    weight_scale: float | None = None,
    dtype: str = "float32",
    seed: int | None = None,
) -> FullyConnected:
    """As `FullyConnected` says. seed: starts weights and dropout anew; None: they go on from where they are."""
    if seed is not None:
        gn.manual_seed(seed)
    return FullyConnected(inputs, hidden, classes, norm, keep, l2, weight_scale, dtype)
