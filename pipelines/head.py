"""The first rows of a spec's source, from which much can be told before a run."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import pyarrow as pa

from headrace.components.ingest.ingest import check_left_out, left_out, read_table
from headrace.components.ingest.join import check_join, open_join
from headrace.components.ingest.rows import head_rows
from headrace.components.ingest.spec import DataSpec

FIRST_ROWS = 10_000  # of each source that are looked at
FIRST_IMAGES = 256  # each of which is decoded


@dataclass(frozen=True)
class Head:
    """The first rows of a source, and the columns that ingestion will leave out."""

    name: str  # of the source, for messages
    rows: pa.Table
    whole: bool  # these are all rows, so that a class that is not among them is none
    read: list[str]  # the source's own columns: of what is joined to them the values are not known here
    left_out: list[str]

    def all_stay(self, data: DataSpec, columns: Collection[str]) -> bool:
        """Whether ingestion keeps each of these rows, and the columns' values are known.

        Rows older than the last snapshot, or without a partner, are left out; of what is joined no values are known.
        """
        left_out = data.watermark is not None or any(join.how == "inner" for join in data.join)
        return set(columns) <= set(self.read) and not left_out


def read_first_rows(sources: Sequence[str], data: DataSpec) -> Head:
    """The first rows of each source, with the columns that are joined to them, and the types that they suggest."""
    most = FIRST_IMAGES if data.format == "images" else FIRST_ROWS
    table = read_table(sources, data, most)
    found = left_out(table)
    check_left_out(found, data, table.name)
    rows = head_rows(table, most)
    read = rows.column_names
    for join in data.join:
        other = open_join(join, data, FIRST_ROWS)
        check_join(rows.schema, other.schema, join)
        joined = head_rows(other, FIRST_ROWS)
        for name in joined.column_names:
            if name not in join.on:  # what rows find in the other's first rows would say nothing
                rows = rows.append_column(name, pa.nulls(rows.num_rows, joined.schema.field(name).type))
    # Some may have been rejected; and of a folder, the first images are of one class.
    whole = rows.num_rows + data.rejects.at_most < FIRST_ROWS and data.format != "images"
    return Head(table.name, rows, whole, read, list(found))
