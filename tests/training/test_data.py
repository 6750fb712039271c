"""Batches: order, seeds, short batches, generators, bad data."""

from __future__ import annotations

import numpy as np
import pytest

from graphnet.errors import ArgumentError, DataError, ShapeError
from graphnet.training import DataLoader, random_shift

X, Y = np.arange(20.0).reshape(10, 2), np.arange(10)


def _labels(loader):
    return [labels.tolist() for _, labels in loader]


def test_batches_come_in_order_and_the_last_is_short():
    loader = DataLoader((X, Y), batch_size=4)
    assert _labels(loader) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]] and len(loader) == 3
    assert _labels(DataLoader((X, Y), batch_size=4, drop_last=True)) == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_shuffling_keeps_rows_together_and_differs_by_epoch_and_seed():
    loader = DataLoader((X, Y), batch_size=4, shuffle=True, seed=1)
    for images, labels in loader:
        assert (images[:, 0] == 2 * labels).all()
    first, second = _labels(loader), _labels(loader)
    assert first != second and sorted(label for batch in first for label in batch) == list(range(10))
    assert _labels(DataLoader((X, Y), 4, True, seed=2)) != _labels(DataLoader((X, Y), 4, True, seed=1))


def test_a_resumed_loader_continues():
    whole = DataLoader((X, Y), batch_size=4, shuffle=True, seed=1)
    epochs = [_labels(whole) for _ in range(4)]
    first = DataLoader((X, Y), batch_size=4, shuffle=True, seed=1)
    _labels(first), _labels(first)
    second = DataLoader((X, Y), batch_size=4, shuffle=True)
    second.load_state_dict(first.state_dict())
    assert [_labels(second), _labels(second)] == epochs[2:]
    with pytest.raises(ArgumentError, match="expected a state"):
        second.load_state_dict({"epoch": 3})


def test_a_generator_function_makes_its_own_batches_each_epoch():
    def batches():
        yield X[:3], Y[:3]
        yield X[3:4], Y[3:4]

    loader = DataLoader(batches)
    assert _labels(loader) == [[0, 1, 2], [3]] == _labels(loader)
    assert loader.batches is None
    with pytest.raises(TypeError, match="does not know"):
        len(loader)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: DataLoader((X, Y[:9])), DataError, r"same number of examples.*\[10, 9\]"),
        (lambda: DataLoader((X[:0], Y[:0])), DataError, "at least one"),
        (lambda: DataLoader(()), DataError, "no arrays"),
        (lambda: DataLoader((X, ["a"] * 10)), DataError, "array 1 must be a NumPy array .*, got list"),
        (lambda: DataLoader((X, np.array(["a"] * 10))), DataError, "array 1 must be a NumPy array of numbers"),
        (lambda: DataLoader(3.0), DataError, "array 0 must be a NumPy array .*, got float"),
        (lambda: DataLoader((np.where(X == 7, np.nan, X), Y)), DataError, r"array 0 holds nan at index \(3, 1\)"),
        (lambda: DataLoader((X, Y), batch_size=0), ArgumentError, "batch_size must be an integer >= 1"),
        (lambda: DataLoader((X, Y), batch_size=2.5), ArgumentError, "batch_size"),
        (lambda: DataLoader((X, Y), batch_size=11, drop_last=True), DataError, "10 examples make no full batch of 11"),
        (lambda: DataLoader(lambda: [], batch_size=3), ArgumentError, "makes its own batches"),
        (lambda: list(DataLoader(lambda: [(X, Y[:3])])), DataError, "batch 0 from the generator"),
    ],
)
def test_bad_data_is_named(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_random_shifts_move_images_and_leave_labels():
    images, labels = np.zeros((200, 1, 5, 6), np.float32), np.arange(200)
    images[:, 0, 2, 3] = 1 + labels
    shifted, same = random_shift(2)(np.random.default_rng(0), images, labels)
    assert same is labels and shifted.shape == images.shape and shifted.dtype == images.dtype
    number, _, row, column = np.nonzero(shifted)
    np.testing.assert_array_equal(number, labels)
    np.testing.assert_array_equal(shifted[number, 0, row, column], images.max(axis=(1, 2, 3)))
    assert set(zip(row, column, strict=True)) == {(r, c) for r in range(5) for c in range(1, 6)}


def test_what_is_shifted_out_is_gone_and_zeros_come_in():
    shifted, *_ = random_shift(1)(np.random.default_rng(0), np.ones((50, 2, 2), np.float32))
    assert {int(image.sum()) for image in shifted} == {1, 2, 4}


def test_a_transform_sees_each_batch_and_depends_on_seed_and_epoch_alone():
    images, labels = np.random.default_rng(0).random((10, 4, 4), np.float32), np.arange(10)

    def loader(seed):
        return DataLoader((images, labels), 4, shuffle=True, seed=seed, transform=random_shift(1))

    first, second, other = loader(0), loader(0), loader(1)
    epochs = [[np.concatenate([batch[0] for batch in run]) for _ in range(2)] for run in (first, second, other)]
    np.testing.assert_array_equal(epochs[0], epochs[1])
    assert (epochs[0][0] != epochs[0][1]).any() and (epochs[0][0] != epochs[2][0]).any()


def test_wrong_shifts_are_told():
    with pytest.raises(ArgumentError, match="pixels must be a positive integer, got 0"):
        random_shift(0)
    with pytest.raises(ShapeError, match=r"height, width\), got \(3, 4\)"):
        random_shift(1)(np.random.default_rng(0), np.zeros((3, 4)))
