"""Fairness on the evaluation's page: how the groups of each column are treated, and how sure that is."""

from __future__ import annotations

from headrace.artifacts import report as r
from headrace.artifacts.evaluation import Evaluation
from headrace.artifacts.fairness_found import RATES, Fairness, Group
from headrace.artifacts.metrics import FAIRNESS, METRICS
from headrace.components.evaluate.thresholds import shown

_MOST_LINES = 6  # groups in a calibration chart
_MOST_OPENED = 3  # beyond, only the first comparison is unfolded
_UNIT = (0.0, 1.0)
_SHOWN = {  # what a group is told with, by the kind of task
    "binary": ("selection_rate", "tpr", "fpr", "precision", "auc"),
    "multiclass": ("accuracy", "balanced_accuracy", "log_loss"),
    "regression": ("mae", "bias", "mean_prediction", "rmse"),
}
_BETWEEN = ["", "Difference, 0 is fair", "Ratio, 1 is fair", "Least and greatest"]
_TITLES = {
    "selection_rate": "Predicted positive",
    "tpr": "True positive rate",
    "fpr": "False positive rate",
    "mean_prediction": "Mean prediction",
}


def fairness_blocks(found: Evaluation) -> list[r.Html]:
    """The section on fairness; nothing where nobody asked for it."""
    if not found.fairness:
        return []
    opened = len(found.fairness) <= _MOST_OPENED
    blocks = [
        r.details(f"By {item.by}", *_of_columns(found, item), opened=opened or place == 0)
        for place, item in enumerate(found.fairness)
    ]
    text = "How the model treats the groups of a column, with 95 % bootstrap intervals."
    if found.positive is not None:
        text += f" Positive means that {found.label} is {found.positive}"
        text += "." if found.threshold is None else f", predicted from a probability of {shown(found.threshold)} on."
    return [r.section("Fairness", *blocks, intro=text)]


def _of_columns(found: Evaluation, item: Fairness) -> list[r.Html]:
    if not item.groups:
        reason = next(iter(item.undefined.values()), "there is no group")
        blocks = [r.callout(f"{reason}.", "warn", f"By {item.by} nothing was compared:")]
        return [*blocks, *_too_small(item)]
    shown = [name for name in _SHOWN[found.kind] if any(name in group.metrics for group in item.groups)]
    headers = [item.by, "Rows", *(_title(name) for name in shown)]
    rows = [[group.value, group.rows, *(_value(group, name) for name in shown)] for group in item.groups]
    blocks = [
        r.table(headers, rows, "lr" + "l" * len(shown)),
        r.table(_BETWEEN, _parities(found, item), "lllw", caption="How far the groups are apart"),
    ]
    if found.kind == "binary":
        blocks += [_calibration_table(item), r.details("Calibration, group by group", r.grid(*_calibration(item)))]
    return [*blocks, *_more_metrics(item, shown), *_undefined(item), *_too_small(item)]


def _title(name: str) -> str:
    return _TITLES.get(name) or METRICS[name].title


def _value(group: Group, name: str) -> r.Cell:
    """A metric of a group with its interval; a share of one with its bar."""
    value = group.metrics.get(name)
    if value is None:
        return r.badge(group.undefined.get(name, "not measured"), "warn")
    share = name == "selection_rate"
    text = r.percent(value) if share or name in ("tpr", "fpr", "precision") else r.number(value, 4)
    interval = _interval(group.intervals.get(name), percent=share or name in ("tpr", "fpr", "precision"))
    whole = f"{text} {interval}" if interval else text
    return r.meter(value, whole) if share else whole


def _interval(pair: tuple[float, float] | None, percent: bool = False) -> str:
    if pair is None:
        return ""
    if percent:
        low, high = (r.percent(end).removesuffix(" %") for end in pair)
        return f"({low} – {high})"
    return f"({_short(pair[0])} – {_short(pair[1])})"


