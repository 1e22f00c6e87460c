"""The curves of the evaluation's page, the confusion matrix, and the table by which a threshold is chosen."""

from __future__ import annotations

from headrace.artifacts import report as r
from headrace.artifacts.evaluation import Curve, Evaluation
from headrace.artifacts.measured import Threshold
from headrace.components.evaluate.thresholds import shown

_UNIT = (0.0, 1.0)
_SHARES = (0.01, 0.05, 0.1, 0.2, 0.3, 0.5)  # of the rows that are selected
_MOST_NAMES = 10  # of classes without a curve


def curves(found: Evaluation, matrix: bool = True) -> r.Html | None:
    """All charts; with `matrix` the confusion matrix too, which a page of pictures has elsewhere."""
    charts = [chart for chart in (_roc(found), *(_chart(found, curve) for curve in found.curves)) if chart]
    if found.confusion and matrix:
        at = "" if found.threshold is None else f" at threshold {shown(found.threshold)}"
        charts.append(r.heat_table(found.classes, found.classes, found.confusion, f"Confusion matrix{at}"))
    return r.section("Curves", r.grid(*charts)) if charts else None


def thresholds(found: Evaluation) -> r.Html | None:
    """What each threshold would select, and how right it would be."""
    if not found.thresholds:
        return None
    rows = [_threshold(one) for one in found.thresholds]
    headers = ["Threshold", "Selected", "Precision", "Recall", "False positive rate", "F1"]
    headers += ["Right", "False alarms", "Missed"]
    text = f"What would be, if a row counted as {found.positive} from this probability on. Choose on eval, not here:"
    text += " what is best on the test split is best by some chance."
    few = [_threshold(one) for one in _telling(found)]
    blocks = [r.table(headers, few, "lrrrrrrrr")]
    if len(few) < len(rows):
        blocks.append(r.details(f"All {len(rows)} thresholds", r.table(headers, rows, "lrrrrrrrr")))
    return r.section("Thresholds", *blocks, intro=text)


def _telling(found: Evaluation) -> list[Threshold]:
    """The model's own threshold, and those that select about round shares of the rows."""
    shown = {one.threshold for one in found.thresholds if one.chosen}
    for share in _SHARES:
        away = [abs(one.selected - share) for one in found.thresholds]
        shown.add(found.thresholds[away.index(min(away))].threshold)
    return [one for one in found.thresholds if one.threshold in shown]


def _threshold(one: Threshold) -> list[r.Cell]:
    return [
        r.badge(f"{shown(one.threshold)}: the model's", "info") if one.chosen else shown(one.threshold),
        r.percent(one.selected),
        r.percent(one.precision),
        r.percent(one.recall),
        r.percent(one.fpr),
        one.f1,
        one.true_positives,
        one.false_positives,
        one.false_negatives,
    ]


def _roc(found: Evaluation) -> r.Html | None:
    found_curves = [curve for curve in found.curves if curve.kind == "roc"]
    if not found_curves:
        return None
    several = len(found_curves) > 1
    lines = [] if several else _band(found, "roc_band")
    lines += [
        r.Line(str(curve.of) if several else "model", [(p[0], p[1]) for p in curve.points]) for curve in found_curves
    ]
    lines.append(r.Line("chance", [(0, 0), (1, 1)], dashed=True))
    title = "ROC, one class against the rest" if several else "ROC"
    caption = _left_out(found, {str(curve.of) for curve in found_curves}) if several else ""
    return r.line_chart(lines, title, "False positive rate", "True positive rate", _UNIT, _UNIT, caption)


def _left_out(found: Evaluation, drawn: set[str]) -> str:
    """Which classes have no curve, and why; nothing where all have one."""
    rows = [sum(row) for row in found.confusion] or [1] * len(found.classes)
    known = [name for name, count in zip(found.classes, rows, strict=True) if count and name not in drawn]
    absent = [name for name, count in zip(found.classes, rows, strict=True) if not count]
    words = []
    if known:
        words.append(
            f"The {len(drawn)} most frequent of {len(found.classes)} classes in the {found.split} split. "
            f"Not drawn: {_named(known)}."
        )
    if absent:
        words.append(f"No rows in the {found.split} split, and so no curve: {_named(absent)}.")
    return " ".join(words)


def _named(names: list[str]) -> str:
    rest = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {rest} more" if rest > 0 else "")


def _band(found: Evaluation, kind: str) -> list[r.Line]:
    """The interval of a curve as a shade around its middle."""
    band = found.curve(kind)
    if band is None:
        return []
    points = [point for point in band.points if point[2] - point[1] < 1]  # at a recall of 0 anything may be
    middle = [(point[0], (point[1] + point[2]) / 2) for point in points]
    return [r.Line("95 % interval", middle, dashed=True, band=[(point[1], point[2]) for point in points])]


def _chart(found: Evaluation, curve: Curve) -> r.Html | None:
    points = [(point[0], point[1]) for point in curve.points]
    if curve.kind == "pr":
        share = _share_of_positives(found, str(curve.of))
        lines = [*_band(found, "pr_band"), r.Line("model", points)]
        lines.append(r.Line("share of positives", [(0, share), (1, share)], dashed=True))
        return r.line_chart(lines, "Precision and recall", "Recall", "Precision", _UNIT, _UNIT)
    if curve.kind == "calibration":
        band = [(point[3], point[4]) for point in curve.points if len(point) > 4]
        lines = [r.Line("model, with 95 % intervals" if band else "model", points, marks=True, band=band)]
        lines.append(r.Line("perfect", [(0, 0), (1, 1)], dashed=True))
        labels = ("Mean predicted probability", "Observed share")
        title = "Calibration" if curve.of else "Calibration of the likeliest class"
        return r.line_chart(lines, title, *labels, _UNIT, _UNIT)
    if curve.kind == "gain":
        lines = [r.Line("model", points), r.Line("chance", [(0, 0), (1, 1)], dashed=True)]
        return r.line_chart(
            lines, "Gain", "Share of rows, highest first", f"Share of all {curve.of} found", _UNIT, _UNIT
        )
    if curve.kind == "lift":
        lines = [r.Line("model", points), r.Line("chance", [(0, 1), (1, 1)], dashed=True)]
        return r.line_chart(lines, "Lift", "Share of rows, highest first", "Times as many as by chance", _UNIT)
    if curve.kind == "scatter":
        title = f"Predicted against actual, {len(points)} rows"
        return r.scatter_chart(points, title, "Predicted", "Actual", diagonal=True)
    if curve.kind == "residuals":
        edges = [curve.points[0][0], *(point[1] for point in curve.points)]
        series = {"residuals": (edges, [point[2] for point in curve.points])}
        return r.histogram(series, "Residuals", "Predicted minus actual")
    return None


def _share_of_positives(found: Evaluation, name: str) -> float:
    actual = found.confusion[found.classes.index(name)] if found.confusion else ()
    total = sum(sum(row) for row in found.confusion)
    return sum(actual) / total if total else 0.0
