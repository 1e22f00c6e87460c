"""What one image file is: its size and format, whether it can be decoded to its end, and what it looks like."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass

import numpy as np

from headrace.artifacts.pictures import FORMATS

SIDE = 8  # of the small picture by which images are compared
_ORIENTATION = 0x0112  # the EXIF tag
_TURNED = (5, 6, 7, 8)  # its values by which width and height are exchanged


@dataclass(frozen=True)
class Decoded:
    """An image that could be decoded whole."""

    width: int  # in pixels, as it is shown: after the EXIF orientation was applied
    height: int
    format: str
    mode: str  # Pillow's: RGB, L, RGBA, P, CMYK, ...
    sha256: str  # of the file's bytes
    phash: int  # 64 bits: the signs of a small grey picture's horizontal differences
    small: np.ndarray  # (8, 8, 3) uint8: the picture itself, small
    orientation: int  # EXIF's, 1 where there is none
    frames: int


def decode(content: bytes) -> Decoded:
    """Decodes an image to its last byte; of a moving one, its first frame.

    Raises:
        ValueError: it is no image of the known formats, damaged, or larger than Pillow's limit; the message says which.
    """
    from PIL import Image, UnidentifiedImageError, WebPImagePlugin  # noqa: F401 (which Pillow would load too late)

    if not content:
        raise ValueError("an empty file")
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            width, height = image.size
            limit = Image.MAX_IMAGE_PIXELS
            if limit is not None and width * height > limit:
                raise ValueError(f"{width} x {height} pixels, more than Pillow's limit of {limit:,}")
            format, mode, frames = str(image.format), image.mode, int(getattr(image, "n_frames", 1))
            # A JPEG decodes at an eighth of its size in a fraction of the time, and is still read to its end.
            image.draft("RGB", (8 * SIDE, 8 * SIDE))
            colours = image.convert("RGB").resize((SIDE + 1, SIDE), Image.Resampling.BOX)
            orientation = int(image.getexif().get(_ORIENTATION, 1))
    except UnidentifiedImageError:
        raise ValueError("a file of another kind") from None
    except Image.DecompressionBombError as error:
        raise ValueError(str(error)) from None
    except (OSError, SyntaxError, EOFError, IndexError, TypeError, OverflowError, MemoryError) as error:
        raise ValueError(f"damaged data ({' '.join(str(error).split())[:120] or type(error).__name__})") from None
    pixels = np.asarray(colours)
    if orientation in _TURNED:
        width, height = height, width
    return Decoded(
        width, height, format, mode, hashlib.sha256(content).hexdigest(), difference_hash(pixels),
        pixels[:, :SIDE].copy(), orientation, frames,
    )  # fmt: skip


def difference_hash(pixels: np.ndarray) -> int:
    """64 bits: whether each pixel is brighter than the one to its right.

    Args:
        pixels: shape (8, 9, 3), uint8.
    """
    grey = pixels @ np.array([299, 587, 114])
    return int.from_bytes(np.packbits(grey[:, :-1] > grey[:, 1:]).tobytes(), "big")
