"""Text for language models that read characters."""

from __future__ import annotations

import os
import re
from importlib import resources

import numpy as np

from graphnet.errors import ArgumentError, DataError
from graphnet.extras import extra
from graphnet.training.datasets.base import Text, Windows
from graphnet.training.datasets.files import read_bytes

ASCII = "\n" + "".join(map(chr, range(32, 127)))
_SECTIONS, _TEST_EVERY = 50, 10  # of fifty sections the 5th, 15th, ... 45th are for testing
# In this order; those that scikit-learn has had since 1.4.
_DESCRIPTIONS = (
    "twenty_newsgroups", "breast_cancer", "lfw", "kddcup99", "wine_data", "iris", "rcv1", "digits", "olivetti_faces",
    "california_housing", "diabetes", "covtype", "linnerud",
)  # fmt: skip


def text(
    length: int = 64, *, path: str | os.PathLike[str] | None = None, stride: int | None = None, alphabet: str = ASCII
) -> Text:
    """Pieces of `length` characters of a text, and as targets the same pieces one character further.

    path: a text file in UTF-8; where none is given, the text is the descriptions of data sets that come with
    scikit-learn (`sklearn/datasets/descr`), some 38,000 characters of English prose, tables and references: joined in
    a fixed order, kept to ASCII, with runs of more than three equal marks or spaces shortened to three.
    stride: how far apart the training pieces begin, in characters (default: a quarter of `length`). alphabet: the
    characters that get a number, in this order; by default a newline and the 95 printable ones of ASCII, whatever of
    them the text has, so that a model of 96 tokens fits every such text. Tabs become spaces up to the next multiple
    of eight. A tenth of the text, in five sections spread over it, is for testing: its pieces do not overlap, and
    share no character with a training piece.
    Raises `DataError`, which names the file and the byte, for text that is not UTF-8, has a character outside
    `alphabet`, or is too short to have a piece for each part.
    """
    length = _whole("length", length)
    stride = max(1, length // 4) if stride is None else _whole("stride", stride)
    if not isinstance(alphabet, str) or not alphabet or len(set(alphabet)) < len(alphabet):
        raise ArgumentError(f"text: alphabet must be a str of different characters, got {alphabet!r}")
    name, found = ("the bundled text", bundled_text()) if path is None else (os.fspath(path), read_text(path))
    tokens = encode(found, alphabet, name)
    if len(tokens) < _SECTIONS * (length + 1):
        least = _SECTIONS * (length + 1)
        raise DataError(f"{name}: {len(tokens)} characters; for pieces of {length} there must be at least {least}")
    train, test = _parts(tokens, length)
    return Text(_windows(train, length, stride), _windows(test, length, length), alphabet)


def bundled_text() -> str:
    """The text that `text` gives in pieces."""
    folder = resources.files(extra("sklearn.datasets.descr"))
    try:
        parts = [(folder / f"{name}.rst").read_text(encoding="utf-8").strip() for name in _DESCRIPTIONS]
    except OSError as error:
        raise DataError(f"text: scikit-learn came without a description that belongs to the text ({error})") from None
    joined = "\n\n\n".join(parts).encode("ascii", "ignore").decode("ascii")
    return re.sub(r"([^\w\n])\1{3,}", r"\1\1\1", joined.expandtabs())


def read_text(path: str | os.PathLike[str]) -> str:
    """The text of a file in UTF-8, lines ended by newlines alone, tabs as spaces."""
    content = read_bytes(path)
    try:
        decoded = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # The mark that "utf-8-sig" skips is counted: the offset is one in the file.
        start = error.start + (len(content) - len(error.object))
        found = f"0x{content[start]:02x}, {error.reason}"
        raise DataError(f"{os.fspath(path)}: byte {start}: expected text in UTF-8, found {found}") from None
    return decoded.replace("\r\n", "\n").replace("\r", "\n").expandtabs()


def encode(text: str, alphabet: str, name: str = "text") -> np.ndarray:
    """The numbers (int64) of the characters of `text` in `alphabet`. `name` says in errors where the text is from."""
    codes = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    table = np.full(max([*map(ord, alphabet), int(codes.max(initial=0))]) + 1, -1)
    table[[ord(character) for character in alphabet]] = np.arange(len(alphabet))
    tokens = table[codes]
    if (unknown := np.flatnonzero(tokens < 0)).size:
        place = int(unknown[0])
        line = text.count("\n", 0, place) + 1
        column = place - text.rfind("\n", 0, place)
        raise DataError(
            f"{name}: line {line}, column {column}: {text[place]!r} is not among the {len(alphabet)} characters "
            "of the alphabet; give `alphabet` with it, or take it out of the text"
        )
    return tokens


def decode(tokens: np.ndarray, alphabet: str) -> str:
    """The text that these numbers stand for."""
    return "".join(alphabet[token] for token in np.asarray(tokens).ravel())


def _parts(tokens: np.ndarray, length: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Stretches of the text for training, and for testing; each at least length + 1 tokens."""
    sections = np.array_split(tokens, _SECTIONS)
    places = range(_TEST_EVERY // 2 - 1, _SECTIONS, _TEST_EVERY)
    train, begin = [], 0
    for place in [*places, _SECTIONS]:
        train.append(np.concatenate(sections[begin:place]))
        begin = place + 1
    return train, [sections[place] for place in places]


def _windows(stretches: list[np.ndarray], length: int, stride: int) -> Windows:
    views = [np.lib.stride_tricks.sliding_window_view(part, length + 1)[::stride] for part in stretches]
    both = np.concatenate(views)
    return Windows(np.ascontiguousarray(both[:, :-1]), np.ascontiguousarray(both[:, 1:]))


def _whole(argument: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ArgumentError(f"text: {argument} must be a positive integer, got {value!r}")
    return int(value)
