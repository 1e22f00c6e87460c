"""Parts of dates as nodes: float64 days since 1970-01-01 [N, 1] to float64 [N, 1].

All is done in whole numbers in float64, which holds them exactly up to 2^53. The calendar is Howard Hinnant's
civil_from_days (the proleptic Gregorian one).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from headrace.trainer.expressions.arrow_dates import DAY_MS, FIRST_DAY, HOUR_MS, LAST_DAY, MINUTE_MS
from headrace.trainer.expressions.graph_values import Builder


class _Civil(NamedTuple):
    """A day in the calendar; `since_march` counts from 0 on the 1st of March."""

    year: str
    month: str
    day: str
    since_march: str


def _divided(b: Builder, value: str, by: float) -> str:
    return b.add("Floor", b.add("Div", value, b.number(by)))


def _plus(b: Builder, value: str, number: float) -> str:
    return b.add("Add", value, b.number(number))


def _times(b: Builder, value: str, number: float) -> str:
    return b.add("Mul", value, b.number(number))


def _is(b: Builder, op: str, value: str, number: float) -> str:
    return b.graph.to_double(b.add(op, value, b.number(number)))


def _milliseconds(b: Builder, days: str) -> str:
    outside = b.add(
        "Or", b.add("Less", days, b.number(FIRST_DAY)), b.add("Not", b.add("Less", days, b.number(LAST_DAY + 1)))
    )
    days = b.add("Where", outside, b.number(float("nan")), days)
    return b.add("Add", b.add("Round", _times(b, days, DAY_MS)), b.missing(days))


def _whole_days(b: Builder, days: str) -> str:
    return _divided(b, _milliseconds(b, days), DAY_MS)


def _civil(b: Builder, days: str) -> _Civil:
    shifted = _plus(b, _whole_days(b, days), 719_468.0)  # since 0000-03-01: a leap day is a year's last
    era = _divided(b, shifted, 146_097.0)  # of 400 years
    of_era = b.add("Sub", shifted, _times(b, era, 146_097.0))
    leap = b.add("Sub", _divided(b, of_era, 1_460.0), _divided(b, of_era, 36_524.0))
    leap = b.add("Add", leap, _divided(b, of_era, 146_096.0))
    year_of_era = _divided(b, b.add("Sub", of_era, leap), 365.0)
    before = b.add("Sub", _divided(b, year_of_era, 4.0), _divided(b, year_of_era, 100.0))
    of_year = b.add("Sub", of_era, b.add("Add", _times(b, year_of_era, 365.0), before))
    month = _divided(b, _plus(b, _times(b, of_year, 5.0), 2.0), 153.0)  # 0 is March
    passed = _divided(b, _plus(b, _times(b, month, 153.0), 2.0), 5.0)
    day = _plus(b, b.add("Sub", of_year, passed), 1.0)
    late = _is(b, "GreaterOrEqual", month, 10.0)  # January and February
    year = b.add("Add", b.add("Add", year_of_era, _times(b, era, 400.0)), late)
    month = b.add("Sub", _plus(b, month, 3.0), _times(b, late, 12.0))
    return _Civil(year, month, day, of_year)


def _weekday(b: Builder, days: str) -> str:
    """0 is Monday; 1970-01-01 was a Thursday."""
    day = _plus(b, _whole_days(b, days), 3.0)
    return b.add("Sub", day, _times(b, _divided(b, day, 7.0), 7.0))


def _day_of_year(b: Builder, days: str) -> str:
    """1 is the 1st of January."""
    civil = _civil(b, days)
    leap = b.add("Sub", _multiple(b, civil.year, 4.0), _multiple(b, civil.year, 100.0))
    leap = b.add("Add", leap, _multiple(b, civil.year, 400.0))
    from_march = b.add("Add", _plus(b, civil.since_march, 60.0), leap)
    return b.add("Where", b.add("Less", civil.month, b.number(3.0)), _plus(b, civil.since_march, -305.0), from_march)


def _multiple(b: Builder, value: str, of: float) -> str:
    return b.graph.to_double(b.add("Equal", value, _times(b, _divided(b, value, of), of)))


def _clock(unit: float, count: float) -> Callable[[Builder, str], str]:
    def build(b: Builder, days: str) -> str:
        units = _divided(b, _milliseconds(b, days), unit)
        return b.add("Sub", units, _times(b, _divided(b, units, count), count))

    return build


DATES: dict[str, Callable[..., str]] = {
    "year": lambda b, days: _civil(b, days).year,
    "quarter": lambda b, days: _plus(b, _divided(b, _plus(b, _civil(b, days).month, -1.0), 3.0), 1.0),
    "month": lambda b, days: _civil(b, days).month,
    "day": lambda b, days: _civil(b, days).day,
    "weekday": _weekday,
    "day_of_year": _day_of_year,
    "hour": _clock(HOUR_MS, 24.0),
    "minute": _clock(MINUTE_MS, 60.0),
    "days_between": lambda b, start, end: b.finite(b.add("Sub", end, start)),
}
