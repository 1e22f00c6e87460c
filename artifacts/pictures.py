"""From an image file's bytes to its pixels: the one decoding that training, evaluation and the server share.

A picture is uint8 [h, w, 3], RGB, as it is shown: turned by its EXIF orientation, grey repeated in the three colours,
what is transparent over white, of 16 bits the upper 8. Of a moving image it is the first frame. Colour profiles are not
applied.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.parallel import Given, Made, cores, in_order

if TYPE_CHECKING:
    from PIL.Image import Image

Pixels = npt.NDArray[np.uint8]

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP")  # by content; a JPEG with further images in it comes as MPO
MOST_PIXELS = 89_478_485  # 256 MiB of pixels: Pillow's own limit
_STRIP = 64  # rows that are laid over white at a time


class PictureError(HeadraceError):
    """The bytes are no picture that can be used."""


def decode(data: bytes, most_pixels: int = MOST_PIXELS) -> Pixels:
    """The pixels of an image file, uint8 [h, w, 3].

    Safe to call from several threads, which then work at the same time: Pillow lets go of the interpreter.

    Args:
        data: a whole JPEG, PNG, BMP, GIF or WebP file.
        most_pixels: of the picture; a larger one is refused by its header, before memory is taken for it.

    Raises:
        PictureError: it is none of these, damaged, or too large; the message says which.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError, WebPImagePlugin  # noqa: F401 (Pillow loads it too late)

    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            width, height = image.size
            if width * height > most_pixels:
                raise PictureError(f"expected at most {most_pixels:,} pixels. Received: {width} x {height}")
            return _rgb(ImageOps.exif_transpose(image))
    except UnidentifiedImageError:
        received = "nothing" if not data else f"{len(data):,} bytes of another kind"
        raise PictureError(f"expected the bytes of a JPEG or PNG file. Received: {received}") from None
    except Image.DecompressionBombError:
        raise PictureError(f"expected at most {most_pixels:,} pixels. Received: many more") from None
    except (OSError, SyntaxError, EOFError, IndexError, TypeError, ValueError, OverflowError, MemoryError) as error:
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise PictureError(f"expected a whole image file. Received: damaged data ({reason})") from None


def _rgb(image: Image) -> Pixels:
    """The pixels of an image of any of Pillow's modes."""
    if image.mode.startswith("I"):  # grey of 16 bits: Pillow itself would cut off what is brighter than 255
        grey = (np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        return over_white(np.asarray(image.convert("RGBA")))
    return np.array(image.convert("RGB"))  # a copy, which may be written to


def over_white(pixels: Pixels) -> Pixels:
    """RGBA [h, w, 4] over white, RGB [h, w, 3]: (c * a + 255 * (255 - a)) / 255, rounded half up."""
    shown = np.empty((*pixels.shape[:2], 3), np.uint8)
    for top in range(0, len(pixels), _STRIP):  # as uint32 a large picture would be a gigabyte
        wide = pixels[top : top + _STRIP].astype(np.uint32)
        alpha = wide[:, :, 3:]
        shown[top : top + _STRIP] = (wide[:, :, :3] * alpha + 255 * (255 - alpha) + 127) // 255
    return shown


def in_threads(work: Callable[[Given], Made], given: Iterable[Given], threads: int = 0) -> Iterator[Made]:
    """Works on several things at a time, such as decoding files, and gives the results in the order of what came.

    Args:
        work: what is done, in a thread.
        given: what it is done to.
        threads: how many; 0 for as many as there are cores.
    """
    threads = threads or cores()
    with ThreadPoolExecutor(threads, "pictures") as pool:
        yield from in_order(pool, work, given, 2 * threads)


def by_size(pictures: Iterable[Pixels], most_pixels: int) -> Iterator[tuple[list[int], Pixels]]:
    """Pictures of one size put together, for a graph that takes one size at a time.

    Args:
        pictures: each uint8 [h, w, 3]; no more of them are taken at a time than `most_pixels`, or one that is larger.
        most_pixels: that wait, and that a batch holds.

    Yields:
        the places of the pictures, and they themselves, uint8 [n, h, w, 3].
    """
    waiting: dict[tuple[int, ...], list[tuple[int, Pixels]]] = {}
    total = 0
    for place, picture in enumerate(pictures):
        pixels = picture.shape[0] * picture.shape[1]
        while waiting and total + pixels > most_pixels:
            size = max(waiting, key=lambda size: len(waiting[size]) * size[0] * size[1])
            total -= len(waiting[size]) * size[0] * size[1]
            yield _stacked(waiting.pop(size))
        waiting.setdefault(picture.shape, []).append((place, picture))
        total += pixels
    for batch in waiting.values():
        yield _stacked(batch)


def _stacked(batch: list[tuple[int, Pixels]]) -> tuple[list[int], Pixels]:
    return [place for place, _ in batch], np.stack([picture for _, picture in batch])
