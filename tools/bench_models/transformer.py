"""A character transformer of 4 layers, width 128, 4 heads, 64 of 65 characters, by AdamW: a row of the benchmark.

Nothing is dropped, since every library draws its own random numbers and results could not be compared. Adam's eps is
the one of models/char_transformer.py: the gradient by the keys' biases is nothing but rounding.
"""

from graphnet import nn
from models.char_transformer import build as build_transformer

INPUTS = {"tokens": ((64,), "int64")}
TARGET = ((64,), "int64")
CLASSES = 65
RECIPE = {"optimizer": "AdamW", "options": {"eps": 1e-6}, "lr": 1e-3, "batch_size": 16}


def build() -> nn.Module:
    """64 characters (N, 64) to scores of the next one at each place (N, 65, 64)."""
    return build_transformer(classes=CLASSES, width=128, layers=4, heads=4, length=64, dropout=0.0)
