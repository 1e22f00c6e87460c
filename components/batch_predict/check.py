"""Do the sources have what the model and the output need? Looked at before the first row is read."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from headrace.artifacts.bundle import Bundle
from headrace.artifacts.errors import HeadraceError
from headrace.components.batch_predict.job import Job, trained_with
from headrace.components.batch_predict.kept import kept_problems, without_values
from headrace.components.batch_predict.rows import Source
from headrace.components.batch_predict.values import type_problem

_SHOWN = 20  # problems that a message has


def check_sources(job: Job, bundle: Bundle, sources: Sequence[Source]) -> None:
    """Compares every source's columns and their types with the model's inputs, the key and the kept columns.

    Raises:
        HeadraceError: with all that does not fit.
    """
    trained = trained_with(bundle)
    found = [problem for source in sources for problem in _problems(job, bundle, source, trained.get("types") or {})]
    found += kept_problems(job, sources)
    if not found:
        return
    distinct = list(dict.fromkeys(found))
    more = [f"and {len(distinct) - _SHOWN:,} more"] if len(distinct) > _SHOWN else []
    raise HeadraceError("\n".join([*distinct[:_SHOWN], *more, *_hint(bundle, sources, trained)]))


def _problems(job: Job, bundle: Bundle, source: Source, declared: Mapping[str, str]) -> Iterator[str]:
    schema, name = source.schema, source.opened.name
    repeated = {one for one in schema.names if schema.names.count(one) > 1}
    missing = [item.name for item in bundle.signature.inputs if item.name not in schema.names]
    if missing:
        wanted = f"the columns {', '.join(missing)} of {_model(bundle)}"
        yield f"{name}: expected {wanted}. Received: {_near(missing, schema)}"
    for item in bundle.signature.inputs:
        if item.name in repeated:
            yield f"{name}: expected one column `{item.name}`. Received: {schema.names.count(item.name)}"
        elif item.name in schema.names:
            parses = source.parses or item.name in declared
            kind = schema.field(item.name).type
            problem = type_problem(item, kind, parses, declared.get(item.name) == "string")
            if problem and not without_values(source, item.name, kind):
                yield f"{name}, column `{item.name}`: {problem}"
    for option, column in [("--key", job.key), *(("--keep", one) for one in job.keep)]:
        if column is not None and column not in schema.names:
            yield f"{name}: expected the column `{column}` of {option}. Received: {_near([column], schema)}"
        elif column in repeated:
            yield f"{name}: expected one column `{column}`. Received: {schema.names.count(column)}"
        elif column is not None and _unwritable(job, schema.field(column).type):
            kind = schema.field(column).type
            yield f"{name}, column `{column}`: expected values that {option} can write. Received: {kind}"


def _unwritable(job: Job, kind: pa.DataType) -> bool:
    if isinstance(kind, pa.BaseExtensionType) and job.written == "csv":
        return True
    binary = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view)
    return bool(pa.types.is_nested(kind) or any(is_one(kind) for is_one in binary))


def _near(missing: list[str], schema: pa.Schema) -> str:
    hints = []
    for name in missing:
        close = difflib.get_close_matches(name, [one for one in schema.names if one != name], 1)
        hints += [f"`{close[0]}` instead of `{name}`?"] if close else []
    return (
        ", ".join(schema.names[:_SHOWN]) + (", ..." if len(schema) > _SHOWN else "") + "".join(f"; {h}" for h in hints)
    )


def _model(bundle: Bundle) -> str:
    return f"{bundle.name}:{bundle.version}" if bundle.version else bundle.name


def _hint(bundle: Bundle, sources: Sequence[Source], trained: Mapping[str, Any]) -> list[str]:
    """What else there is to do: rows of a model that learned from joined or aggregated columns are completed first."""
    names = set.union(set(), *(set(source.schema.names) for source in sources))
    lacking = any(item.name not in names for item in bundle.signature.inputs)
    if lacking and (trained.get("join") or trained.get("aggregate")):
        return [
            "The model learned from joined or aggregated columns: `headrace data complete SPEC ROWS OUTPUT` adds them"
        ]
    return []
