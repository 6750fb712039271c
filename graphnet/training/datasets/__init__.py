"""Data sets: bundled ones, and files in the formats that image and text sets come in."""

from graphnet.training.datasets.base import Digits, Split, Text, Windows
from graphnet.training.datasets.bundled import digits, enlarge
from graphnet.training.datasets.language import text

__all__ = ["Digits", "Split", "Text", "Windows", "digits", "enlarge", "text"]
