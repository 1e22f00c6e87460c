"""The pictures of a report: which mistakes are shown, and each picture as a small data URI."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from headrace.artifacts.image_evaluation import ImageEvaluation
from headrace.artifacts.pictures import Pixels
from headrace.components.evaluate.scores import Array, Scores

SIDE = 224  # of a tile, in pixels, at most: hair-thin defects must still be seen
MOST_EACH, MOST_KINDS = 6, 12  # pictures of a kind of mistake, and kinds of which so many are shown
MOST_CELLS = 90  # kinds of mistakes in all: those of ten classes
MOST_LISTED = 12  # images of each reason of the review list
_QUALITY = 80
_SMALL = 96  # below, a picture is enlarged without smoothing: its pixels are what the model sees


@dataclass(frozen=True)
class Mistake:
    """The images of one class that were taken for another: how many, and where the surest are, the surest first."""

    actual: int
    predicted: int
    count: int
    places: tuple[int, ...]


@dataclass(frozen=True)
class Looked:
    """What a model looked at in one picture, for one or two classes.

    `maps` has the class, its probability, the same without the part that matters most, and the overlay, or nothing.
    """

    place: int
    uri: str
    maps: tuple[tuple[str, float, float, str], ...]


@dataclass(frozen=True)
class Seen:
    """What an evaluation of images found, with what its report shows.

    Attributes:
        found: what is written beside the evaluation.
        mistakes: by their number, the most frequent first.
        paths: of the N images.
        rows: (N,) of the split.
        scores: of the N images, against the truth.
        tiles: row of the split -> picture.
        looked: at some of the pictures.
    """

    found: ImageEvaluation
    mistakes: tuple[Mistake, ...]
    paths: tuple[str, ...]
    rows: Array
    scores: Scores
    tiles: Mapping[int, str]
    looked: tuple[Looked, ...]


def mistakes(scores: Scores) -> tuple[Mistake, ...]:
    """The kinds of mistakes, the most frequent first, with their surest examples: six, of the rarer kinds one."""
    predicted, size = scores.predicted, len(scores.classes)
    said = scores.outputs[np.arange(len(scores)), predicted]
    kinds = scores.truth * size + predicted
    found = []
    for kind in np.unique(kinds[scores.truth != predicted]):
        places = np.flatnonzero(kinds == kind)
        surest = places[np.argsort(-said[places], kind="stable")][:MOST_EACH]
        found.append(Mistake(int(kind // size), int(kind % size), len(places), tuple(int(place) for place in surest)))
    ranked = sorted(found, key=lambda mistake: -mistake.count)[:MOST_CELLS]
    rarer = (replace(mistake, places=mistake.places[:1]) for mistake in ranked[MOST_KINDS:])
    return (*ranked[:MOST_KINDS], *rarer)


def shrunk(pixels: Pixels) -> Pixels:
    """A picture of at most 224 pixels a side; a tiny one is enlarged."""
    from PIL import Image

    image = Image.fromarray(pixels)
    if max(image.size) < _SMALL:
        times = -(-_SMALL // max(image.size))
        image = image.resize((image.width * times, image.height * times), Image.Resampling.NEAREST)
    image.thumbnail((SIDE, SIDE))
    return np.asarray(image)


def as_uri(pixels: Pixels) -> str:
    """A picture as a JPEG in a data URI."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
