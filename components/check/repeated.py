"""Rows that stand there more than once: duplicates, rows of test that train has too, contradicting labels.

Rows are compared by 64-bit hashes, which DuckDB groups within its bound of memory: among 20 million rows, two
different ones share a hash with a probability of one in 100,000.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.artifacts.dataset import SPLITS, Dataset, holds_pictures
from headrace.artifacts.findings import DATASET, MOST_EXAMPLES, Finding
from headrace.components.check.rows import NUMBER, Place, examples, feature_names, scan
from headrace.components.ingest.merge import quoted
from headrace.components.validate.spec import Check, ValidateSpec

if TYPE_CHECKING:
    import duckdb

HASH_OF_FILE = "sha256"  # of an image's bytes: pictures are compared by it, not by where they lie


def find_repeated(
    connection: duckdb.DuckDBPyConnection, snapshot: Dataset, settings: ValidateSpec, dropped: list[str]
) -> list[Finding]:
    """Duplicates, overlapping splits and label conflicts, in one pass over the rows."""
    checks = (settings.duplicates, settings.split_overlap, settings.label_conflicts)
    features = _compared(snapshot, dropped)
    if all(check.level == "off" for check in checks) or not features:
        return []
    _hash_rows(connection, snapshot, features)
    found = [
        *_duplicates(connection, snapshot, settings),
        *_overlap(connection, snapshot, settings),
        *_conflicts(connection, snapshot, settings, features),
    ]
    connection.execute("DROP TABLE hashed")
    return found


def _compared(snapshot: Dataset, dropped: list[str]) -> list[str]:
    """The columns by which two rows are the same to a model."""
    names = [column.name for column in snapshot.info.columns]
    if holds_pictures(snapshot.info) and HASH_OF_FILE in names:
        return [HASH_OF_FILE]
    return feature_names(snapshot.info, dropped)


def _hash_rows(connection: duckdb.DuckDBPyConnection, snapshot: Dataset, features: list[str]) -> None:
    """A table with the hashes of each row: all columns but id and label, the features, the label."""
    info = snapshot.info
    whole = [c.name for c in info.columns if c.name not in (info.id, info.label) and c.type != "binary"]
    if features == [HASH_OF_FILE]:
        whole = features
    parts = [
        f"SELECT {number}::UTINYINT AS split, {NUMBER}::UINTEGER AS number, {_hash(whole)} AS whole, "
        f"{_hash(features)} AS features, {_hash([info.label])} AS label FROM {scan(snapshot, split)}"
        for number, split in enumerate(SPLITS)
    ]
    connection.execute("CREATE OR REPLACE TEMP TABLE hashed AS " + " UNION ALL ".join(parts))


def _hash(columns: list[str]) -> str:
    return f"hash({', '.join(map(quoted, columns))})"


def _duplicates(connection: duckdb.DuckDBPyConnection, snapshot: Dataset, settings: ValidateSpec) -> list[Finding]:
    check = settings.duplicates
    if check.level == "off":
        return []
    groups = "SELECT whole, label, count(*) AS n FROM hashed GROUP BY ALL HAVING n > 1"
    repeats, rows = _one(connection, f"SELECT coalesce(sum(n - 1), 0), coalesce(sum(n), 0) FROM ({groups})")
    total = sum(snapshot.info.rows.values())
    if repeats <= check.at_most * total:
        return []
    places = _places(connection, f"SELECT split, number FROM hashed JOIN ({groups}) USING (whole, label)")
    besides = f" but `{snapshot.info.id}`" if snapshot.info.id else ""
    what = f"repeat another in all columns{besides}"
    if _compared(snapshot, []) == [HASH_OF_FILE]:
        what = "be the same picture as another, byte for byte"
    return [
        _finding(
            "duplicates",
            check,
            f"at most {check.at_most:.2%} of the rows to {what}",
            f"{repeats:,} of {total:,} rows that do ({repeats / total:.2%})",
            "Remove the repetitions at the source, or raise validate.duplicates.at_most where rows may well be equal",
            int(rows),
            examples(connection, snapshot, places),
        )
    ]


def _overlap(connection: duckdb.DuckDBPyConnection, snapshot: Dataset, settings: ValidateSpec) -> list[Finding]:
    check = settings.split_overlap
    if check.level == "off":
        return []
    result = []
    for number, split in enumerate(SPLITS):
        if split == "train":
            continue
        shared = (
            f"SELECT split, number FROM hashed WHERE split = {number} AND whole IN "
            "(SELECT whole FROM hashed WHERE split = 0)"
        )
        (rows,) = _one(connection, f"SELECT count(*) FROM ({shared})")
        total = snapshot.info.rows[split]
        if rows <= check.at_most * total:
            continue
        result.append(
            _finding(
                "split_overlap",
                check,
                f"at most {check.at_most:.2%} of the rows of {split} to stand in train too, the label aside",
                f"{rows:,} of {total:,} rows that do ({rows / total:.2%})",
                "Remove the repetitions at the source, or split by what the rows share (data.split: {by: group})",
                rows,
                examples(connection, snapshot, _places(connection, shared)),
            )
        )
    return result


def _conflicts(
    connection: duckdb.DuckDBPyConnection, snapshot: Dataset, settings: ValidateSpec, features: list[str]
) -> list[Finding]:
    check = settings.label_conflicts
    if check.level == "off":
        return []
    groups = "SELECT features, count(*) AS n FROM hashed GROUP BY features HAVING min(label) <> max(label)"
    (rows,) = _one(connection, f"SELECT coalesce(sum(n), 0) FROM ({groups})")
    total = sum(snapshot.info.rows.values())
    if rows <= check.at_most * total:
        return []
    chosen = f"SELECT split, number FROM hashed JOIN ({groups}) USING (features)"
    first = f"SELECT features FROM hashed JOIN ({groups}) USING (features) ORDER BY split, number LIMIT 1"
    together = f"SELECT split, number FROM hashed WHERE features = ({first})"  # rows that contradict each other
    places = _places(connection, together) or _places(connection, chosen)
    label = snapshot.info.label
    return [
        _finding(
            "label_conflicts",
            check,
            f"at most {check.at_most:.2%} of the rows to have a twin with equal features and another `{label}`",
            f"{int(rows):,} of {total:,} rows that have ({rows / total:.2%})",
            "Correct the labels, or add the column that tells such rows apart",
            int(rows),
            examples(connection, snapshot, places, [label, *features]),
            label,
        )
    ]


def _places(connection: duckdb.DuckDBPyConnection, query: str) -> list[Place]:
    found = connection.execute(f"SELECT * FROM ({query}) ORDER BY ALL LIMIT {MOST_EXAMPLES}").fetchall()
    return [(SPLITS[split], number) for split, number in found]


def _one(connection: duckdb.DuckDBPyConnection, query: str) -> tuple[int, ...]:
    row = connection.execute(query).fetchone()
    assert row is not None
    return tuple(int(value) for value in row)


def _finding(
    name: str,
    check: Check,
    expected: str,
    received: str,
    todo: str,
    rows: int,
    shown: list[str],
    column: str | None = None,
) -> Finding:
    assert check.level != "off"
    columns = [column] if column else []
    return Finding(name, check.level, column or DATASET, expected, received, todo, columns, rows, shown)
