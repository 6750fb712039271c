"""Data for the commands: data sets in the form that a model takes, what is done to them, and single inputs."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from graphnet.cli.models import ModelFile
from graphnet.errors import ArgumentError, DataError, WeightsError
from graphnet.extras import extra
from graphnet.training import Normalization
from graphnet.training.augmentation import Transform
from graphnet.training.datasets import SOURCES, Digits, Split, digits, enlarge, load, read_npy, read_picture

_SMALL = 8  # pixels a side of the digits as they were scanned
_KEY = "graphnet_data"  # of the text in a weights file's header
_IN_ORDER = ("digits", "text")  # sets whose examples do not come class by class: a stretch of them is like the rest


@dataclass(frozen=True)
class About:
    """What weights were trained on, as far as using them needs it; it is kept in the weights file's header."""

    data: str
    classes: tuple[str, ...] = ()
    alphabet: str | None = None
    normalization: Normalization | None = None

    def to_metadata(self) -> dict[str, str]:
        """For `safetensors.save`; one entry, since the order of several is not always the same."""
        saved = {"data": self.data, "classes": self.classes, "alphabet": self.alphabet}
        normalize = None if self.normalization is None else self.normalization.to_json()
        return {_KEY: json.dumps({**saved, "normalization": normalize})}

    @classmethod
    def from_metadata(cls, path: Path, texts: Mapping[str, str]) -> About | None:
        """None for a file without it, such as one from PyTorch. Raises `WeightsError` for one that is damaged."""
        if _KEY not in texts:
            return None
        try:
            saved = json.loads(texts[_KEY])
            data, classes, alphabet = str(saved["data"]), tuple(map(str, saved["classes"])), saved["alphabet"]
            normalize = saved["normalization"]
            found = None if normalize is None else Normalization.from_json(normalize)
        except (KeyError, TypeError, ValueError) as error:
            problem = error.problem if isinstance(error, DataError) else repr(error)
            raise WeightsError(f"{path}: what it says of its data does not fit: {problem}") from None
        if alphabet is not None and not isinstance(alphabet, str):
            raise WeightsError(f"{path}: what it says of its data does not fit: the alphabet is {alphabet!r}")
        return cls(data, classes, alphabet, found)


@dataclass(frozen=True)
class Examples:
    """Inputs..., target, as a model takes them, for training and for testing; and what is known of the data set."""

    train: tuple[np.ndarray, ...]
    test: tuple[np.ndarray, ...]
    about: About


def add_data(parser: argparse._ActionsContainer, *, data: str = "the model file's") -> None:
    """The options that say which data set; `data` says in the help which one is the default."""
    choices = {"choices": tuple(SOURCES), "metavar": "NAME"}
    parser.add_argument("--data", **choices, help=f"{', '.join(SOURCES)} (default: {data})")  # type: ignore[arg-type]


def add_data_folder(parser: argparse.ArgumentParser) -> None:
    """The options that say where a data set is."""
    parser.add_argument("--data-dir", type=Path, metavar="PATH", help="the folder or file that holds the data set")
    parser.add_argument("--download", action="store_true", help="get what is not there from the network")


def examples(file: ModelFile, options: argparse.Namespace, about: About | None = None) -> Examples:
    """The data set that `options` (--data, --data-dir, --download) names, else that of `about` or of the model file.

    Raises `ArgumentError` or `DataError` where it does not fit the model.
    """
    name = options.data or (about.data if about else file.data)
    if name not in SOURCES:
        raise ArgumentError(f"{file.name}: there is no data set {name!r}; there are {', '.join(SOURCES)}")
    place = SOURCES[name].place
    if options.data_dir is None and place and name != "text":
        raise ArgumentError(f"--data {name} needs --data-dir: {place}")
    if name == "digits" and options.data_dir is None and not options.download:
        found: Any = digits_for(file.input_shape)
    else:
        found = load(name, options.data_dir, download=options.download, **_options(name, file.input_shape, about))
    parts = [_fitted(part, file.input_shape) for part in (found.train, found.test)]
    alphabet = getattr(found, "alphabet", None)
    known = About(name, tuple(getattr(found, "classes", ())), alphabet)
    train, test = (file.examples(*part) for part in parts)
    _check_classes(file, name, (train[-1], test[-1]))
    return Examples(train, test, known)


def held_out(given: Examples, share: float, seed: int) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
    """The training examples, apart: to train on, and a `share` of them to watch."""
    count = len(given.train[0])
    cut = round(count * (1 - share))
    if not 0 < cut < count:
        raise DataError(f"{given.about.data}: {count} training examples cannot be divided for training and validation")
    if given.about.data in _IN_ORDER:
        return tuple(array[:cut] for array in given.train), tuple(array[cut:] for array in given.train)
    order = np.random.Generator(np.random.Philox(seed)).permutation(count)
    return tuple(array[order[:cut]] for array in given.train), tuple(array[order[cut:]] for array in given.train)


