"""Reads YAML and remembers on which line each field stands."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from headrace.artifacts.errors import HeadraceError

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MOST_FIELDS, _DEEPEST = 500_000, 100
Place = tuple[str | int, ...]


@dataclass(frozen=True)
class YamlFile:
    """A YAML document: its value, and the line of each field by its path from the root."""

    file: Path
    value: Any
    lines: dict[Place, int]

    def line(self, place: Place) -> int:
        """The line of a field, or of the nearest field around it that is there."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 1)


def read_yaml(file: Path) -> YamlFile:
    """Reads a file of one YAML document, with plain data only.

    Raises:
        HeadraceError: no such file, not UTF-8, not YAML, several documents, or a key that is no text or appears
            twice; with the line.
    """
    first, *others = read_documents(file)
    if others:
        raise HeadraceError(f"{file}:{others[0].line(())}: expected one YAML document. Received: a second one")
    return first


def read_documents(file: Path) -> list[YamlFile]:
    """Reads a file of one or several YAML documents, with plain data only; empty ones beside others are left out.

    Raises:
        HeadraceError: as for `read_yaml`, but for several documents.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise HeadraceError(f"{file}: expected a file. Received: no such file") from None
    except IsADirectoryError:
        raise HeadraceError(f"{file}: expected a file. Received: a folder") from None
    except UnicodeDecodeError as error:
        raise HeadraceError(f"{file}: expected UTF-8 text. Received: {error}") from None
    try:
        documents = _documents(text, file)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise HeadraceError(f"{file}:{line}: {_yaml_message(error, text)}") from None
    except yaml.YAMLError as error:
        raise HeadraceError(f"{file}: expected YAML. Received: {error}") from None
    if not documents:
        raise HeadraceError(f"{file}: expected YAML. Received: an empty file")
    return [document for document in documents if document.value is not None] or documents[:1]


def _yaml_message(error: yaml.MarkedYAMLError, text: str) -> str:
    """What is no YAML, in our words where the library's do not name a tab, which nobody sees."""
    lines = text.splitlines()
    line = lines[error.problem_mark.line] if error.problem_mark and error.problem_mark.line < len(lines) else ""
    indentation = line[: len(line) - len(line.lstrip())]
    if "\t" in indentation:
        return "expected spaces before a field. Received: a tab; indent with spaces"
    return f"expected YAML. Received: {error.problem or error.context}"


def _documents(text: str, file: Path) -> list[YamlFile]:
    places = []
    for node in yaml.compose_all(text, Loader=_Loader):
        lines: dict[Place, int] = {}
        _collect(node, (), lines, file)
        places.append(lines)
    # Only now, as aliases can make a value endless.
    values = yaml.load_all(text, Loader=_Loader)
    return [YamlFile(file, value, lines) for value, lines in zip(values, places, strict=True)]


def load_yaml(text: str) -> Any:
    """The value of a YAML document, by a safe loader: plain data only."""
    return yaml.load(text, Loader=_Loader)


def load_yamls(text: str) -> list[Any]:
    """The values of several YAML documents, by a safe loader; empty ones are left out."""
    return [value for value in yaml.load_all(text, Loader=_Loader) if value is not None]


def _collect(node: yaml.Node, place: Place, lines: dict[Place, int], file: Path) -> None:
    lines.setdefault(place, node.start_mark.line + 1)
    if len(lines) > _MOST_FIELDS or len(place) > _DEEPEST:  # aliases can make a short file endless
        raise HeadraceError(f"{file}: expected at most {_MOST_FIELDS:,} fields, {_DEEPEST} deep. Received: more")
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                kind = "a mapping" if isinstance(key, yaml.MappingNode) else "a list"
                raise HeadraceError(f"{file}:{line}: expected a text as the name of a field. Received: {kind}")
            if key.value in seen:
                raise HeadraceError(
                    f"{file}:{line}: expected each field once. "
                    f"Received: `{key.value}` again, first on line {seen[key.value]}"
                )
            seen[key.value] = line
            lines[(*place, key.value)] = line
            _collect(value, (*place, key.value), lines, file)
    elif isinstance(node, yaml.SequenceNode):
        for position, value in enumerate(node.value):
            _collect(value, (*place, position), lines, file)
