"""Weights to and from safetensors files, under PyTorch's names."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from graphnet.errors import WeightsError
from graphnet.extras import extra
from graphnet.nn.module import Module

RESERVED = "graphnet/"
"""What the names begin with, of arrays in a checkpoint that are no weights; no parameter is called so."""


def save(
    model: Module | Mapping[str, np.ndarray],
    path: str | os.PathLike[str],
    *,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write the parameters and buffers of `model` (or the arrays of a state) to `path`.

    metadata: texts under names, to be kept in the file's header. The file appears whole or not at all: whoever reads
    `path` meanwhile sees what was there before.
    """
    state = model.state_dict() if isinstance(model, Module) else model
    arrays = {name: np.ascontiguousarray(array).reshape(np.shape(array)) for name, array in state.items()}
    write_atomically(path, extra("safetensors.numpy").save(arrays, None if metadata is None else dict(metadata)))


def load(model: Module, path: str | os.PathLike[str], strict: bool = True) -> None:
    """Overwrite the parameters and buffers of `model` by those in the file.

    Raises `WeightsError`, and changes nothing, for a file that is missing or damaged, or of another model; then
    missing, unexpected and misshapen names are listed. A checkpoint of `Trainer.save` gives its weights.
    """
    state = {name: array for name, array in load_state(path).items() if not name.startswith(RESERVED)}
    try:
        model.load_state_dict(state, strict=strict)
    except WeightsError as error:
        raise WeightsError(f"{os.fspath(path)}: {error.problem}") from None


def load_state(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """The arrays of a safetensors file by name. Raises `WeightsError` for one that is missing or damaged."""
    return load_with_metadata(path)[0]


def load_with_metadata(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays of a safetensors file by name, and the texts in its header. Raises `WeightsError` as `load_state`."""
    safetensors, numpy_format = extra("safetensors"), extra("safetensors.numpy")
    name = os.fspath(path)
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise WeightsError(f"{name}: cannot be read: {error.strerror or error}") from error
    try:
        arrays = dict(numpy_format.load(content))
    except safetensors.SafetensorError as error:
        raise WeightsError(f"{name}: not a safetensors file, or a damaged one ({error})") from error
    except (KeyError, ValueError, AttributeError) as error:  # dtypes that NumPy does not have, such as bfloat16
        raise WeightsError(f"{name}: holds a dtype that NumPy does not have ({error!r})") from error
    # The format: the header's length in eight bytes, then the header, which is JSON and was just read as such.
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    in_order = {key: arrays[key] for key in header if key in arrays}  # the library's order changes from run to run
    return in_order, dict(header.get("__metadata__") or {})


def write_atomically(path: str | os.PathLike[str], content: bytes) -> None:
    """Write `content` beside `path`, then move it there in one step."""
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{os.getpid()}-{os.urandom(8).hex()}")
    try:
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
