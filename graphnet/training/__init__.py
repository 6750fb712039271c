"""Training: data, epochs of compiled steps, measures, history."""

from graphnet.training.augmentation import alike, compose, cutout, random_crop, random_flip, random_shift
from graphnet.training.callbacks import Callback, EarlyStopping
from graphnet.training.data import DataLoader
from graphnet.training.datasets import Dataset, Digits, Split, Text, digits, image_folder, load, text
from graphnet.training.history import History
from graphnet.training.lr_finder import RateRange, find_learning_rate
from graphnet.training.metrics import Accuracy, ConfusionMatrix, Metric, Perplexity, TopK, accuracy, perplexity
from graphnet.training.normalization import Normalization
from graphnet.training.picture import draw_confusion
from graphnet.training.rates import LearningRate, Plateau
from graphnet.training.recording import BestCheckpoint, Checkpoint, CSVLogger, TensorBoard
from graphnet.training.sanity import Overfit, can_overfit
from graphnet.training.search import search
from graphnet.training.search_result import SearchResult, Trial
from graphnet.training.trainer import Trainer

__all__ = [
    "Accuracy",
    "BestCheckpoint",
    "CSVLogger",
    "Callback",
    "Checkpoint",
    "ConfusionMatrix",
    "DataLoader",
    "Dataset",
    "Digits",
    "EarlyStopping",
    "History",
    "LearningRate",
    "Metric",
    "Normalization",
    "Overfit",
    "Perplexity",
    "Plateau",
    "RateRange",
    "SearchResult",
    "Split",
    "TensorBoard",
    "Text",
    "TopK",
    "Trainer",
    "Trial",
    "accuracy",
    "alike",
    "can_overfit",
    "compose",
    "cutout",
    "digits",
    "draw_confusion",
    "find_learning_rate",
    "image_folder",
    "load",
    "perplexity",
    "random_crop",
    "random_flip",
    "random_shift",
    "search",
    "text",
]
