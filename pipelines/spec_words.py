"""How `headrace init` writes values of a spec, whatever the spec is of."""

from __future__ import annotations

import os
import re
from pathlib import Path

from headrace.components.gate.spec import Gate

_PLAIN = re.compile(r"^[A-Za-z_][A-Za-z0-9_ ]*$")


def quoted(text: str) -> str:
    """A YAML scalar that is read back as this text."""
    if _PLAIN.match(text) and text.lower() not in ("null", "true", "false", "yes", "no", "on", "off", "y", "n"):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def gate_words(gate: Gate) -> str:
    """A gate as a YAML mapping in one line."""
    fields = gate.model_dump(exclude_none=True)
    return "{" + ", ".join(f"{name}: {value}" for name, value in fields.items()) + "}"


def model_name(folder: Path, source: Path) -> str:
    """A name for the model that clouds allow: the folder's, or the source's."""
    for candidate in (folder.resolve().name, source.stem):
        name = re.sub(r"[^a-z0-9]+", "-", candidate.lower()).strip("-")[:63].strip("-")
        if name and name[0].isalpha():
            return name
    return "model"


def source_path(folder: Path, source: Path) -> str:
    """Where the source lies, as a spec in this folder says it: relative where it is near."""
    inside = os.path.relpath(source.resolve(), folder.resolve())
    return inside if inside.count("..") <= 3 else str(source.resolve())
