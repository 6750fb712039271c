"""Data sets: bundled ones, and files in the formats that image and text sets come in."""

from graphnet.training.datasets.base import Dataset, Digits, Split, Text, Windows
from graphnet.training.datasets.bundled import digits, enlarge
from graphnet.training.datasets.idx import read_idx
from graphnet.training.datasets.language import text
from graphnet.training.datasets.pictures import image_folder, read_picture
from graphnet.training.datasets.plain import arrays, read_npy, read_npz
from graphnet.training.datasets.registry import SOURCES, load

__all__ = [
    "SOURCES", "Dataset", "Digits", "Split", "Text", "Windows", "arrays", "digits", "enlarge", "image_folder", "load",
    "read_idx", "read_npy", "read_npz", "read_picture", "text",
]  # fmt: skip
