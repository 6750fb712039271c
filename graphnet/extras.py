"""Packages that not everybody has installed, imported where they are first needed."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from graphnet.errors import MissingExtraError

_EXTRAS = {
    "llvmlite": "native",
    "safetensors": "train", "tqdm": "train", "matplotlib": "train", "sklearn": "train", "PIL": "train",
    "pooch": "data", "requests": "data",
    "tensorboardX": "tensorboard",
    "optuna": "search",
    "onnx": "onnx",
}  # fmt: skip


def extra(module: str) -> Any:
    """The module of this name. Raises `MissingExtraError`, which says what to install, where it is not there."""
    try:
        return import_module(module)
    except ImportError as error:
        package = module.split(".")[0]
        hint = f"pip install 'graphnet[{_EXTRAS[package]}]'" if package in _EXTRAS else f"pip install {package}"
        raise MissingExtraError(f"{package} is needed for this and cannot be imported ({error}): {hint}") from error
