"""Lineage as two trees in plain text, and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from headrace.pipelines.local.record.lineage import Content, Doing, Lineage
from headrace.pipelines.local.views.run_text import short, size_text, value_text

LINES = 100  # of one tree, before the rest is left out
_ALIKE = 5  # branches of the same name that are shown; more are counted
_SOURCES = 4  # parameters that are shown of a task that takes no artifact


def lineage_text(found: Lineage, whole: bool = False) -> list[str]:
    """Both trees: made from, and made of it. What was shown before is not followed again."""
    lines = []
    for title, edges in (("Made from:", found.up), ("Made from it:", found.down)):
        tree = list(_tree(found, edges, whole))
        left_out = 0 if whole else max(0, len(tree) - LINES)
        lines += [title, *(tree[:LINES] if left_out else tree)]
        if left_out:
            lines.append(f"... {left_out} more lines; --all shows them")
    if not found.complete:
        lines.append("There is more, which was not followed; --all follows everything.")
    return lines


def _tree(found: Lineage, edges: Mapping[str, tuple[tuple[str, str], ...]], whole: bool) -> Iterator[str]:
    """Stacked, not recursive: a lineage is as long as the history of a home."""
    up = edges is found.up
    seen: set[str] = set()
    stack = [("", "", "", key, "") for key in reversed(found.start)]
    while stack:
        lead, below, name, key, hidden = stack.pop()
        if hidden:
            yield f"{lead}{hidden}"
            continue
        steps = edges.get(key, ())
        again = key in seen and bool(steps)
        yield f"{lead}{_one(found, name, key, up)}{'  (shown above)' if again else ''}"
        seen.add(key)
        if again:
            continue
        notes = _notes(found, key, up, bool(steps))
        for note in notes:
            yield f"{below}{'|  ' if steps else '   '}{note}"
        children = _folded(found, steps, up, whole)
        for place in reversed(range(len(children))):
            step_name, child, more = children[place]
            last = place == len(children) - 1
            stack.append(
                (below + ("`- " if last else "|- "), below + ("   " if last else "|  "), step_name, child, more)
            )


def _folded(found: Lineage, steps: tuple[tuple[str, str], ...], up: bool, whole: bool) -> list[tuple[str, str, str]]:
    """The steps as (name, key, ""), of many alike only some; ("", "", what is left out) stands for the rest."""
    count: dict[str, int] = {}
    folded, unused = [], []
    for name, key in steps:
        content = found.contents.get(key)
        if content and not (up or whole or found.down.get(key) or content.registered):
            unused.append(name)
            continue
        alike = found.doings[key].path.partition("[")[0] if key in found.doings else name
        count[alike] = count.get(alike, 0) + 1
        if whole or count[alike] <= _ALIKE:
            folded.append((name, key, ""))
    if unused:
        folded.append(("", "", f"{', '.join(dict.fromkeys(unused))}: not taken by any task"))
    return folded + [("", "", f"{n - _ALIKE} more like these") for n in count.values() if n > _ALIKE and not whole]


def _one(found: Lineage, name: str, key: str, up: bool) -> str:
    if key in found.contents:
        record = found.contents[key].record
        facts = [record.name if name in ("", record.name) else f"{name} ({record.name})"]
        facts += [record.type.removeprefix("system."), size_text(record), short(record)]
        return "  ".join(fact for fact in facts if fact)
    doing = found.doings[key]
    what = f" (as {name})" if name and not up else ""
    where = "" if doing.run == found.run else f" in run {doing.run}"
    many = f", and in {doing.runs - 1} other run{'s' if doing.runs > 2 else ''}" if doing.runs > 1 else ""
    state = "" if doing.state == "SUCCEEDED" else f", {doing.state}"
    return f"{doing.label}{what}{where}{many}{state}"


def _notes(found: Lineage, key: str, up: bool, followed: bool) -> list[str]:
    """What is said below a line: where a model went, and what a task that takes nothing was told."""
    if key in found.contents:
        return list(found.contents[key].registered) if not up else []
    if not up or followed:
        return []
    parameters = {n: v for n, v in found.doings[key].parameters.items() if isinstance(v, str | int | float)}
    return [f"{name} = {value_text(value)}" for name, value in list(parameters.items())[:_SOURCES]]


def lineage_json(found: Lineage) -> dict[str, Any]:
    """The whole of it, as a graph: nodes by key, and the edges as triples (from, name, to)."""
    return {
        "run": found.run,
        "start": list(found.start),
        "artifacts": {key: _content_json(content) for key, content in found.contents.items()},
        "tasks": {key: _doing_json(doing) for key, doing in found.doings.items()},
        "up": [[key, name, to] for key, steps in found.up.items() for name, to in steps],
        "down": [[key, name, to] for key, steps in found.down.items() for name, to in steps],
    }


def _content_json(content: Content) -> dict[str, Any]:
    return {**asdict(content.record), "registered": list(content.registered)}


def _doing_json(doing: Doing) -> dict[str, Any]:
    return asdict(doing)
