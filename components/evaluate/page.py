"""The evaluation's HTML report."""

from __future__ import annotations

import math

from headrace.artifacts import report as r
from headrace.artifacts.evaluation import Curve, Evaluation, Fairness, Slice, Unjudged
from headrace.artifacts.metrics import FAIRNESS, METRICS
from headrace.components.evaluate.images import page as images_page
from headrace.components.evaluate.images.tiles import Seen

_MOST_SLICES = 40
_MOST_FEATURES = 20
_UNIT = (0.0, 1.0)


def evaluation_page(found: Evaluation, seen: Seen | None = None) -> str:
    """The report on an evaluation as one HTML document; `seen` is what only a model of images has."""
    facts = [("Model", found.model_digest or "none"), ("Dataset", found.dataset_digest)]
    title, about = "Evaluation", f"{found.label} · {r.count(found.rows)} rows of the {found.split} split"
    if not found.present:
        words = "Nothing was measured. Gates against the champion decide by their `without_champion`."
        missing = r.section("No model", r.callout(words, "info", "There was no model to evaluate."))
        return r.page(title, about, [missing], facts=facts)
    if found.unfit:
        words = f"Nothing was measured: {found.unfit}. Gates against the champion decide by their `unfit_champion`."
        unfit = r.section("Unfit model", r.callout(words, "bad", "The model does not fit this data."))
        return r.page(title, about, [unfit], facts=facts)
    before, after = (images_page.first(found, seen), images_page.second(seen)) if seen else ([], [])
    sections = [_quality(found, seen), *before, _curves(found, seen), *after]
    sections += [_slices(found), _fairness(found), _importance(found)]
    return r.page(title, about, [part for part in sections if part is not None], facts=facts)


def _quality(found: Evaluation, seen: Seen | None) -> r.Html:
    tiles = []
    for name, value in found.metrics.items():
        notes = []
        if name in found.intervals:
            low, high = found.intervals[name]
            notes.append(f"{r.number(low, 3)} – {r.number(high, 3)}")
        if name in found.baseline:
            notes.append(f"constant {r.number(found.baseline[name], 3)}")
        tiles.append((METRICS[name].title, value, r.Html("<br>".join(notes))))
    blocks = [r.tiles(tiles)] if tiles else []
    if not tiles:
        blocks.append(r.callout("No metric could be measured. No gate passes.", "bad"))
    if found.undefined:
        rows = [(METRICS[name].title, reason) for name, reason in found.undefined.items()]
        blocks.append(r.table(["Not measured", "Why"], rows))
    words = [(METRICS[name].title, f"{METRICS[name].description}{_better(name)}") for name in found.metrics]
    if words:
        blocks.append(r.details("What the metrics mean", r.key_values(words)))
    intro = "With each value: its 95 % bootstrap interval, and what a constant learned from train gets."
    if seen and seen.found.truth:
        intro += f" Measured against the column {seen.found.truth}, and not the label."
    return r.section("Quality", *blocks, intro=intro if tiles else "")


def _better(name: str) -> str:
    higher = METRICS[name].higher_is_better
    return "" if higher is None else f"; {'higher' if higher else 'lower'} is better"


def _curves(found: Evaluation, seen: Seen | None) -> r.Html | None:
    charts = [chart for chart in (_roc(found), *(_chart(found, curve) for curve in found.curves)) if chart]
    if found.confusion and not (seen and images_page.in_matrix(found)):
        at = "" if found.threshold is None else f" at threshold {found.threshold:g}"
        charts.append(r.heat_table(found.classes, found.classes, found.confusion, f"Confusion matrix{at}"))
    return r.section("Curves", r.grid(*charts)) if charts else None


def _roc(found: Evaluation) -> r.Html | None:
    curves = [curve for curve in found.curves if curve.kind == "roc"]
    if not curves:
        return None
    several = len(curves) > 1
    lines = [r.Line(str(curve.of) if several else "model", [(p[0], p[1]) for p in curve.points]) for curve in curves]
    lines.append(r.Line("chance", [(0, 0), (1, 1)], dashed=True))
    title = "ROC, one class against the rest" if several else "ROC"
    return r.line_chart(lines, title, "False positive rate", "True positive rate", _UNIT, _UNIT)


def _chart(found: Evaluation, curve: Curve) -> r.Html | None:
    points = [(point[0], point[1]) for point in curve.points]
    if curve.kind == "pr":
        actual = found.confusion[found.classes.index(str(curve.of))] if found.confusion else ()
        share = sum(actual) / found.rows if found.rows else 0.0
        lines = [r.Line("model", points), r.Line("share of positives", [(0, share), (1, share)], dashed=True)]
        return r.line_chart(lines, "Precision and recall", "Recall", "Precision", _UNIT, _UNIT)
    if curve.kind == "calibration":
        lines = [r.Line("model", points, marks=True), r.Line("perfect", [(0, 0), (1, 1)], dashed=True)]
        labels = ("Mean predicted probability", "Observed share")
        return r.line_chart(lines, "Calibration", *labels, _UNIT, _UNIT)
    if curve.kind == "scatter":
        title = f"Predicted against actual, {len(points)} rows"
        return r.scatter_chart(points, title, "Predicted", "Actual", diagonal=True)
    if curve.kind == "residuals":
        edges = [curve.points[0][0], *(point[1] for point in curve.points)]
        series = {"residuals": (edges, [point[2] for point in curve.points])}
        return r.histogram(series, "Residuals", "Predicted minus actual")
    return None


