"""Augmentation: what it does to pictures, that it can be repeated, and that it is only for training."""

from __future__ import annotations

import numpy as np
import pytest

from headrace.trainer.parameters import Augment

STILL = Augment(flip="none", rotate=0, zoom=0, shift=0, brightness=0, contrast=0)


def varied(augment: Augment, pixels: np.ndarray, seed: int = 0, training: bool = True) -> np.ndarray:
    from headrace.trainer.images.augment import Augmentation

    return np.asarray(Augmentation(augment, seed)(pixels, training=training))


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (32, 12, 16, 3)).astype(np.float32)


def test_nothing_is_varied_outside_of_training_or_where_nothing_is_asked_for(pixels: np.ndarray) -> None:
    np.testing.assert_array_equal(varied(Augment(), pixels, training=False), pixels)
    np.testing.assert_array_equal(varied(STILL, pixels), pixels)


@pytest.mark.parametrize("turned", [0.0, 1e-7], ids=["moved", "resampled"])
@pytest.mark.parametrize("flip", ["horizontal", "vertical", "both"])
def test_a_flip_moves_pixels_and_changes_none(flip: str, turned: float, pixels: np.ndarray) -> None:
    from dataclasses import replace

    asked = replace(STILL, flip=flip, rotate=turned)
    got = varied(asked, pixels)
    sides = {"horizontal": (2,), "vertical": (1,), "both": (1, 2)}[flip]
    ways = [pixels, *(np.flip(pixels, side) for side in sides)] + ([np.flip(pixels, sides)] if len(sides) > 1 else [])
    far = np.stack([np.abs(got - way).max(axis=(1, 2, 3)) for way in ways])
    assert far.min(axis=0).max() < 0.1
    assert set(far.argmin(axis=0)) == set(range(len(ways)))  # and each way comes up


def test_a_turn_is_about_the_centre_and_to_both_sides() -> None:
    from dataclasses import replace

    bar = np.zeros((64, 33, 33, 3), np.float32)
    bar[:, 16, :] = 200
    got = varied(replace(STILL, rotate=20), bar)[..., 0]
    assert np.abs(got[:, 16, 16] - 200).max() < 1
    heights = got[:, :, 28].argmax(axis=1) - 16  # where the bar is, 12 to the right of the centre
    assert heights.min() <= -2 and heights.max() >= 2 and np.abs(heights).max() <= np.ceil(12 * np.tan(np.radians(20)))


def test_light_stays_within_the_range_and_within_what_is_asked_for(pixels: np.ndarray) -> None:
    from dataclasses import replace

    got = varied(replace(STILL, brightness=0.2), np.full_like(pixels, 100.0))
    moved = got[:, 0, 0, 0] - 100
    assert np.abs(moved).max() <= 0.2 * 255 and moved.min() < -10 and moved.max() > 10
    got = varied(replace(STILL, brightness=0.5, contrast=0.9), pixels)
    assert got.min() >= 0 and got.max() <= 255 and got.std() > 0


def test_the_same_seed_varies_alike_and_the_next_call_otherwise(pixels: np.ndarray) -> None:
    from headrace.trainer.images.augment import Augmentation

    layer = Augmentation(Augment(), 3)
    first, second = np.asarray(layer(pixels, training=True)), np.asarray(layer(pixels, training=True))
    assert np.abs(first - second).max() > 1
    np.testing.assert_array_equal(first, varied(Augment(), pixels, seed=3))
    assert np.abs(first - varied(Augment(), pixels, seed=4)).max() > 1
