"""An evaluation: what a model is worth on one split of one dataset, as evidence for people and for gates.

    <evaluation>/
        evaluation.json    the fields of `Evaluation`
        images.json, review.csv    of images: see image_evaluation.py
        scores.parquet     what the model said of each row: see scores.py
        tfma/              the same for TensorFlow Model Analysis, where the spec asks for it
        manifest.json      details: present, split, model_digest, dataset_digest

What could not be measured is absent from `metrics`, with a reason in `undefined`; NaN is never written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from headrace.artifacts.attributions import Attributions
from headrace.artifacts.errors import ArtifactError
from headrace.artifacts.errors_found import ErrorsFound
from headrace.artifacts.fairness_found import Fairness, fairness_from
from headrace.artifacts.folder import read_json, read_manifest, write_folder, write_json
from headrace.artifacts.image_evaluation import ImageEvaluation, write_images
from headrace.artifacts.measured import ClassMetrics, Threshold, class_metrics_from
from headrace.artifacts.metrics import kind_of
from headrace.artifacts.scores import ScoresTable, write_scores
from headrace.artifacts.value_found import Value, value_from
from headrace.artifacts.worst_slices import WorstSlices

FORMAT = "headrace/evaluation"
VERSION = 3  # 1 had no `unfit`, no names of unjudged values, and did not say how importance was measured
FILE = "evaluation.json"

MISSING = "(missing)"  # the slice or group of the rows that have no value
LEAST_ROWS = 20  # in fewer rows a metric is mostly chance: of a slice, of a group, and of the whole


@dataclass(frozen=True)
class Curve:
    """Points of a curve, at most 200.

    `kind` and what a point is: `roc` (false positive rate, true positive rate, threshold), `pr` (recall,
    precision, threshold), `gain` (share of the rows with the highest scores, share of the positive rows in
    them), `lift` (the same share, how many times more positive rows are in it than in any), `calibration` (mean
    predicted, observed share, rows, and the 95 % interval of the share), `scatter` (predicted, actual),
    `residuals` (from, to, rows), `roc_band` and `pr_band` (false positive rate or recall, and the 95 % interval of
    what the curve has there). `of` is the class, where there are classes.
    """

    kind: str
    points: tuple[tuple[float, ...], ...]
    of: str | None = None


@dataclass(frozen=True)
class Slice:
    """The rows where column `by` has one value (numbers: lies in one quartile); or each column of a pair, see by.py."""

    by: str
    value: str
    rows: int
    metrics: dict[str, float]
    undefined: dict[str, str] = field(default_factory=dict)
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)  # 95 %, bootstrapped


@dataclass(frozen=True)
class Unjudged:
    """The values of column `by` that no metrics were computed for."""

    by: str
    small: int  # values with too few rows
    small_rows: int
    least_rows: int  # how many would have been enough
    left_out: int = 0  # values beyond the most that are looked at, though large enough
    values: tuple[str, ...] = ()  # the names of the small ones, the first of them


@dataclass(frozen=True)
class Importance:
    """How much worse the metric gets when one feature's values are shuffled among the rows."""

    feature: str
    metric: str
    worse_by: float


@dataclass(frozen=True)
class Evaluation:
    """A model's evaluation. With `present` False there was no model, and nothing was measured.

    Nothing was measured either where `unfit` says why the model, a champion of earlier data, cannot answer
    for this data: a column is gone, say, or the classes are others.
    """

    present: bool
    task: str  # classification | regression
    label: str
    split: str
    rows: int
    dataset_digest: str
    model_digest: str | None = None
    classes: tuple[str, ...] = ()
    positive: str | None = None
    threshold: float | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    undefined: dict[str, str] = field(default_factory=dict)  # metric -> why it could not be measured
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)  # 95 %, bootstrapped
    baseline: dict[str, float] = field(default_factory=dict)  # of a constant learned from the train split
    confusion: tuple[tuple[int, ...], ...] = ()  # [actual][predicted], in the order of `classes`
    curves: tuple[Curve, ...] = ()
    slices: tuple[Slice, ...] = ()
    unjudged: tuple[Unjudged, ...] = ()
    fairness: tuple[Fairness, ...] = ()
    importance: tuple[Importance, ...] = ()
    importance_rows: int = 0  # on how many rows it was measured
    importance_skipped: int = 0  # features that the model uses, too many to shuffle each
    unfit: str = ""
    part_of: str = ""  # digest of the snapshot that this dataset is one segment of
    segment: str = ""  # the value of that segment, as text
    weight: str = ""  # the column by which rows count, where they do not all count the same
    looked_at: int = 0  # rows that slices and all that divides rows was measured on; 0 where it is all of them
    per_class: tuple[ClassMetrics, ...] = ()
    thresholds: tuple[Threshold, ...] = ()
    worst: WorstSlices | None = None  # where the search for the worst parts of the rows was made
    errors: ErrorsFound | None = None  # which rows are most wrong, and what they share
    attributions: Attributions | None = None  # what features contributed to answers
    value: Value | None = None  # of the decisions, where the spec says what they bring

    @property
    def kind(self) -> str:
        """`binary`, `multiclass` or `regression`."""
        return kind_of(self.task, len(self.classes))

    def curve(self, kind: str, of: str | None = None) -> Curve | None:
        """The curve of a kind (of a class), if there is one."""
        return next((c for c in self.curves if c.kind == kind and of in (None, c.of)), None)

    @property
    def one_answer(self) -> str | None:
        """In words, where every row is predicted to be of one class: such a model decides nothing, however it ranks."""
        predicted = [
            name for name, counts in zip(self.classes, zip(*self.confusion, strict=True), strict=False) if any(counts)
        ]
        if len(predicted) != 1:
            return None
        words = f"every row of the {self.split} split is predicted to be `{predicted[0]}`"
        if self.positive is None or self.threshold is None:
            return words
        reach = "every probability" if predicted[0] == self.positive else "no probability"
        return (
            f"{words}, as {reach} of `{self.positive}` reaches the threshold of {self.threshold:.4g}; "
            "train.threshold can choose another, such as `f1`"
        )


