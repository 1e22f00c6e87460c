"""Dates and times that databases hold and nothing else can: `infinity`, and years before 1 or after 9999."""

from __future__ import annotations

import datetime
from collections import Counter
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

_FIRST, _LAST = datetime.datetime(1, 1, 1), datetime.datetime(9999, 12, 31, 23, 59, 59, 999999)


@dataclass
class Calendar:
    """Makes dates and times missing that no calendar of Python or pandas has, and counts them by column."""

    beyond: Counter[str] = field(default_factory=Counter)

    def checked(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The batch with such values null."""
        columns = list(batch.columns)
        for position, one in enumerate(batch.schema):
            if not (pa.types.is_timestamp(one.type) or pa.types.is_date(one.type)):
                continue
            column = columns[position]
            known = pc.and_(
                pc.greater_equal(column, pa.scalar(_FIRST).cast(one.type)),
                pc.less_equal(column, pa.scalar(_LAST).cast(one.type)),
            )
            if pc.all(known).as_py() is not False:
                continue
            self.beyond[one.name] += len(known) - (pc.sum(known).as_py() or 0) - known.null_count
            columns[position] = pc.if_else(known, column, pa.scalar(None, one.type))
        return pa.RecordBatch.from_arrays(columns, schema=batch.schema)

    def notes(self) -> list[str]:
        """A note for each column that had any, once all batches were seen."""
        return [
            f"`{name}`: {count:,} dates or times that are infinite or beyond the years 1 to 9999 count as missing"
            for name, count in self.beyond.items()
        ]
