"""Slices on the evaluation's page: those that were asked for, and the worst that were found."""

from __future__ import annotations

import math

from headrace.artifacts import report as r
from headrace.artifacts.evaluation import Evaluation, Slice, Unjudged
from headrace.artifacts.metrics import METRICS
from headrace.artifacts.worst_slices import WorstSlice, WorstSlices
from headrace.components.evaluate.quality_page import with_interval

_MOST_SLICES = 200
_FIRST = 15  # slices that are shown before the rest is asked for
_MOST_METRICS = 4
_LOSS = {"log_loss": "log loss", "squared_error": "squared error"}
_SHOWN = {  # beside the metric that slices are ranked by
    "binary": ("precision", "recall", "log_loss", "ece"),
    "multiclass": ("accuracy", "macro_f1", "log_loss"),
    "regression": ("mae", "bias", "r2"),
}


def main_metric(found: Evaluation) -> str | None:
    """The metric by which slices are ranked."""
    order = ("rmse", "mae") if found.task == "regression" else ("auc", "log_loss", "accuracy")
    return next((name for name in order if name in found.metrics), None)


def slices(found: Evaluation) -> r.Html | None:
    """The slices that the spec names, the worst first."""
    if not found.slices and not found.unjudged:
        return None
    main = main_metric(found)
    names = [name for name in _SHOWN[found.kind] if any(name in part.metrics for part in found.slices)]
    shown = ([main] if main else []) + [name for name in names if name != main][:_MOST_METRICS]
    ranked = sorted(found.slices, key=lambda part: _gap(found, part, main))
    rows = [_slice_row(found, part, shown, main) for part in ranked[:_MOST_SLICES]]
    headers = ["Column", "Value", "Rows", *(METRICS[name].title for name in shown), "Against all rows"]
    align = "llr" + "r" * len(shown) + "r"
    blocks = [r.table(headers, rows[:_FIRST], align)]
    if len(rows) > _FIRST:
        blocks.append(r.details(f"{len(rows) - _FIRST} better slices", r.table(headers, rows[_FIRST:], align)))
    if len(ranked) > _MOST_SLICES:
        blocks.append(r.paragraph(f"{len(ranked) - _MOST_SLICES} better slices are not shown."))
    blocks += [r.paragraph(f"Not measured: {_unjudged(rest)}.") for rest in found.unjudged]
    text = "The same metrics on parts of the rows, the worst first, with 95 % intervals. Coloured where the interval"
    text += " does not hold the value of all rows."
    return r.section("Slices", *blocks, intro=text)


def worst(found: Evaluation) -> r.Html | None:
    """The parts of the rows that a search over all columns found the model to be worst on."""
    search = found.worst
    if search is None:
        return None
    loss = _LOSS[search.loss]
    blocks = []
    if search.found:
        blocks.append(r.table(*_worst_table(search, loss)))
        if any(item.misjudged is not None for item in search.found):
            words = (
                "Off: predictions are too high or too low there on average, beyond chance; more rows like these or a"
            )
            words += " feature that tells them apart should help. Harder: they are right on average, and the rows are"
            blocks.append(r.paragraph(f"{words} harder to tell; perhaps no model does better."))
    else:
        words = "No value of a column, and no pair of values, has more error than the other rows beyond chance."
        blocks.append(r.callout(words, "good"))
    blocks.append(r.details("How this was searched", *_method(search, loss)))
    pairs = (
        "all pairs of them" if len(search.paired) == len(search.columns) else f"pairs of {len(search.paired)} of them"
    )
    text = f"Found by itself, over {r.count(search.tried)} parts of the rows: {len(search.columns)} columns"
    text += f" and {pairs}." if search.paired else "."
    text += f" A row's error is its {loss}. Sorted by how much of all error would be gone, had these rows no more of it"
    return r.section("Worst parts of the rows", *blocks, intro=f"{text} than the others.")


