"""What an expression is made of: columns, constants and operations on them, and the types that their values have."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from headrace.artifacts.errors import HeadraceError

NUMBER, BOOLEAN, TEXT = "number", "boolean", "text"
DATE = "date"  # days since 1970-01-01, with fraction: a number that knows what it counts


class ExpressionError(HeadraceError):
    """An expression cannot be read, or does not fit the columns it names."""


@dataclass(frozen=True)
class Column:
    """The value of a column in this row."""

    name: str


@dataclass(frozen=True)
class Constant:
    """A number, a truth value or a text."""

    value: float | bool | str


@dataclass(frozen=True)
class Call:
    """An operation on the values of its arguments."""

    op: str
    args: tuple[Node, ...]


Node = Column | Constant | Call


def walk(node: Node) -> Iterator[Node]:
    """The node and all below it, parents first."""
    yield node
    if isinstance(node, Call):
        for argument in node.args:
            yield from walk(argument)


def describe(node: Node) -> str:
    """A node in words, for an error message."""
    if isinstance(node, Column):
        return f"the column `{node.name}`"
    return repr(node.value) if isinstance(node, Constant) else f"the result of {node.op}"
