"""The messages of inference.proto, made from that file when they are first needed: there is no generated code.

They live in a pool of their own, so that a process which has another client's messages of the same names keeps those.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PROTO = Path(__file__).with_name("inference.proto")

_TOKEN = re.compile(r'"[^"]*"|[A-Za-z_][\w.]*|\d+|[{}()<>=;,]')
_SCALARS = {
    name: getattr(descriptor_pb2.FieldDescriptorProto, f"TYPE_{name.upper()}")
    for name in ("bool", "int32", "int64", "uint32", "uint64", "float", "double", "string", "bytes")
}


@functools.cache
def message(name: str) -> Any:
    """A message's class, by its name without the package."""
    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(f"inference.{name}"))


@functools.cache
def _pool() -> Any:
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file_descriptor(PROTO.read_text(encoding="utf-8")))
    return pool


def file_descriptor(text: str) -> descriptor_pb2.FileDescriptorProto:
    """What protoc would make of a file such as ours: proto3 with messages, maps, oneofs and unary calls."""
    tokens = iter(_TOKEN.findall(re.sub(r"//[^\n]*", "", text)))
    file = descriptor_pb2.FileDescriptorProto(name=PROTO.name, syntax="proto3")
    for token in tokens:
        if token == "syntax":
            _until(tokens, ";")
        elif token == "package":
            file.package = _until(tokens, ";")[0]
        elif token == "service":
            file.service.append(_service(tokens, file.package))
        elif token == "message":
            file.message_type.append(_message(next(tokens), tokens))
        else:
            raise ValueError(f"{PROTO.name}: expected a message or a service. Received: {token}")
    known = {f"{file.package}.{name}" for one in file.message_type for name in _names(one, "")}
    for one in file.message_type:
        _resolve(one, f"{file.package}.{one.name}", known)
    return file


def _until(tokens: Iterator[str], end: str) -> list[str]:
    return list(iter(lambda: next(tokens), end))


def _service(tokens: Iterator[str], package: str) -> descriptor_pb2.ServiceDescriptorProto:
    service = descriptor_pb2.ServiceDescriptorProto(name=_until(tokens, "{")[0])
    while next(tokens) == "rpc":
        name, _, taken, *_, given, _ = _until(tokens, "{")
        next(tokens)  # the options' end
        service.method.add(
            name=name, input_type=f".{package}.{taken}", output_type=f".{package}.{given}"
        ).options.SetInParent()
    return service


def _message(name: str, tokens: Iterator[str]) -> descriptor_pb2.DescriptorProto:
    made = descriptor_pb2.DescriptorProto(name=name)
    next(tokens)  # {
    for token in tokens:
        if token == "}":
            return made
        if token == "message":
            made.nested_type.append(_message(next(tokens), tokens))
        elif token == "oneof":
            made.oneof_decl.add(name=_until(tokens, "{")[0])
            while (kind := next(tokens)) != "}":
                _field(made, kind, _until(tokens, ";")).oneof_index = len(made.oneof_decl) - 1
        elif token == "map":
            _map(made, _until(tokens, ";"))
        elif token == "repeated":
            _field(made, next(tokens), _until(tokens, ";"), repeated=True)
        else:
            _field(made, token, _until(tokens, ";"))
    raise ValueError(f"{PROTO.name}: expected the end of {name}. Received: the end of the file")


def _field(made: Any, kind: str, rest: list[str], repeated: bool = False) -> Any:
    name, _, number = rest
    field = made.field.add(name=name, number=int(number), json_name=_json_name(name))
    field.label = field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
    else:
        field.type, field.type_name = field.TYPE_MESSAGE, kind
    return field


def _map(made: Any, rest: list[str]) -> None:
    """A map is a repeated message of keys and values."""
    _, key, _, value, _, name, *number = rest
    entry = made.nested_type.add(name=_json_name(name)[0].upper() + _json_name(name)[1:] + "Entry")
    entry.options.map_entry = True
    _field(entry, key, ["key", "=", "1"])
    _field(entry, value, ["value", "=", "2"])
    _field(made, entry.name, [name, *number], repeated=True)


def _json_name(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(part.capitalize() for part in others)


def _names(made: Any, prefix: str) -> Iterator[str]:
    yield prefix + made.name
    for nested in made.nested_type:
        yield from _names(nested, f"{prefix}{made.name}.")


def _resolve(made: Any, scope: str, known: set[str]) -> None:
    """Gives the types of fields their full names, from the inside out."""
    for field in made.field:
        if field.type_name:
            parts = scope.split(".")
            outer = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
            field.type_name = "." + next(
                f"{one}.{field.type_name}" for one in outer if f"{one}.{field.type_name}" in known
            )
    for nested in made.nested_type:
        _resolve(nested, f"{scope}.{nested.name}", known)
