"""Classes that have too few rows to be learned, or none in a split."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.artifacts.dataset import SPLITS, Dataset
from headrace.artifacts.findings import Finding
from headrace.components.check.rows import scan
from headrace.components.ingest.merge import quoted
from headrace.components.validate.spec import ValidateSpec

if TYPE_CHECKING:
    import duckdb


def count_classes(connection: duckdb.DuckDBPyConnection, snapshot: Dataset) -> dict[str, dict[str, int]]:
    """Class to split to rows; empty for a regression."""
    if snapshot.info.classes is None:
        return {}
    counts = {name: dict.fromkeys(SPLITS, 0) for name in snapshot.info.classes}
    for split in SPLITS:
        query = f"SELECT {quoted(snapshot.info.label)}::VARCHAR, count(*) FROM {scan(snapshot, split)} GROUP BY 1"
        for name, rows in connection.execute(query).fetchall():
            counts.setdefault(str(name), dict.fromkeys(SPLITS, 0))[split] = rows
    return counts


def find_rare_classes(counts: dict[str, dict[str, int]], label: str, settings: ValidateSpec) -> list[Finding]:
    """Classes with fewer rows in train than the spec wants, and classes that a split lacks."""
    check = settings.rare_classes
    if check.level == "off":
        return []
    todo = "Collect more rows of it, join it with another class, or leave it out of the source"
    result = []
    for name, rows in counts.items():
        if 0 < rows["train"] < check.at_least:
            expected = f"at least {check.at_least} rows of each class in train"
            result.append((expected, f"{rows['train']} of class {name}", rows["train"]))
        for split in SPLITS:
            if rows[split] == 0:
                result.append(("rows of each class in every split", f"none of class {name} in {split}", 0))
    return [
        Finding("rare_classes", check.level, label, expected, received, todo, [label], number)
        for expected, received, number in result
    ]
