"""A rollout as a page: where it is, what its checks have found, how that came, and what was decided on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from headrace.artifacts import report as r
from headrace.artifacts.report import Cell, Html, Line
from headrace.pipelines.rollout.state import ABORTED, PAUSED, PROMOTED, ROLLED_BACK, RUNNING, Rollout
from headrace.pipelines.rollout.text import TITLES, cells, clock
from headrace.platforms.interface import Event

_BADGES: dict[str, r.Kind] = {PROMOTED: "good", ROLLED_BACK: "bad", ABORTED: "warn", PAUSED: "warn", RUNNING: "info"}
_VERDICTS: dict[str, r.Kind] = {"passed": "good", "harm": "bad", "open": "neutral"}
_EXPLAINED = (
    "The difference is that of the new version's share and of the share of the version before. A check finds harm when "
    "its evidence of harm reaches the number beside it: the difference is above the margin then. It is passed when its "
    "evidence of health does: the difference is below. This holds at every look, with the probabilities of error "
    "below: looking often is not cheating. Each step has to be passed for itself."
)
_BETWEEN = "The interval in brackets holds in the same way; an end that is not known yet is a question mark."
_ELSEWHERE = (
    "Of the predictions the largest of many differences is shown, with the predictions that it is of in brackets."
)


def write_page(path: Path, rollout: Rollout, history: Sequence[Event]) -> None:
    """Writes the page, atomically."""
    r.write(path, rollout_page(rollout, history))


def rollout_page(rollout: Rollout, history: Sequence[Event]) -> str:
    """The report on a rollout as one HTML document.

    Args:
        rollout: as it stands.
        history: the audit log of its endpoint.
    """
    subject, settings = rollout.subject, rollout.settings
    title = f"Rollout of {subject.model}:{subject.candidate}"
    sections = [_now(rollout), _checks(rollout), *_course(rollout), _decisions(rollout, history)]
    facts: list[tuple[str, Cell]] = [
        ("Rollout", rollout.id),
        ("New version", f"{subject.candidate}, {subject.digests.get(subject.candidate, '')}"),
        ("Version before", f"{subject.baseline}, {subject.digests.get(subject.baseline, '')}"),
        ("A good version is taken back", f"in at most {r.percent(settings.false_rollback)} of rollouts"),
        ("A bad version is promoted", f"in at most {r.percent(settings.missed_regression)} of rollouts"),
    ]
    status = r.badge(rollout.status, _BADGES.get(rollout.status, "neutral"))
    beside = f"At the endpoint {subject.endpoint}, beside version {subject.baseline}"
    return r.page(title, beside, sections, status=status, facts=facts)


def _now(rollout: Rollout) -> Html:
    words = r.callout(rollout.note or "It has not looked yet.", _BADGES.get(rollout.status, "neutral"), _lead(rollout))
    totals = [found for found in rollout.summaries() if "candidate" in found]
    requests = max((found["candidate"]["requests"] for found in totals), default=0)
    before = max((found["baseline"]["requests"] for found in totals), default=0)
    share = {PROMOTED: "100 %", ROLLED_BACK: "0 %", ABORTED: "0 %"}.get(rollout.status, f"{rollout.share} %")
    steps = ", ".join(f"{step} %" for step in rollout.settings.steps)
    figures = r.tiles(
        [
            ("Share of the traffic", share, f"of the steps {steps}"),
            ("Requests answered", int(requests), "by the new version"),
            ("Beside them", int(before), "by the version before"),
            ("Began", clock(rollout.started)[11:16], f"on {clock(rollout.started)[:10]}, UTC"),
        ]
    )
    return r.section("Now", words, figures)


def _lead(rollout: Rollout) -> str:
    return {
        RUNNING: f"At {rollout.share} %, it waits for",
        PAUSED: f"Paused at {rollout.share} %.",
        PROMOTED: "The new version has all of the traffic.",
        ROLLED_BACK: "The version before has all of the traffic again.",
        ABORTED: "A person ended it.",
    }.get(rollout.status, "Somebody changed the endpoint.")


def _checks(rollout: Rollout) -> Html:
    rows: list[Sequence[Cell]] = []
    for found in rollout.summaries():
        verdict = r.badge(found["verdict"], _VERDICTS[found["verdict"]])
        evidence = f"{found['e_harm']:,g} of {found['harm_at']:,g}" if "e_harm" in found else "–"
        health = f"{found['e_health']:,g} of {found['passed_at']:,g}" if "e_health" in found else "–"
        rows.append([_title(rollout, found["check"]), verdict, *cells(found), evidence, health])
    heads = ["Check", "Verdict", "New", "Before", "Difference in points", "Margin", "Evidence of harm", "Of health"]
    told = {kind for found in rollout.summaries() for kind in ("between", "at") if kind in found}
    read = [words for kind, words in (("between", _BETWEEN), ("at", _ELSEWHERE)) if kind in told]
    return r.section("Checks", r.table(heads, rows), intro=" ".join([_EXPLAINED, *read]))


def _title(rollout: Rollout, name: str) -> str:
    title = TITLES[name].capitalize()
    return f"{title}, over {rollout.slow:g} s" if name == "latency" and rollout.slow is not None else title


def _course(rollout: Rollout) -> list[Html]:
    """How shares and differences came to be what they are."""
    looks = rollout.looks
    if len(looks) < 2:
        return []
    minutes = [(look["time"] - rollout.started) / 60 for look in looks]
    shares = [(at, float(look["share"])) for at, look in zip(minutes, looks, strict=True)]
    charts = [r.line_chart([Line("share", shares)], "Share of the traffic", "minutes", "percent", y_range=(0, 100))]
    for name in rollout.asked:
        chart = _difference(name, _title(rollout, name), minutes, looks, getattr(rollout.settings, name))
        charts += [chart] if chart is not None else []
    return [r.section("Course", r.grid(*charts), intro="Each point is a look; the bands are the intervals.")]


def _difference(
    name: str, title: str, minutes: Sequence[float], looks: Sequence[Mapping[str, Any]], margin: float
) -> Html | None:
    points, band = [], []
    for at, look in zip(minutes, looks, strict=True):
        found = look["checks"].get(name, {})
        if "difference" in found:
            points.append((at, 100 * found["difference"]))
            low, high = found.get("between", (found["difference"], found["difference"]))
            band.append(
                (100 * max(low, -10 * margin), 100 * min(high, 10 * margin))
            )  # the rest of a wide one is no news
    if len(points) < 2:
        return None
    ends = [(points[0][0], 100 * margin), (points[-1][0], 100 * margin)]
    lines = [Line("difference", points, band=band), Line("margin", ends, dashed=True)]
    return r.line_chart(lines, title, "minutes", "points")


def _decisions(rollout: Rollout, history: Sequence[Event]) -> Html:
    """What the audit log says of it, with the evidence."""
    rows: list[Sequence[Cell]] = []
    for event in history:
        told = event.detail.get("evidence")
        mine = event.run == rollout.id or (isinstance(told, Mapping) and told.get("rollout") == rollout.id)
        if mine:
            shares = event.detail.get("traffic")
            share = shares.get(rollout.subject.candidate, 0) if isinstance(shares, Mapping) else _alone(rollout, event)
            rows.append([event.time[:19].replace("T", " "), f"{share} %", str(event.detail.get("reason", "")),
                         str(event.detail.get("who", event.actor)), _verdicts(told), event.hash[:12]])  # fmt: skip
    heads = ["Time (UTC)", "Share then", "Why", "Who", "Checks", "Entry of the audit log"]
    return r.section("Decisions", r.table(heads, rows, align="lrwlwl", empty="None yet."))


def _alone(rollout: Rollout, event: Event) -> int:
    return 100 if str(event.detail.get("version")) == rollout.subject.candidate else 0


def _verdicts(told: Any) -> str:
    found = told.get("checks", ()) if isinstance(told, Mapping) else ()
    return ", ".join(f"{one['check']} {one['verdict']}" for one in found)
