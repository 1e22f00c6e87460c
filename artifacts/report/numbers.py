"""How numbers are written for people."""

from __future__ import annotations

import math


def number(value: float | int | None, digits: int = 4) -> str:
    """A number with about `digits` significant digits and grouped thousands; integers whole; a dash for none.

    >>> number(0.8731456), number(0.06), number(1234567), number(15320.75), number(0.00012), number(-2.5e-7)
    ('0.8731', '0.0600', '1,234,567', '15,321', '0.00012', '−2.5e-07')
    >>> number(0.0), number(None), number(2.5)
    ('0', '–', '2.5')
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, int):
        return _minus(f"{value:,}")
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    magnitude = math.floor(math.log10(abs(value)))
    if not -5 < magnitude < 15:
        return _minus(f"{value:.{digits}g}")
    if magnitude < -2:
        return _minus(f"{value:.{digits - 1 - magnitude}f}".rstrip("0"))
    if magnitude < 0:
        # As many decimals whatever the value, so that 0.8700 and 0.0123 line up in a column.
        return _minus(f"{value:.{digits}f}")
    text = f"{value:,.{max(0, digits - 1 - magnitude)}f}"
    return _minus(text.rstrip("0").rstrip(".") if "." in text else text)


def count(value: int) -> str:
    """A whole number with grouped thousands.

    >>> count(50000)
    '50,000'
    """
    return _minus(f"{value:,}")


def percent(share: float | None, digits: int = 1) -> str:
    """A share of one as a percentage; a share above zero is never shown as zero.

    >>> percent(0.1234), percent(0.00001), percent(0), percent(1), percent(None)
    ('12.3 %', '<0.1 %', '0 %', '100 %', '–')
    """
    if share is None or math.isnan(share):
        return "–"
    if share in (0, 1):
        return f"{share:.0%}".replace("%", " %")
    least = 10.0**-digits
    if 0 < share * 100 < least:
        return f"<{least:g} %"
    return _minus(f"{share * 100:.{digits}f} %")


def size(octets: int) -> str:
    """A size in bytes, in binary units.

    >>> size(512), size(1536), size(5 * 1024**2)
    ('512 B', '1.5 KiB', '5.0 MiB')
    """
    value, units = float(octets), ["B", "KiB", "MiB", "GiB", "TiB"]
    while value >= 1024 and len(units) > 1:
        value, units = value / 1024, units[1:]
    return f"{octets} B" if units[0] == "B" else f"{value:.1f} {units[0]}"


def _minus(text: str) -> str:
    return "−" + text[1:] if text.startswith("-") else text
