"""The slices of an evaluation that a gate looks at, and the rows in each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headrace.artifacts.evaluation import Evaluation, Slice, Unjudged
from headrace.artifacts.scores import ScoresTable
from headrace.components.gate.evidence import NoEvidence


def slices_of(found: Evaluation, name: str) -> tuple[list[Slice], list[Unjudged]]:
    """The slices by a column or pair, and those that were not measured.

    Raises:
        NoEvidence: none was measured, large ones were left out, or two have the same name.
    """
    parts = [part for part in found.slices if part.by == name]
    rest = [item for item in found.unjudged if item.by == name]
    if not parts:
        why = f": each of its values has fewer than {rest[0].least_rows} rows" if rest else ""
        raise NoEvidence(f"no slice by {name} was measured{why}")
    names = [part.value for part in parts]
    twice = sorted({value for value in names if names.count(value) > 1})
    if twice:  # by their names one of them would be judged, and stand for both
        raise NoEvidence(f"several slices by {name} are called {twice[0]}: they cannot be told apart")
    if any(item.left_out for item in rest):
        raise NoEvidence(f"{rest[0].left_out:,} values of {name} were not measured: there are too many")
    return parts, rest


def small_names(rest: Sequence[Unjudged]) -> tuple[list[str], int]:
    """The names that are known of slices too small to judge, and how many there are."""
    return [value for item in rest for value in item.values], sum(item.small for item in rest)


def members(table: ScoresTable, name: str) -> Mapping[str, Any]:
    """Slice -> the places of its rows in the table.

    Raises:
        NoEvidence: it was not kept in which slice rows are.
    """
    import numpy as np
    import pyarrow.compute as pc

    column = table.by.get(name)
    if column is None:
        raise NoEvidence(f"it was not kept which rows are in which slice by {name}")
    labels = column.dictionary.to_pylist()
    codes = np.asarray(pc.fill_null(column.indices, len(labels)))
    return {label: np.flatnonzero(codes == place) for place, label in enumerate(labels)}


def rows_in(found: Mapping[str, Any], part: Slice) -> Any:
    """The places of the rows of one slice.

    Raises:
        NoEvidence: there are none.
    """
    rows = found.get(part.value)
    if rows is None or not len(rows):
        raise NoEvidence(f"the rows of slice {part.by}={part.value} were not kept")
    return rows
