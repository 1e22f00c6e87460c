"""The `features` section of the spec."""

from __future__ import annotations

from pydantic import Field

from headrace.components.section import Section


class FeaturesSpec(Section):
    """Which columns a model sees, and what is computed from them. By default all but the id and the label."""

    constructed: dict[str, str] = Field(default={}, alias="construct")
    """New features by row-wise expressions, e.g. `spend_per_month: total_spend / tenure_months`."""
    drop: list[str] = Field(default=[])
    """Columns that are no features."""
    keep: list[str] = Field(default=[])
    """Columns that are features although a rule leaves them out: the label's expression reads them, say."""