def normalizing(normalization: Normalization, inputs: int) -> Transform:
    """Normalizes those of the first `inputs` arrays of a batch that are such images; targets stay as they are."""

    def normalize(rng: np.random.Generator, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        return tuple(
            normalization(array) if place < inputs and array.shape[1:] == normalization.shape else array
            for place, array in enumerate(arrays)
        )

    return normalize


def digits_for(shape: tuple[int, ...]) -> Digits:
    """The digits in the size of the images (..., height, width) that a model takes; in its shape where it is grey.

    Raises `ArgumentError` where they do not fit.
    """
    square = shape[-2:] if len(shape) > 1 else (math.isqrt(math.prod(shape)),) * 2
    side = square[-1]
    if square != (side, side) or side < _SMALL or (len(shape) == 1 and side * side != shape[0]):
        raise ArgumentError(f"digits are square grey images of 8x8 pixels or more; they do not fit inputs of {shape}")
    return Digits(*(Split(*_fitted(part, shape)) for part in digits(side)))


def _options(name: str, shape: tuple[int, ...], about: About | None) -> dict[str, Any]:
    """How a data set is read so that it fits inputs of this shape."""
    if name == "text":
        alphabet = {} if about is None or about.alphabet is None else {"alphabet": about.alphabet}
        return {"length": shape[0] if shape else 1, **alphabet}
    if name == "folder" and len(shape) == 3:
        return {"size": shape[1:], "channels": shape[0] if shape[0] in (1, 3) else None}
    return {}


def _fitted(part: Sequence[np.ndarray], shape: tuple[int, ...]) -> tuple[np.ndarray, ...]:
    """The arrays, the first of them in this shape if it has as many numbers."""
    first, *others = part
    if first.dtype.kind == "f" and first.shape[1:] != shape and math.prod(first.shape[1:]) == math.prod(shape):
        first = first.reshape(-1, *shape)
    return first, *others


def _check_classes(file: ModelFile, name: str, targets: Sequence[np.ndarray]) -> None:
    if file.classes is None or not file.gives_scores:
        return
    least, most = min(labels.min() for labels in targets), max(labels.max() for labels in targets)
    if not 0 <= least <= most < file.classes:
        wanted = f"labels from 0 to {file.classes - 1}"
        raise DataError(f"{file.name}: takes {wanted}; those of {name} are {least} to {most}")


def read_inputs(paths: Sequence[Path], shape: tuple[int, ...], *, invert: bool) -> tuple[np.ndarray, list[str]]:
    """Examples (count, *shape) in float32 from .npy files and pictures, and a name for each."""
    arrays, names = [], []
    for path in paths:
        if not path.is_file():
            raise ArgumentError(f"there is no input file {str(path)!r}")
        found = _from_npy(path, shape) if path.suffix == ".npy" else _from_picture(path, shape)
        arrays.append(1 - found if invert else found)
        names += [path.name] if len(found) == 1 else [f"{path.name}[{i}]" for i in range(len(found))]
    return np.concatenate(arrays), names


def _from_npy(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    array = read_npy(path)
    if array.shape == shape:
        array = array[np.newaxis]
    if array.shape[1:] != shape or not len(array):
        wanted = f"({', '.join(map(str, ('N', *shape)))})"
        raise ArgumentError(f"{str(path)!r} holds an array of shape {array.shape}; the model takes {wanted}")
    if not np.isfinite(array).all():
        raise ArgumentError(f"{str(path)!r} holds NaN or infinity")
    scale = 255 if array.dtype == np.uint8 else 1
    return (array / scale).astype(np.float32)


def _from_picture(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """A picture with values from 0 (black) to 1 (white), resized to fit the model.

    For a grey model it is grey, its pixels repeated or thinned out; for one of three channels it is resized as the
    pictures of a data set are.
    """
    if len(shape) == 3 and shape[0] == 3:
        return read_picture(path, 3, (shape[1], shape[2]))[np.newaxis] / np.float32(255)
    try:
        pixels = np.asarray(extra("matplotlib.image").imread(path))
    except (ValueError, SyntaxError, OSError) as error:
        raise ArgumentError(f"{str(path)!r} cannot be read as a picture ({error})") from None
    grey = pixels.astype(np.float32) / (255 if pixels.dtype == np.uint8 else 1)
    grey = grey[..., :3].mean(axis=-1) if grey.ndim == 3 else grey
    side = math.isqrt(math.prod(shape))
    if side * side != math.prod(shape):
        raise ArgumentError(f"a picture does not fit the model's inputs of {shape}: square grey images are expected")
    if grey.shape == (_SMALL, _SMALL) and side >= _SMALL:
        fitted = enlarge(grey[np.newaxis], side)
    else:
        rows, columns = (np.arange(side) * size // side for size in grey.shape)
        fitted = grey[rows][:, columns]
    return fitted.reshape(1, *shape)
