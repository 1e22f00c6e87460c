"""`headrace validate`: everything that can be known of a spec before a run, in well under two seconds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from headrace.artifacts.errors import HeadraceError, nearest_column
from headrace.components.ingest.columns import name_problem
from headrace.components.ingest.csv_source import read_head
from headrace.components.ingest.infer import infer_types
from headrace.components.ingest.ingest import TEXT_SUFFIXES, Read, check_left_out, find_files
from headrace.components.ingest.parquet_source import normalise_columns
from headrace.pipelines.compile import schema_text
from headrace.pipelines.compiled import resolve_source
from headrace.pipelines.spec import Spec, SpecError, load_spec
from headrace.pipelines.yaml_lines import Place, read_yaml
from headrace.trainer.expression import NUMBER, TEXT, ExpressionError, parse
from headrace.trainer.expression_arrow import column_type


def check_spec(file: Path) -> tuple[Spec, pa.Table]:
    """Checks a spec, that its source can be read, and that every column it names is there.

    The source's columns and types are taken from its first rows; ingestion looks at all of them.

    Returns:
        the spec, and the first rows of its source.

    Raises:
        SpecError: every mistake found, a line each.
    """
    spec = load_spec(file)
    schema_text(spec, file)
    source = resolve_source(spec.data.source, file)
    head = read_first_rows(source, spec)
    found = mistakes(spec, head.table, head.left_out)
    if found:
        yaml = read_yaml(file)
        raise SpecError(
            "\n".join(f"{file}:{yaml.line(place)}: {'.'.join(map(str, place))}: {text}" for place, text in found)
        )
    return spec, head.table


def read_first_rows(source: str, spec: Spec) -> Read:
    """The first rows of the source's first file, with the types that they suggest."""
    file = find_files(source)[0]
    if file.suffix.lower() in TEXT_SUFFIXES:
        texts = read_head(file, spec.data.null_values, spec.data.separator)
        table, notes = infer_types(texts, spec.data.decimal)
        return Read(table, notes, [])
    try:
        parquet = pq.ParquetFile(file)
        batch = next(parquet.iter_batches(batch_size=1_000), None)
    except (pa.ArrowInvalid, OSError) as error:
        raise HeadraceError(f"{file}: expected a Parquet file. Received: {error}") from None
    table = parquet.schema_arrow.empty_table() if batch is None else pa.Table.from_batches([batch])
    read = normalise_columns(table, file)
    check_left_out(read.left_out, spec.data, source)
    return Read(read.table, read.notes, list(read.left_out))


def mistakes(spec: Spec, head: pa.Table, left_out: Sequence[str] = ()) -> list[tuple[Place, str]]:
    """What the spec says of columns that the source does not have, or not like that, each with its place.

    Columns that ingestion leaves out for their type may be dropped all the same.
    """
    label = spec.data.label
    names = head.column_names
    named: list[tuple[Place, str | None]] = [
        (("data", "id"), spec.data.id),
        (("data", "label"), label.name if label.expression is None else None),
        *((("features", "drop", i), name) for i, name in enumerate(spec.features.drop) if name not in left_out),
        *((("features", "keep", i), name) for i, name in enumerate(spec.features.keep)),
        *((("evaluate", "slices", i), name) for i, name in enumerate(spec.evaluate.slices)),
        *((("evaluate", "gates", i, "by"), gate.by) for i, gate in enumerate(spec.evaluate.gates or [])),
        *((("evaluate", "gates", i, "slice"), gate.slice) for i, gate in enumerate(spec.evaluate.gates or [])),
    ]
    found = [
        (place, _absent(name, names)) for place, name in named if name is not None and name not in (*names, label.name)
    ]
    if label.expression is None and label.name not in names:
        found.append((("data", "label"), _absent(label.name, names)))
    types = {field.name: column_type(field.type) for field in head.schema}
    expressions: list[tuple[Place, str]] = [
        (("features", "construct", name), text) for name, text in spec.features.constructed.items()
    ]
    if label.expression is not None:
        expressions.append((("data", "label", "expression"), label.expression))
    found += [(place, message) for place, text in expressions if (message := _expression(text, types))]
    for name in spec.features.constructed:
        if problem := name_problem(name):
            found.append((("features", "construct", name), problem.replace("; rename the column in the source", "")))
        if name in names:
            found.append(
                (("features", "construct", name), f"expected a new name. Received: `{name}`, a column of the source")
            )
    return found


def _absent(name: str, names: list[str]) -> str:
    return f"expected a column of the source. Received: `{name}`; {nearest_column(name, names)}"


def _expression(text: str, types: dict[str, str]) -> str | None:
    try:
        _, kind = parse(text).typed(types)
    except ExpressionError as error:
        return str(error)
    return f"expected a {NUMBER} or a truth value. Received: a text, `{text}`" if kind == TEXT else None
