"""What each feature contributed to a model's answers: Shapley values, as an evaluation holds them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Part:
    """What one feature contributed to one answer, in the answer's own unit, with the standard error of the sampling."""

    feature: str
    value: str  # of the row, as text
    contribution: float
    error: float


@dataclass(frozen=True)
class Explained:
    """One answer taken apart: `base` and all contributions add up to `output`.

    Attributes:
        why: why this row is shown, such as `highest probability`.
        row: its place in the split, from 0; of rows from elsewhere, among those.
        id: what the snapshot calls it; None where it has no ids.
        of: the class whose probability is explained; None for a regression.
        truth: the class or value that is true; None where that is not known.
        base: the mean answer for the background rows.
        output: the answer.
        parts: the largest contributions first; all of them.
    """

    why: str
    row: int
    id: str | None
    of: str | None
    truth: str | None
    base: float
    output: float
    parts: tuple[Part, ...]

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> Explained:
        """From its JSON object.

        Raises:
            TypeError: it has other fields.
        """
        return cls(**{**value, "parts": tuple(Part(**item) for item in value["parts"])})


@dataclass(frozen=True)
class Mean:
    """How much a feature moves answers: the mean size of its contributions."""

    feature: str
    size: float


@dataclass(frozen=True)
class Attributions:
    """Shapley values of a sample of rows.

    Attributes:
        unit: what is explained: `probability` or `value`.
        of: the class whose probability it is, with two classes; None with more, whose sizes are added, and for values.
        rows: how many rows the means are of.
        background: how many rows stand for "not known".
        together: features that were taken as one, because they mattered least in training.
        means: the greatest first.
        examples: single rows.
    """

    unit: str
    of: str | None
    rows: int
    background: int
    together: tuple[str, ...] = ()
    means: tuple[Mean, ...] = ()
    examples: tuple[Explained, ...] = ()

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> Attributions:
        """From its JSON object.

        Raises:
            TypeError: it has other fields.
        """
        lists = {
            "together": tuple(value["together"]),
            "means": tuple(Mean(**item) for item in value["means"]),
            "examples": tuple(Explained.from_dict(item) for item in value["examples"]),
        }
        return cls(**{**value, **lists})
