"""Conditions with quotes in their constants, which KFP's compiler does not escape: what can have been meant.

KFP puts conditions together as `left op right`, with `!(...)` around and ` && ` between them. A constant is any text
between two quotes there, so its end is where the rest fits that pattern.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

_REFERENCE = r"inputs\.parameter_values\['[^']*'\]"
_PLAIN = re.compile(
    rf"double\(int\({_REFERENCE}\)\)|int\({_REFERENCE}\)|{_REFERENCE}|double\(-?\d+\)|true|false|-?\d[\d.]*(?:e[+-]?\d+)?"
)
_OPERATOR = re.compile(r" (?:==|!=|<=|>=|<|>) ")
_AND = " && "
_PARAMETER = "inputs.parameter_values["


def with_escapes(text: str) -> str | None:
    """The condition with its constants escaped as CEL wants it; None where there is no way to read it, or several."""
    try:
        readings = list(itertools.islice(_terms(text, 0), 2))
    except RecursionError:
        return None
    return readings[0] if len(readings) == 1 else None


def quotes_a_parameter(text: str) -> bool:
    """Whether KFP's compiler has put a parameter between quotes: it does when another type is compared with a text."""
    return "'int(inputs." in text or "'inputs." in text


def _terms(text: str, at: int) -> Iterator[str]:
    """All ways to read the rest of a condition."""
    for term, end in _term(text, at):
        if end == len(text):
            yield term
        elif text.startswith(_AND, end):
            for rest in _terms(text, end + len(_AND)):
                yield term + _AND + rest


def _term(text: str, at: int) -> Iterator[tuple[str, int]]:
    if not text.startswith("!(", at):
        yield from _comparison(text, at)
        return
    for inner, end in _comparison(text, at + 2):
        if text.startswith(")", end):
            yield f"!({inner})", end + 1


def _comparison(text: str, at: int) -> Iterator[tuple[str, int]]:
    for left, end in _operand(text, at):
        if operator := _OPERATOR.match(text, end):
            for right, last in _operand(text, operator.end()):
                if _PARAMETER in left + right:
                    yield left + operator.group(0) + right, last


def _operand(text: str, at: int) -> Iterator[tuple[str, int]]:
    if plain := _PLAIN.match(text, at):
        yield plain.group(0), plain.end()
    elif text.startswith("'", at):
        end = text.find("'", at + 1)
        while end != -1:
            if _PARAMETER in text[at:end]:
                return  # no constant that anyone writes, but the next comparison
            yield _quoted(text[at + 1 : end]), end + 1
            end = text.find("'", end + 1)


def _quoted(constant: str) -> str:
    escapes = {"\\": "\\\\", "'": "\\'", "\n": "\\n", "\r": "\\r"}
    return "'" + "".join(escapes.get(sign, sign) for sign in constant) + "'"
