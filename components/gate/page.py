"""The decision's HTML report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headrace.artifacts import report as r
from headrace.artifacts.decision import Decision, Verdict
from headrace.artifacts.report import Cell, Html

_NAMES = {
    "gain": "better by",
    "bound": "with the confidence asked for",
    "sure": "surely better by",
    "method": "how sure, by",
}


def verdict_page(verdict: Verdict, beside: Html | None = None) -> str:
    """The report on a decision as one HTML document: what failed first, with what to do; then what passed.

    `beside` is a section that shows candidate and champion side by side.
    """
    failed = [item for item in verdict.decisions if item.passed is not True]
    passed = [item for item in verdict.decisions if item.passed is True]
    sections = [_decision(verdict, len(failed))]
    if failed:
        intro = "Every gate was looked at, whatever came of the others: this is all that stands in the way."
        sections.append(r.section("Not passed", *map(_failed, failed), intro=intro))
    if passed:
        sections.append(r.section("Passed", r.key_values([(item.gate, r.prose(item.reason)) for item in passed])))
    if beside is not None:
        sections.append(beside)
    figures = [block for item in (*failed, *passed) for block in _figures(item)]
    if figures:
        intro = "The numbers that were compared, as the decision keeps them."
        sections.append(r.section("Evidence", *figures, intro=intro))
    status = r.badge("passed", "good") if verdict.passed else r.badge("not passed", "bad")
    facts = [("Model", verdict.model_digest), ("Champion", verdict.champion_digest or "none")]
    return r.page("Gate", "Whether the model may be registered and served", sections, status=status, facts=facts)


def _decision(verdict: Verdict, failed: int) -> Html:
    count = len(verdict.decisions)
    if verdict.passed:
        words = r.callout("The model may be registered and pushed.", "good", "All gates are passed.")
    else:
        head = f"{failed} of {count} {'check' if count == 1 else 'checks'} failed."
        words = r.callout("The model is neither registered nor pushed; the run goes on without it.", "bad", head)
    return r.section("Decision", words)


def _failed(item: Decision) -> Html:
    """A gate that is not passed: why, and what to do. Not a row of a table, which is too wide for a narrow screen."""
    todo = f"<br><em>What to do:</em> {r.prose(item.todo)}." if item.todo else ""
    return r.callout(Html(f"<br>{r.prose(item.reason)}.{todo}"), "bad", item.gate)


def _figures(item: Decision) -> list[Html]:
    """What a gate looked at, folded away."""
    if not item.evidence:
        return []
    plain = {name: value for name, value in item.evidence.items() if not isinstance(value, Mapping)}
    nested = {name: value for name, value in item.evidence.items() if isinstance(value, Mapping)}
    blocks = []
    if len(plain) > 8:  # one number for each of many slices
        ordered = [(name, _cell(value)) for name, value in sorted(plain.items(), key=_by_value)]
        blocks.append(r.table(["Slice", "Value"], ordered))
    elif plain:
        blocks.append(r.key_values([(_NAMES.get(name, name), _cell(value)) for name, value in plain.items()]))
    rows = [value for value in nested.values() if "gain" in value]
    if rows and len(rows) == len(nested):
        blocks.append(_slices(nested))
    else:
        blocks += [_rates(name, value) for name, value in nested.items()]
    return [r.details(item.gate, *blocks)]


def _by_value(item: tuple[str, Any]) -> float:
    return item[1] if isinstance(item[1], int | float) else 0.0


def _slices(found: Mapping[str, Mapping[str, Any]]) -> Html:
    sure = any(item.get("sure") is not None for item in found.values())
    columns = ["model", "champion", "gain", *(["sure"] if sure else [])]
    ordered = sorted(found.items(), key=lambda item: _by_value(("", item[1].get("sure" if sure else "gain"))))
    rows: list[Sequence[Cell]] = [[name, *(item.get(column) for column in columns)] for name, item in ordered]
    heads = ["Slice", "Model", "Champion", "Better by", *(["Surely by"] if sure else [])]
    return r.table(heads, rows)


def _rates(name: str, found: Mapping[str, Any]) -> Html:
    rows = [(group, _cell(value)) for group, value in found.items()]
    return r.table(["Group", _NAMES.get(name, name).capitalize()], rows)


def _cell(value: Any) -> Cell:
    return value if isinstance(value, str | int | float) or value is None else str(value)
