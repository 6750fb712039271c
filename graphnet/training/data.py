"""Batches: arrays in seeded random order, or whatever a Python generator gives."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

import numpy as np

from graphnet.errors import ArgumentError, DataError
from graphnet.training.augmentation import Transform
from graphnet.training.prefetch import Prefetched

Batch: TypeAlias = "tuple[np.ndarray, ...]"


class DataLoader:
    """Batches of arrays that share their first axis: `for images, labels in DataLoader((x, y), batch_size=64)`.

    source: an array, a tuple of arrays, or a function without arguments that gives an iterable of batches, such as a
    generator function; it is called once an epoch, and makes its own batches and order.
    shuffle: a new order each epoch that depends on `seed` and the number of the epoch alone, so that a run that
    continues from `state_dict()` sees the batches it would have seen. The last batch is short, or left out where
    `drop_last`. transform: a function (rng, *arrays) to arrays that changes each batch, such as
    `gn.training.random_shift(2)`; its random numbers depend on `seed` and the epoch too. prefetch: how many batches are
    made ahead on a thread while the caller works; 0 makes each when it is asked for. Order and bits are the same.
    Raises `DataError` for arrays of different lengths, none at all, or floats that are not finite.
    """

    def __init__(
        self,
        source: np.ndarray | Sequence[np.ndarray] | Callable[[], Iterable[object]],
        batch_size: int | None = None,
        shuffle: bool = False,
        *,
        seed: int = 0,
        drop_last: bool = False,
        transform: Transform | None = None,
        prefetch: int = 0,
    ) -> None:
        self.epoch = 0
        self.prefetch = _whole("prefetch", prefetch, 0)
        self.shuffle, self.seed, self.drop_last = bool(shuffle), _whole("seed", seed, 0), bool(drop_last)
        self.transform = transform
        self._function: Callable[[], Iterable[object]] | None = None
        self.arrays: Batch = ()
        if callable(source):
            if batch_size is not None or shuffle or drop_last or transform is not None:
                own = "batch_size, shuffle, drop_last, transform"
                raise ArgumentError(f"DataLoader: a function makes its own batches: no {own}")
            self._function = source
            return
        self.batch_size = _whole("batch_size", 1 if batch_size is None else batch_size, 1)
        self.arrays = _checked_arrays(source)
        if not len(self):
            raise DataError(
                f"DataLoader: {self.examples} examples make no full batch of {self.batch_size}, and drop_last is set"
            )

    @property
    def examples(self) -> int:
        """How many examples the arrays hold."""
        return len(self.arrays[0])

    @property
    def batches(self) -> int | None:
        """How many batches an epoch has; None where a function decides."""
        if self._function is not None:
            return None
        whole, rest = divmod(self.examples, self.batch_size)
        return whole + (rest > 0 and not self.drop_last)

    def __len__(self) -> int:
        if self.batches is None:
            raise TypeError("a DataLoader over a function does not know how many batches it will give")
        return self.batches

    def __iter__(self) -> Iterator[Batch]:
        """The batches of one more epoch."""
        epoch, self.epoch = self.epoch, self.epoch + 1
        batches = self._slices(epoch) if self._function is None else self._generated(self._function)
        return Prefetched(batches, self.prefetch) if self.prefetch else batches

    def _slices(self, epoch: int) -> Generator[Batch, None, None]:
        rng = np.random.Generator(np.random.Philox([self.seed, epoch]))
        order = rng.permutation(self.examples) if self.shuffle else None
        for index in range(len(self)):
            rows = slice(index * self.batch_size, (index + 1) * self.batch_size)
            batch = tuple(array[rows] if order is None else array[order[rows]] for array in self.arrays)
            yield batch if self.transform is None else self.transform(rng, *batch)

    @staticmethod
    def _generated(function: Callable[[], Iterable[object]]) -> Generator[Batch, None, None]:
        for position, batch in enumerate(function()):
            parts = batch if isinstance(batch, (tuple, list)) else (batch,)
            try:
                yield _checked_arrays([np.asarray(part) for part in parts])
            except DataError as error:
                raise DataError(f"batch {position} from the generator: {error.problem}") from None

    def state_dict(self) -> dict[str, int]:
        """What a run needs to continue: the number of epochs begun, and the seed."""
        return {"epoch": self.epoch, "seed": self.seed}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Continue after the epochs that `state` has begun."""
        if set(state) != {"epoch", "seed"}:
            raise ArgumentError(f"DataLoader: expected a state with 'epoch' and 'seed', got {sorted(state)}")
        self.epoch, self.seed = _whole("epoch", state["epoch"], 0), _whole("seed", state["seed"], 0)


def _whole(argument: str, value: object, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ArgumentError(f"DataLoader: {argument} must be an integer >= {least}, got {value!r}")
    return int(value)


def _checked_arrays(source: np.ndarray | Sequence[np.ndarray]) -> Batch:
    arrays = tuple(source) if isinstance(source, (tuple, list)) else (source,)
    if not arrays:
        raise DataError("DataLoader: got no arrays")
    for position, array in enumerate(arrays):
        if not isinstance(array, np.ndarray) or array.ndim == 0 or array.dtype.kind not in "fiub":
            shown = f"{array.dtype} of shape {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
            raise DataError(f"DataLoader: array {position} must be a NumPy array of numbers, with axes, got {shown}")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
            raise DataError(f"DataLoader: array {position} holds {array[where]} at index {where}")
    lengths = [len(array) for array in arrays]
    if len(set(lengths)) > 1 or not lengths[0]:
        raise DataError(f"DataLoader: arrays must have the same number of examples, at least one, got {lengths}")
    return arrays
