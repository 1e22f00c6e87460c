"""The base of every section of the spec: frozen, and strict about its keys."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A section of the spec. A field's name in the file is its alias where it has one."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    @classmethod
    def known_fields(cls) -> dict[str, object]:
        """The fields as a file names them, with their types."""
        return {field.alias or name: field.annotation for name, field in cls.model_fields.items()}
