"""Conditions of tasks: the part of CEL that KFP's compiler writes, parsed and evaluated by type.

    inputs.parameter_values['x'] == true
    !(int(inputs.parameter_values['n']) > 2) && inputs.parameter_values['s'] != 'a'

Nothing is substituted into the text and nothing is handed to Python's `eval`. Whatever is in doubt is an
error and never "false": values of different types, NaN, a parameter that has no value. A skipped step
would look like success.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.local.ir import unescaped
from headrace.pipelines.local.ir.values import shown


class ConditionError(HeadraceError):
    """A condition that cannot be parsed or has no answer; the message holds its text and the values."""


_TOKEN = re.compile(
    r"""\s*(?:
      (?P<number>\d+\.\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?|\d+(?:[eE][+-]?\d+)?)
    | (?P<string>'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*")
    | (?P<name>[A-Za-z_][A-Za-z_0-9]*)
    | (?P<op>&&|\|\||==|!=|<=|>=|<|>|!|-|\(|\)|\[|\]|\.|,)
    )""",
    re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", "'": "'", '"': '"', "`": "`", "?": "?",
            "a": "\a", "b": "\b", "f": "\f", "v": "\v"}  # fmt: skip
_COMPARISONS = ("==", "!=", "<=", ">=", "<", ">")

Evaluator = Callable[[Mapping[str, Any]], Any]


@dataclass(frozen=True)
class Condition:
    """A parsed condition."""

    text: str
    names: frozenset[str]  # the parameters that it reads
    _evaluate: Evaluator
    doubt: str = ""  # what its author may not have meant, for people

    @property
    def short(self) -> str:
        """The text as people read it: `gate-passed == true`."""
        return re.sub(r"inputs\.parameter_values\['(?:pipelinechannel--)?([^']+)'\]", r"\1", self.text)

    def evaluate(self, parameters: Mapping[str, Any]) -> bool:
        """Whether the condition holds for a task's input parameters.

        Raises:
            ConditionError: it has no answer in true or false.
        """
        try:
            answer = self._evaluate(parameters)
            if not isinstance(answer, bool):
                raise _Doubt(f"the whole is {_type_name(answer)}, not true or false")
        except _Doubt as doubt:
            values = ", ".join(
                f"{n} = {shown(parameters[n]) if n in parameters else 'missing'}" for n in sorted(self.names)
            )
            raise ConditionError(
                f"expected an answer to the condition `{self.text}`. Received: {doubt} (values: {values})"
            ) from None
        return answer


class _Doubt(Exception):
    """Why an expression has no answer."""


def parse(text: str) -> Condition:
    """Parses a condition; what is outside the known part of CEL is refused.

    KFP's compiler puts constants between quotes and escapes nothing. Where CEL cannot read the outcome, as in
    `x == 'it's'`, it is read as KFP put it together, if that has one way only; where both can and differ, it is
    refused.

    Raises:
        ConditionError: with the place in the text.
    """
    as_kfp_put_it = unescaped.with_escapes(text)
    try:
        condition = _Parser(text).parse()
    except ConditionError as error:
        if as_kfp_put_it:
            return _doubtful(
                _Parser(as_kfp_put_it).parse(), text, f"no CEL: read as `{as_kfp_put_it}`, an error on KFP"
            )
        if unescaped.quotes_a_parameter(text):
            hint = (
                "KFP puts a number or a boolean between quotes when it is compared with a text: compare like with like"
            )
            raise ConditionError(f"{error}. {hint}") from None
        raise
    if "\\" in text:
        return _doubtful(condition, text, "with a backslash, by which CEL begins an escape")
    if as_kfp_put_it not in (None, text):
        raise ConditionError(
            f"expected a condition that can be read in one way. Received: `{text}`, also `{as_kfp_put_it}`"
        )
    return condition


def _doubtful(condition: Condition, text: str, why: str) -> Condition:
    return replace(condition, text=text, doubt=f"the condition `{text}` is {why}")


class _Parser:
    """Recursive descent: or > and > comparison > not > value."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.names: set[str] = set()
        self.tokens: list[tuple[str, str, int]] = []
        position, end = 0, len(text.rstrip())
        while position < end:
            match = _TOKEN.match(text, position)
            if not match:
                raise self._error(position, "a sign that is not part of CEL as KFP writes it")
            kind = str(match.lastgroup)
            self.tokens.append((kind, match.group(kind), match.start(kind)))
            position = match.end()
        self.tokens.append(("end", "", end))
        self.at = 0

    def _error(self, position: int, what: str) -> ConditionError:
        rest = self.text[position : position + 30]
        return ConditionError(f"expected a condition in CEL. Received: `{self.text}`, with {what} at `{rest}`")

    def parse(self) -> Condition:
        try:
            evaluate = self._or()
        except RecursionError:
            raise self._error(0, "too many parentheses") from None
        if self.tokens[self.at][0] != "end":
            raise self._error(self.tokens[self.at][2], "something unexpected")
        return Condition(self.text, frozenset(self.names), evaluate)

    def _take(self, *ops: str) -> str | None:
        kind, token, _ = self.tokens[self.at]
        if kind == "op" and token in ops:
            self.at += 1
            return token
        return None

    def _expect(self, kind: str, token: str | None = None) -> str:
        found_kind, found, position = self.tokens[self.at]
        if found_kind != kind or (token is not None and found != token):
            raise self._error(position, f"{token or kind} expected")
        self.at += 1
        return found

    def _or(self) -> Evaluator:
        terms = [self._and()]
        while self._take("||"):
            terms.append(self._and())
        return terms[0] if len(terms) == 1 else lambda p: any(_truth(t(p), "||") for t in terms)

    def _and(self) -> Evaluator:
        terms = [self._comparison()]
        while self._take("&&"):
            terms.append(self._comparison())
        return terms[0] if len(terms) == 1 else lambda p: all(_truth(t(p), "&&") for t in terms)

    def _comparison(self) -> Evaluator:
        left = self._not()
        op = self._take(*_COMPARISONS)
        if not op:
            return left
        right = self._not()
        return lambda p: _compare(left(p), op, right(p))

    def _not(self) -> Evaluator:
        if self._take("!"):
            inner = self._not()
            return lambda p: not _truth(inner(p), "!")
        if self._take("-"):
            value = self._not()
            return lambda p: -_number(value(p), "-")
        return self._value()

    def _value(self) -> Evaluator:
        kind, token, position = self.tokens[self.at]
        if self._take("("):
            inner = self._or()
            self._expect("op", ")")
            return inner
        self.at += 1
        if kind == "number":
            number: int | float = int(token) if token.isdigit() else float(token)
            return lambda _: number
        if kind == "string":
            literal = self._unescape(token[1:-1], position)
            return lambda _: literal
        if kind == "name" and token in ("true", "false", "null"):
            constant = {"true": True, "false": False, "null": None}[token]
            return lambda _: constant
        if kind == "name" and token == "inputs":
            return self._parameter()
        if kind == "name" and token in _CONVERSIONS:
            self._expect("op", "(")
            inner = self._or()
            self._expect("op", ")")
            convert = _CONVERSIONS[token]
            return lambda p: convert(inner(p))
        raise self._error(position, "a value expected" if kind == "end" else f"`{token}`, which is not known here,")

    def _parameter(self) -> Evaluator:
        self._expect("op", ".")
        word, position = self.tokens[self.at][1], self.tokens[self.at][2]
        self._expect("name")
        if word not in ("parameter_values", "parameters"):
            raise self._error(position, f"`inputs.{word}`, which is not known here,")
        self._expect("op", "[")
        position = self.tokens[self.at][2]
        name = self._unescape(self._expect("string")[1:-1], position)
        self._expect("op", "]")
        self.names.add(name)

        def read(parameters: Mapping[str, Any]) -> Any:
            if name not in parameters:
                raise _Doubt(f"the parameter '{name}' has no value")
            return parameters[name]

        return read

    def _unescape(self, body: str, position: int) -> str:
        def one(match: re.Match[str]) -> str:
            code = match.group(1) or match.group(2) or match.group(3)
            if code:
                return chr(int(code, 16))
            if match.group(4) not in _ESCAPES:
                raise self._error(position, f"the escape `{match.group(0)}`, which CEL does not know,")
            return _ESCAPES[match.group(4)]

        return _ESCAPE.sub(one, body)


def _type_name(value: Any) -> str:
    if value is None:
        return "null"
    for kind, name in ((bool, "a boolean"), (int, "a number"), (float, "a number"), (str, "a string")):
        if isinstance(value, kind):
            return name
    return "a list" if isinstance(value, list) else "a mapping"


def _truth(value: Any, op: str) -> bool:
    if not isinstance(value, bool):
        raise _Doubt(f"`{op}` was given {_type_name(value)}")
    return value


def _number(value: Any, op: str) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _Doubt(f"`{op}` was given {_type_name(value)}")
    return value


def _compare(left: Any, op: str, right: Any) -> bool:
    kinds = _type_name(left), _type_name(right)
    if "null" in kinds and op in ("==", "!="):
        return (left is right) == (op == "==")
    if kinds[0] != kinds[1]:
        raise _Doubt(f"{kinds[0]} is compared with {kinds[1]}")
    if any(isinstance(v, float) and math.isnan(v) for v in (left, right)):
        raise _Doubt("NaN is compared")
    if op in ("==", "!="):
        return bool((left == right) == (op == "=="))
    if kinds[0] not in ("a number", "a string"):
        raise _Doubt(f"{kinds[0]} has no order")
    return bool({"<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right}[op])


def _to_int(value: Any) -> int:
    try:
        return int(value) if not isinstance(value, float) else math.trunc(value)
    except (TypeError, ValueError, OverflowError):
        raise _Doubt(f"{shown(value)} is not an integer") from None


def _to_double(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise _Doubt(f"{shown(value)} is not a number") from None


def _to_bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if value in ("true", "false"):
        return bool(value == "true")
    raise _Doubt(f"{shown(value)} is not true or false")


def _to_string(value: Any) -> str:
    if value is None or isinstance(value, list | dict):
        raise _Doubt(f"{_type_name(value)} is not a string")
    return str(value).lower() if isinstance(value, bool) else str(value)


_CONVERSIONS: dict[str, Callable[[Any], Any]] = {
    "int": _to_int,
    "double": _to_double,
    "bool": _to_bool,
    "string": _to_string,
}
