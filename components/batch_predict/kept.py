"""The types of the columns that are taken over from the sources: each has one, whatever it is in each source."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from headrace.artifacts.errors import HeadraceError
from headrace.components.batch_predict.job import Job
from headrace.components.batch_predict.rows import DATABASES, Source

# Where a column without any value is one of numbers, as nothing tells what it would be.
_UNTYPED = ("jsonl", "avro", "sqlite")
_NO_KEYS = (pa.types.is_decimal256, pa.types.is_float16)  # of Parquet: DuckDB, which looks for repeated keys, has none


class Common(NamedTuple):
    """What a column is in all sources."""

    type: pa.DataType | None  # that has the values of all of them as they are; None: there is none
    problem: str = ""


def kept_columns(job: Job) -> list[str]:
    """The columns that the output takes over, each once: the key, and those that are kept."""
    return list(dict.fromkeys([*([job.key] if job.key else []), *job.keep]))


def kept_types(job: Job, sources: Sequence[Source]) -> dict[str, pa.DataType]:
    """The types of these columns in the output. In JSON each value stays what it is in its source."""
    if job.written == "jsonl":
        return {}
    return {name: kind for name in kept_columns(job) if (kind := common_type(name, sources).type) is not None}


def kept_problems(job: Job, sources: Sequence[Source]) -> Iterator[str]:
    """Those of them that no one type has, and a key in which the same value could not be looked for."""
    if job.written == "jsonl":
        return
    for name in kept_columns(job):
        kind, problem = common_type(name, sources)
        if problem:
            yield problem
        elif kind is not None and name == job.key and job.written == "parquet" and any(no(kind) for no in _NO_KEYS):
            yield (
                f"{sources[0].opened.name}, column `{name}`: expected values that --key can tell apart in Parquet. "
                f"Received: {kind}; --keep {name} has it beside the rows' numbers"
            )


def one_schema(names: Sequence[str], sources: Sequence[Source]) -> pa.Schema:
    """The columns of all sources in one file.

    Raises:
        HeadraceError: with those that no one type has.
    """
    found = {name: common_type(name, sources) for name in names}
    if problems := [one.problem for one in found.values() if one.problem]:
        raise HeadraceError("\n".join(problems))
    return pa.schema([(name, one.type) for name, one in found.items()])


def common_type(name: str, sources: Sequence[Source]) -> Common:
    """The one type that has a column's values of all sources as they are.

    Whole numbers and others are float64, texts are strings, times have the finest unit; beside a text file, which says
    nothing of types, everything is text.
    """
    if not sources or any(source.schema.names.count(name) != 1 for source in sources):
        return Common(None)  # which is a problem of its own
    kinds = [_plain(source.schema.field(name).type) for source in sources]
    if len(set(kinds)) == 1:
        return Common(kinds[0])
    if any(source.opened.text for source in sources):
        return Common(pa.string())
    kinds = [
        pa.null() if without_values(source, name, kind) else kind for source, kind in zip(sources, kinds, strict=True)
    ]
    found = kinds[0]
    for place, kind in enumerate(kinds[1:], start=1):
        merged = _merged(found, kind)
        if merged is None:
            other = next((one for one in range(place) if _merged(kinds[one], kind) is None), 0)
            return Common(
                None,
                f"{sources[place].opened.name}, column `{name}`: expected {kinds[other]}, as in "
                f"{sources[other].opened.name}. Received: {kind}; {_hint(sources)}",
            )
        found = merged
    return Common(found)


def without_values(source: Source, name: str, kind: pa.DataType) -> bool:
    """Whether a column of numbers is one without any value; the first one that it has ends the search."""
    if source.format not in _UNTYPED or not pa.types.is_float64(kind):
        return False
    return all(batch.column(name).null_count == batch.num_rows for batch in source.opened.batches())


def as_type(column: Any, kind: pa.DataType | None, source: str, name: str) -> Any:
    """A column as a type that `common_type` gave; with None as it is, but plain.

    Raises:
        HeadraceError: it has a value that the type has not, such as a whole number beyond 2^53 as float64.
    """
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind = kind or _plain(column.type)
    if column.type == kind:
        return column
    if column.null_count == len(column):  # of any type, such as one that cannot be cast
        return pa.nulls(len(column), kind)
    try:
        return column.cast(kind)
    except pa.ArrowInvalid as error:
        raise HeadraceError(
            f"{source}, column `{name}`: expected values that stay the same as {kind}, its one type in the output. "
            f"Received: {error}; convert the column in one of the sources"
        ) from None


def _hint(sources: Sequence[Source]) -> str:
    if sources[0].format in DATABASES:
        return "CAST it in the query"
    return "convert the column in one of them, or write .jsonl, where each value stays what it is"


def _plain(kind: pa.DataType) -> pa.DataType:
    """A type that the writers, and a filter, can take."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return pa.string() if pa.types.is_string_view(kind) else kind


def _merged(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    """A type that has the values of both; None where there is none. Whether a value fits shows when it is cast."""
    if one == other:
        return one
    floats = [pa.types.is_floating(kind) for kind in (one, other)]
    if any(floats) and any(map(pa.types.is_decimal, (one, other))):
        return None  # a decimal's digits are no float's
    if any(floats) and any(map(pa.types.is_integer, (one, other))):
        return pa.float64()
    schemas = [pa.schema([("", kind)]) for kind in (one, other)]
    try:
        return pa.unify_schemas(schemas, promote_options="permissive").field(0).type
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return None
