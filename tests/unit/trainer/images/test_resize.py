"""The graph's resizing against Pillow's, and what training takes for it."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from headrace.artifacts.signature import Input
from headrace.trainer.images.resize import Resizer

SIZES = [(1, 1), (2, 3), (7, 5), (223, 225), (256, 256), (3, 2_000), (640, 481), (64, 48)]


@pytest.mark.parametrize(("high", "wide"), SIZES)
@pytest.mark.parametrize(("height", "width"), [(64, 48), (33, 224)])
def test_it_is_bilinear_with_a_filter_as_wide_as_needed(high: int, wide: int, height: int, width: int) -> None:
    pixels = np.random.default_rng(high).integers(0, 256, (high, wide, 3), dtype=np.uint8)
    resized = Resizer(Input("image", "image", height=height, width=width))(pixels)
    pillow = np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR))
    assert (resized.dtype, resized.shape) == (np.uint8, (height, width, 3))
    assert np.abs(resized.astype(int) - pillow).max() <= 1


def test_a_picture_of_the_size_is_left_as_it_is() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    assert Resizer(Input("image", "image", height=48, width=64))(pixels) is pixels


def test_a_thin_line_is_not_lost() -> None:
    pixels = np.zeros((700, 700, 3), np.uint8)
    pixels[:, 351] = 255
    resized = Resizer(Input("image", "image", height=70, width=70))(pixels)
    light = resized.astype(int).sum(axis=1)  # a tenth of it: as much as the new pixels are fewer
    assert (np.abs(light - 25.5) <= 2).all()
