"""Filters of lists, as https://google.aip.dev/160 has them.

`state="PIPELINE_STATE_RUNNING" AND (labels.team:risk OR NOT display_name="old*") AND in_context("projects/...")`
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from headrace.emulator.comparison import compare, field, has
from headrace.emulator.documents import Document
from headrace.emulator.refusals import Refusal

Predicate = Callable[[Document], bool]
Function = Callable[[Document, list[str]], bool]
"""Is given the document, and the arguments that stand in the filter."""
Field = Callable[[Document], Any]

_MOST_DEEP = 50  # parentheses and NOTs within each other
_TOKEN = re.compile(
    r"""\s*(?:
    (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    | (?P<sign><=|>=|!=|[<>=:(),.])
    | (?P<text>[^\s"'<>=!:(),.]+)
    )""",
    re.VERBOSE | re.DOTALL,
)
_BARE = re.compile(r"""\s*(?P<text>[^\s"'<>=!(),]+)""")  # behind an operator: a time, a name with dots and colons
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_OPERATORS = ("=", "!=", "<", "<=", ">", ">=", ":")


def predicate(
    text: str, fields: Mapping[str, Field] | None = None, functions: Mapping[str, Function] | None = None
) -> Predicate:
    """What a filter says of a document.

    OR binds closer than AND, as the specification has it, and terms side by side are joined by AND. A field that a
    document lacks has its type's zero.

    Args:
        text: the filter; an empty one is true of all.
        fields: those that do not stand in the documents under their own name, by their name in the filter.
        functions: by their names; none where it is left out.

    Raises:
        Refusal: INVALID_ARGUMENT: it is no filter, or calls a function that there is not.
    """
    if not text.strip():
        return lambda document: True
    return _Parser(text, fields or {}, functions or {}).whole()


class _Token(NamedTuple):
    kind: str  # string, text, sign; end
    text: str
    start: int
    end: int


class _Parser:
    """Reads one filter from left to right."""

    def __init__(self, text: str, fields: Mapping[str, Field], functions: Mapping[str, Function]) -> None:
        self._text, self._fields, self._functions = text, fields, functions
        self._deep = 0
        self._at = 0

    def whole(self) -> Predicate:
        found = self._expression()
        if self._peek().kind != "end":
            raise self._refused("an end, AND or OR")
        return found

    def _expression(self) -> Predicate:
        factors = [self._factor()]
        while (token := self._peek()).kind != "end" and token.text != ")":
            if _word(token, "AND"):
                self._take()
            factors.append(self._factor())
        return factors[0] if len(factors) == 1 else lambda document: all(factor(document) for factor in factors)

    def _factor(self) -> Predicate:
        terms = [self._term()]
        while _word(self._peek(), "OR"):
            self._take()
            terms.append(self._term())
        return terms[0] if len(terms) == 1 else lambda document: any(term(document) for term in terms)

    def _term(self) -> Predicate:
        self._deep += 1
        if self._deep > _MOST_DEEP:
            raise self._refused(f"at most {_MOST_DEEP} parentheses within each other")
        try:
            token = self._peek()
            if _word(token, "NOT"):
                self._take()
                return _negated(self._term())
            if token.kind == "text" and token.text.startswith("-"):
                self._at = token.start + 1
                return _negated(self._term())
            if token.text == "(" and token.kind == "sign":
                self._take()
                inner = self._expression()
                self._sign(")")
                return inner
            return self._restriction()
        finally:
            self._deep -= 1

    def _restriction(self) -> Predicate:
        path = [self._name()]
        while self._peek().kind == "sign" and self._peek().text == ".":
            self._take()
            path.append(self._name())
        token = self._peek()
        if token.kind == "sign" and token.text == "(":
            return self._call(".".join(path))
        if token.kind != "sign" or token.text not in _OPERATORS:
            raise self._refused(f"an operator behind {'.'.join(path)}: {' '.join(_OPERATORS)}")
        self._take()
        wanted = self._value()
        value = self._reader(path)
        if token.text == ":":
            return lambda document: has(value(document), wanted)
        return lambda document: compare(value(document), token.text, wanted)

    def _reader(self, path: list[str]) -> Field:
        own = self._fields.get(path[0])
        if own is None:
            return lambda document: field(document, path)
        return lambda document: field(own(document), path[1:])

    def _call(self, name: str) -> Predicate:
        function = self._functions.get(name)
        if function is None:
            known = ", ".join(sorted(self._functions)) or "none"
            raise self._refused(f"a function that there is ({known}) in place of {name}")
        self._sign("(")
        arguments: list[str] = []
        while self._peek().text != ")" or self._peek().kind != "sign":
            if arguments:
                self._sign(",")
            arguments.append(self._value())
        self._sign(")")
        return lambda document: function(document, arguments)

    def _name(self) -> str:
        token = self._peek()
        if token.kind not in ("text", "string") or (token.kind == "text" and token.text in ("AND", "OR", "NOT")):
            raise self._refused("a field")
        return self._take().text

    def _value(self) -> str:
        token = self._peek()
        if token.kind == "string":
            return self._take().text
        bare = _BARE.match(self._text, self._at)
        if bare is None:
            raise self._refused("a value")
        self._at = bare.end()
        return bare["text"]

    def _sign(self, sign: str) -> None:
        token = self._peek()
        if token.kind != "sign" or token.text != sign:
            raise self._refused(f"`{sign}`")
        self._take()

    def _take(self) -> _Token:
        token = self._peek()
        self._at = token.end
        return token

    def _peek(self) -> _Token:
        found = _TOKEN.match(self._text, self._at)
        if found is None:
            if self._text[self._at :].strip():
                raise self._refused("a field, a value or an operator")
            return _Token("end", "", len(self._text), len(self._text))
        kind = str(found.lastgroup)
        text = found[kind]
        if kind == "string":
            text = _ESCAPE.sub(r"\1", text[1:-1])
        return _Token(kind, text, found.start(kind), found.end())

    def _refused(self, expected: str) -> Refusal:
        rest = self._text[self._at :].strip()
        return Refusal(
            "INVALID_ARGUMENT",
            f"Invalid filter: expected {expected} at character {self._at + 1}. Received: {rest[:60] or 'its end'}. "
            f"The filter: {self._text[:500]}",
        )


def _word(token: _Token, word: str) -> bool:
    return token.kind == "text" and token.text == word


def _negated(inner: Predicate) -> Predicate:
    return lambda document: not inner(document)
