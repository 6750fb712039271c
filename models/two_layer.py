"""A two-layer net: affine, ReLU, affine.

The smallest net that can compute any continuous function, given enough hidden units: Hornik, Stinchcombe and White,
"Multilayer feedforward networks are universal approximators", 1989; with ReLU for their squashing function.
"""

from graphnet import nn

INPUT_SHAPE = (1, 28, 28)
CLASSES = 10
RECIPE = {"optimizer": "Adam", "lr": 2e-3, "epochs": 15, "batch_size": 32}


def build(inputs: int = 784, hidden: int = 100, classes: int = CLASSES) -> nn.Sequential:
    """Anything of `inputs` numbers, (N, ...), to scores of `classes` classes."""
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, classes))
