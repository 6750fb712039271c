"""Training: data, epochs of compiled steps, measures, history."""

from graphnet.training.augmentation import random_shift
from graphnet.training.data import DataLoader
from graphnet.training.datasets import Digits, Split, digits
from graphnet.training.history import History
from graphnet.training.metrics import accuracy
from graphnet.training.trainer import Trainer

__all__ = ["DataLoader", "Digits", "History", "Split", "Trainer", "accuracy", "digits", "random_shift"]
