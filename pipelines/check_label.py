"""What can be known of the label before a run: rows without it, values that are no classes, no such positive class."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from headrace.artifacts.dataset import SPLITS
from headrace.artifacts.errors import HeadraceError, row_count
from headrace.components.ingest.columns import type_name
from headrace.components.ingest.label import label_table, positive_mistake
from headrace.pipelines.head import Head
from headrace.pipelines.spec import Spec
from headrace.pipelines.yaml_lines import Place
from headrace.trainer.expressions.arrow import column_type
from headrace.trainer.expressions.expression import NUMBER, TEXT, ExpressionError, parse

_LABEL = ("data", "label")


def label_mistakes(spec: Spec, rows: pa.Table, head: Head) -> list[tuple[Place, str]]:
    """What ingestion would refuse, as far as the first rows tell; each with its place in the spec.

    Args:
        spec: the whole.
        rows: the first of the source, with what is aggregated and joined.
        head: what is known of them.
    """
    label = spec.data.label
    if spec.of_images:
        return []
    if label.expression is not None:
        if label.name in rows.column_names:
            return [(_LABEL, f"expected a new name for the computed label. Received: `{label.name}`, a column")]
        if wrong := _expression(label.expression, rows.schema):
            return [((*_LABEL, "expression"), wrong)]
        needed = list(parse(label.expression).columns())
    else:
        if label.name not in rows.column_names:
            return []  # told with all other names
        if wrong := _type(spec, rows[label.name]):
            return [(_LABEL, wrong)]
        needed = [label.name]
    return _values(spec, rows, head) if head.all_stay(spec.data, needed) else []  # else a label may well be missing


def known_classes(spec: Spec, rows: pa.Table, whole: bool) -> list[str] | None:
    """The classes as gates and weights name them; None where they are not known, as there are more rows than these."""
    label = spec.data.label
    if not whole or spec.predicted == "regression" or label.expression is not None:
        return None
    if label.name not in rows.column_names:
        return None
    values = pc.unique(rows[label.name].drop_null()).to_pylist()
    return sorted(str(value).lower() if isinstance(value, bool) else str(value) for value in values)


def _expression(text: str, schema: pa.Schema) -> str | None:
    try:
        _, kind = parse(text).typed({field.name: column_type(field.type) for field in schema})
    except ExpressionError as error:
        return str(error)
    return f"expected a {NUMBER} or a truth value. Received: a text, `{text}`" if kind == TEXT else None


def _type(spec: Spec, column: pa.ChunkedArray) -> str | None:
    """A column that is no label of the task, whatever rows follow the first."""
    name = spec.data.label.name
    received = f"Received: `{name}` of type {type_name(column.type)}"
    if spec.predicted != "regression":
        if not pa.types.is_temporal(column.type):
            return None
        return f"expected classes. {received}; where its moments are classes, say so: data.types: {{{name}: string}}"
    is_number = pa.types.is_integer(column.type) or pa.types.is_floating(column.type)
    if is_number or column.null_count == len(column):
        return None
    return f"expected a column of numbers for a regression. {received}; did you mean `task: classification`?"


def _values(spec: Spec, rows: pa.Table, head: Head) -> list[tuple[Place, str]]:
    """Rows without a label, a label that is constant or no class, a positive class that is none."""
    source = head.name if head.whole else f"{head.name}, first {rows.num_rows:,} rows"
    data = spec.data.model_copy(update={"positive": None})  # which has a place of its own
    try:
        labeller = label_table(rows, spec.predicted, data, source)
        if head.whole:
            labeller.finish()
        else:
            labeller.refuse_missing()  # what else is wrong, rows that follow may make right
    except HeadraceError as error:
        return [(_LABEL, str(error))]
    if head.whole and spec.predicted != "regression" and (rare := _in_no_three_splits(spec, rows)):
        return [(_LABEL, rare)]
    positive = spec.data.positive
    if positive is None or spec.predicted == "regression" or (len(labeller.values) < 2 and not head.whole):
        return []
    wrong = positive_mistake(positive, labeller.values)
    return [(("data", "positive"), wrong)] if wrong else []


def _in_no_three_splits(spec: Spec, rows: pa.Table) -> str | None:
    """A class of so few rows that a split is without it."""
    if spec.data.label.expression is not None:
        return None
    rare = [item for item in rows[spec.data.label.name].value_counts().to_pylist() if item["counts"] < len(SPLITS)]
    if not rare:
        return None
    shown = ", ".join(f"{item['values']!r} in {row_count(item['counts'])}" for item in rare[:3])
    return (
        f"expected every class in every split. Received: {shown}; such a class is too rare to learn or to judge: "
        "merge it, or use more rows"
    )
