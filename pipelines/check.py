"""`headrace validate`: everything that can be known of a spec before a run, in well under two seconds."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from headrace.artifacts.by import columns_of
from headrace.artifacts.errors import HeadraceError, nearest_column
from headrace.components.fingerprint.logs import log_files
from headrace.components.fingerprint.url import absolute, sources_of
from headrace.components.ingest.spec import DataSpec
from headrace.pipelines.check_aggregates import with_aggregates
from headrace.pipelines.check_data import row_mistakes
from headrace.pipelines.check_evaluate import evaluated_columns, gate_mistakes, value_mistakes
from headrace.pipelines.check_features import feature_mistakes
from headrace.pipelines.check_label import known_classes, label_mistakes
from headrace.pipelines.check_train import train_mistakes
from headrace.pipelines.compile import schema_text, with_functions
from headrace.pipelines.compiled import resolve_source
from headrace.pipelines.head import FIRST_ROWS, Head, read_first_rows
from headrace.pipelines.spec import Spec, SpecError, load_spec
from headrace.pipelines.yaml_lines import Place, read_yaml
from headrace.trainer.expressions.arrow import column_type


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
    with_functions(spec, file)
    check_requests(spec, file)
    sources = sources_of(resolve_source(spec.data.source, file))
    head = read_first_rows(sources, joins_resolved(spec, file))
    rows, found = with_aggregates(spec, file, head.rows, FIRST_ROWS)
    found += mistakes(spec, rows, head)
    if found:
        yaml = read_yaml(file)
        raise SpecError(
            "\n".join(f"{file}:{yaml.line(place)}: {'.'.join(map(str, place))}: {text}" for place, text in found)
        )
    return spec, rows


def check_requests(spec: Spec, file: Path) -> None:
    """Checks that logged requests are where the spec says; a folder may have none yet.

    Raises:
        SpecError: there is no such folder or file, or it cannot be reached.
    """
    if spec.validation.requests is None:
        return
    try:
        log_files(absolute(spec.validation.requests, file.resolve().parent))
    except HeadraceError as error:
        line = read_yaml(file).line(("validate", "requests"))
        raise SpecError(f"{file}:{line}: validate.requests: {error}") from None


def joins_resolved(spec: Spec, file: Path) -> DataSpec:
    """The data section with the joined sources as they can be opened from anywhere."""
    folder = file.resolve().parent
    joins = [join.model_copy(update={"source": absolute(join.source, folder)}) for join in spec.data.join]
    return spec.data.model_copy(update={"join": joins})


def mistakes(spec: Spec, rows: pa.Table, head: Head) -> list[tuple[Place, str]]:
    """What the spec says of columns that the source does not have, or not like that, each with its place.

    `rows` are the head's, with what is aggregated. Columns that ingestion leaves out for their type may be dropped all
    the same.
    """
    label = spec.data.label
    names = rows.column_names
    named: list[tuple[Place, str | None]] = [
        (("data", "id"), spec.data.id),
        (("data", "split", "column"), spec.data.split.column),
        (("data", "watermark", "column"), spec.data.watermark.column if spec.data.watermark else None),
        *((("data", "types", name), name) for name in spec.data.types),
        (("data", "label"), label.name if label.expression is None else None),
        (("statistics", "weight"), spec.statistics.weight),
        *((("statistics", "slices", i), name) for i, name in enumerate(spec.statistics.slices)),
        *((("features", "drop", i), name) for i, name in enumerate(spec.features.drop) if name not in head.left_out),
        *((("features", "keep", i), name) for i, name in enumerate(spec.features.keep)),
        (("train", "sample_weight"), spec.train.sample_weight),
        (("validate", "freshness", "column"), spec.validation.freshness.column if spec.validation.freshness else None),
        *((("validate", "leakage", "except", i), name) for i, name in enumerate(spec.validation.leakage.besides)),
        *((("evaluate", "slices", i), name) for i, by in enumerate(spec.evaluate.slices) for name in columns_of(by)),
        (("for_each", "segment"), spec.for_each.segment if spec.for_each else None),
        (("evaluate", "truth"), spec.evaluate.truth),
        *evaluated_columns(spec.evaluate),
        *(
            (("evaluate", "gates", i, key), name)
            for i, gate in enumerate(spec.evaluate.gates or [])
            for key, by in (("by", gate.by), ("slice", gate.slice))
            for name in (columns_of(by) if by else ())
        ),
    ]
    found = [
        (place, _absent(name, names)) for place, name in named if name is not None and name not in (*names, label.name)
    ]
    if label.expression is None and label.name not in names:
        found.append((("data", "label"), _absent(label.name, names)))
    if not spec.of_images and not set(names) - {label.name, spec.data.id}:
        beside = "the label and the id" if spec.data.id else "the label"
        found.append((("data", "source"), f"expected columns to learn from beside {beside}. Received: none"))
    types = {field.name: column_type(field.type) for field in rows.schema}
    found += label_mistakes(spec, rows, head) + row_mistakes(spec, rows, head)
    if spec.for_each and (message := _segments(spec.for_each.segment, spec.data, rows.schema)):
        found.append((("for_each", "segment"), message))
    found += _learned_segment(spec)
    found += value_mistakes(spec.evaluate, types) + gate_mistakes(spec.evaluate, known_classes(spec, rows, head.whole))
    return found + feature_mistakes(spec, rows.schema) + train_mistakes(spec, rows, head.whole)


def _absent(name: str, names: list[str]) -> str:
    return f"expected a column of the source. Received: `{name}`; {nearest_column(name, names)}"


def _segments(column: str, data: DataSpec, schema: pa.Schema) -> str | None:
    """Why a column cannot say which segment a row belongs to, as far as its first rows tell."""
    if column == data.label.name:
        return f"expected another column than the label. Received: `{column}`"
    if column == data.id:
        return f"expected a column that rows share. Received: `{column}`, which names each row"
    if column not in schema.names:
        return None  # told with all other names
    type = schema.field(column).type
    if pa.types.is_timestamp(type) or pa.types.is_floating(type) or pa.types.is_binary(type):
        return f"expected texts, whole numbers, truth values or dates. Received: `{column}`, of type {type}"
    return None


def _learned_segment(spec: Spec) -> list[tuple[Place, str]]:
    """Where `features` asks to learn from the column that says the segment."""
    if spec.for_each is None:
        return []
    column, features = spec.for_each.segment, spec.features
    listed = features.missing_indicators if isinstance(features.missing_indicators, list) else []
    places: list[tuple[Place, str]] = [
        *((("keep", i), name) for i, name in enumerate(features.keep)),
        *((("text", name), name) for name in features.text),
        *((("encode", name), name) for name in features.encode),
        *((("missing_indicators", i), name) for i, name in enumerate(listed)),
    ]
    text = (
        f"expected a column that may be learned from. Received: `{column}`, which for_each.segment names: within a "
        "segment it does not vary, and no model sees it"
    )
    return [(("features", *place), text) for place, name in places if name == column]
