"""What changed from one data version to another: columns, rows, splits, distributions, and how they were made."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from headrace.artifacts.dataset import Dataset
from headrace.pipelines.data_versions.distributions import Distribution, distributions
from headrace.pipelines.data_versions.rows import Moved, RowChanges, row_changes
from headrace.pipelines.data_versions.tables import MEMORY, opened
from headrace.pipelines.local.record.changes import Change, mapping_changes

_FACTS = ("task", "label", "id", "classes", "positive", "leaks", "source", "query", "watermark", "newest", "extends")


@dataclass(frozen=True)
class ColumnChange:
    """A column that was added (no type before), removed (none after) or retyped."""

    name: str
    before: str | None
    after: str | None


@dataclass(frozen=True)
class DataDiff:
    """From the version `before` to the version `after`."""

    before: str  # digests
    after: str
    label: str  # the label's column in the later version
    facts: tuple[Change, ...]  # how the versions were made
    columns: tuple[ColumnChange, ...]
    rows: RowChanges
    splits: dict[str, tuple[int, int]]  # split -> rows before, after
    distributions: tuple[Distribution, ...]  # the most changed first, all columns

    @property
    def nothing(self) -> bool:
        """Whether no row and no column differs, and none is in another split."""
        return not (self.columns or self.rows.added or self.rows.removed or self.rows.changed or self.rows.moved)

    @property
    def leaks(self) -> tuple[Moved, ...]:
        """Rows that a model of the earlier version has learned from, and that the later version judges by."""
        return tuple(moved for moved in self.rows.moved if moved.leaks)


def diff_data(before: Dataset, after: Dataset, scratch: Path, memory: str = MEMORY) -> DataDiff:
    """Compares two snapshots.

    Args:
        scratch: a folder for what does not fit into memory; what is put there is removed.
        memory: how much the engine may use, such as `1GB`.
    """
    with opened(before, after, scratch, memory) as tables:
        rows = row_changes(tables)
        shapes = distributions(tables)
    return DataDiff(
        before=before.digest,
        after=after.digest,
        label=after.info.label,
        facts=tuple(mapping_changes("", _facts(before), _facts(after))),
        columns=_columns(before, after),
        rows=rows,
        splits={split: (count, after.info.rows[split]) for split, count in before.info.rows.items()},
        distributions=tuple(shapes),
    )


def diff_json(diff: DataDiff) -> dict[str, Any]:
    """All of it, for machines."""
    moved = [{**asdict(one), "leaks": one.leaks} for one in diff.rows.moved]
    said = asdict(diff)
    said["rows"]["moved"] = moved
    return {"nothing_differs": diff.nothing, **said}


def _facts(dataset: Dataset) -> dict[str, Any]:
    info = asdict(dataset.info)
    return {name: _said(info[name]) for name in _FACTS if info.get(name) is not None}


def _said(value: Any) -> Any:
    """A value without what is null in it: a setting that is not there says the same as one that is not given."""
    return {name: _said(one) for name, one in value.items() if one is not None} if isinstance(value, dict) else value


def _columns(before: Dataset, after: Dataset) -> tuple[ColumnChange, ...]:
    old = {column.name: column.type for column in before.info.columns}
    new = {column.name: column.type for column in after.info.columns}
    names = dict.fromkeys((*old, *new))
    return tuple(ColumnChange(n, old.get(n), new.get(n)) for n in names if old.get(n) != new.get(n))
