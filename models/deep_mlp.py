"""A deep fully connected net: each hidden layer normalized over the batch, rectified, and thinned by dropout.

Ioffe and Szegedy, "Batch normalization", 2015; Srivastava et al., "Dropout", 2014. The normalization comes before the
activation and takes the place of the bias.
"""

from collections.abc import Sequence

from graphnet import nn

INPUT_SHAPE = (1, 28, 28)
CLASSES = 10
RECIPE = {"optimizer": "AdamW", "lr": 2e-3, "epochs": 15, "batch_size": 64}


def build(
    inputs: int = 784,
    hidden: Sequence[int] = (256, 256, 256, 256),
    classes: int = CLASSES,
    dropout: float = 0.2,
    dtype: str = "float32",
) -> nn.Sequential:
    """Anything of `inputs` numbers, (N, ...), to scores of `classes` classes; one hidden layer a number in `hidden`."""
    model = nn.Sequential(nn.Flatten())
    width = inputs
    for size in hidden:
        model.append(nn.Linear(width, size, bias=False, dtype=dtype))
        model.append(nn.BatchNorm1d(size, dtype=dtype))
        model.append(nn.ReLU())
        if dropout:
            model.append(nn.Dropout(dropout))
        width = size
    return model.append(nn.Linear(width, classes, dtype=dtype))
