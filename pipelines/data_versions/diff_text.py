"""What changed between two data versions, in lines for a terminal."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence

from headrace.pipelines.data_versions.diff import DataDiff
from headrace.pipelines.data_versions.distributions import Bin, Distribution, shown
from headrace.pipelines.data_versions.rows import Moved
from headrace.pipelines.local.record.changes import ADDED, REMOVED, Change

LINES = 15  # of one section, before the rest is left out
STABLE = 1e-4  # bits; distributions that are nearer are not worth a line
_DIGEST = re.compile(r"\b(sha256:[0-9a-f]{12})[0-9a-f]{52}\b")
_LONGEST = 60  # characters of a value
SEEN = "A model of the earlier version has learned from them: judged on the later one, it looks better than it is."


def diff_text(diff: DataDiff, whole: bool = False) -> list[str]:
    """What differs, a section for each kind; what does not has none."""
    lines = [f"From {diff.before} to {diff.after}:"]
    if diff.nothing:
        lines.append("The same rows in the same splits.")
    changed = [one for one in diff.distributions if one.changed and (whole or one.js >= STABLE)]
    sections = (
        ("Made otherwise", [change_text(change) for change in diff.facts]),
        ("Columns", list(_columns(diff))),
        ("Rows", [] if diff.nothing else list(_rows(diff))),
        ("Values edited, by column", list(_edited(diff))),
        ("Splits", list(_splits(diff))),
        ("Distributions, the most changed first", _table(changed if whole else changed[:LINES], diff.label)),
    )
    for title, said in sections:
        if said:
            lines += ["", f"{title}:", *(f"  {line}" for line in (said if whole else said[: LINES + 1]))]
            left_out = 0 if whole else max(len(said), len(changed) + 1 if "Distr" in title else 0) - LINES - 1
            if left_out > 0:
                lines.append(f"  ... {left_out} more; --all shows them")
    return [*lines, *_leaks(diff.leaks)]


def _leaks(leaks: Sequence[Moved]) -> Iterator[str]:
    if leaks:
        yield ""
    for moved in leaks:
        such = f", such as {', '.join(moved.ids)}" if moved.ids else ""
        yield (
            f"error: expected rows of train to stay in train. Received: {moved.rows:,} that are in {moved.after} now"
            f"{such}. {SEEN}"
        )


def change_text(change: Change) -> str:
    """A difference of two mappings in a line."""
    if change.kind == ADDED:
        return f"{change.what}: {value_text(change.after)} (was not said)"
    if change.kind == REMOVED:
        return f"{change.what}: not said any more (was {value_text(change.before)})"
    return f"{change.what}: {value_text(change.before)} -> {value_text(change.after)}"


def value_text(value: object) -> str:
    """A value in one short line; of digests the beginning."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    text = _DIGEST.sub(r"\1", text.replace("\n", " "))
    return (text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "...") or '""'


def _columns(diff: DataDiff) -> Iterator[str]:
    for column in diff.columns:
        if column.before is None:
            yield f"{column.name}: added ({column.after})"
        elif column.after is None:
            yield f"{column.name}: removed ({column.before})"
        else:
            yield f"{column.name}: {column.before} -> {column.after}"


def _rows(diff: DataDiff) -> Iterator[str]:
    rows = diff.rows
    yield f"{rows.before:,} -> {rows.after:,} ({rows.after - rows.before:+,}); {rows.same:,} are the same"
    for kind, count in (("added", rows.added), ("removed", rows.removed), ("changed", rows.changed)):
        if count:
            such = f", such as {', '.join(rows.ids[kind])}" if rows.ids.get(kind) else ""
            yield f"{count:,} {kind}{such}"
    if rows.by is None:
        yield "compared by their content, for want of a common id: an edited row is one removed and one added"


def _edited(diff: DataDiff) -> Iterator[str]:
    width = max((len(one.name) for one in diff.rows.columns), default=0)
    for one in diff.rows.columns:
        yield f"{one.name:<{width}}  {one.rows:>9,} rows, such as {', '.join(one.ids)}"


def _splits(diff: DataDiff) -> Iterator[str]:
    for split, (before, after) in diff.splits.items():
        if before != after:
            yield f"{split}: {before:,} -> {after:,} ({after - before:+,})"
    for moved in diff.rows.moved:
        yield f"{moved.rows:,} moved from {moved.before} to {moved.after}"


def _table(found: Sequence[Distribution], label: str) -> list[str]:
    if not found:
        return []
    rows = [("COLUMN", "JS", "PSI", "MISSING", "MEAN, OR WHAT CHANGED MOST")]
    for one in found:
        name = f"{one.name} (label)" if one.name == label else one.name
        rows.append((name, f"{one.js:.4f}", f"{one.psi:.3f}", missing_text(one), gist(one)))
    widths = [max(len(row[place]) for row in rows) for place in range(4)]
    return [
        f"{name:<{widths[0]}}  {js:>{widths[1]}}  {psi:>{widths[2]}}  {missing:>{widths[3]}}  {most}"
        for name, js, psi, missing, most in rows
    ]


def missing_text(one: Distribution) -> str:
    """How the share of missing values changed."""
    before, after = (f"{side.missing_share:.1%}" for side in (one.before, one.after))
    return before if before == after else f"{before} -> {after}"


def gist(one: Distribution) -> str:
    """What changed about a column, in a few words: the mean of numbers, the value that gained or lost most."""
    if one.kind != "value" and one.before.mean is not None and one.after.mean is not None:
        return f"{shown(one.before.mean, one.kind)} -> {shown(one.after.mean, one.kind)}"
    if one.kind != "value":
        return "no value -> values" if one.before.mean is None else "values -> no value"
    bins = [each for each in one.bins if each.label != "missing"]
    if not bins:
        return ""
    most = max(bins, key=lambda each: (round(abs(_gain(each, one)), 9), _gain(each, one)))
    before, after = most.before / max(one.before.rows, 1), most.after / max(one.after.rows, 1)
    new = f"; {one.appeared:,} rows with new values" if one.appeared else ""
    return f"{value_text(most.label)} {before:.1%} -> {after:.1%}{new}"


def _gain(each: Bin, one: Distribution) -> float:
    return each.after / max(one.after.rows, 1) - each.before / max(one.before.rows, 1)
