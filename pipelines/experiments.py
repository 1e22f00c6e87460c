"""Tracked runs in words: a list, one run, and several side by side."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from headrace.artifacts.metrics import METRICS
from headrace.platforms.tracking import PREFIX, TrackedRun

TEST = "test/"  # the metrics that count
_SHOWN = 3  # metrics in a list
_WIDEST = 44  # of a cell, in characters
_ORIGIN = ("data", "transform", "spec", "commit", "environment", "model", "version")


def list_text(runs: Sequence[TrackedRun]) -> list[str]:
    """A line for each run, under a head: what it is, and its first metrics on the test split."""
    metrics = _first_metrics(runs)
    rows = [["RUN", "EXPERIMENT", "STARTED", "MODEL", *(_title(name) for name in metrics)]]
    for run in runs:
        values = [_number(run.metrics.get(name)) for name in metrics]
        rows.append([run.run, run.experiment, _time(run.started), run.parameters.get("model", ""), *values])
    return _table(rows)


def show_text(run: TrackedRun) -> list[str]:
    """All that is kept of a run, and how its curves went."""
    lines = [f"{run.run} of {run.experiment}, {_time(run.started)}", f"  kept as {run.place}"]
    for title, values in (("Metrics", _metric_cells(run)), ("Parameters", run.parameters), ("Origin", _origin(run))):
        if values:
            lines += ["", f"{title}:", *_table([[name, value] for name, value in values.items()], "  ")]
    if run.series:
        lines += ["", "Curves:"]
        for name, series in run.series.items():
            first, last, best = series.values[0], series.values[-1], min(series.values)
            lines.append(
                f"  {name}: {_number(first)} to {_number(last)} in {series.steps[-1]:,} rounds, least {_number(best)}"
            )
    return lines


def compare_text(runs: Sequence[TrackedRun], everything: bool = False) -> list[str]:
    """Runs side by side: by default what differs between them, and all metrics of the test split.

    Behind a metric of a later run stands how much it differs from the first one's, and `better` or `worse` where the
    first one's value lies outside of its 95 % interval: anything less may be chance.
    """
    lines = _table([["", *(run.run for run in runs)], ["started", *(_time(run.started) for run in runs)]])
    parts: list[tuple[str, Callable[[TrackedRun], Mapping[str, str]]]] = [
        ("Parameters", lambda run: run.parameters),
        ("Origin", _origin),
        ("Tags", _own_tags),
    ]
    for title, of in parts:
        rows = list(_differing([of(run) for run in runs], everything))
        same = "" if rows else " the same" if any(of(run) for run in runs) else " none"
        lines += ["", f"{title}:{same}", *_table(rows, "  ")]
    lines += ["", "Metrics of the test split, with 95 % intervals:"]
    metrics = [n for n in _in_order(runs) if everything or (n.startswith(TEST) and not _is_bound(n))]
    lines += _table([[_title(name), *(_against(run, runs[0], name) for run in runs)] for name in metrics], "  ")
    return lines


def run_json(run: TrackedRun) -> dict[str, Any]:
    """A run for machines."""
    return {
        **asdict(run),
        "series": {
            name: {"steps": list(s.steps), "values": [v if math.isfinite(v) else None for v in s.values]}
            for name, s in run.series.items()
        },
    }


def _against(run: TrackedRun, first: TrackedRun, name: str) -> str:
    """A metric's value and interval, and how it stands to the first run's."""
    value, base = run.metrics.get(name), first.metrics.get(name)
    if value is None:
        return "-"
    low, high = run.metrics.get(f"{name}_low"), run.metrics.get(f"{name}_high")
    between = f" ({_number(low)} to {_number(high)})" if low is not None and high is not None else ""
    if run is first or base is None:
        return f"{_number(value)}{between}"
    verdict = ""
    info = METRICS.get(name.removeprefix(TEST))
    if low is not None and high is not None and info and info.higher_is_better is not None and not low <= base <= high:
        verdict = " better" if (value > base) == info.higher_is_better else " worse"
    return f"{_number(value)}{between} {value - base:+.3g}{verdict}"


def _differing(values: Sequence[Mapping[str, str]], everything: bool) -> Iterator[list[str]]:
    for name in dict.fromkeys(name for one in values for name in one):
        cells = [one.get(name, "-") for one in values]
        if everything or len(set(cells)) > 1:
            yield [name, *cells]


def _origin(run: TrackedRun) -> dict[str, str]:
    found = {name: run.tags.get(PREFIX + name, "") for name in _ORIGIN}
    return {name: text[:19] if text.startswith("sha256:") else text for name, text in found.items() if text}


def _own_tags(run: TrackedRun) -> dict[str, str]:
    return {name: text for name, text in run.tags.items() if not name.startswith((PREFIX, "mlflow."))}


def _metric_cells(run: TrackedRun) -> dict[str, str]:
    return {_title(name): _against(run, run, name) for name in _in_order([run]) if not _is_bound(name)}


def _is_bound(name: str) -> bool:
    """Whether it is the lower or upper end of a metric's interval."""
    return name.endswith(("_low", "_high"))


def _in_order(runs: Sequence[TrackedRun]) -> list[str]:
    """All metrics: those of the test split first, in the order in which metrics are always told."""
    known = list(METRICS)
    names = dict.fromkeys(name for run in runs for name in run.metrics if not name.startswith("curve/"))
    places = {
        name: known.index(short) if (short := name.removeprefix(TEST)) in METRICS else len(known) for name in names
    }
    return sorted(names, key=lambda name: (not name.startswith(TEST), places[name], name))


def _first_metrics(runs: Sequence[TrackedRun]) -> list[str]:
    return [name for name in _in_order(runs) if not _is_bound(name)][:_SHOWN]


def _title(name: str) -> str:
    return name.removeprefix(TEST)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M:%S") if seconds else "-"


def _table(rows: Sequence[Sequence[str]], indent: str = "") -> list[str]:
    """Rows in columns as wide as their widest cell; a cell that is too long is cut."""
    if not rows:
        return []
    cut = [[cell if len(cell) <= _WIDEST else cell[: _WIDEST - 3] + "..." for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in cut) for column in range(len(cut[0]))]
    return [indent + "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in cut]
