"""What becomes of the answers when a lamp ages, a lens is out of focus, or an object lies askew."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from headrace.artifacts.image_evaluation import Robustness
from headrace.artifacts.pictures import Pixels
from headrace.components.evaluate.images.network import Network
from headrace.components.evaluate.images.shares import share, share_of
from headrace.components.evaluate.scores import Array, Floats, Scores

NONE = "none"
AMOUNTS: dict[str, tuple[float, ...]] = {
    "brightness": (0.6, 0.8, 1.2, 1.4),
    "blur": (0.5, 1.0, 2.0),
    "rotation": (5.0, 10.0, 20.0),
}
_BORDER = 0.25  # of a side: what is mirrored around a picture that is turned, by at most 20 degrees


def robustness(
    network: Network,
    pictures: Sequence[Pixels],
    scored: Callable[[Floats], Scores],
    watched: tuple[str, float] | None = None,
) -> tuple[Robustness, ...]:
    """The answers for the same pictures unchanged, and changed by each amount.

    Args:
        network: the model.
        pictures: [height, width, 3] each, as the network sees them.
        scored: puts the answers for the pictures beside what is true of them.
        watched: a class whose recall is wanted, and the probability from which on an image is called so.
    """
    if not pictures:
        return ()
    whole = scored(network.of_one_size(np.stack(pictures)))
    found = [_measured(NONE, 0.0, whole, whole.predicted, watched)]
    for change, amounts in AMOUNTS.items():
        for amount in amounts:
            scores = scored(network.of_one_size(changed(pictures, change, amount)))
            found.append(_measured(change, amount, scores, whole.predicted, watched))
    return tuple(found)


def changed(pictures: Sequence[Pixels], change: str, amount: float) -> Pixels:
    """The pictures changed by an amount, [n, height, width, 3]. Every other one is turned to the other side."""

    def work(place: int) -> Pixels:
        return _CHANGES[change](pictures[place], amount if place % 2 else amount * _OTHER_SIDE.get(change, 1))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return np.stack(list(pool.map(work, range(len(pictures)))))


_OTHER_SIDE = {"rotation": -1}


def _brightness(picture: Pixels, factor: float) -> Pixels:
    return np.asarray(np.clip(picture * np.float32(factor), 0, 255)).round().astype(np.uint8)


def _blur(picture: Pixels, deviation: float) -> Pixels:
    from PIL import Image, ImageFilter

    return np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(deviation)))


def _rotation(picture: Pixels, degrees: float) -> Pixels:
    """Turned about its middle; what comes in at the corners is mirrored, as black ones would be a clue."""
    from PIL import Image

    height, width = picture.shape[:2]
    border = int(max(height, width) * _BORDER) + 1
    wide = np.pad(picture, ((border, border), (border, border), (0, 0)), mode="symmetric")
    turned = np.asarray(Image.fromarray(wide).rotate(degrees, Image.Resampling.BILINEAR))
    return turned[border : border + height, border : border + width]


_CHANGES: dict[str, Callable[[Pixels, float], Pixels]] = {
    "brightness": _brightness,
    "blur": _blur,
    "rotation": _rotation,
}


def _measured(
    change: str, amount: float, scores: Scores, before: Array, watched: tuple[str, float] | None
) -> Robustness:
    predicted = scores.predicted
    right, other = int((predicted == scores.truth).sum()), int((predicted != before).sum())
    recall = None
    if watched:
        code = scores.classes.index(watched[0])
        recall = share_of(np.asarray(scores.outputs[:, code] >= watched[1]), np.asarray(scores.truth == code))
    return Robustness(change, amount, share(right, len(scores)), share(other, len(scores)), recall)
