"""The proof that a network's graph answers as the network does, whatever picture comes. It fails closed."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from headrace.artifacts.pictures import Pixels, decode, in_threads
from headrace.artifacts.raw_inputs import open_graph, run_pixels
from headrace.artifacts.signature import Input, Signature
from headrace.trainer.export.parity import ExportError, Parity
from headrace.trainer.images.resize import Resizer

BATCH = 64  # pictures of the network's own size that it answers at once


def check_parity(
    answer: Callable[[np.ndarray], np.ndarray],
    model: Path,
    signature: Signature,
    contents: Sequence[bytes],
    tolerance: float,
) -> Parity:
    """Compares a network's answers with its graph's, on image files and on pictures made to be difficult.

    Args:
        answer: pixels uint8 [n, height, width, 3] -> probabilities [n, C]: the network's own.
        model: the graph, pictures of any size -> probabilities.
        signature: with one input of type image.
        contents: image files of the eval split.
        tolerance: the largest difference of a probability.

    Raises:
        ExportError: an answer differs by more, or is not finite.
        PictureError: a file cannot be decoded.
    """
    assert signature.image is not None
    resize = Resizer(signature.image)
    pictures = [*in_threads(decode, contents), *difficult_pictures(signature.image)]
    resized = np.stack([resize(picture) for picture in pictures])
    expected = np.concatenate([np.asarray(answer(resized[at : at + BATCH])) for at in range(0, len(resized), BATCH)])
    got = run_pixels(open_graph(model), pictures)
    if expected.shape != got.shape or got.shape[1] != len(signature.classes):
        wanted = f"probabilities of the {len(signature.classes)} classes from the network and its graph"
        raise ExportError(f"expected {wanted}. Received: the shapes {expected.shape} and {got.shape}")
    difference = np.nan_to_num(np.abs(got - expected), nan=np.inf).max(axis=1)
    worst = int(np.argmax(difference))
    if not difference[worst] <= tolerance:
        raise ExportError(
            f"expected model.onnx to answer as the trained network does, within {tolerance:.2g}. Received: "
            f"{difference[worst]:.3g} off, {got[worst]} and the network {expected[worst]}, "
            f"for {_told(worst, len(contents), pictures[worst])}"
        )
    sums = np.abs(got.sum(axis=1) - 1)
    if sums.max() > 1e-3:
        place = int(np.argmax(sums))
        raise ExportError(f"expected probabilities that add up to 1. Received: {got[place]}")
    return Parity(len(pictures), float(difference[worst]))


def _told(place: int, files: int, picture: Pixels) -> str:
    what = f"picture {place} of the eval split" if place < files else "a picture made for this"
    return f"{what}, of {picture.shape[1]} x {picture.shape[0]} pixels"


def difficult_pictures(item: Input) -> Iterator[Pixels]:
    """Of one pixel, of odd and extreme sides, huge, without a feature, all noise; and files of every other kind."""
    random = np.random.default_rng(0)
    height, width = item.height, item.width
    sizes = [(1, 1), (2, 3), (height + 1, width - 1 or 1), (height, width), (2 * height + 1, 2 * width), (5, 997)]
    for high, wide in [*sizes, (997, 5), (1_501, 2_003)]:
        yield random.integers(0, 256, (high, wide, 3), dtype=np.uint8)
    for grey in (0, 128, 255):
        yield np.full((height, width, 3), grey, np.uint8)
    for content in difficult_files(random):
        yield decode(content)


def difficult_files(random: np.random.Generator) -> Iterator[bytes]:
    """JPEG and PNG files, grey, transparent, of a palette and of 16 bits, and one that is turned by EXIF."""
    from PIL import Image

    colours = random.integers(0, 256, (37, 53, 4), dtype=np.uint8)
    image = Image.fromarray(colours)
    turned = Image.Exif()
    turned[0x0112] = 6
    for picture, options in (
        (image.convert("RGB"), {"format": "JPEG", "quality": 85}),
        (image.convert("L"), {"format": "JPEG"}),
        (image.convert("RGB"), {"format": "JPEG", "exif": turned}),
        (image, {"format": "PNG"}),
        (image.convert("L"), {"format": "PNG"}),
        (image.convert("LA"), {"format": "PNG"}),
        (image.convert("RGB").quantize(16), {"format": "PNG", "transparency": 3}),
        (Image.fromarray(random.integers(0, 65_536, (37, 53)).astype(np.uint16)), {"format": "PNG"}),
    ):
        stream = io.BytesIO()
        picture.save(stream, **options)
        yield stream.getvalue()
