"""The operations of expressions: what each takes and gives, and how a name is resolved by its arguments' types.

Both implementations, `expression_arrow` and `expression_graph`, have one function per `Operation.name`, of the same
meaning; tests hold them against each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from headrace.artifacts.errors import nearest_column
from headrace.trainer.expressions.nodes import (
    BOOLEAN,
    DATE,
    NUMBER,
    TEXT,
    Call,
    Column,
    Constant,
    ExpressionError,
    Node,
    describe,
)

LITERAL = "text in quotes"
PATTERN = "regular expression in quotes"


@dataclass(frozen=True)
class Operation:
    """One meaning of a name.

    Attributes:
        name: what the implementations call it.
        args: the types that it takes; `LITERAL` and `PATTERN` must be constants.
        result: the type that it gives.
    """

    name: str
    args: tuple[str, ...]
    result: str


def _for(names: str, *signatures: tuple[tuple[str, ...], str], prefix: str = "") -> dict[str, tuple[Operation, ...]]:
    return {
        name: tuple(Operation(prefix + name, args, result) for args, result in signatures) for name in names.split()
    }


_N2, _D2, _T2 = (NUMBER, NUMBER), (DATE, DATE), (TEXT, TEXT)

# what the parser calls it -> its meanings; the first that the arguments' types fit is taken
MEANINGS: dict[str, tuple[Operation, ...]] = {
    **_for("add", ((DATE, NUMBER), DATE), ((NUMBER, DATE), DATE), (_N2, NUMBER)),
    **_for("subtract", (_D2, NUMBER), ((DATE, NUMBER), DATE), (_N2, NUMBER)),
    **_for("multiply divide power modulo floor_divide", (_N2, NUMBER)),
    **_for("min max", (_D2, DATE), (_N2, NUMBER)),
    **_for("negate abs sign sqrt exp log log1p log2 log10 sin cos floor ceil round", ((NUMBER,), NUMBER)),
    **_for("clip", ((NUMBER, NUMBER, NUMBER), NUMBER)),
    **_for("less less_equal greater greater_equal", (_N2, BOOLEAN)),
    **_for("and or", ((BOOLEAN, BOOLEAN), BOOLEAN)),
    **_for("not", ((BOOLEAN,), BOOLEAN)),
    **_for("year quarter month day weekday day_of_year hour minute", ((DATE,), NUMBER)),
    **_for("days_between", (_D2, NUMBER)),
    **_for("lower upper trim", ((TEXT,), TEXT)),
    **_for("concat", (_T2, TEXT)),
    **_for("length words number", ((TEXT,), NUMBER)),
    **_for("contains starts_with ends_with", ((TEXT, LITERAL), BOOLEAN)),
    **_for("matches", ((TEXT, PATTERN), BOOLEAN)),
    **_for("overlap common_words", (_T2, NUMBER)),
}
for _name, _text, _others in (
    ("equal", (_T2, BOOLEAN), [(_N2, BOOLEAN)]),
    ("not_equal", (_T2, BOOLEAN), [(_N2, BOOLEAN)]),
    ("is_missing", ((TEXT,), BOOLEAN), [((NUMBER,), BOOLEAN)]),
    (
        "if_else",
        ((BOOLEAN, TEXT, TEXT), TEXT),
        [((BOOLEAN, kind, kind), kind) for kind in (DATE, BOOLEAN, NUMBER)],
    ),
    ("coalesce", (_T2, TEXT), [((kind, kind), kind) for kind in (DATE, BOOLEAN, NUMBER)]),
):
    MEANINGS |= {_name: (*_for(_name, _text, prefix="text_")[_name], *_for(_name, *_others)[_name])}

_OPERATORS = {"add", "subtract", "multiply", "divide", "power", "modulo", "floor_divide", "negate", "and", "or", "not",
              "less", "less_equal", "greater", "greater_equal", "equal", "not_equal"}  # fmt: skip
FUNCTIONS = tuple(sorted({*MEANINGS, "date"} - _OPERATORS))
FOLDED = ("min", "max", "concat", "coalesce")  # of two or more arguments
COMPARISONS = ("less", "less_equal", "greater", "greater_equal", "equal", "not_equal", "in")


def typed(node: Node, types: Mapping[str, str], text: str) -> tuple[Node, str]:
    """The node with every name resolved to an `Operation.name`, and the type of its value.

    Args:
        node: as parsed from `text`.
        types: of the columns.
        text: of the whole expression, for messages.

    Raises:
        ExpressionError: an unknown column, or an operation on values that it does not take.
    """
    if isinstance(node, Constant):
        return node, _kind_of_constant(node, text)
    if isinstance(node, Column):
        if node.name not in types:
            hint = nearest_column(node.name, types)
            raise ExpressionError(f"expected a column in `{text}`. Received: `{node.name}`; {hint}")
        return node, types[node.name]
    if node.op == "date":
        return _date(node, text)
    pairs = [typed(argument, types, text) for argument in node.args]
    if node.op in COMPARISONS and any(kind == DATE for _, kind in pairs):
        pairs = [_as_date(argument, kind, text) for argument, kind in pairs]
    args, kinds = tuple(argument for argument, _ in pairs), [kind for _, kind in pairs]
    if node.op == "in":
        return _membership(args, kinds, text)
    for meaning in MEANINGS[node.op]:
        if len(meaning.args) == len(kinds) and all(map(_fits, meaning.args, kinds, args)):
            _check_pattern(meaning, args, text)
            return Call(meaning.name, tuple(map(_as_wanted, meaning.args, kinds, args))), meaning.result
    raise _misfit(node, args, kinds, text)


def _fits(wanted: str, kind: str, argument: Node) -> bool:
    if wanted in (LITERAL, PATTERN):
        return isinstance(argument, Constant) and kind == TEXT
    # A truth value counts as 1 or 0, the way it does in a table's column, and a date as its days.
    return wanted == kind or (wanted == NUMBER and kind in (BOOLEAN, DATE))


def _as_wanted(wanted: str, kind: str, argument: Node) -> Node:
    return Call("to_number", (argument,)) if wanted == NUMBER and kind == BOOLEAN else argument


def _misfit(node: Call, args: tuple[Node, ...], kinds: list[str], text: str) -> ExpressionError:
    meanings = MEANINGS[node.op]
    counts = sorted({len(meaning.args) for meaning in meanings})
    if len(kinds) not in counts:
        return ExpressionError(f"expected {counts[0]} arguments for {node.op} in `{text}`. Received: {len(kinds)}")
    texts = [meaning for meaning in meanings if TEXT in meaning.args and TEXT in kinds]
    wanted = (texts or meanings)[0 if texts else -1].args
    place = next(i for i in range(len(kinds)) if not _fits(wanted[i], kinds[i], args[i]))
    return ExpressionError(
        f"expected a {wanted[place]} for {node.op} in `{text}`. "
        f"Received: a {kinds[place]} ({describe(node.args[place])})"
    )


def _kind_of_constant(node: Constant, text: str) -> str:
    if isinstance(node.value, str):
        if not node.value:
            raise ExpressionError(
                f"expected texts that are not empty in `{text}`: an empty one counts as missing, "
                "which is_missing(...) asks for. Received: ''"
            )
        return TEXT
    return BOOLEAN if isinstance(node.value, bool) else NUMBER


def _membership(args: tuple[Node, ...], kinds: list[str], text: str) -> tuple[Node, str]:
    """`x in [a, b]`: x is of any type, and the list's values are constants of the same."""
    texts = kinds[0] == TEXT
    if kinds[0] == BOOLEAN:
        args = (Call("to_number", args[:1]), *args[1:])
    for argument, kind in zip(args[1:], kinds[1:], strict=True):
        if (kind == TEXT) != texts:
            expected = "texts" if texts else "numbers or truth values"
            raise ExpressionError(f"expected {expected} in the list of `{text}`. Received: {describe(argument)}")
    if texts:
        return Call("text_in", args), BOOLEAN
    listed = (Constant(float(item.value)) for item in args[1:] if isinstance(item, Constant))
    return Call("in", (args[0], *listed)), BOOLEAN


