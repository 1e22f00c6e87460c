"""Parts of dates over Arrow arrays; see `expression_graph_dates` for the same in the graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

# Moments are read to the millisecond: days with a fraction are not exact to the microsecond.
DAY_MS, HOUR_MS, MINUTE_MS = 86_400_000.0, 3_600_000.0, 60_000.0
FIRST_DAY, LAST_DAY = -719_162.0, 2_932_896.0  # of the years 1 to 9999; a part of any other is missing


def _milliseconds(days: Any) -> Any:
    in_range = pc.and_(pc.greater_equal(days, FIRST_DAY), pc.less(days, LAST_DAY + 1))
    days = pc.if_else(in_range, days, pa.scalar(None, pa.float64()))
    return pc.round(pc.multiply(days, DAY_MS), round_mode="half_to_even")


def _calendar(part: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def compute(days: Any) -> Any:
        whole = pc.floor(pc.divide(_milliseconds(days), DAY_MS))
        return part(whole.cast(pa.int32()).cast(pa.date32())).cast(pa.float64())

    return compute


def _clock(unit: float, count: float) -> Callable[[Any], Any]:
    def compute(days: Any) -> Any:
        units = pc.floor(pc.divide(_milliseconds(days), unit))
        return pc.subtract(units, pc.multiply(pc.floor(pc.divide(units, count)), count))

    return compute


DATES: dict[str, Callable[..., Any]] = {
    "year": _calendar(pc.year),
    "quarter": _calendar(pc.quarter),
    "month": _calendar(pc.month),
    "day": _calendar(pc.day),
    "weekday": _calendar(pc.day_of_week),
    "day_of_year": _calendar(pc.day_of_year),
    "hour": _clock(HOUR_MS, 24.0),
    "minute": _clock(MINUTE_MS, 60.0),
    "days_between": lambda start, end: pc.subtract(end, start),
}
