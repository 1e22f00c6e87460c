"""The `validate` section of the spec."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from headrace.components.section import Section


class ValidateSpec(Section):
    """What happens when the data does not fit the schema."""

    on_anomaly: Literal["fail", "warn"] = "fail"
    """`fail` stops the run before training; `warn` reports the same and goes on."""
    schema_file: str = Field(default="schema.pbtxt", alias="schema", min_length=1)
    """The curated schema, beside the spec. Where there is no such file, a run infers a schema and says so."""
