"""How `headrace init` writes values of a spec, whatever the spec is of."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from headrace.components.fingerprint.url import absolute, is_url, public
from headrace.components.gate.spec import Gate

_PLAIN = re.compile(r"[A-Za-z_]([A-Za-z0-9_ ]*[A-Za-z0-9_])?")


def spec_text_of(lines: Iterable[str]) -> str:
    """A spec's text from its lines. A line break that comes from data ends neither a comment nor a quoted text."""
    return "".join("".join(map(_shown, line)) + "\n" for line in lines)


def _shown(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode()


def quoted(text: str) -> str:
    """A YAML scalar that is read back as this text, in what `spec_text_of` makes of its line."""
    if _PLAIN.fullmatch(text) and text.lower() not in ("null", "true", "false", "yes", "no", "on", "off", "y", "n"):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def gate_words(gate: Gate) -> str:
    """A gate as a YAML mapping in one line."""
    fields = gate.model_dump(exclude_none=True)
    return "{" + ", ".join(f"{name}: {value}" for name, value in fields.items()) + "}"


def model_name(folder: Path, source: str) -> str:
    """A name for the model that clouds allow: the folder's, or the source's."""
    for candidate in (folder.resolve().name, PurePosixPath(public(source)).stem):
        name = re.sub(r"[^a-z0-9]+", "-", candidate.lower()).strip("-")[:63].strip("-")
        if name and name[0].isalpha():
            return name
    return "model"


def source_name(source: str) -> str:
    """The last part of a source's path or URL."""
    return PurePosixPath(public(source)).name


def source_path(folder: Path, source: str) -> str:
    """Where the source lies, as a spec in this folder says it: relative where it is near; a URL as it is."""
    if is_url(source):
        return absolute(source, Path.cwd())
    place = Path(source).resolve()
    inside = os.path.relpath(place, folder.resolve())
    return inside if inside.count("..") <= 3 else str(place)
