"""Other formats and libraries: weights from and to safetensors; graphs as ONNX, as modules of torch, for JAX.

Each part is loaded when it is first asked for, and the library that it stands on when it is first used.
"""

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from graphnet.interop import jax, onnx, safetensors, torch

__all__ = ["jax", "onnx", "safetensors", "torch"]


def __getattr__(name: str) -> ModuleType:
    """`graphnet.interop.onnx` and its like."""
    if name in __all__:
        return import_module(f"graphnet.interop.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
