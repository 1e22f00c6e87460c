"""What a decision on a row brings: a number, or a column of the row's own, for each of the four outcomes.

A row is acted on where it is predicted positive. So a row that is truly positive brings `true_positive` if it is acted
on and `false_negative` if not; a negative one `false_positive` or `true_negative` (Elkan 2001, "The Foundations of
Cost-Sensitive Learning").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headrace.artifacts.errors import HeadraceError, nearest_column

if TYPE_CHECKING:  # the spec reads this too, and counts nothing
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    Floats = npt.NDArray[np.float64]

OUTCOMES = ("true_positive", "false_positive", "true_negative", "false_negative")
_OF_POSITIVES = ("true_positive", "false_negative")


@dataclass(frozen=True)
class Gain:
    """What one outcome brings: `times * column + plus`, or `plus` alone where there is no column."""

    plus: float = 0.0
    column: str | None = None
    times: float = 1.0

    @property
    def words(self) -> str:
        """For people: `6 × monthly_fee - 5`.

        >>> Gain(-5, "monthly_fee", 6).words, Gain(40).words
        ('6 × monthly_fee - 5', '40')
        """
        if self.column is None:
            return f"{self.plus:g}"
        factor = "" if self.times == 1 else f"{self.times:g} × "
        rest = "" if self.plus == 0 else f" {'+' if self.plus > 0 else '-'} {abs(self.plus):g}"
        return f"{factor}{self.column}{rest}"


@dataclass(frozen=True)
class Gains:
    """The four outcomes, and the currency that they are stated in."""

    true_positive: Gain = Gain()
    false_positive: Gain = Gain()
    true_negative: Gain = Gain()
    false_negative: Gain = Gain()
    currency: str | None = None

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Gains:
        """Builds it from its JSON object: outcome -> {plus, column, times}, and the currency."""
        made = {name: Gain(**value[name]) for name in OUTCOMES if name in value}
        return cls(**made, currency=value.get("currency"))

    @property
    def words(self) -> dict[str, str]:
        """Outcome -> what it brings, for people."""
        return {name: getattr(self, name).words for name in OUTCOMES}

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that gains are read from, each once."""
        return tuple(dict.fromkeys(column for name in OUTCOMES if (column := getattr(self, name).column)))

    def of(self, table: pa.Table, actual: npt.NDArray[np.bool_]) -> tuple[Floats, Floats]:
        """What each row brings if it is acted on, and what if not; (N,) each.

        Args:
            table: N rows, with the columns of the gains.
            actual: (N,) whether a row is truly positive.

        Raises:
            HeadraceError: a column is missing or holds no numbers, or a row that needs one has none in it.
        """
        import numpy as np

        made = {name: self._values(name, table, actual) for name in OUTCOMES}
        acted = np.where(actual, made["true_positive"], made["false_positive"])
        left = np.where(actual, made["false_negative"], made["true_negative"])
        return acted, left

    def _values(self, outcome: str, table: pa.Table, actual: npt.NDArray[np.bool_]) -> Floats:
        import numpy as np

        gain: Gain = getattr(self, outcome)
        if gain.column is None:
            return np.full(table.num_rows, gain.plus)
        values = gain.times * numbers(table, gain.column, f"evaluate.value.{outcome}") + gain.plus
        needed = actual if outcome in _OF_POSITIVES else ~actual
        missing = int((needed & ~np.isfinite(values)).sum())
        if missing:
            which = "positive" if outcome in _OF_POSITIVES else "negative"
            raise HeadraceError(
                f"evaluate.value.{outcome}: expected a number in `{gain.column}` of every {which} row. "
                f"Received: none in {missing:,} of {int(needed.sum()):,}"
            )
        return values


def numbers(table: pa.Table, name: str, where: str) -> Floats:
    """A column as float64, NaN where it has no value.

    Raises:
        HeadraceError: there is no such column, or it holds no numbers.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    if name not in table.column_names:
        hint = nearest_column(name, table.column_names)
        raise HeadraceError(f"{where}: expected a column of the data. Received: `{name}`; {hint}")
    kind = table.schema.field(name).type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        raise HeadraceError(f"{where}: expected a column of numbers. Received: `{name}`, {kind}")
    column = table[name]
    if pa.types.is_boolean(kind):  # one that happened to be true counts once
        column = column.cast(pa.int8())
    return np.array(pc.fill_null(column.cast(pa.float64(), safe=False), float("nan")).to_numpy(), np.float64)
