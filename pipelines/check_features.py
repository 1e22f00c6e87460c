"""What can be known of the `features` section before a run: columns that are not there, steps that do not fit them."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa

from headrace.artifacts.errors import nearest_column
from headrace.components.ingest.columns import name_problem
from headrace.components.transform.misfits import TYPE_OF, misfits
from headrace.pipelines.spec import Spec
from headrace.pipelines.yaml_lines import Place
from headrace.trainer.expressions.arrow import column_type
from headrace.trainer.expressions.expression import ExpressionError, inlined, parse


def feature_mistakes(spec: Spec, head: pa.Schema) -> list[tuple[Place, str]]:
    """Each mistake with its place in the spec.

    Args:
        spec: the whole.
        head: the columns of the source, with what is aggregated and joined.
    """
    features = spec.features
    hidden = {
        spec.data.label.name: "the label",
        spec.data.id or "": "the id",
        spec.train.sample_weight or "": "a weight",
    }
    if spec.data.label.expression is not None:
        hidden |= {name: "read by the label's expression" for name in _label_reads(spec) if name not in features.keep}
    columns = {field.name: column_type(field.type) for field in head if field.name not in hidden}
    types, found = _constructed(features.constructed, columns, set(head.names))
    known = {name: TYPE_OF[kind] for name, kind in columns.items()} | types
    listed = features.missing_indicators if isinstance(features.missing_indicators, list) else []
    named: list[tuple[Place, str]] = [
        *((("features", "text", name), name) for name in features.text),
        *((("features", "encode", name), name) for name in features.encode),
        *((("features", "missing_indicators", i), name) for i, name in enumerate(listed)),
    ]
    found += [(place, text) for place, name in named if (text := _not_learned(name, spec, known, hidden))]
    return found + [(("features", *place), text) for place, text in misfits(features, known)]


def _label_reads(spec: Spec) -> Iterable[str]:
    try:
        return parse(spec.data.label.expression or "").columns()
    except ExpressionError:  # which is told where the label is checked
        return ()


def _constructed(
    construct: dict[str, str], columns: dict[str, str], taken: set[str]
) -> tuple[dict[str, str], list[tuple[Place, str]]]:
    """The types of what is constructed, as far as they can be told, and what is wrong."""
    found: list[tuple[Place, str]] = []
    types: dict[str, str] = {}
    for name in construct:
        if problem := name_problem(name):
            found.append((("features", "construct", name), problem.replace("; rename the column in the source", "")))
        if name in taken:
            text = f"expected a new name. Received: `{name}`, a column of the source"
            found.append((("features", "construct", name), text))
    construct = {name: text for name, text in construct.items() if name not in taken}
    try:
        expressions = inlined(construct)
    except ExpressionError as error:
        name, _, text = str(error).removeprefix("features.construct.").partition(": ")
        return dict.fromkeys(construct, ""), [*found, (("features", "construct", name), text)]
    for name, expression in expressions.items():
        types[name] = ""  # something; what it is stands in its own message
        try:
            types[name] = TYPE_OF[expression.typed(columns)[1]]
        except ExpressionError as error:
            found.append((("features", "construct", name), str(error)))
    return types, found


def _not_learned(name: str, spec: Spec, known: dict[str, str], hidden: dict[str, str]) -> str | None:
    if name in hidden:
        return f"expected a column that may be learned from. Received: `{name}`, {hidden[name]}"
    if name in spec.features.drop:
        return f"expected a column that may be learned from. Received: `{name}`, which features.drop names"
    if name not in known:
        return f"expected a column of the source. Received: `{name}`; {nearest_column(name, known)}"
    return None
