"""Changes to images that keep their meaning: a `DataLoader`'s `transform`, so that no epoch shows the same twice.

Each takes (rng, images, *others) and gives images, *others: images are (N, ..., height, width), the others stay as
they are. All random numbers come from `rng`, and which are drawn depends on the images' shape alone.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from graphnet.errors import ArgumentError, ShapeError

Transform = Callable[..., "tuple[np.ndarray, ...]"]


def random_shift(pixels: int) -> Transform:
    """Shifts every image by up to `pixels` along each side, all shifts equally likely; what comes in is zeros.

    The first array of a batch holds the images, (N, ..., height, width); the others stay as they are.
    """
    if isinstance(pixels, bool) or not isinstance(pixels, int) or pixels < 1:
        raise ArgumentError(f"random_shift: pixels must be a positive integer, got {pixels!r}")

    def shift(rng: np.random.Generator, images: np.ndarray, *others: np.ndarray) -> tuple[np.ndarray, ...]:
        height, width = _sides("random_shift", images)
        return _cropped(rng, images, pixels, height, width), *others

    return shift


def random_crop(size: int | tuple[int, int] | None = None, padding: int = 0) -> Transform:
    """Cuts `size` (a side, or height and width) out of every image with `padding` zeros around, anywhere.

    size: None keeps the images' own, as is usual with padding. All places are equally likely. As
    `torchvision.transforms.RandomCrop`, but each image of a batch is cut at a place of its own.
    """
    wanted = None if size is None else _pair("random_crop", size)
    padding = _whole("random_crop", "padding", padding, 0)

    def crop(rng: np.random.Generator, images: np.ndarray, *others: np.ndarray) -> tuple[np.ndarray, ...]:
        sides = _sides("random_crop", images)
        height, width = wanted or sides
        if height > sides[0] + 2 * padding or width > sides[1] + 2 * padding:
            there = f"{sides[0]} by {sides[1]} with a padding of {padding}"
            raise ShapeError(f"random_crop: cannot cut {height} by {width} out of images of {there}")
        return _cropped(rng, images, padding, height, width), *others

    return crop


def random_flip(probability: float = 0.5, *, vertical: bool = False) -> Transform:
    """Mirrors each image with this probability: left and right change places, or top and bottom where `vertical`."""
    probability = _probability("random_flip", probability)

    def flip(rng: np.random.Generator, images: np.ndarray, *others: np.ndarray) -> tuple[np.ndarray, ...]:
        _sides("random_flip", images)
        chosen = rng.random(len(images)) < probability
        flipped = images.copy()
        flipped[chosen] = np.flip(images[chosen], -2 if vertical else -1)
        return flipped, *others

    return flip


def cutout(size: int, probability: float = 1.0) -> Transform:
    """Sets a square of `size` pixels a side to zero, its middle anywhere in the image: part of it may lie outside.

    DeVries and Taylor, "Improved regularization of convolutional neural networks with cutout", 2017. The square of an
    even size has one row and one column more before its middle than behind.
    """
    size, probability = _whole("cutout", "size", size, 1), _probability("cutout", probability)

    def cut(rng: np.random.Generator, images: np.ndarray, *others: np.ndarray) -> tuple[np.ndarray, ...]:
        height, width = _sides("cutout", images)
        rows, columns = rng.integers(0, height, len(images)), rng.integers(0, width, len(images))
        chosen = rng.random(len(images)) < probability
        inside = chosen[:, np.newaxis, np.newaxis] & (
            _near(rows, height, size)[:, :, np.newaxis] & _near(columns, width, size)[:, np.newaxis]
        )
        keep = ~inside.reshape(len(images), *[1] * (images.ndim - 3), height, width)
        return images * keep, *others

    return cut


def compose(*transforms: Transform) -> Transform:
    """One transform that does these, in this order."""
    for transform in transforms:
        if not callable(transform):
            raise ArgumentError(f"compose: expected functions (rng, *arrays), got {transform!r}")

    def composed(rng: np.random.Generator, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        for transform in transforms:
            arrays = transform(rng, *arrays)
        return arrays

    return composed


def alike(transform: Transform) -> Transform:
    """`transform` of all arrays whose height and width are the first one's, with the same random numbers for each.

    For targets that are images too: what is moved stays with what it belongs to.
    """
    if not callable(transform):
        raise ArgumentError(f"alike: expected a function (rng, *arrays), got {transform!r}")

    def together(rng: np.random.Generator, images: np.ndarray, *others: np.ndarray) -> tuple[np.ndarray, ...]:
        before, sides = rng.bit_generator.state, _sides("alike", images)
        changed = list(transform(rng, images))
        after = rng.bit_generator.state
        for other in others:
            if other.ndim >= 3 and other.shape[-2:] == sides:
                rng.bit_generator.state = before
                changed += transform(rng, other)
            else:
                changed.append(other)
        rng.bit_generator.state = after
        return tuple(changed)

    return together


def _cropped(rng: np.random.Generator, images: np.ndarray, padding: int, height: int, width: int) -> np.ndarray:
    """A part (height, width) of each image with zeros around, from a place of its own."""
    across = [(0, 0)] * (images.ndim - 2) + [(padding, padding)] * 2
    # Every place that a part may be taken from: (N, ..., places down, places across, height, width).
    places = np.lib.stride_tricks.sliding_window_view(np.pad(images, across), (height, width), axis=(-2, -1))
    limits = [[count] for count in places.shape[-4:-2]]
    down, right = rng.integers(0, limits, (2, len(images)))
    return np.ascontiguousarray(places[np.arange(len(images)), ..., down, right, :, :])


def _near(middles: np.ndarray, length: int, size: int) -> np.ndarray:
    """(N, length): which places belong to the stretch of `size` around each middle."""
    first = (middles - size // 2)[:, np.newaxis]
    places = np.arange(length)
    return (places >= first) & (places < first + size)


def _sides(name: str, images: np.ndarray) -> tuple[int, int]:
    if images.ndim < 3:
        raise ShapeError(f"{name}: images must be (N, ..., height, width), got {images.shape}")
    return images.shape[-2], images.shape[-1]


def _pair(name: str, size: object) -> tuple[int, int]:
    sides = size if isinstance(size, (tuple, list)) and len(size) == 2 else (size, size)
    return _whole(name, "size", sides[0], 1), _whole(name, "size", sides[1], 1)


def _whole(name: str, argument: str, value: object, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        wanted = "a positive integer" if least == 1 else f"an integer >= {least}"
        raise ArgumentError(f"{name}: {argument} must be {wanted}, got {value!r}")
    return int(value)


def _probability(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not 0 <= value <= 1:
        raise ArgumentError(f"{name}: probability must be between 0 and 1, got {value!r}")
    return float(value)
