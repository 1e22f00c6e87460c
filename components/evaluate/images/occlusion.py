"""What a model looked at: parts of a picture are blurred away in turn, and what the answer loses by it is drawn.

Zeiler and Fergus (2014), "Visualizing and understanding convolutional networks", with the blur of Fong and Vedaldi
(2017), "Interpretable explanations of black boxes by meaningful perturbation": a grey square would itself look like a
defect. Only the model's answers are needed, so it works for whatever graph was exported.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headrace.artifacts.pictures import Pixels
from headrace.components.evaluate.images.network import BATCH, Network
from headrace.components.evaluate.scores import Array, Floats

# (a window's side is this part of the picture's, windows along each side): neighbours share half of their area. The
# small ones tell where a fine thing is; the large ones find what is large and smooth, which a little blur leaves there.
SCALES = ((6, 11), (3, 5))
_BLUR = 0.75  # of a window's side: the standard deviation of what it is filled with
_TELLS = 0.5  # log odds that some window must take: less may come from the blur, which spreads what it hides
_LEAST = 1e-6  # probabilities are kept this far from 0 and 1: beyond, log odds tell of rounding

Floats32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Attention:
    """What the parts of one picture do for one class.

    Attributes:
        code: of the class.
        heat: [height, width] from 0 to 1: how much of the class's log odds is lost without this part, relative to the
            most; all 0 where no part speaks for the class.
        whole: the class's probability.
        least: the same without the part that matters most.
    """

    code: int
    heat: Floats32
    whole: float
    least: float


def attention(network: Network, picture: Pixels, codes: Sequence[int]) -> list[Attention]:
    """Where in a picture, [height, width, 3] as the network sees it, the evidence for some classes lies."""
    height, width = picture.shape[:2]
    whole = network.of_one_size(picture[None])[0]
    heats = np.zeros((len(codes), height, width))
    least, most_lost = whole[codes], np.zeros(len(codes))
    for parts, steps in SCALES:
        masks = np.stack(list(_masks(height, width, parts, steps)))
        answers = _answers(network, picture, masks, _BLUR * max(height, width) / parts)[:, codes]
        lost = _log_odds(whole[codes]) - _log_odds(answers)  # [windows, codes]
        heats += np.tensordot(lost.T, masks, axes=1) / np.maximum(masks.sum(axis=0), 1e-6)
        least, most_lost = np.minimum(least, answers.min(axis=0)), np.maximum(most_lost, lost.max(axis=0))
    heats = np.clip(heats, 0, None)
    heats[most_lost < _TELLS] = 0
    heats /= np.maximum(heats.max(axis=(1, 2), keepdims=True), 1e-9)
    return [
        Attention(code, heat.astype(np.float32), float(whole[code]), float(low))
        for code, heat, low in zip(codes, heats, least, strict=True)
    ]


def _answers(network: Network, picture: Pixels, masks: Floats32, blur: float) -> Array:
    """The answers with each window blurred away in turn, [windows, C]."""
    from PIL import Image, ImageFilter

    blurred = np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(blur)), np.float32)
    parts = []
    for at in range(0, len(masks), BATCH):
        shares = masks[at : at + BATCH, :, :, None]
        hidden = picture + shares * (blurred - picture)
        parts.append(network.answer(np.asarray(hidden.round(), np.uint8)))
    return np.concatenate(parts)


def overlay(picture: Pixels, heat: Floats32) -> Pixels:
    """The picture, of any size, in grey, with the evidence in orange over it."""
    from PIL import Image

    height, width = picture.shape[:2]
    heat = np.asarray(Image.fromarray(heat).resize((width, height), Image.Resampling.BILINEAR))
    grey = np.repeat(picture.mean(axis=2, keepdims=True), 3, axis=2)
    strength = (heat**1.5 * 0.75)[..., None]  # weak evidence is everywhere, and would only veil the picture
    return np.asarray(grey * (1 - strength) + np.array([255, 96, 0]) * strength).round().astype(np.uint8)


def _masks(height: int, width: int, parts: int, steps: int) -> Iterator[Floats32]:
    """Windows over the picture, each [height, width], 1 inside and fading to 0 at their edges."""
    for row in _profiles(height, parts, steps):
        for column in _profiles(width, parts, steps):
            yield np.outer(row, column).astype(np.float32)


def _profiles(side: int, parts: int, steps: int) -> list[Floats]:
    size = max(1, math.ceil(side / parts))
    starts = np.unique(np.linspace(0, side - size, steps).round())
    soft = max(1.0, size / 3)
    places = np.arange(side) + 0.5
    return [np.clip((size / 2 - np.abs(places - start - size / 2)) / soft + 0.5, 0, 1) for start in starts]


def _log_odds(probability: Array) -> Array:
    clipped = np.clip(np.asarray(probability, np.float64), _LEAST, 1 - _LEAST)
    return np.asarray(np.log(clipped / (1 - clipped)))