def write_evaluation(
    path: Path | str,
    evaluation: Evaluation,
    images: ImageEvaluation | None = None,
    scores: ScoresTable | Iterable[ScoresTable] | None = None,
    beside: Callable[[Path], None] | None = None,
) -> None:
    """Writes an evaluation as a sealed folder, with what it says of images if it is of such, and each row's scores.

    `beside` may add files of other formats to the folder before it is sealed.

    Raises:
        ArtifactError: a number is not finite, or `path` is taken.
    """
    details = {name: getattr(evaluation, name) for name in ("present", "split", "model_digest", "dataset_digest")}
    with write_folder(Path(path), FORMAT, VERSION, details) as folder:
        try:
            write_json(folder / FILE, asdict(evaluation))
            if images:
                write_images(folder, images)
            if scores is not None:
                write_scores(folder, scores)
            if beside is not None:
                beside(folder)
        except ValueError as error:
            raise ArtifactError(f"{path}: expected finite numbers in an evaluation. Received: {error}") from None


def read_evaluation(path: Path | str) -> Evaluation:
    """Opens an evaluation and checks it.

    Raises:
        ArtifactError: not an evaluation, damaged, or of a newer format version.
    """
    path = Path(path)
    manifest = read_manifest(path, FORMAT, VERSION)
    value = read_json(path / FILE)
    try:
        for version in range(manifest.format_version, VERSION):
            value = {**_SINCE[version], **value}
        return _from_dict(value)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ArtifactError(f"{path / FILE}: expected an evaluation. Received: {error!r}") from None


_SINCE: dict[int, dict[str, Any]] = {  # what a version did not say yet
    1: {"importance_rows": 0, "importance_skipped": 0, "unfit": ""},
    2: {
        **dict.fromkeys(("weight", "part_of"), ""),
        **dict.fromkeys(("looked_at",), 0),
        **dict.fromkeys(("per_class", "thresholds"), ()),
        **dict.fromkeys(("worst", "errors", "attributions", "value")),
    },
}


def _from_dict(value: Any) -> Evaluation:
    value = dict(value)
    if not isinstance(value["present"], bool):
        raise TypeError(f"present={value['present']!r}")
    if not isinstance(value["unfit"], str):
        raise TypeError(f"unfit={value['unfit']!r}")
    numbers = ("metrics", "baseline")
    value.update({name: {key: float(n) for key, n in value[name].items()} for name in numbers})
    value["intervals"] = {key: (float(low), float(high)) for key, (low, high) in value["intervals"].items()}
    value["classes"] = tuple(value["classes"])
    value["confusion"] = tuple(tuple(row) for row in value["confusion"])
    value["curves"] = tuple(
        Curve(**{**item, "points": tuple(tuple(point) for point in item["points"])}) for item in value["curves"]
    )
    value["slices"] = tuple(_slice(item) for item in value["slices"])
    value["unjudged"] = tuple(
        Unjudged(**{**item, "values": tuple(item.get("values", ()))}) for item in value["unjudged"]
    )
    value["fairness"] = tuple(fairness_from(item) for item in value["fairness"])
    value["worst"] = WorstSlices.from_dict(value["worst"]) if value["worst"] else None
    value["errors"] = ErrorsFound.from_dict(value["errors"]) if value["errors"] else None
    value["attributions"] = Attributions.from_dict(value["attributions"]) if value["attributions"] else None
    value["value"] = value_from(value["value"])
    value["importance"] = tuple(Importance(**item) for item in value["importance"])
    value["per_class"] = tuple(class_metrics_from(item) for item in value["per_class"])
    value["thresholds"] = tuple(Threshold(**item) for item in value["thresholds"])
    missing = {item.name for item in fields(Evaluation)} - set(value)
    if missing:
        raise KeyError(*sorted(missing))
    return Evaluation(**value)


def _slice(item: dict[str, Any]) -> Slice:
    intervals = {name: (float(low), float(high)) for name, (low, high) in item.get("intervals", {}).items()}
    return Slice(**{**item, "intervals": intervals})
