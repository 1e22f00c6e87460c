"""What can be known of `features.aggregate` before a run: that child tables can be read, and suit what is computed."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from headrace.artifacts.errors import HeadraceError
from headrace.components.fingerprint.url import absolute
from headrace.components.ingest.aggregate import open_child
from headrace.components.ingest.aggregate_plan import mistakes, plan
from headrace.components.ingest.aggregate_spec import Aggregate
from headrace.components.ingest.aggregation import column_name
from headrace.components.ingest.rows import head_rows
from headrace.pipelines.spec import Spec
from headrace.pipelines.yaml_lines import Place


def aggregates_resolved(spec: Spec, file: Path) -> dict[str, Aggregate]:
    """The section with child tables as they can be opened from anywhere."""
    folder = file.resolve().parent
    return {
        name: one.model_copy(update={"source": absolute(one.source, folder)}) if one.source else one
        for name, one in spec.features.aggregate.items()
    }


def with_aggregates(spec: Spec, file: Path, rows: pa.Table, first: int) -> tuple[pa.Table, list[tuple[Place, str]]]:
    """The first rows with the columns that will be computed, empty, and what is wrong with the section.

    Args:
        spec: what the user wrote.
        file: where it stands.
        rows: the first rows of the source.
        first: so many rows of each child table are looked at.
    """
    found: list[tuple[Place, str]] = []
    made: dict[str, pa.DataType] = {}
    for name, aggregate in aggregates_resolved(spec, file).items():
        place: Place = ("features", "aggregate", name)
        try:
            child = rows if aggregate.source is None else head_rows(open_child(aggregate, spec.data, first), first)
        except HeadraceError as error:
            found.append(((*place, "source"), str(error)))
            continue
        empty = {
            column for table in (rows, child) for column in table.column_names if table[column].null_count == len(table)
        }
        schemas = rows.schema, child.schema, spec.data.label
        wrong = mistakes(name, aggregate, *schemas, taken=list(made), empty=empty)
        found += [((*place, *where), text) for where, text in wrong]
        if mistakes(name, aggregate, *schemas, taken=list(made)):  # of some type, so that nothing else misses them
            columns = [
                pa.field(column_name(name, one, window), pa.float64())
                for one, computed in aggregate.compute.items()
                for window in computed.windows or aggregate.windows
            ]
        else:
            columns = plan(name, aggregate, *schemas, taken=list(made)).fields
        made |= {field.name: field.type for field in columns if field.name not in rows.column_names}
    for column, type in made.items():
        rows = rows.append_column(column, pa.nulls(rows.num_rows, type))
    return rows, found
