"""Dates and times that databases hold and nothing else can: `infinity`, and years before 1 or after 9999."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import pyarrow as pa

from headrace.components.ingest.columns import beyond_note, within_calendar


@dataclass
class Calendar:
    """Makes dates and times missing that no calendar of Python or pandas has, and counts them by column."""

    beyond: Counter[str] = field(default_factory=Counter)

    def checked(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The batch with such values null."""
        columns = []
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            within, count = within_calendar(column)
            columns.append(within)
            if count:
                self.beyond[name] += count
        return pa.RecordBatch.from_arrays(columns, schema=batch.schema)

    def notes(self) -> list[str]:
        """A note for each column that had any, once all batches were seen."""
        return [beyond_note(name, count) for name, count in self.beyond.items()]
