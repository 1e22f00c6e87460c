"""Types that say how a column's texts are written: dates by a pattern, and amounts as people write them.

`date %d/%m/%Y`, `timestamp %m/%d/%Y %I:%M %p` and `amount` (`$1,234.50`, `12 %`, `(3.00)`). The prediction server's
client reads such files too: so only the standard library is imported, and the expressions mean the same in RE2.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from datetime import datetime

PLAIN = ("string", "number", "integer", "boolean", "date", "timestamp")
AMOUNT = "amount"
SIGNS = ("minus", "later", "last")  # groups of an amount's expression
COMMA_NUMBER = r"^\s*[+-]?(([0-9]+|[1-9][0-9]{0,2}(\.[0-9]{3})+)(,[0-9]*)?|,[0-9]+)([eE][+-]?[0-9]+)?\s*$"
_DIRECTIVES = {
    "d": "[0-9]{1,2}",
    "m": "[0-9]{1,2}",
    "Y": "[0-9]{4}",
    "y": "[0-9]{2}",
    "b": "[A-Za-z]{3}",
    "H": "[0-9]{1,2}",
    "I": "[0-9]{1,2}",
    "M": "[0-9]{2}",
    "S": "[0-9]{2}",
    "p": "[AaPp][Mm]",
}
_DAY = ("d", "mb", "Yy")  # of each exactly one
_CODES = (
    "AED|AUD|BRL|CAD|CHF|CLP|CNY|COP|CZK|DKK|EUR|GBP|HKD|HUF|IDR|ILS|INR|JPY|KRW|MXN|MYR|NOK|NZD|PHP|PLN|RON|RUB|SAR|"
    "SEK|SGD|THB|TRY|TWD|UAH|USD|VND|ZAR"
)
_UNIT = rf"[$€£¥₹₩₽₺฿%‰]|{_CODES}|kr|zł|Kč"
_SPACES = " \u00a0\u202f"  # the narrow and the unbreakable one too
_MINUS = "\u2212-"  # at the end of a class of characters


@functools.cache
def split_type(text: str) -> tuple[str, str | None]:
    """A declared type as one of `PLAIN` or `amount`, and the pattern of a date or timestamp.

    Raises:
        ValueError: it is none, or the pattern does not say which day.
    """
    if text in (*PLAIN, AMOUNT):
        return text, None
    word, _, pattern = text.partition(" ")
    if word not in ("date", "timestamp") or not pattern:
        shown = ", ".join(PLAIN)
        raise ValueError(
            f"expected {shown}, {AMOUNT}, or how dates are written, such as `date %d/%m/%Y`. Received: {text!r}"
        )
    said = re.findall("%(.?)", pattern)
    unknown = [f"%{one}" for one in said if one not in _DIRECTIVES]
    if unknown:
        known = " ".join(f"%{one}" for one in _DIRECTIVES)
        raise ValueError(f"expected a pattern of {known}. Received: {unknown[0]} in {text!r}")
    if len(set(said)) < len(said) or any(sum(said.count(one) for one in part) != 1 for part in _DAY):
        raise ValueError(f"expected a pattern with one day, one month and one year. Received: {text!r}")
    hours = [one for one in said if one in "HI"]
    if (word == "timestamp") != bool(hours) or len(hours) > 1 or ("I" in said) != ("p" in said):
        raise ValueError(
            f"expected `date` with a pattern of days, and `timestamp` with one of hours, too (%H, or %I and %p). "
            f"Received: {text!r}"
        )
    return word, pattern.strip()


def written_types(declared: Mapping[str, str] | None) -> dict[str, str]:
    """Of declared types, by column, those of texts that are not written as plain numbers and ISO dates."""
    return {name: type for name, type in (declared or {}).items() if type not in PLAIN}


@functools.cache
def date_expression(pattern: str) -> str:
    """What texts of a pattern look like: a regular expression of the whole text, with a group for each directive."""
    parts = re.split("%(.)", pattern)
    written = (f"(?P<{part}>{_DIRECTIVES[part]})" if place % 2 else re.escape(part) for place, part in enumerate(parts))
    return rf"^\s*{''.join(written)}\s*$"


@functools.cache
def amount_expression(decimal: str) -> str:
    """What amounts look like: a regular expression of the whole text; it also takes one without any digit.

    Its groups: `minus` (a sign, or the bracket that stands for one in accounts), `later` (a sign behind the unit) and
    `last` (a minus behind the number, as SAP writes it), `before` and `behind` (the unit), `whole` (perhaps with its
    thousands apart) and `part` (digits of the fraction).
    """
    apart, point = (f"[,'{_SPACES}]", r"\.") if decimal == "." else (f"[.'{_SPACES}]", ",")
    space, sign = rf"[\s{_SPACES}]*", f"[+{_MINUS}]"
    number = rf"(?P<whole>[0-9]{{1,3}}(?:{apart}[0-9]{{3}})+|[0-9]*)(?:{point}(?P<part>[0-9]*))?"
    return (
        rf"^{space}(?P<minus>{sign}|\()?{space}(?P<before>{_UNIT})?{space}(?P<later>{sign})?{space}{number}"
        rf"{space}(?P<last>[{_MINUS}])?{space}(?P<behind>{_UNIT})?{space}\)?{space}$"
    )


def is_minus(sign: str | None) -> bool:
    """Whether what stands in the groups `minus`, `later` and `last` of an amount makes it negative."""
    return sign is not None and sign in [*_MINUS, "("]


def plain_text(text: str, type: str, decimal: str) -> str:
    """A text of a declared type as a plain number or an ISO date; as it is where it is not written so.

    >>> plain_text("$1,234.50", "amount", ".")
    '1234.50'
    >>> plain_text("31/12/2023", "date %d/%m/%Y", ".")
    '2023-12-31'
    """
    word, pattern = split_type(type)
    if word == AMOUNT:
        return _plain_amount(text, decimal)
    if pattern is None or not re.match(date_expression(pattern), text):
        return text
    try:
        moment = datetime.strptime(text.strip(), pattern)
    except ValueError:  # the 31st of February
        return text
    return moment.date().isoformat() if word == "date" else moment.isoformat()


def _plain_amount(text: str, decimal: str) -> str:
    found = re.match(amount_expression(decimal), text)
    if not found or not (found["whole"] or found["part"]):
        return text
    digits = "".join(one for one in found["whole"] or "0" if one.isdigit())
    minus = "-" if any(is_minus(found[group]) for group in SIGNS) else ""
    return f"{minus}{digits}" + (f".{found['part']}" if found["part"] else "")
