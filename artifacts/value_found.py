"""What an evaluation found a model's decisions to be worth, in the unit that the spec states gains and costs in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headrace.artifacts.limits import limit

RIVALS = ("all", "none")  # acting on every row, and on none


@dataclass(frozen=True)
class Amount:
    """What decisions on the rows of a split are worth, or a difference of two such.

    Attributes:
        total: over all rows.
        per_row: the same, divided by their number, or by the sum of their weights.
        low, high: 95 % interval of the total.
        share: of the rows that are acted on; of a difference, by how much it differs.
        limits: one-sided limits of the total (`artifacts.limits`).
    """

    total: float
    per_row: float
    low: float
    high: float
    share: float
    limits: dict[str, tuple[float, float]] = field(default_factory=dict)

    def limit(self, confidence: float, upper: bool) -> float | None:
        """A one-sided limit of the total; None where there is none of such confidence. Per row, divide by `count`."""
        return limit(self.limits, confidence, upper)


@dataclass(frozen=True)
class ValuePoint:
    """The total where every row of at least this probability is acted on, with its 95 % interval."""

    threshold: float
    total: float
    low: float
    high: float
    share: float


@dataclass(frozen=True)
class Value:
    """The value of a model's decisions; with `undefined` there is none, and it says why.

    Attributes:
        gains: outcome (`true_positive`, ...) -> what a row of it brings, in words.
        currency: of all amounts.
        rows: how many were valued.
        threshold: the model's own, at which it is served.
        amounts: `model`, as it is served; `best`, at `best_threshold`; `all`, acting on every row; `none`, on no row;
            `perfect`, knowing the truth.
        over: rival -> how much more the model as it is served brings than it, on the same rows.
        best_threshold: the threshold of most value on the split `chosen_on`, which is not the one that is valued.
        curve: total by threshold on the rows that are valued.
        no_best: why there is no `best_threshold`, where one was sought.
        weight: the sum of the rows' weights; 0 where each row counts as one.
    """

    gains: dict[str, str]
    currency: str | None = None
    rows: int = 0
    threshold: float | None = None
    amounts: dict[str, Amount] = field(default_factory=dict)
    over: dict[str, Amount] = field(default_factory=dict)
    best_threshold: float | None = None
    chosen_on: str | None = None
    curve: tuple[ValuePoint, ...] = ()
    undefined: str = ""
    no_best: str = ""
    weight: float = 0.0

    @property
    def count(self) -> float:
        """What a total is divided by to be told per row."""
        return self.weight or float(self.rows)


def value_from(value: Mapping[str, Any] | None) -> Value | None:
    """Builds it from its JSON object.

    Raises:
        TypeError, KeyError, ValueError: it is none.
    """
    if value is None:
        return None
    made = dict(value)
    for name in ("amounts", "over"):
        made[name] = {key: _amount(item) for key, item in made[name].items()}
    made["curve"] = tuple(ValuePoint(**point) for point in made["curve"])
    return Value(**made)


def _amount(value: Mapping[str, Any]) -> Amount:
    limits = {name: (float(low), float(high)) for name, (low, high) in value["limits"].items()}
    return Amount(**{**value, "limits": limits})
