"""The first section of the evaluation's page: every metric, with what chance may make of it."""

from __future__ import annotations

from headrace.artifacts import report as r
from headrace.artifacts.evaluation import Evaluation
from headrace.artifacts.metrics import GROUPS, METRICS, first_metrics

_OF_A_CLASS = ("precision", "recall", "f1", "auc")
_MOST_CLASSES = 100


def quality(found: Evaluation, measured_against: str | None = None) -> r.Html:
    """Tiles of the main metrics, a table of all, those of each class; `measured_against` is another column than the
    label, where that is what is true.
    """
    first = first_metrics(found.kind, found.metrics)
    tiles = [(METRICS[name].title, found.metrics[name], _notes(found, name)) for name in first]
    blocks = [r.tiles(tiles)] if tiles else []
    if not tiles:
        blocks.append(r.callout("No metric could be measured. No gate passes.", "bad"))
    if found.one_answer:
        blocks.append(r.callout(found.one_answer[0].upper() + found.one_answer[1:] + ".", "warn"))
    if found.per_class and found.kind != "binary":
        blocks.append(_classes(found))
    if found.metrics:
        blocks.append(r.details(f"All {len(found.metrics)} metrics, and what they mean", *_all(found)))
    if found.undefined:
        rows = [(METRICS[name].title, reason) for name, reason in found.undefined.items()]
        blocks.append(r.details(f"Not measured: {len(rows)}", r.table(["Metric", "Why"], rows, "lw"), opened=not tiles))
    intro = "With each value: its 95 % interval, and what a constant learned from train gets."
    if found.weight:
        intro += f" Rows count by the column {found.weight}."
    if measured_against:
        intro += f" Measured against the column {measured_against}, and not the label."
    return r.section("Quality", *blocks, intro=intro if tiles else "")


def interval(ends: tuple[float, float] | None) -> str:
    """An interval in words; nothing where there is none."""
    return "" if ends is None else f"{r.number(ends[0], 3)} – {r.number(ends[1], 3)}"


def with_interval(value: float | None, ends: tuple[float, float] | None) -> r.Html:
    """A value with its interval below it, for a table's cell."""
    words = interval(ends).replace(" ", "\N{NO-BREAK SPACE}")
    below = f'<br><small class="muted">{r.markup(words)}</small>' if words else ""
    return r.Html(f"{r.markup(value)}{below}")


def _notes(found: Evaluation, name: str) -> r.Html:
    notes = [interval(found.intervals.get(name))]
    if name in found.baseline:
        notes.append(f"constant {r.number(found.baseline[name], 3)}")
    return r.Html("<br>".join(r.markup(note) for note in notes if note))


def _all(found: Evaluation) -> list[r.Html]:
    """A table for each thing that metrics judge."""
    blocks = []
    for group in [*GROUPS, ""]:
        names = [name for name in found.metrics if METRICS[name].group == group]
        if names:
            headers = ["Metric", "Value", "95 % interval", "Constant", "What it is"]
            rows = [_row(found, name) for name in names]
            blocks.append(r.table(headers, rows, "lrrrw", caption=GROUPS.get(group, "Others")))
    return blocks


def _row(found: Evaluation, name: str) -> list[r.Cell]:
    info = METRICS[name]
    better = {None: "", True: "; higher is better", False: "; lower is better"}[info.higher_is_better]
    ends = interval(found.intervals.get(name)) or "–"
    return [info.title, found.metrics[name], ends, found.baseline.get(name), f"{info.description}{better}"]


def _classes(found: Evaluation) -> r.Html:
    shown = [name for name in _OF_A_CLASS if any(name in one.metrics for one in found.per_class)]
    rows: list[list[r.Cell]] = [
        [one.name, one.rows, one.predicted, *(with_interval(one.metrics.get(n), one.intervals.get(n)) for n in shown)]
        for one in found.per_class[:_MOST_CLASSES]
    ]
    headers = ["Class", "Rows", "Predicted", *(METRICS[name].title for name in shown)]
    rest = len(found.per_class) - _MOST_CLASSES
    caption = "Each class against all others" + (f"; {rest:,} more are in evaluation.json" if rest > 0 else "")
    return r.table(headers, rows, "lrr" + "r" * len(shown), caption=caption)
