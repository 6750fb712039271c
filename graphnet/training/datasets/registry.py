"""Data sets by name."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from graphnet.errors import ArgumentError
from graphnet.training.datasets.base import Dataset, Text
from graphnet.training.datasets.bundled import digits
from graphnet.training.datasets.cifar import CIFAR10, CIFAR100, cifar
from graphnet.training.datasets.download import fetch
from graphnet.training.datasets.files import Path
from graphnet.training.datasets.idx import mnist_like
from graphnet.training.datasets.language import text
from graphnet.training.datasets.pictures import image_folder
from graphnet.training.datasets.plain import arrays

DIGITS = tuple("0123456789")
_FASHION = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")


@dataclass(frozen=True)
class Source:
    """How a data set is read. place: whether it needs data_dir. base, files: where it is from, and the MD5 of each."""

    read: Callable[..., Dataset | Text]
    place: str = ""
    options: tuple[str, ...] = ()
    base: str = ""
    files: Mapping[str, str] = field(default_factory=dict)


def _digits(data_dir: None, size: int = 28, seed: int = 0) -> Dataset:
    return Dataset(*digits(size, seed=seed), DIGITS)


def _text(data_dir: Path | None, **options: Any) -> Text:
    return text(path=data_dir, **options)


# The checksums are those that the publishers give (CIFAR's page, Fashion-MNIST's README), for MNIST, whose page gives
# none, those that PyTorch's torchvision checks. MNIST is loaded from the copy of the Common Visual Data Foundation.
SOURCES = {
    "digits": Source(_digits, options=("size", "seed")),
    "text": Source(_text, "a text file, or none for the bundled text", ("length", "stride", "alphabet")),
    "mnist": Source(
        lambda folder: mnist_like(folder, DIGITS), "the folder with its four files",
        base="https://storage.googleapis.com/cvdf-datasets/mnist/",
        files={
            "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
            "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
            "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
        },
    ),
    "fashion-mnist": Source(
        lambda folder: mnist_like(folder, _FASHION), "the folder with its four files",
        base="http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        files={
            "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
            "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
            "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
        },
    ),
    "cifar10": Source(
        lambda folder: cifar(CIFAR10, folder), f"the folder with {CIFAR10.archive}, or what is in it",
        base="https://www.cs.toronto.edu/~kriz/", files={CIFAR10.archive: "c32a1d4ab5d03f1284b67883e8d87530"},
    ),
    "cifar100": Source(
        lambda folder: cifar(CIFAR100, folder), f"the folder with {CIFAR100.archive}, or what is in it",
        base="https://www.cs.toronto.edu/~kriz/", files={CIFAR100.archive: "03b5dce01913d631647c71ecec9e9cb8"},
    ),
    "folder": Source(
        image_folder, "a folder with a folder of pictures for each class", ("size", "channels", "test_share", "seed")
    ),
    "arrays": Source(arrays, "an .npz file, or a folder of .npy files", ("test_share", "seed")),
}  # fmt: skip


def load(name: str, data_dir: Path | None = None, *, download: bool = False, **options: Any) -> Dataset | Text:
    """The data set called `name`: what is in `data_dir`, or bundled ("digits", "text"), as `.train` and `.test`.

    "mnist" and "fashion-mnist" (IDX files, or .gz), "cifar10" and "cifar100" (the binary version), "folder" (pictures,
    see `image_folder`), "arrays" (see `arrays`), "text" (see `text`; data_dir is then the file). options: those of the
    function that reads it. download: get the files of MNIST, Fashion-MNIST or CIFAR into `data_dir` where they are not
    there, checksums checked (needs `pip install 'graphnet[data]'`).
    Raises `ArgumentError` for a name or an option that is not known, and `DataError` for files that are missing or
    damaged.
    """
    source = SOURCES.get(name) if isinstance(name, str) else None
    if source is None:
        raise ArgumentError(f"load: expected one of {', '.join(SOURCES)}, got {name!r}")
    if unknown := [option for option in options if option not in source.options]:
        known = f"has {', '.join(source.options)}" if source.options else "has none"
        raise ArgumentError(f"load: {name} {known}: got the option {unknown[0]!r}")
    if data_dir is None and source.place and name != "text":
        raise ArgumentError(f"load: {name} needs data_dir, {source.place}")
    if data_dir is not None and not source.place:
        raise ArgumentError(f"load: {name} is bundled and takes no data_dir, got {os.fspath(data_dir)!r}")
    if download:
        if not source.files or data_dir is None:
            raise ArgumentError(f"load: {name} cannot be downloaded")
        for file, checksum in source.files.items():
            fetch(source.base + file, os.path.join(os.fspath(data_dir), file), f"md5:{checksum}")
    return source.read(data_dir, **options)
