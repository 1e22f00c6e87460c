"""The `data` section of the spec."""

from __future__ import annotations

import string
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from headrace.components.section import Section


class Label(Section):
    """What is predicted: a column of the source, or a new one with the expression that computes it."""

    name: str = Field(min_length=1)
    """The column's name."""
    expression: str | None = Field(default=None, min_length=1)
    """A row-wise expression over the source's columns, e.g. `tips > 0.2 * fare`; its columns are no features."""

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value


class Split(Section):
    """How rows are divided into train, eval and test."""

    by: Literal["hash"] = "hash"
    """`hash` of the id (of all columns where there is no id): a row keeps its split when rows are added."""
    eval: float = Field(default=0.15, gt=0, lt=1)
    """Share of the rows that early stopping and tuning look at."""
    test: float = Field(default=0.15, gt=0, lt=1)
    """Share of the rows that evaluation and the gates look at, and nothing before them."""

    @model_validator(mode="after")
    def _something_left(self) -> Split:
        if self.eval + self.test >= 0.9:
            raise ValueError(
                f"expected eval + test below 0.9, to leave rows to train on. Received: {self.eval + self.test:g}"
            )
        return self


class DataSpec(Section):
    """Where the rows come from, what is predicted, and how the rows are split."""

    source: str = Field(min_length=1)
    """A CSV or Parquet file (`.csv`, `.tsv`, `.parquet`), or a glob of them; relative to the spec's folder."""
    label: Label
    """The column to predict, or a name with the expression that computes it."""
    positive: str | None = None
    """The class that counts as positive, where there are two; by default the greater one (`1`, `true`, `yes`)."""
    id: str | None = None
    """The column that identifies a row: unique, never missing, never a feature."""
    split: Split = Split()
    """How rows are divided into train, eval and test."""
    null_values: list[str] = Field(default=["", "NA", "N/A", "NaN", "nan", "null", "NULL"])
    """What counts as missing in text files, beside an empty field."""
    separator: str | None = None
    """The one character between the fields of a text file; by default a comma, and in `.tsv` files a tab (`"\\t"`)."""
    decimal: Literal[".", ","] = "."
    """What stands before a number's fraction in text files; with `,` a dot may group thousands, as in `1.234,56`."""

    @field_validator("separator")
    @classmethod
    def _one_character(cls, value: str | None) -> str | None:
        if value is not None and value not in set(string.punctuation + " \t") - {'"'}:
            raise ValueError(f"expected one character, such as a semicolon or a tab. Received: {value!r}")
        return value

    @model_validator(mode="after")
    def _label_is_not_id(self) -> DataSpec:
        if self.id == self.label.name:
            raise ValueError(f"expected different columns as id and label. Received: {self.id!r} for both")
        return self
