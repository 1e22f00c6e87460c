"""A small residual network for fine defects, cheap on a CPU: some 110 million multiplications at 224 x 224.

A defect may be a line one pixel wide. The stem therefore loses nothing: its 16 channels hold more numbers than the 2 x
2 pixels of 3 colours that each of its steps replaces. Resolution then falls by maxima, which keep a thin line's answer
where a mean would drown it. The head is told the strongest answer anywhere in the picture beside the mean one: a crack
is somewhere, a stain is everywhere.
"""

from __future__ import annotations

from typing import Any

from keras import layers

_STEM = 16
_WIDTHS = (24, 40, 64, 96)  # channels at a quarter of the picture's side, an eighth, ...
_MOMENTUM = 0.9  # of the running means: a training on few pictures has few steps


def small_features(pixels: Any) -> Any:
    """The backbone: pixel values [N, h, w, 3], of 0 to 255 -> features [N, h / 32, w / 32, 96]."""
    x = layers.Rescaling(1 / 127.5, offset=-1.0)(pixels)
    x = _convolution(x, _STEM, 5, strides=2)
    for depth, width in enumerate(_WIDTHS):
        x = layers.MaxPooling2D(2, padding="same")(x)
        x = _convolution(x, width, 3)
        if depth < len(_WIDTHS) - 1:
            x = _residual(x, width)
    return x


def small_pooled(features: Any) -> Any:
    """The strongest and the mean answer of each channel, [N, 192]."""
    return layers.Concatenate()([layers.GlobalMaxPooling2D()(features), layers.GlobalAveragePooling2D()(features)])


def _convolution(x: Any, filters: int, size: int, strides: int = 1, relu: bool = True) -> Any:
    x = layers.Conv2D(filters, size, strides, padding="same", use_bias=False, kernel_initializer="he_normal")(x)
    x = layers.BatchNormalization(momentum=_MOMENTUM)(x)
    return layers.Activation("relu")(x) if relu else x


def _residual(x: Any, filters: int) -> Any:
    """He et al. 2016, "Deep Residual Learning for Image Recognition"."""
    inner = _convolution(_convolution(x, filters, 3), filters, 3, relu=False)
    return layers.Activation("relu")(layers.Add()([x, inner]))
