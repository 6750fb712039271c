"""A recurrent net that reads characters and says what comes next.

Graves, "Generating sequences with recurrent neural networks", 2013: characters to vectors, long short-term memory in
layers, scores of the next character from the last layer. Two layers of 128 units, as char-rnn (Karpathy, 2015) has
them, with dropout between the layers only (Zaremba et al., "Recurrent neural network regularization", 2014).
"""

import graphnet as gn
from graphnet import nn
from graphnet.training import perplexity

LENGTH = 64
CLASSES = 96  # a newline and the 95 printable characters of ASCII
INPUTS = {"tokens": ((LENGTH,), "int64")}
TARGET = ((LENGTH,), "int64")
DATA = "text"
METRICS = {"perplexity": perplexity}
RECIPE = {"optimizer": "Adam", "lr": 3e-3, "epochs": 10, "batch_size": 32}


class LSTMLanguageModel(nn.Module):
    """Characters (N, length) to scores of the next one at each place: (N, classes, length), as `cross_entropy` has it.

    What is said of a place depends on the characters up to it; the state before the first is zero.
    """

    def __init__(self, classes: int, width: int, hidden: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.characters = nn.Embedding(classes, width)
        self.memory = nn.LSTM(width, hidden, layers, batch_first=True, dropout=dropout)
        self.scores = nn.Linear(hidden, classes)

    def forward(self, tokens: gn.Node) -> gn.Node:
        states, _ = self.memory(self.characters(tokens))
        return gn.swapaxes(self.scores(states), 1, 2)


def build(
    classes: int = CLASSES, width: int = 64, hidden: int = 128, layers: int = 2, dropout: float = 0.2
) -> LSTMLanguageModel:
    """classes: characters that there are. width: numbers for each. hidden: units of each layer."""
    return LSTMLanguageModel(classes, width, hidden, layers, dropout)


def small() -> LSTMLanguageModel:
    """One layer of 96 units."""
    return build(hidden=96, layers=1, dropout=0.0)
