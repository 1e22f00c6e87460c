"""The decision's HTML report."""

from __future__ import annotations

from headrace.artifacts import report as r
from headrace.artifacts.decision import Verdict


def verdict_page(verdict: Verdict) -> str:
    """The report on a decision as one HTML document: what failed first, then what passed."""
    ordered = sorted(verdict.decisions, key=lambda item: item.passed is True)
    rows = [
        (
            r.badge("passed", "good") if item.passed is True else r.badge("failed", "bad"),
            item.gate,
            item.reason,
        )
        for item in ordered
    ]
    failed = sum(item.passed is not True for item in verdict.decisions)
    if verdict.passed:
        words = r.callout("The model may be registered and pushed.", "good", "All gates are passed.")
    else:
        count = f"{failed} of {len(verdict.decisions)} checks failed."
        words = r.callout("The model is neither registered nor pushed; the run goes on without it.", "bad", count)
    status = r.badge("passed", "good") if verdict.passed else r.badge("not passed", "bad")
    section = r.section("Decisions", words, r.table(["", "Gate", "Why"], rows, "lww"))
    subtitle = "Whether the model may be registered and served"
    return r.page("Gate", subtitle, [section], status=status, facts=[("Model", verdict.model_digest)])
