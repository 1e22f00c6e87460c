"""What `artifacts/pictures.py` and `resize.py` do, in TensorFlow's operations, for a SavedModel that takes image files.

Decoding is the same to the last bit: it is the same library. So is resizing, but where a sum lies at half a value.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

_ORIENTATION = 0x0112  # the EXIF tag
_HEAD = 65_536  # bytes; the EXIF data are in one of the first segments, which are no longer than that
_JPEG = b"\xff\xd8"
_STEPS = 2.0**22  # of a weight


def decode(content: Any) -> Any:
    """The pixels, uint8 [h, w, 3], of a JPEG or PNG file, a scalar string."""
    is_jpeg = tf.strings.substr(content, 0, 2) == _JPEG
    return tf.cond(is_jpeg, lambda: _jpeg(content), lambda: _png(content))


def _jpeg(content: Any) -> Any:
    pixels = tf.io.decode_jpeg(content, channels=3, dct_method="INTEGER_ACCURATE", fancy_upscaling=True)
    return _turned(pixels, orientation(content))


def _png(content: Any) -> Any:
    wide = tf.cast(tf.io.decode_png(content, channels=4), tf.int32)
    alpha = wide[:, :, 3:]
    return tf.cast((wide[:, :, :3] * alpha + 255 * (255 - alpha) + 127) // 255, tf.uint8)


def _turned(pixels: Any, number: Any) -> Any:
    """The picture as it is to be shown: EXIF's orientations 1 to 8, anything else as 1.

    5 to 8 are exchanged in rows and columns; then, from 1 and from 5 on: as it is, mirrored, both, upside down.
    """
    known = tf.where((number >= 1) & (number <= 8), number, 1)
    kind = (known - 1) % 4
    pixels = tf.cond(known >= 5, lambda: tf.transpose(pixels, [1, 0, 2]), lambda: pixels)
    pixels = tf.cond((kind == 1) | (kind == 2), lambda: pixels[:, ::-1], lambda: pixels)
    return tf.cond(kind >= 2, lambda: pixels[::-1], lambda: pixels)


def orientation(content: Any) -> Any:
    """EXIF's orientation of a JPEG file, int32; 1 where it says none.

    EXIF data are a TIFF file: byte order, the place of the first directory, and there 12 bytes for each entry: its tag,
    type, count and value.
    """
    parts = tf.strings.split(tf.strings.substr(content, 0, _HEAD), b"Exif\x00\x00", maxsplit=1)
    data = tf.cast(tf.io.decode_raw(parts[-1], tf.uint8), tf.int32)
    data = tf.pad(data, [[0, 16]])
    little = data[0] == ord("I")

    def number(at: Any, size: int) -> Any:
        read = tf.gather(data, tf.clip_by_value(at + tf.range(size), 0, tf.size(data) - 1))
        read = tf.cond(little, lambda: read[::-1], lambda: read)
        return tf.reduce_sum(read * tf.constant([256 ** (size - 1 - place) for place in range(size)], tf.int32))

    first = number(tf.constant(4), 2 + 2)
    entries = first + 2 + 12 * tf.range(tf.minimum(number(first, 2), 512))
    tags = tf.map_fn(lambda at: number(at, 2), entries)
    found = tf.boolean_mask(entries, tags == _ORIENTATION)
    there = (tf.size(parts) > 1) & (tf.size(found) > 0)
    return tf.cond(there, lambda: number(found[0] + 8, 2), lambda: tf.constant(1))


def resize(pixels: Any, height: int, width: int) -> Any:
    """uint8 [h, w, 3] to float32 [height, width, 3] of whole numbers, as ONNX Runtime and Pillow do: first rows become
    shorter, and are rounded, then columns. TensorFlow's own resizing rounds once.
    """
    shape = tf.shape(pixels)
    rows = tf.einsum("Ww,hwc->hWc", _weights(shape[1], width), tf.cast(pixels, tf.float64))
    columns = tf.einsum("Hh,hWc->HWc", _weights(shape[0], height), _rounded(rows))
    return tf.cast(_rounded(columns), tf.float32)


def _rounded(values: Any) -> Any:
    return tf.clip_by_value(tf.floor(values + 0.5), 0.0, 255.0)


def _weights(old: Any, new: int) -> Any:
    """How much each of the old pixels of a line counts for each of the new: [new, old], rows adding up to about 1.

    A triangle around the new pixel's place, two pixels wide, of whichever pixels are the wider; in the fixed steps in
    which the others compute it.
    """
    length = tf.cast(old, tf.float32)
    places = (tf.range(new, dtype=tf.float32) + 0.5) / (new / length)
    away = tf.abs(tf.range(length) + 0.5 - places[:, None])
    weights = tf.maximum(0.0, 1.0 - away * (1.0 / tf.maximum(length / new, 1.0)))
    shares = weights * (1.0 / tf.reduce_sum(weights, axis=1, keepdims=True))
    return tf.floor(tf.cast(shares, tf.float64) * _STEPS + 0.5) / _STEPS
