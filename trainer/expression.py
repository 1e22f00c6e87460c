"""Row-wise expressions: `total_spend / tenure_months`, `tips > 0.2 * fare`, `plan == "premium" and age < 30`.

Written in Python's syntax and read by Python's parser, but never evaluated by Python: the tree is checked
against the few operations below and against the columns' types, and then computed by Arrow (at ingestion,
for a label) or built into the model's graph (for a feature; see `construct_graph`). A column whose name is
no Python name stands in backticks. Anything missing makes the result missing, and so does a result that is
not finite, such as a division by zero.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from headrace.artifacts.errors import HeadraceError, nearest_column

NUMBER, BOOLEAN, TEXT = "number", "boolean", "text"


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

# operation -> (types of its arguments, type of its result)
OPERATIONS: dict[str, tuple[tuple[str, ...], str]] = {
    **dict.fromkeys(("add", "subtract", "multiply", "divide", "power", "min", "max"), ((NUMBER, NUMBER), NUMBER)),
    **dict.fromkeys(("negate", "abs", "log", "log1p", "exp", "sqrt"), ((NUMBER,), NUMBER)),
    **dict.fromkeys(("less", "less_equal", "greater", "greater_equal"), ((NUMBER, NUMBER), BOOLEAN)),
    **dict.fromkeys(("equal", "not_equal"), ((NUMBER, NUMBER), BOOLEAN)),
    **dict.fromkeys(("text_equal", "text_not_equal"), ((TEXT, TEXT), BOOLEAN)),
    **dict.fromkeys(("and", "or"), ((BOOLEAN, BOOLEAN), BOOLEAN)),
    "not": ((BOOLEAN,), BOOLEAN),
    "if_else": ((BOOLEAN, NUMBER, NUMBER), NUMBER),
    "is_missing": ((NUMBER,), BOOLEAN),
}
FUNCTIONS = ("abs", "exp", "if_else", "is_missing", "log", "log1p", "max", "min", "sqrt")
_BINARY = {ast.Add: "add", ast.Sub: "subtract", ast.Mult: "multiply", ast.Div: "divide", ast.Pow: "power"}
_COMPARE = {ast.Lt: "less", ast.LtE: "less_equal", ast.Gt: "greater", ast.GtE: "greater_equal",
            ast.Eq: "equal", ast.NotEq: "not_equal"}  # fmt: skip
_BACKTICKS = re.compile(r"`([^`]+)`")
_MAX_NODES = 1_000  # a deeper one would exhaust the stack before it taught anybody anything


@dataclass(frozen=True)
class Expression:
    """A parsed expression.

    Attributes:
        text: as the user wrote it.
        root: its tree.
    """

    text: str
    root: Node

    def columns(self) -> list[str]:
        """The names of the columns it reads, each once, in the order of their appearance."""
        return list(dict.fromkeys(node.name for node in _walk(self.root) if isinstance(node, Column)))

    def texts(self) -> dict[str, set[str]]:
        """The texts that columns are compared with, by the column."""
        found: dict[str, set[str]] = {}
        for node in _walk(self.root):
            match node:
                case Call(args=(Column(name=name), Constant(value=str(text)))):
                    found.setdefault(name, set()).add(text)
                case Call(args=(Constant(value=str(text)), Column(name=name))):
                    found.setdefault(name, set()).add(text)
        return found

    def typed(self, types: Mapping[str, str]) -> tuple[Expression, str]:
        """Checks it against the columns' types (`number`, `boolean`, `text`).

        Returns:
            the expression with every operation resolved for its arguments' types, and the type of its result.

        Raises:
            ExpressionError: an unknown column, or an operation on values of the wrong type.
        """
        root, result = _typed(self.root, types, self.text)
        return Expression(self.text, root), result


def parse(text: str) -> Expression:
    """Reads an expression.

    Raises:
        ExpressionError: it is not one, or uses something other than columns, constants and the known operations.
    """
    names: dict[str, str] = {}

    def placeholder(match: re.Match[str]) -> str:
        return names.setdefault(match[1], f"_column_{len(names)}_")

    try:
        tree = ast.parse(_BACKTICKS.sub(placeholder, text).strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else str(error)
        raise ExpressionError(f"expected an expression such as `a / b`. Received: `{text}` ({reason})") from None
    if sum(1 for _ in ast.walk(tree)) > _MAX_NODES:
        raise ExpressionError(
            f"expected an expression of at most {_MAX_NODES} parts. Received: one of {len(text):,} characters"
        )
    return Expression(text, _node(tree.body, {alias: name for name, alias in names.items()}, text))


def _node(tree: ast.expr, names: dict[str, str], text: str) -> Node:
    def node(part: ast.expr) -> Node:
        return _node(part, names, text)

    match tree:
        case ast.Name(id=name):
            return Column(names.get(name, name))
        case ast.Constant(value=bool() | int() | float() | str() as value):
            return Constant(float(value) if isinstance(value, int) and not isinstance(value, bool) else value)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            return Call(_BINARY[type(op)], (node(left), node(right)))
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return Call("negate", (node(operand),))
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return Call("not", (node(operand),))
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _COMPARE:
            return Call(_COMPARE[type(op)], (node(left), node(right)))
        case ast.BoolOp(op=op, values=[first, *rest]):
            result = node(first)
            for operand in rest:
                result = Call("and" if isinstance(op, ast.And) else "or", (result, node(operand)))
            return result
        case ast.IfExp(test=test, body=body, orelse=orelse):
            return Call("if_else", (node(test), node(body), node(orelse)))
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in FUNCTIONS:
            return Call(name, tuple(node(argument) for argument in args))
    part = ast.unparse(tree)
    raise ExpressionError(
        f"expected columns, numbers, texts, + - * / **, comparisons, and, or, not, `a if c else b` and the functions "
        f"{', '.join(FUNCTIONS)}. Received: `{part}` in `{text}`"
    )


def _typed(node: Node, types: Mapping[str, str], text: str) -> tuple[Node, str]:
    if isinstance(node, Constant):
        kind = BOOLEAN if isinstance(node.value, bool) else TEXT if isinstance(node.value, str) else NUMBER
        return node, kind
    if isinstance(node, Column):
        if node.name not in types:
            hint = nearest_column(node.name, types)
            raise ExpressionError(f"expected a column in `{text}`. Received: `{node.name}`; {hint}")
        return node, types[node.name]
    args, kinds = (
        zip(*(_typed(argument, types, text) for argument in node.args), strict=True) if node.args else ((), ())
    )
    op = node.op
    if op in ("equal", "not_equal") and TEXT in kinds:
        op = f"text_{op}"
    if op == "is_missing" and kinds and isinstance(args[0], Column):
        return Call(op, args), BOOLEAN  # any column may be asked
    expected, result = OPERATIONS[op]
    if len(expected) != len(kinds):
        raise ExpressionError(f"expected {len(expected)} arguments for {op} in `{text}`. Received: {len(kinds)}")
    for want, kind, argument in zip(expected, kinds, node.args, strict=True):
        # A truth value counts as 1 or 0, the way it does in a table's column.
        if want != kind and not (want == NUMBER and kind == BOOLEAN):
            raise ExpressionError(
                f"expected a {want} for {node.op} in `{text}`. Received: a {kind} ({describe(argument)})"
            )
    return Call(op, args), result


def _walk(node: Node) -> Iterator[Node]:
    yield node
    if isinstance(node, Call):
        for argument in node.args:
            yield from _walk(argument)


def describe(node: Node) -> str:
    """A node in words, for an error message."""
    if isinstance(node, Column):
        return f"the column `{node.name}`"
    return repr(node.value) if isinstance(node, Constant) else f"the result of {node.op}"
