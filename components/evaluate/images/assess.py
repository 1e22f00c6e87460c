"""Evaluates a model of images: the same metrics as of a table, and what can only be seen in pictures."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace.artifacts.dataset import Dataset
from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.evaluation import Evaluation
from headrace.artifacts.image_evaluation import WRONG, ImageEvaluation, Labels, OperatingPoint, Review, Robustness
from headrace.artifacts.pictures import Pixels
from headrace.artifacts.value_found import Value
from headrace.components.evaluate.images.network import Network, pictures_of
from headrace.components.evaluate.images.occlusion import Attention, attention, overlay
from headrace.components.evaluate.images.operating import operating_point
from headrace.components.evaluate.images.review import review
from headrace.components.evaluate.images.robustness import robustness
from headrace.components.evaluate.images.shares import class_quality, share, share_of
from headrace.components.evaluate.images.tiles import MOST_LISTED, Looked, Mistake, Seen, as_uri, mistakes, shrunk
from headrace.components.evaluate.looks import look_closer
from headrace.components.evaluate.measure import measure
from headrace.components.evaluate.rows import Keep, per_row
from headrace.components.evaluate.scores import Array, Floats, Scores, score
from headrace.components.evaluate.spec import EvaluateSpec, LookSpec
from headrace.components.evaluate.summary import Measurement, summary
from headrace.components.evaluate.value import valued
from headrace.components.evaluate.weights import row_weights

CHOOSE = "eval"  # the split that the operating point is chosen on: training has seen it, but not learned from it


@dataclass(frozen=True)
class _Split:
    """A split with the model's answers, without the images that have no truth.

    `truth` and `labels` are the same answers beside what is true and beside the labels, which are the same where
    the spec names no other truth. `rows` are the places in the split.
    """

    name: str
    table: pa.Table
    rows: Array
    truth: Scores
    labels: Scores


def assess_images(
    network: Network, data: Dataset, settings: EvaluateSpec, split: str = "test", keep: Keep | None = None
) -> tuple[Evaluation, Seen | None]:
    """Everything that is measured of a model of images on one split, with the pictures for the report.

    `keep` is given each row's scores.

    Raises:
        HeadraceError: model and dataset do not fit each other; a column or class of the settings is not there.
    """
    part = _split(network, data, settings, split)
    scores = part.truth
    if keep is not None:
        keep(per_row(scores, part.table, settings, data.info.rows[split], part.rows))
    measured = Measurement(scores, *measure(scores), part.table)
    found = summary(measured, data, network, settings, split)
    worst = look_closer(scores, part.table, data.info, settings).worst
    found = replace(found, worst=worst, value=_value(network, data, settings, part))
    if not measured.metrics:
        return found, None
    look = settings.look or LookSpec()
    listed = _review(part, look)
    confused = mistakes(scores)
    point = _operating(network, data, settings, part)
    images = ImageEvaluation(
        truth=settings.truth,
        classes=class_quality(scores.truth, scores.predicted, scores.classes),
        operating=point,
        labels=_labels(part, listed) if settings.truth else None,
        review=listed,
        robustness=_robustness(network, data, settings, part, look, point),
    )
    shown = _shown(part, confused, listed)
    tiles = dict(pictures_of(data, split, network.column, lambda p: as_uri(shrunk(p)), shown))
    looked = tuple(_look(network, data, part, confused, look.attention))
    return found, Seen(images, confused, tuple(_paths(part)), part.rows, scores, tiles, looked)


def _split(network: Network, data: Dataset, settings: EvaluateSpec, split: str) -> _Split:
    """Reads a split without its pictures, which pass through the model one batch at a time."""
    info = data.info
    table = data.table(split, [column.name for column in info.columns if column.type != "binary"])
    outputs = network.of_split(data, split)
    rows = np.arange(table.num_rows)
    if settings.truth is not None:
        _needed(table, settings.truth)
        rows = np.flatnonzero(pc.is_valid(table[settings.truth]).to_numpy())
        table, outputs = table.take(pa.array(rows)), outputs[rows]
    weights = row_weights(table, settings.weight)
    labels = replace(score(info, network.signature, table[info.label], outputs), weights=weights)
    if settings.truth is None:
        return _Split(split, table, rows, labels, labels)
    truth = replace(score(info, network.signature, table[settings.truth], outputs), weights=weights)
    return _Split(split, table, rows, truth, labels)


def _needed(table: pa.Table, name: str) -> None:
    if name not in table.column_names:
        near = difflib.get_close_matches(name, table.column_names, n=1)
        hint = f"did you mean `{near[0]}`?" if near else f"columns {', '.join(table.column_names)}"
        raise HeadraceError(f"evaluate.truth: expected a column of the data. Received: {name}; {hint}")


def _operating(network: Network, data: Dataset, settings: EvaluateSpec, part: _Split) -> OperatingPoint | None:
    if settings.recall is None:
        return None
    choose = _split(network, data, settings, CHOOSE) if part.name != CHOOSE else part
    return operating_point(settings.recall, choose.truth, part.truth, (CHOOSE, part.name))


def _value(network: Network, data: Dataset, settings: EvaluateSpec, part: _Split) -> Value | None:
    def chosen() -> tuple[Scores, pa.Table]:
        choose = _split(network, data, settings, CHOOSE)
        return choose.truth, choose.table

    return valued(part.truth, part.table, settings.value, settings.seed, chosen)


def _review(part: _Split, look: LookSpec) -> tuple[Review, ...]:
    groups = part.table["group"].to_pylist() if "group" in part.table.column_names else None
    codes = part.truth.truth if part.truth is not part.labels else None
    truths = None if codes is None else [part.truth.classes[code] for code in codes]
    return review(part.labels, part.rows, _paths(part), groups, truths, look.review)


def _paths(part: _Split) -> list[str]:
    """What each image is called; its row where the snapshot has no paths."""
    if "path" in part.table.column_names:
        return [str(path) for path in part.table["path"].to_pylist()]
    return [f"row {row}" for row in part.rows]


def _labels(part: _Split, listed: Sequence[Review]) -> Labels:
    truth, said, classes = part.truth.truth, part.labels.truth, part.truth.classes
    wrong = [item for item in listed if item.reason == WRONG]
    return Labels(
        accuracy=share(int((truth == said).sum()), len(truth)),
        recall={name: share_of(said == code, truth == code) for code, name in enumerate(classes)},
        review=share(sum(item.truth != item.label for item in wrong), len(wrong)) if wrong else None,
    )


def _robustness(
    network: Network, data: Dataset, settings: EvaluateSpec, part: _Split, look: LookSpec, point: OperatingPoint | None
) -> tuple[Robustness, ...]:
    count = min(look.robustness, len(part.rows))
    places = np.sort(np.random.default_rng(settings.seed).choice(len(part.rows), count, replace=False))
    pictures = [picture for _, picture in pictures_of(data, part.name, network.column, network.seen, part.rows[places])]
    truths = pa.chunked_array([pa.array([part.truth.classes[code] for code in part.truth.truth[places]], pa.string())])

    def scored(outputs: Floats) -> Scores:
        return score(data.info, network.signature, truths, outputs)

    watched = None if point is None or point.threshold is None else (point.name, point.threshold)
    return robustness(network, pictures, scored, watched)


def _shown(part: _Split, confused: Iterable[Mistake], listed: Iterable[Review]) -> set[int]:
    """The rows that the report shows."""
    shown = {int(part.rows[place]) for mistake in confused for place in mistake.places}
    counted: dict[str, int] = {}
    for item in listed:
        counted[item.reason] = counted.get(item.reason, 0) + 1
        if counted[item.reason] <= MOST_LISTED:
            shown.add(item.row)
    return shown


def _look(network: Network, data: Dataset, part: _Split, confused: Sequence[Mistake], most: int) -> Iterable[Looked]:
    """What the model looked at: in the surest right answer for each class, and in the surest mistake of each kind."""
    scores, classes = part.truth, network.signature.classes
    places = _surest_right(scores)[: (most + 1) // 2]
    places += [mistake.places[0] for mistake in confused][: most - len(places)]
    both = pictures_of(data, part.name, network.column, lambda p: (network.seen(p), shrunk(p)), part.rows[places])
    pictures = dict(both)
    predicted = scores.predicted
    for place in places:
        row = int(part.rows[place])
        # Columns of the outputs are in the signature's order, which need not be the dataset's.
        names = list(dict.fromkeys(scores.classes[code] for code in (predicted[place], scores.truth[place])))
        known = [classes.index(name) for name in names if name in classes]
        picture, shown = pictures[row]
        maps = attention(network, picture, known)
        drawn = ((classes[one.code], one.whole, one.least, _drawn(shown, one)) for one in maps)
        yield Looked(place, as_uri(shown), tuple(drawn))


def _drawn(picture: Pixels, found: Attention) -> str:
    return as_uri(overlay(picture, found.heat)) if found.heat.any() else ""


def _surest_right(scores: Scores) -> list[int]:
    """For each class the place of the image that was called so with the greatest probability, and rightly."""
    found = []
    predicted = scores.predicted
    for code in range(len(scores.classes)):
        right = np.flatnonzero((scores.truth == code) & (predicted == code))
        if len(right):
            found.append(int(right[scores.outputs[right, code].argmax()]))
    return found
