"""What of a model's errors and answers is looked at more closely: parts of the `evaluate` section."""

from __future__ import annotations

from pydantic import Field

from headrace.components.section import Section


class ErrorsSpec(Section):
    """The analysis of errors, of a table: which rows are most wrong, and what they share."""

    rows: int = Field(default=20, ge=0, le=1_000)
    """The most wrong rows that are listed, with their ids and what the model was given. 0 lists none, as where nobody
    may look at single rows."""
    search: bool = True
    """Whether all columns and pairs of columns are searched for the parts of the rows that the model is worst on."""


class ExplainSpec(Section):
    """What each feature contributed to the model's answers: Shapley values, of a table."""

    rows: int = Field(default=64, ge=0, le=10_000)
    """Rows that the mean contributions are of. 0 leaves explanations out. One row costs as much as scoring `background`
    times the number of features."""
    background: int = Field(default=24, ge=2, le=1_000)
    """Rows of the split that stand for "not known". More make contributions more exact."""
    examples: int = Field(default=2, ge=0, le=50)
    """Rows that are explained one by one, for each reason to show one: surest, least sure, most wrong."""
