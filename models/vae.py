"""A variational autoencoder: Kingma and Welling, "Auto-encoding variational Bayes", 2013, section 3 and appendix C.

The encoder gives mean and log variance of a normal distribution of codes, the decoder the logit of each pixel of an
image drawn from a code. 500 hidden units, tanh and codes of 20 numbers, as their experiments on MNIST.
"""

import numpy as np

import graphnet as gn
from graphnet import nn

INPUT_SHAPE = (1, 28, 28)
TARGET = ((1, 28, 28), "float32")
RECIPE = {"optimizer": "Adam", "lr": 1e-3, "epochs": 15, "batch_size": 32}


class VAE(nn.Module):
    """Images (N, 1, 28, 28) to (logits (N, 1, 28, 28), mean (N, code), log variance (N, code))."""

    def __init__(self, hidden: int, code: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(784, hidden), nn.Tanh())
        self.mean = nn.Linear(hidden, code)
        self.log_variance = nn.Linear(hidden, code)
        self.decoder = nn.Sequential(nn.Linear(code, hidden), nn.Tanh(), nn.Linear(hidden, 784))

    def forward(self, images: gn.Node) -> tuple[gn.Node, gn.Node, gn.Node]:
        hidden = self.encoder(images)
        mean, log_variance = self.mean(hidden), self.log_variance(hidden)
        code = mean
        if self.training:  # drawn as mean + deviation * noise, so that the gradient reaches both; else the mean alone
            code = code + gn.exp(0.5 * log_variance) * gn.random.normal(mean.shape, dtype=mean.dtype)
        return gn.reshape(self.decoder(code), images.shape), mean, log_variance


def build(hidden: int = 500, code: int = 20) -> VAE:
    """hidden: units of either hidden layer. code: how many numbers describe an image."""
    return VAE(hidden, code)


def small() -> VAE:
    """128 hidden units, codes of 8 numbers."""
    return build(128, 8)


def loss(outputs: tuple[gn.Node, gn.Node, gn.Node], target: gn.Node) -> gn.Node:
    """Minus the evidence lower bound in nats an image: the cross-entropy of its pixels, and the divergence
    KL(N(mean, variance) || N(0, 1)) = (mean^2 + variance - log variance - 1) / 2, both summed, the mean over images."""
    logits, mean, log_variance = outputs
    pixels = gn.sum(gn.binary_cross_entropy_with_logits(logits, target, reduction="none"), axis=(1, 2, 3))
    divergence = 0.5 * gn.sum(gn.square(mean) + gn.exp(log_variance) - log_variance - 1.0, axis=1)
    return gn.mean(pixels + divergence)


def examples(images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, ...]:
    """The image is its own target."""
    return images, images
