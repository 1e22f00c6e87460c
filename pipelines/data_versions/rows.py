"""Which rows two snapshots do not share: by their id where both have the same, else by their content."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from headrace.artifacts.dataset import SPLITS
from headrace.pipelines.data_versions.tables import Shared, Tables, in_groups

EXAMPLES = 5  # ids of each kind
_COLUMNS = 100  # compared in one query


@dataclass(frozen=True)
class Edited:
    """A column in which rows with the same id have another value."""

    name: str
    rows: int
    ids: tuple[str, ...]  # the first of them


@dataclass(frozen=True)
class Moved:
    """Rows that are in another split."""

    before: str
    after: str
    rows: int
    ids: tuple[str, ...]  # the first of them; none where rows have no id

    @property
    def leaks(self) -> bool:
        """Whether a model that was trained on the earlier version has seen what the later one judges by."""
        return self.before == "train"


@dataclass(frozen=True)
class RowChanges:
    """From one version's rows to another's. Rows are compared in the columns that both versions have."""

    by: str | None  # the id column; None: by their content, so that an edited row is one removed and one added
    before: int
    after: int
    added: int
    removed: int
    changed: int
    same: int
    ids: dict[str, tuple[str, ...]]  # added, removed, changed -> the first ids
    columns: tuple[Edited, ...]  # the most edited first
    moved: tuple[Moved, ...]


def row_changes(tables: Tables) -> RowChanges:
    """Compares the rows of two snapshots."""
    id = tables.before.info.id
    if id is not None and id == tables.after.info.id:
        return _by_id(tables, next(column for column in tables.shared if column.name == id))
    return _by_content(tables)


def _by_id(tables: Tables, id: Shared) -> RowChanges:
    others = [column for column in tables.shared if column is not id]
    for table in "ab":
        tables.execute(
            f"CREATE TEMP TABLE h{table} AS "
            f"SELECT {id.value(table)} AS id, split, {_hash(others, table)} AS h FROM {table}"
        )
    tables.execute(
        "CREATE TEMP TABLE differing AS SELECT coalesce(ha.id, hb.id) AS id, ha.split AS sa, hb.split AS sb, "
        "ha.h <> hb.h AS edited FROM ha FULL JOIN hb ON ha.id = hb.id "
        "WHERE ha.id IS NULL OR hb.id IS NULL OR ha.h <> hb.h OR ha.split <> hb.split"
    )
    kinds = {"added": "sa IS NULL", "removed": "sb IS NULL", "changed": "edited"}
    counted = tables.row(
        "SELECT " + ", ".join(f"count(*) FILTER ({w}), {_first('id', w)}" for w in kinds.values()) + " FROM differing"
    )
    counts = dict(zip(kinds, counted[::2], strict=True))
    ids = {kind: _texts(found) for kind, found in zip(kinds, counted[1::2], strict=True)}
    before, after = tables.counts()
    return RowChanges(
        by=id.name,
        before=before,
        after=after,
        **counts,
        same=before - counts["removed"] - counts["changed"],
        ids=ids,
        columns=_edited(tables, id, others) if counts["changed"] else (),
        moved=_moved_by_id(tables),
    )


def _edited(tables: Tables, id: Shared, columns: Sequence[Shared]) -> tuple[Edited, ...]:
    found = []
    joined = (
        "FROM (SELECT id FROM differing WHERE edited) AS d "
        f"JOIN a ON {id.value('a')} = d.id JOIN b ON {id.value('b')} = d.id"
    )
    for group in in_groups(columns, _COLUMNS):
        wanted = []
        for column in group:
            differs = f"{column.value('a')} IS DISTINCT FROM {column.value('b')}"
            wanted.append(f"count(*) FILTER ({differs}), {_first('d.id', differs)}")
        counted = tables.row(f"SELECT {', '.join(wanted)} {joined}")
        found += [
            Edited(column.name, rows, _texts(ids))
            for column, rows, ids in zip(group, counted[::2], counted[1::2], strict=True)
            if rows
        ]
    return tuple(sorted(found, key=lambda edited: -edited.rows))


def _moved_by_id(tables: Tables) -> tuple[Moved, ...]:
    moved = tables.rows(
        f"SELECT sa, sb, count(*), {_first('id', 'true')} FROM differing WHERE sa <> sb GROUP BY sa, sb ORDER BY sa, sb"
    )
    return tuple(Moved(SPLITS[sa], SPLITS[sb], rows, _texts(ids)) for sa, sb, rows, ids in moved)


def _by_content(tables: Tables) -> RowChanges:
    """Rows as multisets of their contents, known by a hash of 64 bits."""
    each = " UNION ALL ".join(
        f"SELECT '{table}' AS side, split, {_hash(tables.shared, table)} AS h FROM {table}" for table in "ab"
    )
    splits = [(side, number) for side in "ab" for number in range(len(SPLITS))]
    counts = ", ".join(f"count(*) FILTER (side = '{side}' AND split = {n}) AS {side}{n}" for side, n in splits)
    tables.execute(f"CREATE TEMP TABLE contents AS SELECT {counts} FROM ({each}) GROUP BY h")
    of = {side: " + ".join(f"{side}{number}" for number in range(len(SPLITS))) for side in "ab"}
    ways = [(i, j) for i in range(len(SPLITS)) for j in range(len(SPLITS)) if i != j]
    moves = ", ".join(f"sum(least(greatest(a{i} - b{i}, 0), greatest(b{j} - a{j}, 0)))" for i, j in ways)
    added, removed, *moved = tables.row(
        f"SELECT sum(greatest(({of['b']}) - ({of['a']}), 0)), sum(greatest(({of['a']}) - ({of['b']}), 0)), {moves} "
        "FROM contents"
    )
    before, after = tables.counts()
    return RowChanges(
        by=None,
        before=before,
        after=after,
        added=int(added or 0),
        removed=int(removed or 0),
        changed=0,
        same=before - int(removed or 0),
        ids={},
        columns=(),
        moved=tuple(Moved(SPLITS[i], SPLITS[j], int(n), ()) for (i, j), n in zip(ways, moved, strict=True) if n),
    )


def _hash(columns: Sequence[Shared], table: str) -> str:
    return f"hash({', '.join(column.value(table) for column in columns) or '0'})"


def _first(value: str, where: str) -> str:
    """SQL of the smallest few values, so that the same examples are named each time."""
    return f"min({value}, {EXAMPLES}) FILTER ({where})"


def _texts(values: Sequence[Any] | None) -> tuple[str, ...]:
    return tuple(str(value) for value in values or ())
