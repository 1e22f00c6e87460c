"""What is kept of rows that are scored in batches: sums, and the weight at each distinct score. Tallies are added up.

Everything that an evaluation says of all rows follows from it, by the same formulas as from the rows themselves. The
sums are exact. So is the weight at each score, and with it the area under each curve, while there are no more distinct
scores than `MOST_LEVELS`; beyond, the last bits of scores are cut off until so many are left. How many bits are cut
follows from the rows alone, whatever the order in which tallies are added up.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from headrace.components.evaluate.ranking import (
    Levels,
    area_above,
    areas_of_pairs,
    binary_ranked,
    quantiles_of_levels,
)
from headrace.components.evaluate.scores import Array, Floats, Scores
from headrace.components.evaluate.totals import BINS, Totals, bins, calibrated, centre_of, layout_of, totals

MOST_LEVELS = 1 << 20  # distinct scores; of C classes a share of it, as there is one number for each pair of them
_LEAST_LEVELS = 1 << 10
_FIRST_CUT = 30  # bits: the outputs of graphs are float32, the last 29 bits of which are zeros as float64
_STEP = 1


@dataclass(frozen=True)
class Held:
    """(D,) distinct numbers in order, the (D, K) weight of K kinds of rows at each, and how many bits are cut."""

    numbers: Floats
    weights: Floats
    cut: int = 0


@dataclass(frozen=True)
class Tally:
    """What is known of rows that were scored.

    Attributes:
        sums: (1, K), laid out as `totals.layout_of` says.
        centre: what sums of squares of a regression are about.
        rows: how many.
        flawed: of them, rows whose outputs are no finite numbers; they are in nothing else.
        confusion: (C, C) rows, unweighted.
        squares: (BINS,) sums of squared weights in each bin of calibration.
        held: two classes: weight of positive and negative rows at each score. Several: for the probability of each
            class, the weight of the rows of each. Regression: weight at each error, and at each actual value.
    """

    sums: Floats
    centre: tuple[float, float]
    rows: int
    flawed: int
    confusion: Floats
    squares: Floats
    held: tuple[Held, ...]


def tally(scores: Scores, most: int = MOST_LEVELS) -> Tally:
    """The tally of some rows."""
    sound = np.asarray(np.isfinite(scores.outputs).all(axis=1))
    flawed = int((~sound).sum())
    rows = scores if not flawed else scores.take(sound)
    weights = rows.counts()
    # Rows of no weight have no mean to take a regression's sums about.
    if not len(rows) or (rows.kind == "regression" and not weights.any()):
        return _empty(scores, flawed)
    size = len(rows.classes)
    squares: Floats = np.zeros(BINS)
    confusion: Floats = np.zeros((size, size))
    if rows.kind != "regression":
        counts = np.bincount(rows.truth * size + rows.predicted, minlength=size * size)
        confusion = counts.reshape(size, size).astype(np.float64)
        squares = np.asarray(np.bincount(bins(calibrated(rows)[0]), weights**2, BINS), np.float64)
    return Tally(
        totals(rows, weights[None, :], ordered=False).sums,
        centre_of(rows),
        len(scores),
        flawed,
        confusion,
        squares,
        _held(rows, weights, most),
    )


def merge(one: Tally, other: Tally, kind: str, most: int = MOST_LEVELS) -> Tally:
    """The tally of the rows of both."""
    if not one.held or not other.held:  # no sound row of any weight in one of them
        full, bare = (one, other) if one.held else (other, one)
        return replace(full, rows=full.rows + bare.rows, flawed=full.flawed + bare.flawed)
    added = other.sums
    if kind == "regression":
        added = _about(other, one.centre)
    return Tally(
        one.sums + added,
        one.centre,
        one.rows + other.rows,
        one.flawed + other.flawed,
        one.confusion + other.confusion,
        one.squares + other.squares,
        tuple(_joined(mine, theirs, most) for mine, theirs in zip(one.held, other.held, strict=True)),
    )


def _empty(scores: Scores, flawed: int) -> Tally:
    size = len(scores.classes)
    width = max(part.stop for part in layout_of(scores.kind, size).values())
    return Tally(np.zeros((1, width)), (0.0, 0.0), len(scores), flawed, np.zeros((size, size)), np.zeros(BINS), ())


def _about(found: Tally, centre: tuple[float, float]) -> Floats:
    """The sums of a regression about another centre."""
    layout = layout_of("regression", 0)
    at = {name: part.start for name, part in layout.items()}
    sums = found.sums.copy()
    rows, actual, error = (found.sums[0, at[name]] for name in ("rows", "actual", "error"))
    away, off = found.centre[0] - centre[0], found.centre[1] - centre[1]
    sums[0, at["actual"]] += rows * away
    sums[0, at["error"]] += rows * off
    sums[0, at["actual_actual"]] += 2 * away * actual + rows * away**2
    sums[0, at["error_error"]] += 2 * off * error + rows * off**2
    sums[0, at["actual_error"]] += away * error + off * actual + rows * away * off
    return sums


def _held(scores: Scores, weights: Floats, most: int) -> tuple[Held, ...]:
    if scores.kind == "regression":
        error = scores.predicted - scores.truth
        return tuple(_gathered(numbers, weights[:, None], 0, most) for numbers in (error, scores.truth))
    if scores.kind == "binary":
        sides = np.column_stack([weights * scores.actual, weights * ~scores.actual])
        return (_gathered(scores.score, sides, 0, most),)
    of_class = np.zeros((len(scores), len(scores.classes)))
    of_class[np.arange(len(scores)), scores.truth] = weights
    return tuple(_gathered(column, of_class, 0, most) for column in scores.outputs.T)


def _joined(one: Held, other: Held, most: int) -> Held:
    numbers, weights = np.r_[one.numbers, other.numbers], np.concatenate([one.weights, other.weights])
    return _gathered(numbers, weights, max(one.cut, other.cut), most)


def _gathered(numbers: Floats, weights: Floats, cut: int, most: int) -> Held:
    allowed = max(_LEAST_LEVELS, most // max(1, weights.shape[1] // 2) ** 2)
    while True:
        distinct, place = np.unique(_cut(numbers, cut), return_inverse=True)
        if len(distinct) <= allowed:
            break
        cut = max(_FIRST_CUT, cut + _STEP)
    gathered = [np.bincount(place, column, len(distinct)) for column in weights.T]
    return Held(distinct, np.column_stack(gathered), cut)


def _cut(numbers: Floats, bits: int) -> Floats:
    numbers = np.ascontiguousarray(numbers, np.float64) + 0.0  # -0.0 is 0.0
    if not bits:
        return numbers
    return ((numbers.view(np.int64) >> bits) << bits).view(np.float64)


def totals_of(found: Tally, kind: str, classes: int) -> Totals:
    """The totals of the rows, R = 1. Those of several classes hold the areas as well.

    Raises:
        ValueError: there is no sound row.
    """
    layout = layout_of(kind, classes)
    if not found.held:
        raise ValueError("expected rows with finite outputs. Received: none")
    if kind == "binary":
        return Totals(found.sums, layout, binary_ranked(levels_of(found)))
    if kind == "regression":
        error, truth = found.held
        return Totals(
            found.sums, layout, quantiles_of_levels(error.numbers, error.weights, truth.numbers, truth.weights)
        )
    rows = found.sums[0, layout["actual"]]
    return Totals(found.sums, layout, areas_of_pairs(pairs_of(found, rows), rows))


def pairs_of(found: Tally, rows: Floats) -> Floats:
    """(C, C) areas of each class against each other, as `ranking.pair_areas` gives."""
    areas = np.stack([area_above(held.weights[:, code], held.weights) for code, held in enumerate(found.held)])
    with np.errstate(divide="ignore", invalid="ignore"):
        areas = areas / np.outer(rows, rows)
    np.fill_diagonal(areas, 0.5)
    return np.asarray(areas)


def levels_of(found: Tally, code: int | None = None) -> Levels:
    """The weight of positive and negative rows at each score; of several classes, of one against the rest."""
    held = found.held[code or 0]
    if code is None:
        return Levels(held.numbers, held.weights[None, :, 0], held.weights[None, :, 1])
    own = held.weights[:, code]
    return Levels(held.numbers, own[None, :], (held.weights.sum(axis=1) - own)[None, :])


def to_bytes(found: Tally) -> bytes:
    """A tally as the bytes of a NumPy archive."""
    arrays: dict[str, Any] = {"sums": found.sums, "confusion": found.confusion, "squares": found.squares}
    arrays["facts"] = np.array([*found.centre, found.rows, found.flawed], np.float64)
    for index, held in enumerate(found.held):
        arrays |= {f"numbers{index}": held.numbers, f"weights{index}": held.weights, f"cut{index}": np.array(held.cut)}
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def from_bytes(content: bytes) -> Tally:
    """A tally from `to_bytes`. Nothing in it is run."""
    with np.load(io.BytesIO(content), allow_pickle=False) as opened:
        arrays: dict[str, Array] = dict(opened)
    facts = arrays["facts"]
    count = sum(name.startswith("cut") for name in arrays)
    held = tuple(Held(arrays[f"numbers{i}"], arrays[f"weights{i}"], int(arrays[f"cut{i}"])) for i in range(count))
    centre = (float(facts[0]), float(facts[1]))
    return Tally(arrays["sums"], centre, int(facts[2]), int(facts[3]), arrays["confusion"], arrays["squares"], held)
