"""What an evaluation says of all rows of a split that was scored in batches, from their tally."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from headrace.artifacts.evaluation import Curve, Evaluation
from headrace.artifacts.fairness_found import Fairness
from headrace.artifacts.measured import ClassMetrics
from headrace.components.evaluate import curves as drawn
from headrace.components.evaluate.formulas import of_each_class
from headrace.components.evaluate.measure import measure, of_totals
from headrace.components.evaluate.ranking import against_rest
from headrace.components.evaluate.scores import Array, Floats, Scores
from headrace.components.evaluate.tally import Tally, levels_of, pairs_of, totals_of
from headrace.components.evaluate.thresholds import threshold_table
from headrace.components.evaluate.totals import Totals
from headrace.components.evaluate.wilson import wilson


def of_all_rows(part: Evaluation, sample: Scores, found: Tally, train: Scores) -> Evaluation:
    """An evaluation of some rows of a split, with what is known of all of them.

    Intervals of the part are drawn together by the root of its share, about the value of all rows.

    Args:
        part: the evaluation of the rows that were kept.
        sample: their scores.
        found: of all rows.
        train: the train split's labels, of which a constant is learned.
    """
    rows = found.rows
    flaw = flaw_of(found)
    if flaw is not None:
        return _nothing(part, flaw, rows, len(sample))
    whole = totals_of(found, sample.kind, len(sample.classes))
    metrics, undefined = of_totals(whole, sample.kind, sample.classes, sample.positive)
    shrink = math.sqrt(len(sample) / rows)
    return replace(
        part,
        rows=rows,
        looked_at=len(sample),
        metrics=metrics,
        undefined=undefined,
        intervals=_moved(part.intervals, part.metrics, metrics, shrink),
        baseline=_baseline(found, whole, sample, train),
        confusion=tuple(tuple(int(count) for count in row) for row in found.confusion),
        curves=_curves(found, whole, sample, part.curves),
        per_class=_classes(found, whole, part.per_class, shrink),
        thresholds=threshold_table(levels_of(found), sample.threshold) if sample.positive is not None else (),
    )


def flaw_of(found: Tally) -> str | None:
    """Why nothing can be measured of all rows, if so; `Scores.flaw` of rows that were not kept."""
    if found.flawed:
        return f"the model's output is not a finite number in {found.flawed:,} rows"
    counted = any(held.weights.any() for held in found.held)
    return None if counted else "all rows have weight 0"


def _nothing(part: Evaluation, flaw: str, rows: int, looked_at: int) -> Evaluation:
    """An evaluation that says of nothing but why: neither of all rows, nor of those of a slice or group."""
    undefined = dict.fromkeys([*part.metrics, *part.undefined], flaw)
    empty: dict[str, Any] = {"metrics": {}, "intervals": {}, "confusion": (), "curves": (), "thresholds": ()}
    empty |= {"per_class": (), "slices": (), "unjudged": ()}
    fairness = tuple(
        Fairness(
            item.by,
            (),
            {},
            # What is undefined in any case stays so for its own reason.
            {**dict.fromkeys(item.metrics, flaw), **item.undefined},
            item.small_groups,
            item.least_rows,
            small_rows=item.small_rows,
        )
        for item in part.fairness
    )
    return replace(part, **empty, fairness=fairness, undefined=undefined, rows=rows, looked_at=looked_at)


def _moved(
    given: dict[str, tuple[float, float]], before: dict[str, float], now: dict[str, float], shrink: float
) -> dict[str, tuple[float, float]]:
    return {
        name: (now[name] + (low - before[name]) * shrink, now[name] + (high - before[name]) * shrink)
        for name, (low, high) in given.items()
        if name in before and name in now
    }


def _baseline(found: Tally, whole: Totals, sample: Scores, train: Scores) -> dict[str, float]:
    """Of a constant it is only asked how often each actual value or class occurs."""
    if not train.counts().any():
        return {}
    if sample.kind == "regression":
        answer: Floats = np.array([np.average(train.truth, weights=train.weights)])
        truth: Array = found.held[1].numbers
        weights: Floats = found.held[1].weights[:, 0]
    else:
        shares = np.bincount(train.truth, train.weights, len(sample.classes))
        answer, truth, weights = shares / shares.sum(), np.arange(len(sample.classes)), whole["actual"][0]
    outputs = np.tile(answer, (len(truth), 1))
    return measure(replace(sample, truth=truth, outputs=outputs, weights=weights, threshold=0.5))[0]


def _curves(found: Tally, whole: Totals, sample: Scores, of_part: tuple[Curve, ...]) -> tuple[Curve, ...]:
    """The curves of all rows; a scatter and the intervals of a curve stay those of the part."""
    if sample.kind == "regression":
        errors = found.held[0]
        counts, edges = np.histogram(errors.numbers, bins=drawn.RESIDUAL_BINS, weights=errors.weights[:, 0])
        residuals = Curve(
            "residuals", tuple(zip(edges[:-1].tolist(), edges[1:].tolist(), counts.tolist(), strict=True))
        )
        return tuple(residuals if curve.kind == "residuals" else curve for curve in of_part)
    if sample.positive is None:
        codes = [sample.classes.index(str(curve.of)) for curve in of_part if curve.kind == "roc"]
        rocs = [drawn.roc(levels_of(found, code), sample.classes[code]) for code in codes]
        return *rocs, _calibration(found, whole, None)
    name = sample.classes[sample.positive]
    kept = [curve for curve in of_part if curve.kind in ("roc_band", "pr_band")]
    if not (whole["actual"] > 0).all():
        return ()
    return *drawn.of_levels(levels_of(found), name), _calibration(found, whole, name), *kept


def _calibration(found: Tally, whole: Totals, name: str | None) -> Curve:
    rows, probability, right = (whole[column][0] for column in ("bin_rows", "bin_probability", "bin_right"))
    points = []
    for one in np.flatnonzero(rows):
        share, tell = right[one] / rows[one], rows[one] ** 2 / found.squares[one]
        ends = wilson(share * tell, tell)
        points.append((float(probability[one] / rows[one]), float(share), float(rows[one]), *ends))
    return Curve("calibration", tuple(points), name)


def _classes(found: Tally, whole: Totals, of_part: tuple[ClassMetrics, ...], shrink: float) -> tuple[ClassMetrics, ...]:
    if not of_part:
        return ()
    each = {name: values[0] for name, values in of_each_class(whole).items()}
    if len(of_part) > 2:
        each["auc"] = against_rest(pairs_of(found, whole["actual"][0]), whole["actual"][0])
    else:
        each["auc"] = np.full(2, whole.ranked["auc"][0])  # the same for both, as their probabilities add up to one
    made = []
    for code, one in enumerate(of_part):
        metrics = {name: float(values[code]) for name, values in each.items() if np.isfinite(values[code])}
        made.append(
            ClassMetrics(
                one.name,
                int(found.confusion[code].sum()),
                int(found.confusion[:, code].sum()),
                metrics,
                _moved(one.intervals, one.metrics, metrics, shrink),
            )
        )
    return tuple(made)
