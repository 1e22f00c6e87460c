"""The raw columns that are features, and how each is encoded; what is none, and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace.artifacts.dataset import DatasetInfo, names_its_row
from headrace.artifacts.errors import HeadraceError, nearest_column
from headrace.artifacts.signature import EXACT, Input
from headrace.artifacts.transform import DROPPED, ID, LABEL, WEIGHT
from headrace.components.transform.misfits import TYPE_OF
from headrace.components.transform.spec import FeaturesSpec
from headrace.trainer.expressions.arrow import column_type
from headrace.trainer.expressions.expression import ExpressionError, inlined
from headrace.trainer.features.vocabulary import vocabulary

_WORDS = 3  # that a text has on average, where `auto` takes it for one
_LOOKED_AT = 10_000  # values of a column, to tell whether it holds texts


def exclusion(name: str, column: pa.ChunkedArray, info: DatasetInfo, features: FeaturesSpec) -> str | None:
    """Why a column is no feature; None where it is one."""
    if name == info.label:
        return LABEL
    if name == info.id:
        return ID
    if name in features.drop:
        return DROPPED
    if column.null_count == len(column):
        return "no value in the train split"
    if name in features.keep:
        return None
    if name in info.leaks:
        return "the label is computed from it (features.keep overrules)"
    if name in features.text_columns:
        return None
    distinct = pc.count_distinct(column).as_py()
    if distinct == 1 and column.null_count == 0:
        return "the same value in every row of the train split"
    values = len(column) - column.null_count
    if pa.types.is_string(column.type) and names_its_row(distinct, values):
        if not is_prose(column):
            return f"{distinct:,} different texts in {values:,} rows: it names the row (features.keep overrules)"
        if not features.auto:
            return f"{distinct:,} different texts in {values:,} rows (features.text learns from their words)"
    if name.startswith("unnamed_") and distinct == len(column):
        return "an unnamed row number (features.keep overrules)"
    if pa.types.is_integer(column.type) and max(map(abs, pc.min_max(column).as_py().values())) > EXACT:
        return (
            "whole numbers beyond 2^53, which name things and measure none (features.keep overrules, and rounds them)"
        )
    return None


def is_prose(column: pa.ChunkedArray) -> bool:
    """Whether a column of strings holds texts of several words, and no names or codes."""
    texts = column.drop_null().slice(0, _LOOKED_AT)
    return len(texts) > 0 and pc.mean(pc.count_substring(texts, " ")).as_py() >= _WORDS - 1


def taken_for_text(column: pa.ChunkedArray) -> bool:
    """Whether `auto` takes a column for texts: several words each, and hardly any twice."""
    if not pa.types.is_string(column.type):
        return False
    values = len(column) - column.null_count
    return names_its_row(pc.count_distinct(column).as_py(), values) and is_prose(column)


def named_values(features: FeaturesSpec) -> dict[str, set[str]]:
    """Column -> the texts that expressions and orders name: they get a code however rare they are."""
    named: dict[str, set[str]] = {}
    for expression in inlined(features.constructed).values():
        for column, texts in expression.texts().items():
            named.setdefault(column, set()).update(texts)
    for column, chains in features.wanted.encode.items():
        for step in (step for chain in chains for step in chain if step.name == "ordinal" and step.argument):
            named.setdefault(column, set()).update(step.argument)
    return named


def fit_input(name: str, column: pa.ChunkedArray, named: set[str], *, text: bool = False) -> Input:
    """The encoding of one raw column, by its type; `named` texts get a code however rare they are."""
    type = column.type
    if pa.types.is_boolean(type):
        return Input(name, "boolean")
    if pa.types.is_string(type):
        return Input(name, "text") if text else Input(name, "category", vocabulary=tuple(vocabulary(column, named)))
    is_date = pa.types.is_date(type) or pa.types.is_timestamp(type)
    values = numbers(column)
    return Input(
        name,
        "date" if is_date else "number",
        offset=offset(values),
        min=float(values.min()),
        max=float(values.max()),
    )


def numbers(column: pa.ChunkedArray) -> np.ndarray:
    """The finite values of a numeric or date column; float64, dates in days since 1970-01-01."""
    if pa.types.is_date(column.type):
        column = column.cast(pa.int32())
    scale = 1.0
    if pa.types.is_timestamp(column.type):
        column, scale = column.cast(pa.int64()), 86_400_000_000.0
    values: np.ndarray = column.drop_null().to_numpy().astype(np.float64) / scale
    finite = np.isfinite(values)
    if finite.all() and len(values):
        return values
    return values[finite] if finite.any() else np.zeros(1)


def offset(values: np.ndarray) -> float:
    """What to subtract before float32, which models compute in, so that as few values as possible merge.

    A time in epoch seconds needs one: above 2^24 float32 cannot tell neighbouring seconds apart.
    """
    if bool((values.astype(np.float32) == values).all()):
        return 0.0  # nothing is rounded, so nothing merges
    distinct = np.unique(values)
    plain = len(np.unique(distinct.astype(np.float32)))
    if plain == len(distinct):
        return 0.0
    candidates = (float(distinct[0]), float(distinct[len(distinct) // 2]))
    counts = [len(np.unique((distinct - shift).astype(np.float32))) for shift in candidates]
    best = int(np.argmax(counts))
    return candidates[best] if counts[best] > plain else 0.0


def check_names(columns: list[str], info: DatasetInfo, features: FeaturesSpec, weight: str) -> None:
    """Refuses a spec that names columns which are not there, or which a model must not see.

    Raises:
        HeadraceError: with the section, and the nearest name.
    """
    left_out = info.source.get("left_out", [])  # by ingestion, for their type: nothing is left to drop
    dropped = [name for name in features.drop if name not in left_out]
    known = [*columns, *features.constructed]
    indicators = features.missing_indicators if isinstance(features.missing_indicators, list) else []
    forbidden = {info.label: LABEL, info.id or "": ID, weight: WEIGHT, **dict.fromkeys(features.drop, DROPPED)}
    sections: list[tuple[str, Iterable[str], list[str]]] = [
        ("drop", dropped, columns),
        ("keep", features.keep, columns),
        ("text", features.text, known),
        ("encode", features.encode, known),
        ("missing_indicators", indicators, known),
    ]
    for section, names, among in sections:
        for name in names:
            if name not in among:
                hint = nearest_column(name, among)
                raise HeadraceError(f"features.{section}: expected a column of the data. Received: `{name}`; {hint}")
            if section != "drop" and name in forbidden:
                raise HeadraceError(
                    f"features.{section}: expected a column that may be learned from. "
                    f"Received: `{name}`, {forbidden[name]}"
                )
    for name in features.constructed:
        if name in columns:
            raise HeadraceError(f"features.construct: expected a new name. Received: `{name}`, a column of the data")


@dataclass(frozen=True)
class Construct:
    """What expressions read of the columns, and give.

    Attributes:
        read: the raw columns that they read.
        spelt: those of them whose strings they read, and not only whether they equal a given text.
        types: constructed feature -> `number`, `boolean` or `category`.
    """

    read: frozenset[str] = frozenset()
    spelt: frozenset[str] = frozenset()
    types: Mapping[str, str] = field(default_factory=dict)


def construct_of(construct: Mapping[str, str], schema: pa.Schema, hidden: Iterable[str]) -> Construct:
    """Looks at the expressions.

    Args:
        construct: name -> expression.
        schema: of the columns.
        hidden: columns that no feature may be made of.

    Raises:
        ExpressionError: one cannot be read, or does not fit the columns.
    """
    away = set(hidden)
    columns = {each.name: column_type(each.type) for each in schema if each.name not in away}
    read, spelt, types = set[str](), set[str](), dict[str, str]()
    for name, expression in inlined(construct).items():
        try:
            types[name] = TYPE_OF[expression.typed(columns)[1]]
            spelt.update(expression.spelt(columns))
        except ExpressionError as error:
            raise ExpressionError(f"features.construct.{name}: {error}") from None
        read.update(expression.columns())
    return Construct(frozenset(read), frozenset(spelt), types)
