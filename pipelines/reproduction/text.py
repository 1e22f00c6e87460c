"""What came of a reproduction, in words and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from headrace.pipelines.data_versions.diff_text import change_text, value_text
from headrace.pipelines.reproduction.bundles import DECISIVE
from headrace.pipelines.reproduction.reproduce import Reproduction


def reproduction_text(found: Reproduction) -> Iterator[str]:
    """The verdict first, then what differs and why."""
    diff = found.diff
    yield f"{found.model}, trained again from {found.data}:"
    if diff.identical:
        yield f"bit for bit the same: {diff.after}"
        return
    if diff.same_model:
        yield f"the same model: {', '.join(DECISIVE)} are the same bit for bit."
        yield f"The bundle around it differs: {diff.before} -> {diff.after}"
    else:
        yield f"ANOTHER model: {diff.before} -> {diff.after}"
    if diff.same and not diff.same_model:
        yield f"  the same: {', '.join(diff.same)}"
    for what, names in (("differ", diff.differing), ("only in the registered one", diff.missing), ("new", diff.new)):
        if names:
            yield f"  {what}: {', '.join(names)}"
    if diff.lineage:
        yield "What their lineages say:"
        yield from (f"  {change_text(change)}" for change in diff.lineage)
    if found.parts:
        yield "What the tasks were made of:"
        yield from (f"  {p.task}: {p.part} {value_text(p.before)} -> {value_text(p.after)}" for p in found.parts)
    elif not diff.same_model:
        yield "Code, environments and commands of the tasks are what they were."
    yield f"The new bundle: {found.bundle}"


def reproduction_json(found: Reproduction) -> dict[str, Any]:
    """All of it, for machines."""
    said = asdict(found)
    said["diff"] |= {"identical": found.diff.identical, "same_model": found.diff.same_model}
    return {**said, "bundle": str(found.bundle)}
