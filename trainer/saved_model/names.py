"""Names in a SavedModel that follow from its content: TensorFlow numbers functions and tables through the process.

Without this, the same model would be other bytes wherever something else had used TensorFlow before.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

_FUNCTION = re.compile(r"__inference_\w+_\d+")
_FILLING = re.compile(r"key_value_init(\d+)")  # what fills a table


def renumber(saved: Any) -> None:
    """Numbers the functions and the tables of a `SavedModel` message from 0, in the order that they were made in."""
    texts = _strings(saved)
    functions = {name for name in texts if _FUNCTION.fullmatch(name)}
    of_function = _in_order(functions, lambda name: int(name.rpartition("_")[2]))
    fillings = {int(number) for name in texts for number in _FILLING.findall(name)}
    of_filling = _in_order(fillings, int)

    def renamed(name: str) -> str:
        if name in of_function:
            return f"{name.rpartition('_')[0]}_{of_function[name]}"
        return _FILLING.sub(lambda found: f"key_value_init{of_filling[int(found[1])]}", name)

    _replace(saved, renamed)
    tables = {name for graph in saved.meta_graphs for name in _tables(graph)}
    numbers = {name: str(place).encode() for name, place in _in_order(tables, int).items()}
    for graph in saved.meta_graphs:
        for node in _nodes(graph):
            if node.attr["shared_name"].s in numbers:
                node.attr["shared_name"].s = numbers[node.attr["shared_name"].s]
        for function in graph.graph_def.library.function:
            for argument in function.arg_attr.values():  # a number of a tensor's, for debuggers
                if argument.attr["_user_specified_name"].s.isdigit() or not argument.attr["_user_specified_name"].s:
                    del argument.attr["_user_specified_name"]
        library = sorted(graph.graph_def.library.function, key=lambda function: str(function.signature.name))
        copies = [type(function).FromString(function.SerializeToString()) for function in library]
        del graph.graph_def.library.function[:]
        graph.graph_def.library.function.extend(copies)


def _in_order(found: Iterable[Any], number: Callable[[Any], int]) -> dict[Any, int]:
    return {item: place for place, item in enumerate(sorted(found, key=number))}


def _nodes(graph: Any) -> list[Any]:
    inner = [node for function in graph.graph_def.library.function for node in function.node_def]
    return [node for node in (*graph.graph_def.node, *inner) if "shared_name" in node.attr]


def _tables(graph: Any) -> list[bytes]:
    return [node.attr["shared_name"].s for node in _nodes(graph) if node.attr["shared_name"].s.isdigit()]


def _strings(message: Any) -> list[str]:
    found: list[str] = []

    def note(name: str) -> str:
        found.append(name)
        return name

    _replace(message, note)
    return found


def _replace(message: Any, of: Callable[[str], str]) -> None:
    """Puts other strings in place of a message's, those of the messages inside and the keys of maps included."""
    for field, value in message.ListFields():
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            _replace_map(field, value, of)
        elif field.message_type is not None:
            for item in value if field.is_repeated else [value]:
                _replace(item, of)
        elif field.type == field.TYPE_STRING:
            if field.is_repeated:
                value[:] = [of(item) for item in value]
            else:
                setattr(message, field.name, of(value))


def _replace_map(field: Any, value: Any, of: Callable[[str], str]) -> None:
    key_type, value_type = field.message_type.fields_by_name["key"], field.message_type.fields_by_name["value"]
    nested = value_type.message_type is not None
    if nested:
        for item in value.values():
            _replace(item, of)
    elif value_type.type == value_type.TYPE_STRING:
        for key in value:
            value[key] = of(value[key])
    if key_type.type != key_type.TYPE_STRING:
        return
    for key in [key for key in value if of(key) != key]:
        if nested:
            value[of(key)].CopyFrom(value[key])
        else:
            value[of(key)] = value[key]
        del value[key]
