"""From an image file to its pixels: every kind of file, and what is refused."""

from __future__ import annotations

import io
import struct
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from PIL import Image

from headrace.artifacts.parallel import in_order
from headrace.artifacts.pictures import PictureError, by_size, decode, in_threads

PIXELS = np.random.default_rng(0).integers(0, 256, (7, 11, 4), dtype=np.uint8)
RGB = PIXELS[:, :, :3].copy()


def encoded(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format=format, **options)
    return stream.getvalue()


def test_what_is_stored_without_loss_comes_back() -> None:
    image = Image.fromarray(RGB)
    for content in (encoded(image), encoded(image, "BMP"), encoded(image, "WEBP", lossless=True)):
        np.testing.assert_array_equal(decode(content), RGB)
    palette = image.quantize(8)
    np.testing.assert_array_equal(decode(encoded(palette, "GIF")), np.asarray(palette.convert("RGB")))


def test_grey_is_repeated_and_of_16_bits_the_upper_8_count() -> None:
    grey = RGB[:, :, 0]
    np.testing.assert_array_equal(decode(encoded(Image.fromarray(grey))), np.repeat(grey[:, :, None], 3, axis=2))
    wide = (grey.astype(np.uint16) << 8) + 255
    np.testing.assert_array_equal(decode(encoded(Image.fromarray(wide)))[:, :, 1], grey)


def test_what_is_transparent_lies_over_white() -> None:
    alpha = PIXELS[:, :, 3:] / 255.0
    exact = RGB * alpha + 255 * (1 - alpha)
    assert np.abs(decode(encoded(Image.fromarray(PIXELS))) - exact).max() <= 0.51
    grey = Image.fromarray(PIXELS).convert("LA")
    assert (
        np.abs(decode(encoded(grey))[:, :, 2] - (np.asarray(grey)[:, :, :1] * alpha + 255 * (1 - alpha))[:, :, 0]).max()
        <= 0.51
    )
    palette = Image.fromarray(RGB).quantize(4)
    shown = decode(encoded(palette, transparency=2))
    assert (shown[np.asarray(palette) == 2] == 255).all() and not (shown == 255).all()


@pytest.mark.parametrize(
    ("orientation", "shown"),
    [
        (1, lambda x: x),
        (2, lambda x: x[:, ::-1]),
        (3, lambda x: x[::-1, ::-1]),
        (4, lambda x: x[::-1]),
        (5, lambda x: x.transpose(1, 0, 2)),
        (6, lambda x: np.rot90(x, -1)),
        (7, lambda x: x[::-1, ::-1].transpose(1, 0, 2)),
        (8, lambda x: np.rot90(x)),
    ],
)
def test_the_exif_orientation_is_applied(orientation: int, shown: Any) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    np.testing.assert_array_equal(decode(encoded(Image.fromarray(RGB), exif=exif)), shown(RGB))


def test_a_jpeg_of_four_inks_is_shown_in_rgb() -> None:
    inks = Image.fromarray(np.full((16, 16, 3), (200, 30, 60), np.uint8)).convert("CMYK")
    assert np.abs(decode(encoded(inks, "JPEG", quality=95)).astype(int) - [200, 30, 60]).max() <= 6


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected the bytes of a JPEG or PNG file. Received: nothing"),
        (b"<svg/>", "expected the bytes of a JPEG or PNG file. Received: 6 bytes of another kind"),
        (encoded(Image.fromarray(RGB))[:-30], "expected a whole image file. Received: damaged data"),
        (encoded(Image.fromarray(RGB), "JPEG")[:300], "expected a whole image file. Received: damaged data"),
    ],
)
def test_what_is_no_whole_picture_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(PictureError) as caught:
        decode(content)
    assert str(caught.value).startswith(message)


def bomb(width: int, height: int) -> bytes:
    """A PNG file of some bytes whose header claims to be of this size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 64)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("width", "height", "received"), [(9_000, 9_000, "9000 x 9000"), (200_000, 200_000, "many more")]
)
def test_a_bomb_is_refused_by_its_header(width: int, height: int, received: str) -> None:
    started = time.perf_counter()
    with pytest.raises(PictureError, match=rf"expected at most 1,000,000 pixels\. Received: {received}"):
        decode(bomb(width, height), most_pixels=1_000_000)
    assert time.perf_counter() - started < 1


def test_pictures_of_one_size_go_together_and_few_wait() -> None:
    sizes = [(2, 3), (4, 4), (2, 3), (5, 5), (2, 3), (4, 4), (9, 9), (2, 3)]
    pictures = [np.full((*size, 3), place, np.uint8) for place, size in enumerate(sizes)]
    alive: list[int] = []

    def given() -> Any:
        for one in pictures:
            alive.append(one.shape[0] * one.shape[1])
            yield one

    seen: list[int] = []
    for places, batch in by_size(given(), most_pixels=40):
        assert batch.shape[0] == 1 or batch.shape[0] * batch.shape[1] * batch.shape[2] <= 40
        assert sum(alive) - sum(pictures[place].shape[0] * pictures[place].shape[1] for place in seen) <= 40 + 81
        assert [int(one[0, 0, 0]) for one in batch] == places
        seen += places
    assert sorted(seen) == list(range(len(sizes)))
    assert [places for places, _ in by_size(pictures[:3], 1_000)] == [[0, 2], [1]]


def test_results_come_in_order_and_few_are_made_ahead() -> None:
    taken: list[int] = []

    def numbers() -> Any:
        for number in range(50):
            taken.append(number)
            yield number

    def work(number: int) -> int:
        time.sleep(0.002 * (number % 3))
        return number * number

    with ThreadPoolExecutor(4) as pool:
        for place, made in enumerate(in_order(pool, work, numbers(), most=5)):
            assert made == place * place
            assert len(taken) <= place + 1 + 6
    assert len(taken) == 50


def test_an_error_is_raised_in_its_turn_and_ends_the_work() -> None:
    begun = []

    def work(number: int) -> int:
        begun.append(threading.get_ident())
        return 6 // (3 - number)

    found = in_threads(work, range(1_000), threads=2)
    assert [next(found) for _ in range(3)] == [2, 3, 6]
    with pytest.raises(ZeroDivisionError):
        next(found)
    assert len(begun) < 20