def against_champion(own: Evaluation, champion: Evaluation) -> r.Html | None:
    """Candidate and champion on the same slices; None where they have none in common, other rows, or are one model."""
    if own.model_digest == champion.model_digest:
        return None
    same = all(getattr(own, name) == getattr(champion, name) for name in ("dataset_digest", "split", "rows"))
    main = main_metric(own)
    theirs = {(part.by, part.value): part for part in champion.slices}
    pairs = [(part, theirs[part.by, part.value]) for part in own.slices if (part.by, part.value) in theirs]
    if not same or main is None or not pairs:
        return None
    sign = 1 if METRICS[main].higher_is_better else -1
    rows: list[tuple[float, list[r.Cell]]] = []
    for part, other in pairs:
        ours, before = part.metrics.get(main), other.metrics.get(main)
        gain = math.inf if ours is None or before is None else sign * (ours - before)
        told = "not comparable" if math.isinf(gain) else "the same" if gain == 0 else _apart(gain)
        cells = [with_interval(ours, part.intervals.get(main)), with_interval(before, other.intervals.get(main))]
        rows.append((gain, [part.by, part.value, part.rows, *cells, told]))
    shown = [cells for _, cells in sorted(rows, key=lambda item: item[0])[:_MOST_SLICES]]
    title = METRICS[main].title
    headers = ["Column", "Value", "Rows", f"{title}, candidate", f"{title}, champion", "Candidate is"]
    blocks = [r.table(headers, shown[:_FIRST], "llrrrr")]
    if len(shown) > _FIRST:
        rest = r.table(headers, shown[_FIRST:], "llrrrr")
        blocks.append(r.details(f"{len(shown) - _FIRST} more, on which the candidate does better than on these", rest))
    if len(rows) > _MOST_SLICES:
        blocks.append(
            r.paragraph(f"{len(rows) - _MOST_SLICES} more, on which the candidate does better, are not shown.")
        )
    text = (
        "Both models on the same rows, where the candidate loses most first. The intervals are of each by itself: both"
    )
    text += " move together from sample to sample, so that overlapping ones may differ all the same."
    return r.section("Slices, beside the champion", *blocks, intro=text)


def _apart(gain: float) -> str:
    return f"{abs(gain):.4f} {'better' if gain > 0 else 'worse'}"


def _worst_table(search: WorstSlices, loss: str) -> tuple[list[str], list[list[r.Cell]], str]:
    levels = any(item.predicted is not None for item in search.found)
    headers = ["Column", "Value", "Rows", f"Mean {loss}", "Others", "Of all error"]
    headers += ["Predicted", "Observed", ""] if levels else []
    rows = []
    for item in search.found:
        row: list[r.Cell] = [item.by, item.value, item.rows, item.error, item.others, r.meter(item.excess, kind="bad")]
        rows.append([*row, item.predicted, item.observed, _kind(item)] if levels else row)
    return headers, rows, "llrrrl" + ("rrl" if levels else "")


def _kind(item: WorstSlice) -> r.Html:
    if not item.misjudged or item.predicted is None or item.observed is None:
        return r.badge("harder", "neutral")
    return r.badge("off: too high" if item.predicted > item.observed else "off: too low", "bad")


def _method(search: WorstSlices, loss: str) -> list[r.Html]:
    points = [
        f"Each value of each column and each pair of values of two columns, with {r.count(search.least_rows)} rows or"
        " more; numbers and dates in quartiles. As in Slice Finder (Chung et al. 2019) and SliceLine (Sagadeeva and"
        " Boehm 2021).",
        f"Listed is what has at least a tenth more {loss} than the other rows by Welch's t test at 5 %, corrected for"
        f" all {r.count(search.tried)} parts (Bonferroni). The most significant is taken first, and its rows are set"
        " aside before the next; a pair is named only where it is worse than either of its values alone.",
        f"On {r.count(search.rows)} rows. Name a column in `evaluate.slices` to have all metrics of its values, or in a"
        " gate.",
    ]
    blocks = [r.bullets(points)]
    if search.left_out:
        blocks.append(r.table(["Not searched", "Why"], list(search.left_out.items()), "lw"))
    if len(search.paired) < len(search.columns) and search.paired:
        blocks.append(r.paragraph(f"In pairs: {', '.join(search.paired)}."))
    return blocks


def _unjudged(rest: Unjudged) -> str:
    text = f"{rest.by}: values with fewer than {rest.least_rows} rows: {r.count(rest.small)}"
    more = rest.small - len(rest.values)
    named = ", ".join(rest.values) + (f" and {r.count(more)} more" if more else "")
    text += f", {r.count(rest.small_rows)} rows in all ({named})" if rest.small else ""
    return text + (f"; values beyond those looked at: {r.count(rest.left_out)}" if rest.left_out else "")


def _gap(found: Evaluation, part: Slice, main: str | None) -> float:
    """How much better than the whole: negative where worse, minus infinity where unknown."""
    if main is None or main not in part.metrics:
        return float("-inf")
    gap = part.metrics[main] - found.metrics[main]
    return gap if METRICS[main].higher_is_better else -gap


def _slice_row(found: Evaluation, part: Slice, shown: list[str], main: str | None) -> list[r.Cell]:
    figures = [with_interval(part.metrics.get(name), part.intervals.get(name)) for name in shown]
    return [part.by, part.value, part.rows, *figures, _verdict(found, part, main)]


def _verdict(found: Evaluation, part: Slice, main: str | None) -> r.Cell:
    """How a slice compares with all rows; coloured where that is more than its number of rows explains."""
    if main is None or main not in part.metrics:
        return r.badge(part.undefined.get(str(main), "not measured"), "warn")
    gap = _gap(found, part, main)
    text = f"{abs(gap):.4f} {'better' if gap >= 0 else 'worse'}"
    ends = part.intervals.get(main)
    if ends is None or ends[0] <= found.metrics[main] <= ends[1]:
        return text
    return r.badge(text, "good" if gap > 0 else "bad")
