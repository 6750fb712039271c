"""Training: data, epochs of compiled steps, measures, history."""

from graphnet.training.augmentation import random_shift
from graphnet.training.callbacks import Callback, EarlyStopping
from graphnet.training.data import DataLoader
from graphnet.training.datasets import Digits, Split, digits, text
from graphnet.training.history import History
from graphnet.training.metrics import Accuracy, ConfusionMatrix, Metric, Perplexity, TopK, accuracy, perplexity
from graphnet.training.picture import draw_confusion
from graphnet.training.recording import BestCheckpoint, Checkpoint, CSVLogger, TensorBoard
from graphnet.training.trainer import Trainer

__all__ = [
    "Accuracy",
    "BestCheckpoint",
    "CSVLogger",
    "Callback",
    "Checkpoint",
    "ConfusionMatrix",
    "DataLoader",
    "Digits",
    "EarlyStopping",
    "History",
    "Metric",
    "Perplexity",
    "Split",
    "TensorBoard",
    "TopK",
    "Trainer",
    "accuracy",
    "digits",
    "draw_confusion",
    "perplexity",
    "random_shift",
    "text",
]
