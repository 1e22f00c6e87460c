"""What a model's decisions are worth: as it is served, at the best threshold, and against acting on all or on none."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.gains import Gains
from headrace.artifacts.value_found import RIVALS, Amount, Value, ValuePoint
from headrace.components.evaluate.resample import BOTH, percentile_limits, resampled_sums, resamples_for
from headrace.components.evaluate.scores import Array, Floats, Scores
from headrace.components.evaluate.value_spec import ValueSpec
from headrace.trainer.threshold import choose

CHOOSE = "eval"  # the split that the best threshold is chosen on
MOST_POINTS = 100  # of the curve

Split = tuple[Scores, pa.Table]


class _Worth(NamedTuple):
    """(N,) what each row brings if it is acted on, what if not, and how much it counts."""

    acted: Floats
    left: Floats
    counts: Floats

    def of(self, decision: Array) -> Floats:
        """(N,) what each row brings under these decisions, as often as it counts."""
        return np.where(decision, self.acted, self.left) * self.counts


def row_gains(scores: Scores, table: pa.Table, spec: ValueSpec | None) -> tuple[Floats, Floats] | None:
    """(N,) what each row brings if it is predicted positive, and if negative; None where that cannot be said."""
    if spec is None or scores.positive is None:
        return None
    try:
        return spec.gains.of(table, scores.actual)
    except HeadraceError:
        return None  # `valued` says why


def valued(
    scores: Scores,
    table: pa.Table,
    spec: ValueSpec | None,
    seed: int,
    choose_on: Callable[[], Split] | None = None,
    flaw: str | None = None,
) -> Value | None:
    """Values the decisions on N rows; None where the spec states no gains.

    Args:
        scores: of the rows, with the threshold that the model is served at.
        table: the columns of the same rows.
        spec: what each outcome brings.
        seed: of the resampling that gives the intervals.
        choose_on: gives the rows of another split, to choose the best threshold on. Where they do not tell it, the
            value has no best threshold, and says why.
        flaw: why the whole split that these are some rows of cannot be valued, if so.
    """
    if spec is None:
        return None
    gains = spec.gains
    flaw = flaw or scores.flaw()
    if flaw is None and scores.positive is None:
        flaw = "decisions are valued where there are two classes"
    if flaw is not None:
        return Value(gains.words, gains.currency, undefined=flaw)
    try:
        worth = _Worth(*gains.of(table, scores.actual), scores.counts())
    except HeadraceError as error:
        return Value(gains.words, gains.currency, undefined=str(error))
    best, no_best = _best_threshold(gains, choose_on) if choose_on else (None, "")
    amounts, over, curve = _amounts(scores, worth, best, seed)
    return Value(
        gains.words,
        gains.currency,
        len(scores),
        scores.threshold,
        amounts,
        over,
        best,
        None if best is None else CHOOSE,
        curve,
        no_best=no_best,
        weight=0.0 if scores.weights is None else float(scores.weights.sum()),
    )


def _best_threshold(gains: Gains, choose_on: Callable[[], Split]) -> tuple[float | None, str]:
    """The threshold, or None and why there is none: the value on other rows does not depend on it."""
    try:
        scores, table = choose_on()
        flaw = scores.flaw()
        if flaw is not None:
            raise HeadraceError(flaw)
        for which, of in (("positive", scores.actual), ("negative", ~scores.actual)):
            if not scores.counts()[of].any():
                raise HeadraceError(
                    f"expected rows of both classes. Received: {len(scores):,} rows, none of them {which}; "
                    "make data.split.eval larger"
                )
        worths = gains.of(table, scores.actual)
        return choose("value", scores.score, scores.actual, scores.weights, worths).at, ""
    except HeadraceError as error:
        return None, f"no best threshold could be chosen on the {CHOOSE} split: {error}"


def _amounts(
    scores: Scores, worth: _Worth, best: float | None, seed: int
) -> tuple[dict[str, Amount], dict[str, Amount], tuple[ValuePoint, ...]]:
    """Amounts by who decides, the model's beyond each of its rivals, and the curve; all from the same resamples."""
    decisions = {
        "model": scores.predicted == scores.positive,
        **({} if best is None else {"best": scores.score >= best}),
        "all": np.ones(len(scores), bool),
        "none": np.zeros(len(scores), bool),
        "perfect": worth.acted >= worth.left,
    }
    brought = {name: worth.of(decision) for name, decision in decisions.items()}
    shares = {name: float(worth.counts @ decision / worth.counts.sum()) for name, decision in decisions.items()}
    columns = [worth.counts, (worth.acted - worth.left) * worth.counts, *brought.values()]
    edges, place = _bins(scores.score)
    order = np.argsort(place, kind="stable")
    terms = np.column_stack(columns)[order]
    rng, resamples = np.random.default_rng(seed), resamples_for(len(scores))
    parts = np.split(terms, np.cumsum(np.bincount(place, minlength=len(edges)))[:-1])
    drawn = np.stack([resampled_sums(part, resamples, rng) for part in parts], axis=1)  # (resamples, bins, K)
    drawn = drawn[drawn[:, :, 0].sum(axis=1) > 0]  # of a handful of rows, a resample may hold none
    total = drawn.sum(axis=1)
    scale = worth.counts.sum() / total[:, 0]  # each resample is told as if it were as long as the split
    draws = {name: total[:, 2 + index] * scale for index, name in enumerate(brought)}
    amounts = {name: _amount(values.sum(), draws[name], shares[name], worth) for name, values in brought.items()}
    over = {
        name: _amount(
            (brought["model"] - brought[name]).sum(),
            draws["model"] - draws[name],
            shares["model"] - shares[name],
            worth,
        )
        for name in (*RIVALS, "best")
        if name in brought
    }
    return amounts, over, _curve(edges, parts, drawn, scale, draws["none"], amounts["none"].total)


def _amount(total: float, draws: Floats, share: float, worth: _Worth) -> Amount:
    limits = percentile_limits(draws)
    low, high = limits[f"{BOTH:g}"]
    return Amount(float(total), float(total / worth.counts.sum()), low, high, share, limits)


def _bins(score: Floats) -> tuple[Floats, Array]:
    """Thresholds, rising from 0, and (N,) the last of them that each row reaches."""
    levels = np.unique(np.quantile(score, np.linspace(0, 1, MOST_POINTS), method="higher"))
    edges = np.unique(np.concatenate([[0.0], levels, [min(1.0, np.nextafter(score.max(), 2))]]))
    return edges, np.searchsorted(edges, score, side="right") - 1


def _curve(
    edges: Floats, parts: list[Floats], drawn: Floats, scale: Floats, none: Floats, nothing: float
) -> tuple[ValuePoint, ...]:
    """The total where all rows of a bin and of those above it are acted on, bin by bin."""
    sums = np.stack([part.sum(axis=0) for part in parts])
    gained = np.cumsum(sums[::-1, 1])[::-1]
    acted_on = np.cumsum(sums[::-1, 0])[::-1] / sums[:, 0].sum()
    ranges = np.cumsum(drawn[:, ::-1, 1], axis=1)[:, ::-1] * scale[:, None] + none[:, None]
    low, high = np.quantile(ranges, [1 - BOTH, BOTH], axis=0)
    return tuple(
        ValuePoint(float(edge), float(nothing + gained[at]), float(low[at]), float(high[at]), float(acted_on[at]))
        for at, edge in enumerate(edges)
    )
