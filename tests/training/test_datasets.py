"""The embedded digits."""

from __future__ import annotations

import numpy as np
import pytest

from graphnet.errors import ArgumentError
from graphnet.training import digits

pytest.importorskip("sklearn")


def test_digits_are_images_and_labels_apart_for_training_and_testing():
    data = digits()
    assert data.train.images.shape == (1438, 1, 28, 28) and data.test.images.shape == (359, 1, 28, 28)
    assert data.train.images.dtype == np.float32 and data.train.labels.dtype == np.int64
    assert data.train.images.min() == 0 and data.train.images.max() == 1
    assert set(data.test.labels) == set(range(10))


def test_the_split_is_the_same_on_every_run_and_disjoint():
    first, second = digits(), digits()
    np.testing.assert_array_equal(first.test.images, second.test.images)
    assert (digits(seed=1).test.labels != first.test.labels).any()
    everything = np.concatenate([first.train.images, first.test.images]).reshape(1797, -1)
    assert len(np.unique(everything, axis=0)) == 1797


def test_images_are_enlarged_as_torch_interpolates_with_mnists_margin():
    torch = pytest.importorskip("torch")
    small, big = digits(8).test.images, digits(28).test.images
    wanted = torch.nn.functional.interpolate(torch.tensor(small), size=20, mode="bilinear", align_corners=False)
    np.testing.assert_allclose(big, np.pad(wanted.numpy(), ((0, 0), (0, 0), (4, 4), (4, 4))), atol=1e-6)
    assert small.shape == (359, 1, 8, 8) and digits(13).test.images.shape == (359, 1, 13, 13)


def test_a_size_too_small_is_refused():
    with pytest.raises(ArgumentError, match="size must be an integer >= 8"):
        digits(7)
