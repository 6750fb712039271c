"""Models by name: `models/lenet.py`, `models.lenet`, or either with `:function` behind it."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from graphnet.errors import ArgumentError, GraphnetError
from graphnet.nn.module import Module


@dataclass(frozen=True)
class ModelFile:
    """A model that a file declares: what builds it, the shape of one example, and how it is best trained."""

    name: str
    module: ModuleType
    function: str
    input_shape: tuple[int, ...]
    recipe: Mapping[str, Any]

    def build(self) -> Module:
        """A new model, with weights that `manual_seed` decides. Raises `ArgumentError` where the file fails."""
        model = _guarded(self.name, getattr(self.module, self.function))
        if not isinstance(model, Module):
            raise ArgumentError(f"{self.name}: {self.function}() must give an nn.Module, got {type(model).__name__}")
        return model


def add_model(parser: argparse.ArgumentParser, *, optional: bool = False) -> None:
    """The argument MODEL."""
    parser.add_argument(
        "model",
        metavar="MODEL",
        nargs="?" if optional else None,
        help="a file or module, such as models/lenet.py or models.lenet; append :name for a function other than build",
    )


def find_model(given: str) -> ModelFile:
    """The model called `given`. Raises `ArgumentError` for what is not there or not right."""
    place, _, function = given.partition(":")
    is_file = place.endswith(".py") or "/" in place or "\\" in place
    module = _from_file(place) if is_file else _from_module(place)
    function = function or "build"
    if not callable(getattr(module, function, None)):
        raise ArgumentError(f"{place} has no function {function!r} that builds a model")
    shape = getattr(module, "INPUT_SHAPE", None)
    if not isinstance(shape, (tuple, list)) or not all(type(size) is int and size > 0 for size in shape):
        raise ArgumentError(f"{place} must say INPUT_SHAPE, a tuple of sizes of one example, got {shape!r}")
    recipe = getattr(module, "RECIPE", {})
    if not isinstance(recipe, Mapping):
        raise ArgumentError(f"{place}: RECIPE must be a dict such as {{'lr': 1e-3}}, got {recipe!r}")
    return ModelFile(Path(place).stem if is_file else place.split(".")[-1], module, function, tuple(shape), recipe)


def _from_file(place: str) -> ModuleType:
    path = Path(place)
    if not path.is_file():
        raise ArgumentError(f"there is no model file {place!r}")
    spec = importlib.util.spec_from_file_location(f"graphnet_model_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ArgumentError(f"{place!r} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    loader = spec.loader
    _guarded(place, lambda: loader.exec_module(module))
    return module


def _from_module(place: str) -> ModuleType:
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        found = importlib.util.find_spec(place) if all(part.isidentifier() for part in place.split(".")) else None
    except ModuleNotFoundError:
        found = None
    if found is None:
        hint = " (a file's name ends in .py)" if Path(f"{place}.py").exists() else ""
        raise ArgumentError(f"there is no model {place!r}{hint}")
    module: ModuleType = _guarded(place, lambda: importlib.import_module(place))
    return module


def _guarded(place: str, action: Any) -> Any:
    """What `action`, the user's own code, gives; any failure of it as one line that says where."""
    try:
        return action()
    except GraphnetError:
        raise
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{frame.filename}:{frame.lineno}"
        if isinstance(error, SyntaxError) and error.filename:
            where = f"{error.filename}:{error.lineno}"
        raise ArgumentError(f"{place} failed: {type(error).__name__}: {error} (at {where})") from error
