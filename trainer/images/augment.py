"""Varies pictures while training: one layer, one resampling for all that moves pixels.

Where neither turning, zooming nor shifting is asked for, a flip moves pixels exactly, and nothing is blurred.
"""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from headrace.trainer.parameters import Augment


class Augmentation(keras.layers.Layer):  # type: ignore[misc] # Keras has no types
    """Pixel values float32 [N, H, W, 3], of 0 to 255 -> varied ones, each picture in its own way.

    Its random stream is a variable of the model: it is a part of what a checkpoint holds.
    """

    def __init__(self, augment: Augment, seed: int, **kwargs: Any) -> None:
        super().__init__(dtype="float32", **kwargs)
        self.augment = augment
        self.random = keras.random.SeedGenerator(seed)

    def call(self, pixels: Any, training: bool = False) -> Any:
        """The same pixels where it is not training."""
        if not training:
            return pixels
        wanted = self.augment
        count = ops.shape(pixels)[0]
        height, width = pixels.shape[1:3]
        horizontal = self._coin(count, wanted.flip in ("horizontal", "both"))
        vertical = self._coin(count, wanted.flip in ("vertical", "both"))
        if wanted.rotate or wanted.zoom or wanted.shift:
            transform = self._transform(count, height, width, horizontal, vertical)
            pixels = ops.image.affine_transform(pixels, transform, "bilinear", fill_mode="reflect",
                                                data_format="channels_last")  # fmt: skip
        else:
            pixels = _flipped(pixels, horizontal, 2)
            pixels = _flipped(pixels, vertical, 1)
        return self._light(pixels, count)

    def _transform(self, count: Any, height: int, width: int, horizontal: Any, vertical: Any) -> Any:
        """Where each pixel of the result is taken from: `ops.image.affine_transform`'s eight numbers, [N, 8]."""
        wanted = self.augment
        angle = self._uniform(count, wanted.rotate * math.pi / 180)
        # Logarithms, so that growing and shrinking are as likely.
        scale = ops.exp(self._uniform(count, math.log1p(wanted.zoom)))
        down, right = self._uniform(count, wanted.shift * height), self._uniform(count, wanted.shift * width)
        cosine, sine = ops.cos(angle) * scale, ops.sin(angle) * scale
        a, b = cosine * (1 - 2 * horizontal), -sine * (1 - 2 * vertical)
        c, d = sine * (1 - 2 * horizontal), cosine * (1 - 2 * vertical)
        x, y = (width - 1) / 2, (height - 1) / 2  # the centre stays where it is, but for the shift
        none = ops.zeros_like(angle)
        return ops.stack([a, b, x + right - a * x - b * y, c, d, y + down - c * x - d * y, none, none], axis=1)

    def _light(self, pixels: Any, count: Any) -> Any:
        wanted = self.augment
        if not (wanted.brightness or wanted.contrast):
            return pixels
        factor = ops.reshape(1 + self._uniform(count, wanted.contrast), (-1, 1, 1, 1))
        offset = ops.reshape(255 * self._uniform(count, wanted.brightness), (-1, 1, 1, 1))
        mean = ops.mean(pixels, axis=(1, 2, 3), keepdims=True)
        return ops.clip((pixels - mean) * factor + mean + offset, 0.0, 255.0)

    def _uniform(self, count: Any, most: float) -> Any:
        """Numbers from -most to most, [N]."""
        return keras.random.uniform((count,), -1.0, 1.0, seed=self.random) * most

    def _coin(self, count: Any, thrown: bool) -> Any:
        """1 or 0 with equal chances, or 0 where it is not thrown; float32 [N]."""
        drawn = keras.random.uniform((count,), seed=self.random)
        return ops.cast(drawn < (0.5 if thrown else 0.0), "float32")


def _flipped(pixels: Any, which: Any, axis: int) -> Any:
    return ops.where(ops.reshape(which, (-1, 1, 1, 1)) > 0, ops.flip(pixels, axis=axis), pixels)
