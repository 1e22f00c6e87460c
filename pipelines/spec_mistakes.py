"""What is wrong in a spec, in the house's words: one message for each place, with its line and the nearest right word.

pydantic names a mistake's place with tags of the alternatives that it tried, and tells each of them. Here the place is
the field's own path, and alternatives stand in one sentence.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from datetime import date
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from headrace.components.section import Section
from headrace.pipelines.yaml_lines import Place, YamlFile

_WORDS = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}
_OF_A_KIND = ("_type", "_parsing", "_from_float")  # how pydantic ends the names of what is of another kind


def messages(yaml: YamlFile, model: type[Section], errors: Sequence[Any]) -> list[str]:
    """Each mistake in the house's grammar, with the line where the field stands.

    Args:
        yaml: the file.
        model: what it should be.
        errors: what pydantic found.
    """
    placed = [(error, *_own_place(model, error["loc"])) for error in errors]
    places = [place for _, place, _ in placed]
    told: dict[Place, None] = {}
    found = []
    for error, place, kinds in placed:
        if len(kinds) > 1:
            # What is wrong within one of the alternatives says that this one is meant.
            if place in told or any(len(one) > len(place) and one[: len(place)] == place for one in places):
                continue
            told[place] = None
        found.append(_message(yaml, model, error, place, kinds))
    return found


def _own_place(model: type[Section], loc: Place) -> tuple[Place, tuple[Any, ...]]:
    """A field's path without the tags of alternatives, and the kinds that its value may be of."""
    place: Place = ()
    rest, kinds = loc, _alternatives(model)
    while rest:
        if rest == ("[key]",):  # a name in a mapping is wrong, and not what stands under it
            return place, ()
        if len(kinds) > 1:
            rest = rest[1:]  # the tag
            if not rest:
                return place, kinds
        inside = next((found for kind in kinds if (found := _inside(kind, rest[0])) is not None), None)
        place, rest, kinds = (*place, rest[0]), rest[1:], _alternatives(inside)
    return place, kinds if len(kinds) == 1 else ()


def _alternatives(kind: Any) -> tuple[Any, ...]:
    """The kinds that a value may be of, without None."""
    if get_origin(kind) is Annotated:
        inner = _alternatives(get_args(kind)[0])
        return inner if len(inner) > 1 else (kind,)
    if get_origin(kind) in (Union, UnionType):
        return tuple(one for part in get_args(kind) if part is not NoneType for one in _alternatives(part))
    return (kind,)


def _inside(kind: Any, part: str | int) -> Any:
    """The kind of a field, an item or a named value; None where there is none such."""
    if get_origin(kind) is Annotated:
        return _inside(get_args(kind)[0], part)
    if isinstance(kind, type) and issubclass(kind, Section):
        return kind.known_fields().get(str(part))
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is dict:
        return arguments[1]
    if origin in (list, tuple) and isinstance(part, int):
        return arguments[part] if part < len(arguments) and arguments[-1] is not Ellipsis else arguments[0]
    return None