def main_metric(found: Evaluation) -> str | None:
    """The metric by which slices are ranked."""
    order = ("rmse", "mae") if found.task == "regression" else ("auc", "log_loss", "accuracy")
    return next((name for name in order if name in found.metrics), None)


def _slices(found: Evaluation) -> r.Html | None:
    if not found.slices and not found.unjudged:
        return None
    main = main_metric(found)
    names = [name for name in found.metrics if any(name in part.metrics for part in found.slices)]
    shown = ([main] if main else []) + [name for name in names if name != main][:4]
    ranked = sorted(found.slices, key=lambda part: _gap(found, part, main))
    rows = [_slice_row(found, part, shown, main) for part in ranked[:_MOST_SLICES]]
    headers = ["Column", "Value", "Rows", *(METRICS[name].title for name in shown), "Against all rows"]
    blocks = [r.table(headers, rows, "llr" + "r" * len(shown) + "r")]
    if len(ranked) > _MOST_SLICES:
        blocks.append(r.paragraph(f"{len(ranked) - _MOST_SLICES} better slices are not shown."))
    for rest in found.unjudged:
        text = f"{rest.by}: values with fewer than {rest.least_rows} rows: {r.count(rest.small)}"
        text += f", {r.count(rest.small_rows)} rows in all ({_named(rest)})" if rest.small else ""
        text += f"; values beyond those looked at: {r.count(rest.left_out)}" if rest.left_out else ""
        blocks.append(r.paragraph(f"Not measured: {text}."))
    return r.section(
        "Slices",
        *blocks,
        intro="The same metrics on parts of the rows, the worst first; coloured if beyond chance.",
    )


def _named(rest: Unjudged) -> str:
    more = rest.small - len(rest.values)
    return ", ".join(rest.values) + (f" and {r.count(more)} more" if more else "")


def _gap(found: Evaluation, part: Slice, main: str | None) -> float:
    """How much better than the whole: negative where worse, minus infinity where unknown."""
    if main is None or main not in part.metrics:
        return float("-inf")
    gap = part.metrics[main] - found.metrics[main]
    return gap if METRICS[main].higher_is_better else -gap


def _slice_row(found: Evaluation, part: Slice, shown: list[str], main: str | None) -> list[r.Cell]:
    return [
        part.by,
        part.value,
        part.rows,
        *(part.metrics.get(name) for name in shown),
        _verdict(found, part, main),
    ]


def _verdict(found: Evaluation, part: Slice, main: str | None) -> r.Cell:
    """How a slice compares with all rows; coloured where that is more than its number of rows explains."""
    if main is None or main not in part.metrics:
        return r.badge(part.undefined.get(str(main), "not measured"), "warn")
    gap = _gap(found, part, main)
    text = f"{abs(gap):.4f} {'better' if gap >= 0 else 'worse'}"
    low, high = found.intervals.get(main, (float("-inf"), float("inf")))
    chance = (high - low) / 2 * math.sqrt(found.rows / part.rows)  # the half width of the slice's own interval
    return text if abs(gap) <= chance else r.badge(text, "good" if gap > 0 else "bad")


def _fairness(found: Evaluation) -> r.Html | None:
    if not found.fairness:
        return None
    blocks: list[r.Html] = []
    for item in found.fairness:
        blocks += _fairness_of(item)
    text = "How the model treats the groups of a column."
    if found.positive is not None:
        text += f" Positive means that {found.label} is {found.positive}."
    return r.section("Fairness", *blocks, intro=text)


def _fairness_of(item: Fairness) -> list[r.Html]:
    rows = [
        (group.value, group.rows, r.meter(group.selection_rate), _share(group.tpr), _share(group.fpr))
        for group in item.groups
    ]
    if not item.groups:
        return [r.paragraph(f"{item.by} was not compared: {next(iter(item.undefined.values()), 'no group')}.")]
    headers = [item.by, "Rows", "Predicted positive", "True positive rate", "False positive rate"]
    blocks = [r.table(headers, rows, "lrlrr")]
    values: list[tuple[r.Cell, ...]] = [
        (FAIRNESS[name].title, value, f"{FAIRNESS[name].description}; {_fair(name)}")
        for name, value in item.metrics.items()
    ]
    values += [(FAIRNESS[name].title, None, f"not measured: {why}") for name, why in item.undefined.items()]
    blocks.append(r.table([f"By {item.by}", "Value", "What it is"], values, "lrl"))
    if item.small_groups:
        blocks.append(r.paragraph(f"Too small to compare: {', '.join(item.small_groups)}."))
    return blocks


def _fair(name: str) -> str:
    return "1 is fair" if FAIRNESS[name].higher_is_better else "0 is fair"


def _share(value: float | None) -> str:
    return r.percent(value)


def _importance(found: Evaluation) -> r.Html | None:
    if not found.importance:
        return None
    metric = METRICS[found.importance[0].metric].title
    metric = metric if metric.isupper() else metric.lower()
    bars = [r.Bar(item.feature, item.worse_by) for item in found.importance[:_MOST_FEATURES]]
    chart = r.bar_chart(bars, f"How much worse the {metric} gets")
    text = f"Each feature was shuffled among {r.count(found.importance_rows)} of the rows."
    text += " Features that say the same hide each other."
    if found.importance_skipped:
        text += f" Not shuffled: the {r.count(found.importance_skipped)} features that mattered least in training."
    return r.section("Importance", chart, intro=text)
