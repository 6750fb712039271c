"""Values of options, checked as they are read; errors name the option, what was expected and what came."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Callable
from pathlib import Path

from graphnet import optim
from graphnet.backend.registry import backend_names
from graphnet.errors import ArgumentError

_MOST = 2**31 - 1  # what follows from a number of examples or rounds still fits an array's size


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
