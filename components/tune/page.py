"""The report on a tuning: what was tried, what it brought, and what mattered."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from headrace.artifacts import report as r
from headrace.artifacts.tuning import Trial, Tuning

MOST_ROWS = 200  # of the trials' table
MOST_CURVES = 8
DIGITS = 5
STATES: dict[str, r.Kind] = {"complete": "good", "pruned": "info", "late": "warn", "failed": "bad"}


def tuning_page(tuning: Tuning) -> str:
    """The report as one HTML document."""
    where = "folds of train" if tuning.judged == "folds" else "the eval split"
    facts = [("Dataset", tuning.dataset), ("Transform", tuning.transform), ("Sampler", tuning.sampler)]
    sections = [_result(tuning, where), _progress(tuning), _importance(tuning), trials(tuning), _space(tuning)]
    about = f"{tuning.kind}, judged by {tuning.metric} on {where}"
    return r.page("Tuning", about, [part for part in sections if part is not None], facts=facts)


def _result(tuning: Tuning, where: str) -> r.Html:
    best, defaults = tuning.winner, tuning.defaults
    tiles: list[tuple[str, r.Cell, r.Cell]] = [(f"Best {tuning.metric}", best.value, _spread(best))]
    if defaults is not None and defaults.value is not None and best.value is not None:
        better = f"{r.number(defaults.value - best.value, 4)} better" if best is not defaults else "the best"
        tiles.append((f"As it stood, {tuning.metric}", defaults.value, better))
    states = [f"{sum(t.state == state for t in tuning.trials)} {state}" for state in STATES]
    tiles.append(("Trials", len(tuning.trials), ", ".join(text for text in states if text[0] != "0")))
    tiles.append(
        ("Searched", f"{tuning.seconds:,.0f} s", f"{sum(t.seconds for t in tuning.trials):,.0f} s of training")
    )
    if best.defaults:
        block = r.callout(
            "No other did better. Training goes on with them.", "info", "The parameters stay as they stand."
        )
    else:
        before: dict[str, Any] = defaults.parameters if defaults else {}
        rows = [(name, _text(before.get(name)), _text(value)) for name, value in best.parameters.items()]
        block = r.table(["Parameter", "As it stood", "Chosen"], rows, "lrr")
    intro = f"The value was sought on {where}, of which the best of many is a little lucky: what the model is worth,"
    return r.section("Result", r.tiles(tiles), block, intro=f"{intro} the evaluation on the test split says.")


def _spread(trial: Trial) -> str:
    if len(trial.folds) < 2:
        return ""
    return f"folds {r.number(min(trial.folds), 4)} – {r.number(max(trial.folds), 4)}"


def _progress(tuning: Tuning) -> r.Html | None:
    complete = [
        (place, trial.value)
        for place, trial in enumerate(tuning.trials)
        if trial.state == "complete" and trial.value is not None
    ]
    charts = []
    if len(complete) > 1:
        best = list(accumulate((value for _, value in complete), min))
        lines = [
            r.Line("best so far", [(float(place), value) for (place, _), value in zip(complete, best, strict=True)]),
            r.Line("complete trials", [(float(place), value) for place, value in complete], dashed=True, marks=True),
        ]
        charts.append(r.line_chart(lines, "Best so far", "Trial", tuning.metric))
    curves = _curves(tuning)
    if curves:
        charts.append(r.line_chart(curves, "Curves of the best trials and of those given up", "Step", tuning.metric))
    return r.section("Progress", r.grid(*charts)) if charts else None


def _curves(tuning: Tuning) -> list[r.Line]:
    if tuning.judged == "folds":
        return []
    ranked = sorted((t for t in tuning.trials if t.value is not None and len(t.curve) > 1), key=_rank)
    kept = [t for t in ranked if t.state == "complete"][: MOST_CURVES // 2]
    kept += [t for t in ranked if t.state == "pruned"][: MOST_CURVES - len(kept)]
    return [r.Line(_name(tuning, t), [(float(x), y) for x, y in t.curve], dashed=t.state != "complete") for t in kept]


def _importance(tuning: Tuning) -> r.Html | None:
    if not tuning.importance:
        return None
    bars = [r.Bar(name, share) for name, share in tuning.importance.items()]
    chart = r.bar_chart(bars, "Share of the difference between trials")
    text = "Which parameters made complete trials differ, by PED-ANOVA. Few trials tell little."
    return r.section("What mattered", chart, intro=text)


def trials(tuning: Tuning) -> r.Html:
    """The trials, the best first."""
    ranked = sorted(tuning.trials, key=_rank)
    names = list(tuning.space)
    rows: list[list[r.Cell]] = []
    for trial in ranked[:MOST_ROWS]:
        state = r.badge(trial.state, STATES[trial.state])
        value = None if trial.value is None else r.number(trial.value, DIGITS)
        tried: Sequence[r.Cell] = [_text(trial.parameters.get(name)) for name in names]
        rows.append([_name(tuning, trial), state, value, trial.rounds, f"{trial.seconds:,.1f}", *tried])
    headers = ["Trial", "", tuning.metric, "Rounds", "Seconds", *names]
    blocks = [r.table(headers, rows, "llrrr" + "r" * len(names))]
    if len(ranked) > MOST_ROWS:
        blocks.append(r.paragraph(f"{len(ranked) - MOST_ROWS} worse trials are not shown."))
    errors = [(_name(tuning, trial), trial.error) for trial in ranked if trial.error]
    if errors:
        blocks.append(r.table(["Failed trial", "Why"], errors[:MOST_ROWS], "lw"))
    intro = "The best first. A trial that was given up shows the best that it had reached by then."
    return r.section("What tuning tried", *blocks, intro=intro)


def _space(tuning: Tuning) -> r.Html:
    return r.section("Where it searched", r.table(["Parameter", "Values"], list(tuning.space.items()), "lw"))


def _rank(trial: Trial) -> tuple[int, float, int, int]:
    value = float("inf") if trial.value is None else trial.value
    return list(STATES).index(trial.state), value, trial.number, trial.shard


def _name(tuning: Tuning, trial: Trial) -> str:
    several = any(other.shard != trial.shard for other in tuning.trials)
    shard = f" of shard {trial.shard}" if several else ""
    return f"{trial.number}{shard}{' (as it stood)' if trial.defaults else ''}"


def _text(value: Any) -> str:
    if value is None:
        return "by the model"
    return f"{value:.4g}" if isinstance(value, float) else value if isinstance(value, str) else json.dumps(value)
