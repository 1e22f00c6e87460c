"""Which rows a model is most wrong about, and what they share, as an evaluation holds it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class ErrorRule:
    """Rows with more error than the others, in words.

    The rule was found on two thirds of the rows, and its figures are of the last third: they are not what a search
    makes of chance.

    Attributes:
        conditions: all of which hold: `tenure_months ≤ 6`, `plan is basic`.
        rows: of the third that it was measured on.
        error: their mean error.
        others: the mean error of the other rows of that third.
        excess: the share of that third's error that would be gone, if these rows had no more than the others.
        p_value: of "no more error than the others", corrected for all rules of the tree.
        wrong: the share of these rows that is classified wrongly; None in a regression.
    """

    conditions: tuple[str, ...]
    rows: int
    error: float
    others: float
    excess: float
    p_value: float
    wrong: float | None = None


@dataclass(frozen=True)
class WorstRow:
    """One row that the model is wrong about.

    Attributes:
        row: its place in the split, from 0.
        id: what the snapshot calls it; None where it has no ids.
        truth: the class, or the value.
        predicted: likewise.
        probability: of the class that is true; None in a regression.
        error: in the loss of the analysis.
        values: column -> value, as text: the model's inputs.
    """

    row: int
    id: str | None
    truth: str
    predicted: str
    probability: float | None
    error: float
    values: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ErrorsFound:
    """The analysis of a model's errors.

    Attributes:
        loss: what a row's error is: `log_loss` (nats) or `squared_error` (of the label's unit).
        mean: over all rows.
        tenth: share of the whole error that the worst tenth of the rows has.
        measured: how many rows the rules' figures are of; 0 where there were too few rows to look for rules.
        wrong: the share of those that is classified wrongly; None in a regression.
        rules: those with the most error first, by share of the whole.
        worst: the rows, the most wrong first.
    """

    loss: str
    mean: float
    tenth: float
    measured: int = 0
    wrong: float | None = None
    rules: tuple[ErrorRule, ...] = ()
    worst: tuple[WorstRow, ...] = ()

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> ErrorsFound:
        """From its JSON object.

        Raises:
            TypeError: it has other fields.
        """
        rules = tuple(ErrorRule(**{**item, "conditions": tuple(item["conditions"])}) for item in value["rules"])
        return cls(**{**value, "rules": rules, "worst": tuple(WorstRow(**item) for item in value["worst"])})
