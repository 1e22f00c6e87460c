"""The parts of the rows that a search found a model to be worst on, as an evaluation holds them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class WorstSlice:
    """Rows that have more error than the others, by more than chance.

    Attributes:
        by: the column, or the pair of them: `plan × region`.
        value: `basic × north`; of numbers a quartile.
        rows: how many rows it has.
        error: their mean error, in the loss of the search.
        others: the mean error of all other rows.
        excess: the share of the whole error that would be gone, if these rows had no more than the others.
        p_value: of "no more error than the others", corrected for all slices that were tried.
        predicted: the mean probability of the positive class, or the mean predicted value; None with many classes.
        observed: what it should have been: the share of positives, or the mean actual value.
        misjudged: whether these two differ by more than chance: the model is off here, while elsewhere rows are harder
            to tell and no model may be better; None with many classes.
        metrics: as of any slice.
    """

    by: str
    value: str
    rows: int
    error: float
    others: float
    excess: float
    p_value: float
    predicted: float | None = None
    observed: float | None = None
    misjudged: bool | None = None
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class WorstSlices:
    """What a search over columns and pairs of them found, the slices that explain most error first.

    Attributes:
        loss: what a row's error is: `log_loss` (nats) or `squared_error` (of the label's unit).
        rows: how many rows were searched; of very many, a sample.
        tried: how many slices were tested.
        least_rows: how many rows a slice needs to be tested.
        columns: what was searched.
        paired: the columns that were searched in pairs too.
        left_out: column -> why it was not searched.
        found: what was found; empty where no part has more error by more than chance.
    """

    loss: str
    rows: int
    tried: int
    least_rows: int
    columns: tuple[str, ...]
    paired: tuple[str, ...]
    left_out: dict[str, str]
    found: tuple[WorstSlice, ...] = ()

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> WorstSlices:
        """From its JSON object.

        Raises:
            TypeError: it has other fields.
        """
        lists = {name: tuple(value[name]) for name in ("columns", "paired")}
        return cls(**{**value, **lists, "found": tuple(WorstSlice(**item) for item in value["found"])})
