"""The report over the models of all segments: what needs somebody first, then every segment, to search in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headrace.artifacts import report as r
from headrace.artifacts.metrics import METRICS, title_of
from headrace.artifacts.segment_results import STATES, SegmentResult, SegmentResults, State

_KINDS: dict[State, r.Kind] = {
    "failed": "bad",
    "not passed": "bad",
    "waiting": "warn",
    "registered": "warn",
    "live": "good",
    "left out": "neutral",
}
_WORDS: dict[State, str] = {
    "failed": "a step failed",
    "not passed": "a gate did not pass",
    "waiting": "waits for approval",
    "registered": "registered, not pushed",
    "live": "live",
    "left out": "no model",
}
_PREFERRED = ("auc", "macro_auc", "accuracy", "r2", "rmse")  # the one number of a list, where there are many
_MOST_TO_DO = 50
_WORST = 10  # that are listed as the least good
_SHOWN = 6  # metrics of a segment that are spelt out


def results_page(results: SegmentResults) -> str:
    """The report as one HTML document."""
    metric = headline(results)
    found = results.results
    judged = [one for one in found if metric in one.metrics]
    sections = [_overview(results, metric, judged)]
    if bad := [one for one in found if not one.good]:
        sections.append(_to_do(bad))
    if len(judged) > 1:
        sections.append(_spread(results, judged, metric))
    sections.append(_all(results, metric))
    status = r.badge("all as it should be", "good") if results.good else r.badge(f"{len(bad)} to look at", "bad")
    subtitle = f"A model of {results.name} for each {results.column}"
    return r.page("Segments", subtitle, sections, status=status, facts=[("Models", results.name)])


def headline(results: SegmentResults) -> str:
    """The metric that segments are compared by: the first of the usual ones that most were measured by."""
    names = [name for one in results.results for name in one.metrics]
    return next((name for name in _PREFERRED if name in names), names[0] if names else "")


def _overview(results: SegmentResults, metric: str, judged: Sequence[SegmentResult]) -> r.Html:
    tiles: list[tuple[str, r.Cell, r.Cell]] = [
        (_WORDS[state].capitalize(), count, f"of {len(results.results):,} segments")
        for state, count in results.counts.items()
    ]
    if judged:
        values = sorted(one.metrics[metric] for one in judged)
        between = f"{r.number(values[0])} to {r.number(values[-1])}"
        tiles.append((f"{title_of(metric)}, the middle one", values[len(values) // 2], between))
    rows = sum(one.rows for one in results.results)
    intro = f"{len(results.results):,} values of {results.column} in {rows:,} rows."
    if results.without_value:
        intro += f" {results.without_value:,} rows have none, and belong to no segment."
    return r.section("Overview", r.tiles(tiles), intro=intro)


def _to_do(bad: Sequence[SegmentResult]) -> r.Html:
    ordered = sorted(bad, key=lambda one: (STATES.index(one.state), one.value))
    rows = [(one.value, state_badge(one), why(one)) for one in ordered[:_MOST_TO_DO]]
    blocks = [r.table(["Segment", "State", "Why"], rows, "llw")]
    if (more := len(ordered) - len(rows)) > 0:
        blocks.append(r.paragraph(f"{more:,} more are in the list below, which begins with them."))
    return r.section("To look at", *blocks)


def why(one: SegmentResult) -> str:
    """What stopped a model, in a line; empty where nothing did."""
    return one.why or "; ".join(f"{gate.gate}: {gate.reason}" for gate in one.failed_gates)


def _spread(results: SegmentResults, judged: Sequence[SegmentResult], metric: str) -> r.Html:
    title = title_of(metric)
    values = [one.metrics[metric] for one in judged]
    low, high = min(values), max(values)
    bins = min(20, max(5, len(values) // 10))
    width = (high - low) / bins or 1.0
    edges = [low + width * n for n in range(bins + 1)]
    counts = [0] * bins
    for value in values:
        counts[min(bins - 1, int((value - low) / width))] += 1
    worst = sorted(judged, key=lambda one: _badness(one, metric))[:_WORST]
    reigned = any(metric in one.champion for one in worst)
    rows = [
        (
            one.value,
            one.metrics[metric],
            _interval(one, metric),
            *([_champion(one, metric)] if reigned else []),
            one.rows,
        )
        for one in worst
    ]
    headers = ["Segment", title, "95 %", *(["Champion"] if reigned else []), "Rows"]
    return r.section(
        "How good they are",
        r.histogram({"segments": (edges, counts)}, f"Segments by {title}", title),
        r.table(headers, rows, "lrlrr" if reigned else "lrlr", caption="The least good"),
        intro=f"On the {results.split} split of each segment, which no step before has seen.",
    )


def _interval(one: SegmentResult, metric: str) -> str:
    found = one.intervals.get(metric)
    return f"{r.number(found[0])} to {r.number(found[1])}" if found else ""


def _champion(one: SegmentResult, metric: str) -> r.Cell:
    return one.champion.get(metric, "")


def state_badge(one: SegmentResult) -> r.Html:
    """Where a segment's model got to."""
    kind: r.Kind = "warn" if one.state == "left out" and one.asked else _KINDS[one.state]
    return r.badge(_WORDS[one.state], kind)


def _all(results: SegmentResults, metric: str) -> r.Html:
    title = title_of(metric) if metric else "Metric"
    found = list(results.results)
    orders: dict[str, list[Any]] = {
        "what needs somebody": [(one.good, STATES.index(one.state), one.value) for one in found],
        "name": [one.value for one in found],
        f"{title}, the least good first": [_badness(one, metric) for one in found],
        "rows": [-one.rows for one in found],
    }
    places = list(zip(*(_places(keys) for keys in orders.values()), strict=True))
    entries = [
        r.Entry(
            anchor=f"segment-{number}",
            words=f"{one.value} {one.model} {one.state} {_WORDS[one.state]}",
            cells=(
                one.value,
                state_badge(one),
                r.number(one.metrics.get(metric)),
                r.count(one.rows),
                one.version or "–",
            ),
            blocks=_unfolded(one),
            places=places[number],
        )
        for number, one in enumerate(found)
    ]
    headers = ["Segment", "State", title, "Rows", "Version"]
    listed = r.entries("segments", headers, entries, "a segment, a model, or a state", list(orders))
    return r.section("All segments", listed)


def _places(keys: Sequence[Any]) -> list[int]:
    """The place of each in the order of its keys, from 1 on."""
    places = [0] * len(keys)
    for place, index in enumerate(sorted(range(len(keys)), key=lambda n: keys[n]), start=1):
        places[index] = place
    return places


def _badness(one: SegmentResult, metric: str) -> tuple[bool, float]:
    """Sorts the least good first, and those that were not measured last."""
    if metric not in one.metrics:
        return True, 0.0
    higher = METRICS[metric].higher_is_better is not False if metric in METRICS else True
    return False, one.metrics[metric] if higher else -one.metrics[metric]


def _unfolded(one: SegmentResult) -> list[r.Html]:
    facts: list[tuple[str, r.Cell]] = []
    if one.model:
        facts += [("Model", one.model + (f" version {one.version}" if one.version else "")), ("Endpoint", one.endpoint)]
    blocks = [r.key_values(facts)] if facts else []
    if text := why(one):
        blocks.append(r.paragraph(text))
    rows = [
        (title_of(name), value, _interval(one, name), _champion(one, name))
        for name, value in list(one.metrics.items())[:_SHOWN]
    ]
    if rows:
        blocks.append(r.table(["Metric", "Value", "95 %", "Champion"], rows, "lrlr"))
    return blocks