def _date(node: Call, text: str) -> tuple[Node, str]:
    match node.args:
        case (Constant(value=str()) as constant,):
            return _as_date(constant, TEXT, text)
    raise ExpressionError(f"expected a date such as date('2024-03-01') in `{text}`. Received: another argument")


def _as_date(node: Node, kind: str, text: str) -> tuple[Node, str]:
    """A text in quotes that stands beside a date is one."""
    match node:
        case Constant(value=str(value)):
            return Constant(days_of(value, text)), DATE
    return node, kind


def days_of(value: str, text: str) -> float:
    """Days since 1970-01-01 of a date such as 2024-03-01, or a moment such as 2024-03-01T10:20:30, which is UTC."""
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise ExpressionError(f"expected a date such as '2024-03-01' in `{text}`. Received: {value!r}") from None
    microseconds = (moment.hour * 3600 + moment.minute * 60 + moment.second) * 1_000_000 + moment.microsecond
    if moment.tzinfo is not None:
        raise ExpressionError(f"expected a moment without a zone (it is UTC) in `{text}`. Received: {value!r}")
    whole = moment.toordinal() - date(1970, 1, 1).toordinal()
    return (whole * 86_400_000_000 + microseconds) / 86_400_000_000.0


def _check_pattern(meaning: Operation, args: Sequence[Node], text: str) -> None:
    """Refuses what RE2 cannot read: Arrow and ONNX Runtime both use it."""
    for wanted, argument in zip(meaning.args, args, strict=True):
        if wanted == PATTERN and isinstance(argument, Constant):
            import pyarrow as pa
            import pyarrow.compute as pc

            for pattern in (str(argument.value), f"(?:{argument.value})"):
                try:
                    pc.match_substring_regex(pa.array([""]), pattern)
                except pa.ArrowInvalid as error:
                    raise ExpressionError(
                        f"expected a regular expression (of RE2) for {meaning.name} in `{text}`. Received: {error}"
                    ) from None
