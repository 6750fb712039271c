"""Models by name: `models/lenet.py`, `models.lenet`, or either with `:function` behind it.

A model file says

    INPUT_SHAPE = (1, 28, 28)       one example of the one float32 input "images"; or instead, for others or several,
    INPUTS = {"tokens": ((64,), "int64")}
    TARGET = ((), "int64")          one example's target; this, a class label, is the default
    CLASSES = 10                    of a classifier
    DATA = "digits"                 the data set that it is trained on; the default
    RECIPE = {"optimizer": "SGD", "options": {"momentum": 0.9}, "lr": 0.1, "epochs": 10, "batch_size": 64}
    def build():                    the model, an nn.Module
    def loss(outputs, target):      what training lowers (default: gn.cross_entropy); outputs as the model gives them
    METRICS = {"accuracy": accuracy}  measures shown besides (default: accuracy, where the loss is the default one)
    def examples(*arrays):          what the arrays of the data set become: inputs..., target (default: as they are)

A model that has a method `penalty()`, such as an L2 norm of its weights, has it added to the loss.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from graphnet.errors import ArgumentError, DataError, DtypeError, GraphnetError
from graphnet.graph.node import Node
from graphnet.graph.types import TensorType, as_dtype
from graphnet.nn.module import Module
from graphnet.ops.losses import cross_entropy
from graphnet.ops.sources import input
from graphnet.training.metrics import accuracy

_LABEL = ((), "int64")


@dataclass(frozen=True)
class ModelFile:
    """A model that a file declares: what builds it, what it takes, and how it is best trained.

    inputs, target: the type of one example of each. classes: None where the file does not say CLASSES.
    metrics: functions of outputs and targets that give a scalar node.
    """

    name: str
    module: ModuleType
    function: str
    inputs: Mapping[str, TensorType]
    target: TensorType
    classes: int | None
    data: str
    recipe: Mapping[str, Any]
    metrics: Mapping[str, Callable[[Any, Node], Node]]

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one example of the first input."""
        return next(iter(self.inputs.values())).static_shape

    @property
    def gives_scores(self) -> bool:
        """Whether it is a classifier that is trained by cross-entropy: scores of classes against labels."""
        return not hasattr(self.module, "loss") and self.target == _type_of(_LABEL)

    def build(self, **arguments: Any) -> Module:
        """A new model, with weights that `manual_seed` decides. Raises `ArgumentError` where the file fails.

        arguments: of the function that builds it, instead of its defaults.
        """
        function = getattr(self.module, self.function)
        model = _guarded(self.name, lambda: function(**arguments))
        if not isinstance(model, Module):
            raise ArgumentError(f"{self.name}: {self.function}() must give an nn.Module, got {type(model).__name__}")
        return model

    def input_nodes(self) -> tuple[Node, ...]:
        """New inputs of the model, any number "N" of examples each."""
        return tuple(input(name, ("N", *kind.shape), kind.dtype) for name, kind in self.inputs.items())

    def target_node(self) -> Node:
        """A new input for the targets."""
        name = "labels" if self.target == _type_of(_LABEL) else "target"
        return input(name, ("N", *self.target.shape), self.target.dtype)

    def outputs(self, model: Module, inputs: tuple[Node, ...]) -> Any:
        """What `model` declares for `inputs`: a node, or a tuple of nodes. Raises `ArgumentError` for anything else."""
        outputs = _guarded(self.name, lambda: model(*inputs))
        parts = outputs if isinstance(outputs, tuple) else (outputs,)
        if not parts or not all(isinstance(part, Node) for part in parts):
            raise ArgumentError(f"{self.name}: a model must give a node or a tuple of nodes, got {outputs!r}")
        return outputs

    def loss_of(self, model: Module) -> Callable[[Any, Node], Node]:
        """The function of outputs and target that training `model` lowers; checks that it gives a scalar."""
        own = getattr(self.module, "loss", cross_entropy)
        penalty = getattr(model, "penalty", None)

        def loss(outputs: Any, target: Node) -> Node:
            def declared() -> Any:
                value = own(outputs, target)
                return value if penalty is None else value + penalty()

            value = _guarded(self.name, declared)
            if not isinstance(value, Node) or value.shape != ():
                raise ArgumentError(f"{self.name}: loss(outputs, target) must give a scalar node, got {value!r}")
            return value

        return loss

    def examples(self, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        """Inputs..., target, of the types that the model takes, from the arrays of a data set.

        Raises `DataError`, which says what is expected, for arrays that do not fit.
        """
        own = getattr(self.module, "examples", None)
        made = arrays if own is None else _guarded(self.name, lambda: tuple(own(*arrays)))
        wanted = {**self.inputs, "target": self.target}
        if len(made) != len(wanted):
            raise DataError(f"{self.name}: expected {len(wanted)} arrays ({', '.join(wanted)}), got {len(made)}")
        for (name, kind), array in zip(wanted.items(), made, strict=True):
            if array.shape[1:] != kind.shape or array.dtype.kind != kind.dtype.kind:
                shape = ", ".join(map(str, ("N", *kind.shape)))
                raise DataError(f"{self.name}: {name} must be {kind.dtype}[{shape}], got {array.dtype}{array.shape}")
        if len({len(array) for array in made}) > 1:
            raise DataError(f"{self.name}: inputs and targets differ in number: {[len(array) for array in made]}")
        return tuple(made)


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
    name = Path(place).stem if is_file else place.split(".")[-1]
    return _read(place, name, module, function)


def _read(place: str, name: str, module: ModuleType, function: str) -> ModelFile:
    """What the file says, checked."""
    recipe = getattr(module, "RECIPE", {})
    if not isinstance(recipe, Mapping):
        raise ArgumentError(f"{place}: RECIPE must be a dict such as {{'lr': 1e-3}}, got {recipe!r}")
    classes = getattr(module, "CLASSES", None)
    if classes is not None and (type(classes) is not int or classes < 1):
        raise ArgumentError(f"{place}: CLASSES must be a positive integer, got {classes!r}")
    data = getattr(module, "DATA", "digits")
    if not isinstance(data, str):
        raise ArgumentError(f"{place}: DATA must be the name of a data set, got {data!r}")
    for function_name in ("loss", "examples"):
        if not callable(getattr(module, function_name, _read)):
            raise ArgumentError(f"{place}: {function_name} must be a function")
    return ModelFile(
        name, module, function, _inputs(place, module), _target(place, module), classes, data, recipe,
        _metrics(place, module),
    )  # fmt: skip


def _inputs(place: str, module: ModuleType) -> dict[str, TensorType]:
    shape, several = getattr(module, "INPUT_SHAPE", None), getattr(module, "INPUTS", None)
    if (shape is None) == (several is None):
        raise ArgumentError(f"{place} must say INPUT_SHAPE, a tuple of sizes of one example, or INPUTS")
    if several is None:
        if not _is_shape(shape):
            raise ArgumentError(f"{place} must say INPUT_SHAPE, a tuple of sizes of one example, got {shape!r}")
        return {"images": _type_of((tuple(shape), "float32"))}  # type: ignore[arg-type]
    wanted = "INPUTS must be such as {'tokens': ((64,), 'int64')}, names with shape and dtype of one example"
    if not isinstance(several, Mapping) or not several or not all(_is_kind(kind) for kind in several.values()):
        raise ArgumentError(f"{place}: {wanted}, got {several!r}")
    return {str(name): _type_of(kind) for name, kind in several.items()}


def _target(place: str, module: ModuleType) -> TensorType:
    kind = getattr(module, "TARGET", _LABEL)
    if not _is_kind(kind):
        raise ArgumentError(f"{place}: TARGET must be shape and dtype of one, such as ((), 'int64'), got {kind!r}")
    return _type_of(kind)


def _metrics(place: str, module: ModuleType) -> Mapping[str, Callable[[Any, Node], Node]]:
    if not hasattr(module, "METRICS"):
        if hasattr(module, "loss") or getattr(module, "TARGET", _LABEL) != _LABEL:
            return {}
        return {"accuracy": accuracy}
    metrics = module.METRICS
    if not isinstance(metrics, Mapping) or not all(callable(metric) for metric in metrics.values()):
        raise ArgumentError(f"{place}: METRICS must be a dict from names to functions, got {metrics!r}")
    return metrics


def _is_shape(shape: object) -> bool:
    return isinstance(shape, (tuple, list)) and all(type(size) is int and size > 0 for size in shape)


def _is_kind(kind: object) -> bool:
    if not isinstance(kind, (tuple, list)) or len(kind) != 2 or not _is_shape(kind[0]):
        return False
    try:
        as_dtype(kind[1])
    except DtypeError:
        return False
    return True


def _type_of(kind: tuple[tuple[int, ...], str]) -> TensorType:
    return TensorType(as_dtype(kind[1]), tuple(kind[0]))


def _from_file(place: str) -> ModuleType:
    path = Path(place)
    if not path.is_file():
        raise ArgumentError(f"there is no model file {place!r}")
    spec = importlib.util.spec_from_file_location(f"graphnet_model_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ArgumentError(f"{place!r} is not a Python file")
    _import_from_here()
    module = importlib.util.module_from_spec(spec)
    loader = spec.loader
    _guarded(place, lambda: loader.exec_module(module))
    return module


def _from_module(place: str) -> ModuleType:
    _import_from_here()
    try:
        found = importlib.util.find_spec(place) if all(part.isidentifier() for part in place.split(".")) else None
    except ModuleNotFoundError:
        found = None
    if found is None:
        hint = " (a file's name ends in .py)" if Path(f"{place}.py").exists() else ""
        raise ArgumentError(f"there is no model {place!r}{hint}")
    module: ModuleType = _guarded(place, lambda: importlib.import_module(place))
    return module


def _import_from_here() -> None:
    """Let modules be found in the folder that the command runs in, as `python` itself does."""
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))


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