def _message(yaml: YamlFile, model: type[Section], error: Any, place: Place, kinds: tuple[Any, ...]) -> str:
    kind, context = error["type"], error.get("ctx", {})
    if kind not in ("missing", "extra_forbidden", "value_error"):
        place = _written(yaml, place)
    field, where = ".".join(str(part) for part in place), f"{yaml.file}:{yaml.line(place)}"
    received = f"Received: {_short(error['input'])}"
    if kind == "extra_forbidden":
        return f"{where}: unknown field `{place[-1]}`{_nearest_field(model, place)}"
    if kind == "missing":
        return f"{where}: {field}: expected this field. Received: nothing"
    if kind == "value_error":
        return f"{where}: {field + ': ' if field else ''}{context['error']}"
    if kind == "invalid_key":
        where = f"{yaml.file}:{yaml.line((*place[:-1], str(place[-1])))}"
        return f"{where}: expected a text as the name of a field. {received}; put it in quotes"
    if len(kinds) > 1:
        return (
            f"{where}: {field}: expected {_choice(kinds)}. {received}{_nearest_word(error['input'], _literals(kinds))}"
        )
    if kind == "literal_error":
        near = _nearest_word(error["input"], re.findall("'([^']*)'", context["expected"]))
        return f"{where}: {field}: expected {context['expected']}. {received}{near}"
    if kind == "string_type":
        scalar = isinstance(error["input"], str | int | float | date)
        return f"{where}: {field}: expected a text. {received}{'; if it is a name, put it in quotes' * scalar}"
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return f"{where}: {field}: expected a mapping of fields. {received}"
    if kind.endswith(_OF_A_KIND) and kinds and (words := _words(kinds[0])):
        return f"{where}: {field}: expected {words}. {received}"
    expectation = error["msg"].partition(" after validation")[0]
    for words in (" should be ", " should have "):
        expectation = expectation.partition(words)[2] or expectation
    return f"{where}: {field}: expected {expectation}. {received}"


def _written(yaml: YamlFile, place: Place) -> Place:
    """The place as the file has it: without what a short form, such as a label's name alone, leaves out."""
    value: Any = yaml.value
    for depth, part in enumerate(place):
        if not isinstance(value, dict | list) or (isinstance(value, list) and isinstance(part, str)):
            return place[:depth]
        if part not in (value if isinstance(value, dict) else range(len(value))):
            return place
        value = value[part]  # type: ignore[index]
    return place


def _choice(kinds: tuple[Any, ...]) -> str:
    """Alternatives in words, plain words first."""
    named = _literals(kinds)
    words = [f"one of {', '.join(named)}" if len(named) > 1 else f"`{named[0]}`"] if named else []
    words += [_words(kind) or "something else" for kind in kinds if get_origin(kind) is not Literal]
    return f"{', '.join(words[:-1])}, or {words[-1]}"


def _words(kind: Any) -> str:
    """What a value of a kind is; nothing where we have no words for it."""
    bounds: dict[str, Any] = {}
    if get_origin(kind) is Annotated:
        kind, *more = get_args(kind)
        for one in (entry for part in more for entry in getattr(part, "metadata", [])):
            bounds |= {
                name: getattr(one, name) for name in ("ge", "le", "min_length", "max_length") if hasattr(one, name)
            }
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is dict:
        each = _words(arguments[1])
        return f"a mapping of names, each with {each}" if each else "a mapping"
    if origin in (list, tuple):
        many = f" of {bounds['min_length']} to {bounds['max_length']}" if len(bounds) == 2 else ""
        return f"a list{many or ' of'} texts" if arguments[0] is str else f"a list{many}"
    word = _WORDS.get(kind, "")
    if "ge" in bounds:
        return f"{word} from {bounds['ge']} to {bounds['le']}" if "le" in bounds else f"{word}, {bounds['ge']} or more"
    return word


def _literals(kinds: tuple[Any, ...]) -> list[str]:
    return [str(value) for kind in kinds if get_origin(kind) is Literal for value in get_args(kind)]


def _nearest_word(value: object, known: list[str]) -> str:
    """What a word was probably meant to be."""
    near = difflib.get_close_matches(value.lower(), known, n=1) if isinstance(value, str) else []
    return f"; did you mean `{near[0]}`?" if near else ""


def _nearest_field(model: type[Section], place: Place) -> str:
    """What an unknown field was probably meant to be."""
    _, kinds = _own_place(model, place[:-1])
    section = kinds[0] if kinds else None
    fields = list(section.known_fields()) if isinstance(section, type) and issubclass(section, Section) else []
    near = difflib.get_close_matches(str(place[-1]), fields, n=1)
    if near:
        return f"; did you mean `{near[0]}`?"
    return f"; the fields here are {', '.join(fields)}" if fields else ""


def _short(value: object) -> str:
    text = "nothing" if value is None else value.isoformat() if isinstance(value, date) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
