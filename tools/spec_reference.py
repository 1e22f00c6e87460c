"""Writes docs/spec.md, the reference of every field of the spec, from the models' own docstrings: `make docs`."""

from __future__ import annotations

import sys
import types
import typing
from pathlib import Path

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from headrace.components.section import Section
from headrace.pipelines.spec import Spec

TARGET = Path(__file__).resolve().parent.parent / "docs" / "spec.md"
HEAD = """# The spec, field by field

Written by `make docs` from the models beside each component; `examples/churn/spec.yaml` shows them in use.
"""


def reference() -> str:
    """The whole page."""
    parts = [HEAD]
    todo: list[tuple[str, type[Section]]] = [("", Spec)]
    while todo:
        path, model = todo.pop(0)
        rows = ["| field | type | default | |", "| --- | --- | --- | --- |"]
        for name, field in model.model_fields.items():
            shown = field.alias or name
            rows.append(f"| `{shown}` | {_type(field.annotation)} | {_default(field)} | {_text(field)} |")
            inner = _section(field.annotation)
            if inner is not None:
                todo.append((f"{path}.{shown}".lstrip("."), inner))
        title = f"`{path}`" if path else "The file"
        parts.append(f"## {title}\n\n{(model.__doc__ or '').strip()}\n\n" + "\n".join(rows) + "\n")
    return "\n".join(parts)


def _section(annotation: object) -> type[Section] | None:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next((found for part in typing.get_args(annotation) if (found := _section(part))), None)


def _type(annotation: object) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_type(part) for part in arguments if part is not type(None))
    if origin is typing.Annotated:
        return _type(arguments[0])
    if origin in (list, tuple):
        return f"list of {_type(arguments[0])}"
    if origin is dict:
        return f"{_type(arguments[0])} to {_type(arguments[1])}"
    if _section(annotation):
        return "section"
    return {
        "str": "text",
        "float": "number",
        "int": "whole number",
        "bool": "true or false",
        "datetime": "date and time",
        "Any": "anything",
    }[annotation.__name__]  # type: ignore[attr-defined]


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "needed"
    value = field.get_default(call_default_factory=True)
    if value is None or value == "" or value is PydanticUndefined or isinstance(value, Section):
        return ""
    return f"`{value}`"


def _text(field: FieldInfo) -> str:
    return " ".join((field.description or "").split()).replace("|", "\\|")


if __name__ == "__main__":
    text = reference()
    if "--check" in sys.argv:
        sys.exit(0 if TARGET.read_text() == text else "docs/spec.md is not what the models say: run `make docs`")
    TARGET.write_text(text)
