"""The base of every section of the spec: frozen, strict about its keys, helpful about misspelt ones."""

from __future__ import annotations

import difflib
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError


class Section(BaseModel):
    """A section of the spec. Unknown keys are refused with the nearest known one."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        known = [field.alias or name for name, field in cls.model_fields.items()]
        for key in value:
            if key not in known:
                near = difflib.get_close_matches(str(key), known, n=1)
                hint = f"did you mean `{near[0]}`?" if near else f"expected one of: {', '.join(known)}"
                raise PydanticCustomError("unknown_field", "unknown field `{key}`; {hint}", {"key": str(key), "hint": hint})
        return value
