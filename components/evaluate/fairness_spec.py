"""The section `evaluate.fairness` of the spec: which groups are compared."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from headrace.artifacts.by import By, as_by
from headrace.artifacts.fairness_found import SMALLEST_GROUP
from headrace.components.section import Section

Columns = str | Annotated[list[str], Field(min_length=2, max_length=3)]


class FairnessSpec(Section):
    """Whose treatment is compared. The columns need be no features, and had better be none where the law says so."""

    by: list[Columns] = Field(min_length=1)
    """Columns whose groups are compared, and pairs or triples of columns for the groups where they meet, such as
    `[gender, [gender, region]]`: each group of both may be treated fairly where one of the two together is not."""
    least_rows: int = Field(default=SMALLEST_GROUP, ge=2)
    """Rows that a group must have to be compared; smaller ones are named. Gates on fairness go by it too."""

    @property
    def columns(self) -> list[By]:
        """What is compared by."""
        return [as_by(item) for item in self.by]
