"""Versions, metrics and tables in a terminal's words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from headrace.artifacts.decision import UNRECORDED
from headrace.artifacts.metrics import METRICS
from headrace.platforms.interface import BLESSED, ModelVersion

WAITING = "waiting"  # a state for lists: blessed, and people have to say yes


def table(head: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> list[str]:
    """Rows under a head, each column as wide as it needs, and those numbered in `right` to the right."""
    widths = [max(len(row[at]) for row in (head, *rows)) for at in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        padded = [cell.rjust(widths[at]) if at in right else cell.ljust(widths[at]) for at, cell in enumerate(cells)]
        return "  ".join(padded).rstrip()

    return [line(row) for row in (head, *rows)]


def minute(time: str) -> str:
    """A time in UTC, to the minute."""
    return time[:16].replace("T", " ")


def waits(version: ModelVersion) -> bool:
    """Whether nothing but people's approval is lacking."""
    return version.state == BLESSED and len(version.approvals) < version.approvals_needed


def state_words(version: ModelVersion) -> str:
    """A version's state, and how many approvals it has of those it needs."""
    if waits(version):
        return f"{version.state}, {approvals_words(version)}"
    return version.state


def approvals_words(version: ModelVersion) -> str:
    """How many approvals a version has, of how many."""
    given = len(version.approvals)
    if version.approvals_needed:
        return f"{given} of {version.approvals_needed} approvals"
    return f"{given} approval{'' if given == 1 else 's'}, none needed"


def ranked(metrics: dict[str, float]) -> list[tuple[str, float]]:
    """Metrics in the order of the table of all metrics, those that it does not know last."""
    order = {name: at for at, name in enumerate(METRICS)}
    return sorted(metrics.items(), key=lambda item: (order.get(item[0], len(order)), item[0]))


def first_metric(version: ModelVersion) -> str:
    """The metric that comes first, `auc 0.853`; empty where there is none."""
    return next((f"{name} {value:.4g}" for name, value in ranked(dict(version.metrics))), "")


def judged_words(version: ModelVersion, versions: Sequence[ModelVersion]) -> str:
    """Against which champion a version was judged."""
    if version.judged_against is None:
        return "no champion, there was none"
    if version.judged_against == UNRECORDED:
        return "not recorded"
    known = {item.digest: f"version {item.version}" for item in versions}
    return known.get(version.judged_against, version.judged_against)


def version_json(version: ModelVersion) -> dict[str, Any]:
    """A version for machines."""
    return {**asdict(version), "waits_for_approval": waits(version)}
