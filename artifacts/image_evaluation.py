"""What an evaluation says of a model of images beyond its metrics: a part of the evaluation's folder.

    <evaluation>/
        images.json    the fields of `ImageEvaluation`
        review.csv     `review`, for people who look at labels again: one row per image

Shares carry their counts, so that nobody has to guess how many images stand behind a percentage.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from headrace.artifacts.errors import ArtifactError
from headrace.artifacts.folder import read_json, write_json, write_text

FILE = "images.json"
REVIEW_FILE = "review.csv"

WRONG, UNCERTAIN = "confidently wrong", "uncertain"  # why an image is in the review list


@dataclass(frozen=True)
class Share:
    """So many of so many, with the 95 % interval of the share (Wilson 1927)."""

    count: int
    of: int
    low: float
    high: float

    @property
    def value(self) -> float:
        """The share itself, from 0 to 1."""
        return self.count / self.of


@dataclass(frozen=True)
class ClassQuality:
    """How well one class is found. A share that no image can have is None."""

    name: str
    rows: int  # images that are of it
    recall: Share | None  # of those, the ones that are called so
    precision: Share | None  # of the images called so, those that are


@dataclass(frozen=True)
class Operation:
    """What a way to decide does for one class on one split: by a threshold, or by the most probable class."""

    split: str
    recall: Share | None
    precision: Share | None
    flagged: Share  # of all images, those called so
    accuracy: Share  # of all images


@dataclass(frozen=True)
class OperatingPoint:
    """The threshold for one class that reaches a required recall, and what that costs.

    An image is called `name` where the probability is at least `threshold`, and else the most probable of the
    other classes. The threshold is chosen on one split and measured on another. `threshold` is None where the
    split to choose on has no image of the class.
    """

    name: str
    at_least: float
    threshold: float | None
    chosen: Operation | None  # on the split that the threshold was chosen on
    reached: Operation | None  # on the split that is measured
    usual: Operation  # there, by the ordinary decision
    curve: tuple[tuple[float, float, float], ...] = ()  # (threshold, recall, precision) there, at most 200


@dataclass(frozen=True)
class Review:
    """An image whose label somebody should look at again, or which would teach the model most."""

    row: int  # in its split
    path: str
    label: str
    predicted: str
    probability: float  # of what was predicted
    label_probability: float
    reason: str  # WRONG or UNCERTAIN
    copies: int = 0  # further images of the same group that would be listed too
    truth: str | None = None  # where the truth is known


@dataclass(frozen=True)
class Robustness:
    """The model's answers for images that were changed: `brightness` (factor), `blur` (standard deviation in
    pixels that the network sees), `rotation` (degrees), or `none`."""

    change: str
    amount: float
    accuracy: Share
    changed: Share  # answers that are others than for the unchanged images
    recall: Share | None = None  # of the operating point's class, by its threshold


@dataclass(frozen=True)
class Labels:
    """How good the labels themselves are, where the truth is known."""

    accuracy: Share
    recall: dict[str, Share | None]  # of each class
    review: Share | None  # of the images listed as confidently wrong, those whose label is wrong


@dataclass(frozen=True)
class ImageEvaluation:
    """What was seen of a model of images on one split."""

    truth: str | None  # the column that was held for true; None: the label
    classes: tuple[ClassQuality, ...]
    operating: OperatingPoint | None = None
    labels: Labels | None = None
    review: tuple[Review, ...] = ()
    robustness: tuple[Robustness, ...] = ()


def write_images(folder: Path, images: ImageEvaluation) -> None:
    """Writes both files into an evaluation's folder.

    Raises:
        ValueError: a number is not finite.
    """
    write_json(folder / FILE, asdict(images))
    write_text(folder / REVIEW_FILE, review_csv(images.review))


def review_csv(review: tuple[Review, ...]) -> str:
    """The list as CSV, most urgent first; a column `review` is left empty for who looks at it."""
    text = io.StringIO()
    names = [field.name for field in fields(Review)]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*names, "review"])
    for item in review:
        values = [getattr(item, name) for name in names]
        writer.writerow([*(_written(value) for value in values), ""])
    return text.getvalue()


def _written(value: object) -> object:
    return f"{value:.6f}" if isinstance(value, float) else value


def read_images(evaluation: Path | str) -> ImageEvaluation | None:
    """What an evaluation says of images; None where it is of a table.

    Raises:
        ArtifactError: the file holds something else.
    """
    file = Path(evaluation) / FILE
    if not file.exists():
        return None
    value = read_json(file)
    try:
        return ImageEvaluation(
            truth=value["truth"],
            classes=tuple(_built(ClassQuality, item) for item in value["classes"]),
            operating=_maybe(_operating, value["operating"]),
            labels=_maybe(_labels, value["labels"]),
            review=tuple(Review(**item) for item in value["review"]),
            robustness=tuple(_built(Robustness, item) for item in value["robustness"]),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(f"{file}: expected an evaluation of images. Received: {error!r}") from None


_SHARES = ("recall", "precision", "flagged", "accuracy", "changed")


def _built(kind: type[Any], item: dict[str, Any]) -> Any:
    return kind(**{name: _share(value) if name in _SHARES else value for name, value in item.items()})


def _share(value: dict[str, Any] | None) -> Share | None:
    return None if value is None else Share(**value)


def _maybe(build: Callable[[Any], Any], value: Any) -> Any:
    return None if value is None else build(value)


def _operating(value: dict[str, Any]) -> OperatingPoint:
    operations = {name: _maybe(_operation, value[name]) for name in ("chosen", "reached", "usual")}
    return OperatingPoint(**{**value, **operations, "curve": tuple(tuple(point) for point in value["curve"])})


def _operation(value: dict[str, Any]) -> Operation:
    built: Operation = _built(Operation, value)
    return built


def _labels(value: dict[str, Any]) -> Labels:
    accuracy = Share(**value["accuracy"])
    return Labels(accuracy, {name: _share(item) for name, item in value["recall"].items()}, _share(value["review"]))