def _parities(found: Evaluation, item: Fairness) -> list[list[r.Cell]]:
    """A row for each parity: its difference, its ratio, and the two groups that are farthest apart."""
    rows: list[list[r.Cell]] = []
    for stem in RATES:
        names = [f"{stem}_{spread}" for spread in ("difference", "ratio")]
        if any(name in item.metrics for name in names):
            title = FAIRNESS[names[0]].title.removesuffix(" difference")
            cells = [_spread(item, name) for name in names]
            rows.append([title, *cells, _apart(item, names[0], found.kind == "regression")])
    return rows


def _spread(item: Fairness, name: str) -> str:
    """A parity with its interval."""
    value = item.metrics.get(name)
    if value is None:
        return "" if name not in FAIRNESS else "–"
    if name not in item.intervals:
        return f"{_short(value)} (too few rows for an interval)"
    low, high = item.intervals[name]
    return f"{_short(value)} ({_short(low)} – {_short(high)})"


def _short(value: float) -> str:
    """With three decimals, or three digits where it is large: what lines up in a column."""
    return r.number(value, 3) if abs(value) >= 100 else f"{value:.3f}".replace("-", "−")


def _apart(item: Fairness, parity: str, numbers: bool) -> str:
    """The groups of the least and the greatest rate; of several rates, of the one that differs most."""
    ends = item.furthest(parity)
    if ends is None:
        return ""
    _, least, most = ends
    written = _short if numbers else r.percent
    return f"{least[1]} {written(least[0])}, {most[1]} {written(most[0])}"


def _calibration_table(item: Fairness) -> r.Html:
    """What probability says of each group, beside what is true."""
    rows: list[list[r.Cell]] = []
    for group in item.groups:
        predicted, observed = group.metrics.get("predicted"), group.metrics.get("observed")
        if predicted is None or observed is None:
            continue
        low, high = group.intervals.get("observed", (float("-inf"), float("inf")))
        verdict: r.Cell = r.badge("within chance", "good")
        if not low <= predicted <= high:
            verdict = r.badge("too high" if predicted > observed else "too low", "warn")
        said = f"{r.percent(observed)} {_interval(group.intervals.get('observed'), percent=True)}"
        ece = r.number(group.metrics.get("ece"), 3)
        rows.append([group.value, group.positives, r.percent(predicted), said, verdict, ece])
    headers = [item.by, "Positive rows", "Mean probability", "Observed share", "", "Calibration error"]
    return r.table(headers, rows, "lrrllr", caption="Whether probabilities come true, group by group")


def _calibration(item: Fairness) -> list[r.Html]:
    lines = [
        r.Line(group.value, [(mean, share) for mean, share, _ in group.calibration], marks=True)
        for group in item.groups[:_MOST_LINES]
    ]
    lines.append(r.Line("perfect", [(0, 0), (1, 1)], dashed=True))
    rest = len(item.groups) - _MOST_LINES
    caption = f"The {rest} smaller groups are not drawn." if rest > 0 else ""
    labels = ("Mean predicted probability", "Observed share")
    return [r.line_chart(lines, f"Calibration by {item.by}", *labels, _UNIT, _UNIT, caption=caption)]


def _more_metrics(item: Fairness, shown: list[str]) -> list[r.Html]:
    names = [name for name in METRICS if name not in shown and any(name in group.metrics for group in item.groups)]
    if not names:
        return []
    rows = [[METRICS[name].title, *(_value(group, name) for group in item.groups)] for name in names]
    table = r.table(["Metric", *(group.value for group in item.groups)], rows, "l" * (len(item.groups) + 1))
    return [r.details(f"All metrics of each group of {item.by}", table)]


def _undefined(item: Fairness) -> list[r.Html]:
    if not item.undefined:
        return []
    rows = [(FAIRNESS[name].title, why) for name, why in item.undefined.items()]
    return [r.details("Not measured", r.table(["", "Why"], rows, "lw"))]


def _too_small(item: Fairness) -> list[r.Html]:
    if not item.small_groups:
        return []
    listed = ", ".join(item.small_groups[:20])
    more = f" and {r.count(len(item.small_groups) - 20)} more" if len(item.small_groups) > 20 else ""
    rows = f"{r.count(item.small_rows)} rows in all" if item.small_rows else "their rows are in no comparison"
    text = f"Too small to compare, fewer than {item.least_rows} rows: {listed}{more} ({rows})."
    return [r.paragraph(text)]
