"""A rollout in lines for a terminal, and as an object for machines."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from headrace.pipelines.rollout.policy import several
from headrace.pipelines.rollout.state import Rollout

TITLES = {
    "errors": "failed requests",
    "latency": "slow requests",
    "drift": "predictions elsewhere",
    "outcomes": "mean loss",
}


def status_text(rollout: Rollout, now: float, driven: bool | None = None) -> str:
    """What a person wants to know of it."""
    subject = rollout.subject
    steps, step = rollout.settings.steps, rollout.step
    head = f"{subject.endpoint}: {subject.model}:{subject.candidate} beside {subject.model}:{subject.baseline}"
    lines = [f"{head}, {rollout.status}" + ("" if rollout.over else f" at {rollout.share} %")]
    if not rollout.over:
        spent = _ago(now - rollout.step_since) if step >= 0 else "not begun"
        lines.append(
            f"  step {step + 1} of {len(steps)} ({', '.join(f'{one} %' for one in steps)}), for {spent}, "
            f"{int(rollout.step_requests):,} requests"
        )
    lines.append(f"  {'waits for ' if rollout.status == 'running' else ''}{rollout.note or 'its first look'}")
    if driven is False and not rollout.over:
        lines.append(f"  nobody drives it: `headrace rollout start {subject.endpoint}` goes on")
    lines += _table(rollout)
    return "\n".join(lines)


def _table(rollout: Rollout) -> list[str]:
    rows = [("check", "verdict", "new", "before", "difference", "margin")]
    for found in rollout.summaries():
        rows.append((TITLES[found["check"]], found["verdict"], *cells(found)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  " + "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def cells(found: dict[str, Any]) -> tuple[str, str, str, str]:
    """A check's shares, its difference with where that lies for certain, and its margin."""
    new, old = (_share(found.get(side)) for side in ("candidate", "baseline"))
    difference = "–" if "difference" not in found else points(found["difference"])
    if "between" in found and "difference" in found:
        low, high = found["between"]
        difference += f" ({'?' if low <= -1 else points(low)} to {'?' if high >= 1 else points(high)})"
    if "at" in found and "difference" in found:
        difference += f" ({found['at']})"
    return new, old, difference, f"{100 * found['margin']:g} points"


def _share(side: dict[str, Any] | None) -> str:
    if not side or side["share"] is None:
        return "–"
    return f"{100 * side['share']:.3g} % of {side['requests']:,.0f}"


def points(difference: float) -> str:
    """A difference of shares in percentage points.

    >>> points(0.0123), points(-0.5), points(0)
    ('+1.23', '−50', '0')
    """
    text = f"{100 * difference:+.3g}"
    return "0" if text in ("+0", "-0") else text.replace("-", "−")


def status_json(rollout: Rollout) -> dict[str, Any]:
    """The same for machines."""
    subject = rollout.subject
    return {
        "rollout": rollout.id,
        "endpoint": subject.endpoint,
        "model": subject.model,
        "candidate": subject.candidate,
        "baseline": subject.baseline,
        "status": rollout.status,
        "share": rollout.share,
        "step": rollout.step + 1,
        "steps": list(rollout.settings.steps),
        "started": clock(rollout.started),
        "looked": clock(rollout.looked) if rollout.looked else None,
        "requests_in_step": int(rollout.step_requests),
        "note": rollout.note,
        "slow_seconds": rollout.slow,
        "checks": rollout.summaries(),
    }


def clock(seconds: float) -> str:
    """A time as the registry writes it: UTC, ISO 8601."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _ago(seconds: float) -> str:
    if seconds < 90:
        return several(max(0, int(seconds)), "second")
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"
