"""Normalization: what is fitted, what is applied, and that it survives a file."""

from __future__ import annotations

import json

import numpy as np
import pytest

from graphnet.errors import ArgumentError, DataError, ShapeError
from graphnet.training import Normalization

IMAGES = np.random.default_rng(0).random((2100, 3, 4, 5), np.float32) * np.array([1, 5, 0], np.float32).reshape(3, 1, 1)


def test_the_mean_image_is_taken_away():
    fitted = Normalization.fit(IMAGES, "mean-image")
    np.testing.assert_allclose(fitted(IMAGES), IMAGES - IMAGES.mean(axis=0, dtype=np.float64), atol=1e-6)
    np.testing.assert_allclose(fitted(IMAGES).mean(axis=0), 0, atol=1e-5)
    assert fitted(IMAGES).dtype == np.float32 and fitted.mean.shape == (3, 4, 5)


def test_each_channel_gets_mean_0_and_deviation_1_and_a_constant_one_stays_finite():
    fitted = Normalization.fit(IMAGES, "per-channel")
    assert fitted.mean.shape == fitted.deviation.shape == (3, 1, 1)
    np.testing.assert_allclose(fitted.deviation[:2, 0, 0], IMAGES.std(axis=(0, 2, 3), dtype=np.float64)[:2], rtol=1e-6)
    found = fitted(IMAGES)
    np.testing.assert_allclose(found.mean(axis=(0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(found.std(axis=(0, 2, 3)), [1, 1, 0], atol=1e-5)


def test_features_are_channels():
    fitted = Normalization.fit(IMAGES.reshape(2100, -1), "per-channel")
    assert fitted.mean.shape == (60,) and abs(fitted(IMAGES.reshape(2100, -1)).mean()) < 1e-5


def test_new_images_are_moved_by_what_was_fitted():
    fitted = Normalization.fit(IMAGES[:100], "per-channel")
    one = fitted(IMAGES[100:])[7]
    np.testing.assert_array_equal(one, fitted(IMAGES[107:108])[0])


@pytest.mark.parametrize("kind", ["mean-image", "per-channel"])
def test_it_survives_a_file_to_the_bit(kind):
    fitted = Normalization.fit(IMAGES, kind)
    again = Normalization.from_json(json.loads(json.dumps(fitted.to_json())))
    np.testing.assert_array_equal(again(IMAGES), fitted(IMAGES))
    assert (again.kind, again.shape) == (kind, (3, 4, 5))


@pytest.mark.parametrize(
    "change",
    [{"kind": "max"}, {"shape": [4, 3]}, {"shape": []}, {"shape": "abc"}, {"mean": [0.0]}, {"mean": None},
     {"deviation": [1.0, 1.0, 0.0]}, {"deviation": [1.0, 1.0, float("nan")]}, {"mean": ["a", "b", "c"]}],
)  # fmt: skip
def test_what_is_no_normalization_is_told(change):
    saved = Normalization.fit(IMAGES, "per-channel").to_json()
    with pytest.raises(DataError, match="what is saved is no normalization"):
        Normalization.from_json({**saved, **change})
    del saved["mean"]
    with pytest.raises(DataError, match="what is saved is no normalization"):
        Normalization.from_json(saved)


def test_wrong_arguments_are_told():
    with pytest.raises(ArgumentError, match="expected one of mean-image, per-channel, got 'z'"):
        Normalization.fit(IMAGES, "z")
    for images in (np.zeros(3), np.zeros((0, 3, 4, 5)), [1], np.array([["a"]])):
        with pytest.raises(ShapeError, match=r"images must be \(N, channels, ...\)"):
            Normalization.fit(images, "mean-image")
    with pytest.raises(DataError, match="NaN or infinity"):
        Normalization.fit(np.full((2, 2), np.nan), "mean-image")
    with pytest.raises(ShapeError, match=r"fitted to images of \(3, 4, 5\), got \(1, 4, 5\)"):
        Normalization.fit(IMAGES, "mean-image")(IMAGES[:, :1])
