"""A transformer that reads characters and says what comes next.

The blocks of GPT-2 (Radford et al., "Language models are unsupervised multitask learners", 2019): normalization before
attention and perceptron, GELU, learned places, one table for reading and for scoring characters, weights from
N(0, 0.02) and those that end in a residual sum smaller with depth. Far smaller: 4 blocks of width 128, 64 characters.

    graphnet train models/char_transformer.py --out runs/text

and then, with what that wrote:

    model = build()
    gn.interop.safetensors.load(model, "runs/text/weights.safetensors")
    print(sample(model, "The data set ", 200))
"""

import math
from functools import partial

import numpy as np

import graphnet as gn
from graphnet import nn, optim
from graphnet.training import perplexity

LENGTH = 64
ALPHABET = "\n" + "".join(map(chr, range(32, 127)))  # that of the data set "text"
INPUTS = {"tokens": ((LENGTH,), "int64")}
TARGET = ((LENGTH,), "int64")
CLASSES = len(ALPHABET)
DATA = "text"
METRICS = {"perplexity": perplexity}
RECIPE = {
    "optimizer": "AdamW",
    # eps: Adam would make steps of the rounding errors that are all of the gradient by the keys' biases.
    "options": {"weight_decay": 0.1, "betas": (0.9, 0.95), "eps": 1e-6},
    "lr": optim.cosine(2e-3, steps=800, eta_min=1e-4),
    "epochs": 12,
    "batch_size": 32,
}


class CharTransformer(nn.Module):
    """Characters (N, length) to scores of the next one at each place: (N, classes, length), as `cross_entropy` has it.

    What is said of a place depends on the characters up to it. `length` may be less than what the model was built for.
    """

    def __init__(
        self, classes: int, width: int, layers: int, heads: int, length: int, dropout: float, spread: float
    ) -> None:
        super().__init__()
        self.characters = nn.Embedding(classes, width)
        self.places = nn.Embedding(length, width)
        self.dropout = nn.Dropout(dropout)
        gelu = partial(gn.gelu, approximate="tanh")
        block = nn.TransformerEncoderLayer(width, heads, 4 * width, dropout, gelu, batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(block, layers, nn.LayerNorm(width))
        for name, weight in self.named_parameters():
            if weight.ndim == 2:
                ends = name.endswith(("out_proj.weight", "linear2.weight"))
                nn.init.normal_(weight, 0.0, spread / math.sqrt(2 * layers) if ends else spread)
            elif name.endswith("bias"):
                nn.init.zeros_(weight)

    def forward(self, tokens: gn.Node) -> gn.Node:
        x = self.characters(tokens) + self.places.weight[: tokens.shape[1]]
        x = self.blocks(self.dropout(x), is_causal=True)
        return gn.swapaxes(gn.linear(x, self.characters.weight), 1, 2)


def build(
    classes: int = CLASSES,
    width: int = 128,
    layers: int = 4,
    heads: int = 4,
    length: int = LENGTH,
    dropout: float = 0.1,
    spread: float = 0.02,
) -> CharTransformer:
    """classes: characters that there are. width: numbers for each. length: the most characters read at once.
    spread: the standard deviation of the first weights."""
    return CharTransformer(classes, width, layers, heads, length, dropout, spread)


def small() -> CharTransformer:
    """One block of width 48, nothing dropped; narrow, it learns faster from larger weights."""
    return build(width=48, layers=1, dropout=0.0, spread=0.1)


def sample(
    model: nn.Module, prompt: str, count: int, temperature: float = 0.7, alphabet: str = ALPHABET, seed: int = 0
) -> str:
    """`prompt` and `count` more characters, each drawn as `model` rates it after the last LENGTH - 1 of them.

    temperature: below 1 for what is likelier, above 1 for more variety.
    """
    window = gn.input("window", (1, LENGTH), dtype="int64")
    was_training = model.training
    predict = gn.compile([window], model.eval()(window))
    model.train(was_training)
    rng = np.random.default_rng(seed)
    text = [alphabet.index(character) for character in prompt]
    for _ in range(count):
        read = text[-(LENGTH - 1) :] or [0]
        # What stands behind the last character read is not looked at.
        scores = predict(np.array([read + [0] * (LENGTH - len(read))]))[0, :, len(read) - 1]
        chances = np.exp((scores - scores.max()) / temperature, dtype="float64")
        text.append(int(rng.choice(len(chances), p=chances / chances.sum())))
    return "".join(alphabet[token] for token in text)
