"""Random changes to images: what moves, what stays, how likely, and from which random numbers."""

from __future__ import annotations

import numpy as np
import pytest

from graphnet.errors import ArgumentError, ShapeError
from graphnet.training import DataLoader, alike, compose, cutout, random_crop, random_flip, random_shift

IMAGES = 1 + np.arange(400 * 2 * 5 * 6, dtype=np.float32).reshape(400, 2, 5, 6)
LABELS = np.arange(400)


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize(
    "transform",
    [random_shift(1), random_flip(), random_flip(vertical=True), random_crop(padding=2), random_crop((4, 3)),
     cutout(3), compose(random_flip(), cutout(2)), alike(random_flip())],
)  # fmt: skip
def test_every_change_leaves_its_input_and_the_labels_and_follows_the_seed(transform):
    before = IMAGES.copy()
    first, labels = transform(rng(), IMAGES, LABELS)
    again, other = transform(rng(), IMAGES)[0], transform(rng(1), IMAGES)[0]
    np.testing.assert_array_equal(IMAGES, before)
    np.testing.assert_array_equal(first, again)
    assert labels is LABELS and first.dtype == np.float32 and first.flags.c_contiguous and (first != other).any()
    assert set(np.unique(first)) <= {0.0, *np.unique(IMAGES)}


@pytest.mark.parametrize(("vertical", "axis"), [(False, -1), (True, -2)])
def test_flips_mirror_the_share_that_was_asked_for(vertical, axis):
    flipped = random_flip(0.3, vertical=vertical)(rng(), IMAGES)[0]
    mirrored = (flipped == np.flip(IMAGES, axis)).all(axis=(1, 2, 3))
    assert ((flipped == IMAGES).all(axis=(1, 2, 3)) ^ mirrored).all() and 0.2 < mirrored.mean() < 0.4
    assert (random_flip(0)(rng(), IMAGES)[0] == IMAGES).all()
    assert (random_flip(1)(rng(), IMAGES)[0] == IMAGES[..., ::-1]).all()


def test_crops_are_windows_of_the_padded_image_from_everywhere():
    images = np.pad(IMAGES, ((0, 0), (0, 0), (1, 1), (1, 1)))
    cropped = random_crop((4, 3), padding=1)(rng(), IMAGES)[0]
    assert cropped.shape == (400, 2, 4, 3)
    seen = set()
    for image, part in zip(images, cropped, strict=True):
        places = [(r, c) for r in range(4) for c in range(6) if (image[:, r : r + 4, c : c + 3] == part).all()]
        assert len(places) == 1
        seen.update(places)
    assert seen == {(r, c) for r in range(4) for c in range(6)}
    assert random_crop(padding=2)(rng(), IMAGES)[0].shape == IMAGES.shape


def test_a_shift_is_a_crop_of_the_padded_image():
    np.testing.assert_array_equal(random_shift(2)(rng(), IMAGES)[0], random_crop(padding=2)(rng(), IMAGES)[0])


@pytest.mark.parametrize("size", [1, 2, 3, 20])
def test_cutout_zeroes_a_square_around_any_pixel(size):
    cut = cutout(size)(rng(), IMAGES)[0]
    assert ((cut == IMAGES) | (cut == 0)).all() and (cut[:, 0] == 0).tolist() == (cut[:, 1] == 0).tolist()
    seen = set()
    for image in cut[:, 0]:
        rows, columns = np.nonzero(image == 0)
        top, left = rows.min(), columns.min()
        assert len(rows) == (rows.max() - top + 1) * (columns.max() - left + 1) <= size * size
        assert rows.max() - top < size and columns.max() - left < size
        seen.add((top, left))
    assert size > 1 or seen == {(r, c) for r in range(5) for c in range(6)}
    part = cutout(2, probability=0.25)(rng(), IMAGES)[0]
    assert 0.15 < (part == 0).any(axis=(1, 2, 3)).mean() < 0.35


def test_alike_moves_masks_with_their_images_and_goes_on_with_new_numbers():
    masks, transform = IMAGES[:, 0].astype(np.int64), alike(compose(random_shift(2), random_flip(), cutout(2)))
    random = rng()
    images, moved, labels = transform(random, IMAGES, masks, LABELS)
    np.testing.assert_array_equal(images[:, 0], moved)
    assert moved.dtype == np.int64 and labels is LABELS
    plain = rng()
    compose(random_shift(2), random_flip(), cutout(2))(plain, IMAGES)
    assert plain.bit_generator.state == random.bit_generator.state


def test_compose_does_one_after_the_other():
    both = compose(random_flip(1), random_flip(1, vertical=True))
    np.testing.assert_array_equal(both(rng(), IMAGES)[0], IMAGES[..., ::-1, ::-1])
    assert compose()(rng(), IMAGES)[0] is IMAGES


def test_a_loader_draws_by_seed_and_epoch():
    def epochs(seed):
        loader = DataLoader((IMAGES, LABELS), 100, shuffle=True, seed=seed, transform=random_flip())
        return [np.concatenate([images for images, _ in loader]) for _ in range(2)]

    first, second, other = epochs(0), epochs(0), epochs(1)
    np.testing.assert_array_equal(first, second)
    assert (first[0] != first[1]).any() and (first[0] != other[0]).any()


@pytest.mark.parametrize(
    ("make", "error", "said"),
    [
        (lambda: random_flip(1.5), ArgumentError, "random_flip: probability must be between 0 and 1, got 1.5"),
        (lambda: random_flip(float("nan")), ArgumentError, "between 0 and 1, got nan"),
        (lambda: random_crop(0), ArgumentError, "random_crop: size must be a positive integer, got 0"),
        (lambda: random_crop(2, padding=-1), ArgumentError, "padding must be an integer >= 0, got -1"),
        (lambda: random_crop((2, 2, 2)), ArgumentError, "size must be a positive integer"),
        (lambda: cutout(True), ArgumentError, "cutout: size must be a positive integer, got True"),
        (lambda: compose(random_flip(), 3), ArgumentError, r"compose: expected functions \(rng, \*arrays\), got 3"),
        (lambda: alike(None), ArgumentError, "alike: expected a function"),
        (lambda: random_crop(9, 1)(rng(), IMAGES), ShapeError, "cannot cut 9 by 9 out of images of 5 by 6 with a pad"),
        (lambda: random_flip()(rng(), LABELS), ShapeError, r"random_flip: images must be .*, got \(400,\)"),
        (lambda: cutout(2)(rng(), LABELS), ShapeError, r"cutout: images must be"),
    ],
)
def test_wrong_arguments_are_told(make, error, said):
    with pytest.raises(error, match=said):
        make()
