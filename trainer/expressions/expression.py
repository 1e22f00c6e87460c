"""Row-wise expressions: `total_spend / tenure_months`, `tips > 0.2 * fare`, `contains(lower(note), "refund")`.

Written in Python's syntax and read by Python's parser, but never evaluated by Python: the tree is checked
against the operations of `operations.py` and against the columns' types, and then computed by Arrow (at ingestion,
for a label) or built into the model's graph (for a feature; see `expression_graph`). A column whose name is
no Python name stands in backticks. Anything missing makes the result missing, and so does a result that is
not finite, such as a division by zero. A text that is empty is a missing one.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from headrace.trainer.expressions.nodes import BOOLEAN as BOOLEAN
from headrace.trainer.expressions.nodes import DATE as DATE
from headrace.trainer.expressions.nodes import NUMBER as NUMBER
from headrace.trainer.expressions.nodes import TEXT as TEXT
from headrace.trainer.expressions.nodes import Call as Call
from headrace.trainer.expressions.nodes import Column as Column
from headrace.trainer.expressions.nodes import Constant as Constant
from headrace.trainer.expressions.nodes import ExpressionError as ExpressionError
from headrace.trainer.expressions.nodes import Node as Node
from headrace.trainer.expressions.nodes import walk as walk
from headrace.trainer.expressions.operations import FOLDED, FUNCTIONS, typed

_BINARY = {ast.Add: "add", ast.Sub: "subtract", ast.Mult: "multiply", ast.Div: "divide", ast.Pow: "power",
           ast.Mod: "modulo", ast.FloorDiv: "floor_divide"}  # fmt: skip
_COMPARE = {ast.Lt: "less", ast.LtE: "less_equal", ast.Gt: "greater", ast.GtE: "greater_equal",
            ast.Eq: "equal", ast.NotEq: "not_equal"}  # fmt: skip
_BACKTICKS = re.compile(r"`([^`]+)`")
_MAX_NODES = 1_000  # a deeper one would exhaust the stack before it taught anybody anything
_BY_CODE = ("text_equal", "text_not_equal", "text_in", "text_is_missing")  # what a category's code can tell


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
        return list(dict.fromkeys(node.name for node in walk(self.root) if isinstance(node, Column)))

    def texts(self) -> dict[str, set[str]]:
        """The texts that columns are compared with, by the column: a category must have codes for them."""
        found: dict[str, set[str]] = {}
        for node in walk(self.root):
            match node:
                case Call(args=(Column(name=name), *rest)) if rest:
                    texts = {item.value for item in rest if isinstance(item, Constant) and isinstance(item.value, str)}
                    if texts:
                        found.setdefault(name, set()).update(texts)
                case Call(args=(Constant(value=str(text)), Column(name=name))):
                    found.setdefault(name, set()).add(text)
        return found

    def spelt(self, types: Mapping[str, str]) -> list[str]:
        """The text columns whose spelling it reads, and not only whether they are missing or equal to given texts.

        In the model's graph these must be inputs of type `text`: a category is a code there, and its unseen values
        are one and the same.

        Raises:
            ExpressionError: as `typed` does.
        """
        root = self.typed(types)[0].root
        names = dict.fromkeys(node.name for node in _spelt(root) if types[node.name] == TEXT)
        return list(names)

    def typed(self, types: Mapping[str, str]) -> tuple[Expression, str]:
        """Checks it against the columns' types (`number`, `boolean`, `text`, `date`).

        Returns:
            the expression with every operation resolved for its arguments' types, and the type of its result; that
            of a date is a number, its days since 1970-01-01.

        Raises:
            ExpressionError: an unknown column, or an operation on values of the wrong type.
        """
        root, result = typed(self.root, types, self.text)
        return Expression(self.text, root), NUMBER if result == DATE else result


def _spelt(node: Node) -> Iterator[Column]:
    match node:
        case Column():
            yield node
        case Call(op=op, args=args):
            bare = [argument for argument in args if isinstance(argument, Column)]
            by_code = op in _BY_CODE and len(bare) == 1 and all(isinstance(a, Column | Constant) for a in args)
            for argument in () if by_code else args:
                yield from _spelt(argument)


def inlined(construct: Mapping[str, str]) -> dict[str, Expression]:
    """Parses the expressions of `features.construct`; where one names another, the other's tree stands in its place.

    Raises:
        ExpressionError: one cannot be read, or leads back to itself; the message says which.
    """
    parsed: dict[str, Expression] = {}
    for name, text in construct.items():
        try:
            parsed[name] = parse(text)
        except ExpressionError as error:
            raise ExpressionError(f"features.construct.{name}: {error}") from None
    done: dict[str, Expression] = {}
    for name in parsed:
        _inline_all(name, parsed, done, ())
    return {name: done[name] for name in construct}


def _inline_all(
    name: str, parsed: Mapping[str, Expression], done: dict[str, Expression], path: tuple[str, ...]
) -> None:
    """Puts `name` into `done`, after those that it names."""
    if name in done:
        return
    if name in path:
        circle = " -> ".join([*path, name])
        raise ExpressionError(f"features.construct.{name}: expected no circle. Received: {circle}")
    own = parsed[name]
    for other in own.columns():
        if other in parsed:
            _inline_all(other, parsed, done, (*path, name))
    size = sum(
        _size(done[node.name].root) if isinstance(node, Column) and node.name in done else 1 for node in walk(own.root)
    )
    if size > _MAX_NODES:
        raise ExpressionError(
            f"features.construct.{name}: expected at most {_MAX_NODES:,} parts, with those of the features that it "
            f"names. Received: {size:,}"
        )
    done[name] = Expression(own.text, _inline(own.root, done))


def _inline(node: Node, done: Mapping[str, Expression]) -> Node:
    if isinstance(node, Column) and node.name in done:
        return done[node.name].root
    if isinstance(node, Call):
        return Call(node.op, tuple(_inline(argument, done) for argument in node.args))
    return node


def _size(node: Node) -> int:
    return sum(1 for _ in walk(node))


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
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return Constant(-float(value))
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return Call("negate", (node(operand),))
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return Call("not", (node(operand),))
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _COMPARE:
            return Call(_COMPARE[type(op)], (node(left), node(right)))
        case ast.Compare(left=left, ops=[op], comparators=[ast.List(elts=items) | ast.Tuple(elts=items)]) if (
            isinstance(op, ast.In | ast.NotIn) and items and all(isinstance(node(item), Constant) for item in items)
        ):
            found = Call("in", (node(left), *(node(item) for item in items)))
            return found if isinstance(op, ast.In) else Call("not", (found,))
        case ast.BoolOp(op=op, values=[first, *rest]):
            return _folded("and" if isinstance(op, ast.And) else "or", [node(first), *map(node, rest)])
        case ast.IfExp(test=test, body=body, orelse=orelse):
            return Call("if_else", (node(test), node(body), node(orelse)))
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in FUNCTIONS:
            given = [node(argument) for argument in args]
            return _folded(name, given) if name in FOLDED and len(given) > 1 else Call(name, tuple(given))
    part = ast.unparse(tree)
    raise ExpressionError(
        f"expected columns, numbers, texts, + - * / // % **, comparisons, `in [...]`, and, or, not, `a if c else b` "
        f"and the functions "
        f"{', '.join(FUNCTIONS)}. Received: `{part}` in `{text}`"
    )


def _folded(op: str, args: list[Node]) -> Node:
    """An operation of two on several: `min(a, b, c)` is `min(min(a, b), c)`."""
    first, *rest = args
    for argument in rest:
        first = Call(op, (first, argument))
    return first
