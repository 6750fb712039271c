"""A linear classifier with the softmax loss: multinomial logistic regression.

Bishop, "Pattern Recognition and Machine Learning", 2006, section 4.3.4.
"""

from graphnet import nn

INPUT_SHAPE = (1, 28, 28)
CLASSES = 10
RECIPE = {"optimizer": "SGD", "options": {"momentum": 0.9, "weight_decay": 1e-4}, "lr": 0.1, "epochs": 15,
          "batch_size": 32}  # fmt: skip


def build(inputs: int = 784, classes: int = CLASSES) -> nn.Sequential:
    """Anything of `inputs` numbers, (N, ...), to scores of `classes` classes."""
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, classes))
