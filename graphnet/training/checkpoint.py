"""A run as one safetensors file: the weights under PyTorch's names, and all else that it needs to go on."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from graphnet.errors import ArgumentError, WeightsError
from graphnet.interop import safetensors
from graphnet.nn.module import Module
from graphnet.nn.state import load_arrays
from graphnet.ops.random import default_generator
from graphnet.ops.sources import Parameter
from graphnet.training.steps import Totals

FORMAT = 1
_KEY = "graphnet_run"  # of the text in the file's header
# What the names begin with, of arrays that are no weights: of the step (moments, counters), of the epoch's sums, and
# of the callbacks.
_STEP, _SUMS, _CALLBACKS = (f"{safetensors.RESERVED}{part}/" for part in ("step", "sums", "callbacks"))


@dataclass
class Run:
    """Where a run is, but for its parameters.

    inputs: dtype and shape of one example of each array. stream: the random stream that the step's nodes begin with.
    loaders, callbacks: their states by name. epoch: what the unfinished epoch has added up to.
    """

    inputs: list[list[Any]]
    stream: int
    history: list[dict[str, float]]
    loaders: dict[str, dict[str, int]] = field(default_factory=dict)
    epoch: Totals = field(default_factory=Totals)
    callbacks: dict[str, dict[str, Any]] = field(default_factory=dict)


def save_run(path: str | os.PathLike[str], run: Run, model: Module, parameters: Sequence[Parameter]) -> None:
    """Write the run, and the values of its model and of the parameters that its step reads or changes."""
    arrays = {**model.state_dict(), **{name: value.value for name, value in _others(model, parameters).items()}}
    for name, values in run.epoch.sums.items():
        arrays |= {f"{_SUMS}{name}/{place}": np.asarray(value) for place, value in enumerate(values)}
    callbacks: dict[str, dict[str, Any]] = {}
    for name, state in run.callbacks.items():
        callbacks[name] = {key: value for key, value in state.items() if not isinstance(value, np.ndarray)}
        for key, value in state.items():
            if isinstance(value, np.ndarray):
                arrays[f"{_CALLBACKS}{name}/{key}"] = value
    about = {
        "format": FORMAT,
        "inputs": run.inputs,
        "stream": run.stream,
        "history": run.history,
        "loaders": run.loaders,
        "batches": run.epoch.batches,
        "callbacks": callbacks,
    }
    safetensors.save(arrays, path, metadata={_KEY: json.dumps(about)})


def read_run(path: str | os.PathLike[str]) -> tuple[Run, dict[str, np.ndarray]]:
    """The run in a file, and its parameters' arrays. Raises `WeightsError` for what is no checkpoint of ours."""
    arrays, texts = safetensors.load_with_metadata(path)
    name = os.fspath(path)
    if _KEY not in texts:
        raise WeightsError(f"{name}: holds weights, but no run to resume: it was not written by Trainer.save")
    try:
        about = json.loads(texts[_KEY])
        known = about["format"]
        run = _run(about, arrays) if known == FORMAT else None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise WeightsError(f"{name}: a damaged checkpoint: what it says of the run does not fit ({error!r})") from error
    if run is None:
        raise WeightsError(f"{name}: is a checkpoint of format {known!r}; this graphnet reads format {FORMAT}")
    return run, {key: value for key, value in arrays.items() if not key.startswith((_SUMS, _CALLBACKS))}


def load_run(
    path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray], model: Module, parameters: Sequence[Parameter]
) -> None:
    """Overwrite the model and the parameters of its step by `arrays`: all of them, or none and a `WeightsError`."""
    others = _others(model, parameters)
    before = model.state_dict()
    weights = {name: array for name, array in arrays.items() if not name.startswith(safetensors.RESERVED)}
    rest = {name: array for name, array in arrays.items() if name.startswith(safetensors.RESERVED)}
    try:
        model.load_state_dict(weights)
        load_arrays(others, rest, "this model, optimizer and loss")
    except WeightsError as error:
        model.load_state_dict(before)
        raise WeightsError(f"{os.fspath(path)}: {error.problem}") from None


def _others(model: Module, parameters: Sequence[Parameter]) -> dict[str, Parameter]:
    """The parameters that are no weights, by names of their own, in order; with the counter of random numbers."""
    weights = {*model.parameters(), *model.buffers()}
    found: dict[str, Parameter] = {}
    for value in dict.fromkeys((*parameters, default_generator.state)):
        if value not in weights:
            name, twin = f"{_STEP}{value.name}", 1
            while name in found:
                name, twin = f"{_STEP}{value.name}:{twin}", twin + 1
            found[name] = value
    return found


def _run(about: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Run:
    sums: dict[str, list[np.ndarray]] = {}
    for key in sorted(key for key in arrays if key.startswith(_SUMS)):
        sums.setdefault(key.removeprefix(_SUMS).rpartition("/")[0], []).append(arrays[key])
    callbacks = {name: dict(state) for name, state in about["callbacks"].items()}
    for key in arrays:
        if key.startswith(_CALLBACKS):
            name, _, field_name = key.removeprefix(_CALLBACKS).partition("/")
            callbacks[name][field_name] = arrays[key]
    return Run(
        inputs=[[str(np.dtype(dtype)), [int(size) for size in shape]] for dtype, shape in about["inputs"]],
        stream=_count(about["stream"]),
        history=[{str(name): float(value) if name != "epoch" else int(value) for name, value in row.items()}
                 for row in about["history"]],
        loaders={str(name): dict(state) for name, state in about["loaders"].items()},
        epoch=Totals({name: tuple(values) for name, values in sums.items()}, _count(about["batches"])),
        callbacks=callbacks,
    )  # fmt: skip


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r} is no count")
    return value


def check_folder(name: str, path: str | os.PathLike[str]) -> str:
    """`path` as text. Raises `ArgumentError` where its folder is not there: better now than after an epoch."""
    try:
        text = os.fspath(path)
    except TypeError:
        raise ArgumentError(f"{name}: path must name a file, got {path!r}") from None
    folder = os.path.dirname(text) or "."
    if not os.path.isdir(folder) or os.path.isdir(text):
        raise ArgumentError(f"{name}: {text!r} cannot be written: " + (
            "it is a folder" if os.path.isdir(text) else f"there is no folder {folder!r}"
        ))  # fmt: skip
    return text
