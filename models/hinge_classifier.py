"""A linear classifier with the multi-class hinge loss: a linear support vector machine.

Weston and Watkins, "Support vector machines for multi-class pattern recognition", 1999: each wrong class pays by how
far its score comes within a margin of 1 of the right one's. Weight decay is the L2 term that makes the margin wide.
"""

import graphnet as gn
from graphnet import nn
from graphnet.training import accuracy

INPUT_SHAPE = (1, 28, 28)
CLASSES = 10
METRICS = {"accuracy": accuracy}
RECIPE = {"optimizer": "SGD", "options": {"momentum": 0.9, "weight_decay": 1e-4}, "lr": 0.1, "epochs": 15,
          "batch_size": 32}  # fmt: skip


def build(inputs: int = 784, classes: int = CLASSES) -> nn.Sequential:
    """Anything of `inputs` numbers, (N, ...), to scores of `classes` classes."""
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, classes))


def loss(outputs: gn.Node, target: gn.Node) -> gn.Node:
    """max(0, 1 - right score + wrong score), summed over wrong classes, over `classes`; the mean over examples."""
    return gn.multi_margin_loss(outputs, target)
