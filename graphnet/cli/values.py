"""Values of options, checked as they are read; errors name the option, what was expected and what came."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from graphnet import optim
from graphnet.backend.registry import backend_names
from graphnet.errors import ArgumentError
from graphnet.training.augmentation import Transform, cutout, random_crop, random_flip, random_shift

_MOST_PIXELS = 1 << 15
_MOST = 2**31 - 1  # what follows from a number of examples or rounds still fits an array's size

AUGMENTATIONS = "flip, vertical-flip, shift[:PIXELS], crop[:PADDING], cutout[:SIZE], none"
# What each is, and the number that it takes where none is given; None where it takes none.
_CHANGES: Mapping[str, tuple[Callable[[int], Transform], int | None]] = {
    "flip": (lambda _: random_flip(), None),
    "vertical-flip": (lambda _: random_flip(vertical=True), None),
    "shift": (random_shift, 2),
    "crop": (lambda padding: random_crop(padding=padding), 4),
    "cutout": (cutout, 8),
}


def whole(least: int) -> Callable[[str], int]:
    """Reads an integer of at least `least`."""

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if not least <= value <= _MOST:
            bounds = f"of at least {least}" if value < least else f"of at most {_MOST}"
            raise argparse.ArgumentTypeError(f"expected an integer {bounds}, got {text!r}")
        return value

    return read


def positive(text: str) -> float:
    """Reads a finite number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text!r}")
    return value


def backend(text: str) -> str:
    """Reads the name of a backend."""
    if text not in backend_names():
        raise argparse.ArgumentTypeError(f"expected one of {', '.join(backend_names())}, got {text!r}")
    return text


def optimizer(text: str) -> str:
    """Reads the name of an optimizer, in any case: `adamw` is `AdamW`."""
    known = {name.lower(): name for name in optim.OPTIMIZERS}
    if text.lower() not in known:
        raise argparse.ArgumentTypeError(f"expected one of {', '.join(known.values())}, got {text!r}")
    return known[text.lower()]


def augmentation(text: str) -> Transform | None:
    """Reads a random change to images, such as `flip` or `crop:4`; None for `none`."""
    name, colon, number = text.partition(":")
    make, amount = _CHANGES.get(name, (None, None))
    if text == "none":
        return None
    if make is None or (colon and (amount is None or not number.isdecimal() or not 0 < int(number) <= _MOST_PIXELS)):
        raise argparse.ArgumentTypeError(f"expected some of {AUGMENTATIONS}, got {text!r}")
    return make(int(number) if colon else amount or 0)


def measures(prefix: str, found: Mapping[str, object]) -> str:
    """Measures in a line, the loss last; accuracies in per cent. Those that are no numbers are left out."""
    numbers = {name: value for name, value in found.items() if isinstance(value, float)}
    order = [*(name for name in numbers if name != "loss"), *(name for name in numbers if name == "loss")]
    return ", ".join(
        f"{prefix}{name} {numbers[name]:.2%}" if "accuracy" in name else f"{prefix}{name} {numbers[name]:.4f}"
        for name in order
    )


def make_folder(path: Path) -> Path:
    """`path` as a folder to write to, made where it is not there. Raises `ArgumentError` where that cannot be."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise ArgumentError(f"{str(path)!r} cannot be a folder: a file is in the way") from None
    except OSError as error:
        raise ArgumentError(f"the folder {str(path)!r} cannot be made: {error.strerror}") from None
    return writable(path)


def writable(folder: Path) -> Path:
    """`folder`. Raises `ArgumentError` where it is not there or may not be written to, which is best said early."""
    if not folder.is_dir():
        raise ArgumentError(f"there is no folder {str(folder)!r}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ArgumentError(f"the folder {str(folder)!r} may not be written to")
    return folder
