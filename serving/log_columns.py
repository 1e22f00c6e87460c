"""The columns of the request log: rows of raw cells and the model's outputs, as Arrow's arrays.

request_id, row        which request, and which of its instances: what ground truth is joined by
time                   when the request was whole, UTC
endpoint, model, version, digest, variant, key, shadow, route, latency_seconds
instance               a struct of the inputs by name, each in its own type: what `validate.requests` reads
prediction             the label, or the value
score                  the positive class's probability; of more than two classes the largest
probabilities          a struct by class (a list where there are more than 64)
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from headrace.serving.request_log import Head, Rows

MOST_CLASSES = 64  # that have a field each

_TYPES: dict[str, Any] = {
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "category": pa.string(),
    "text": pa.string(),
    "date": pa.timestamp("us"),
}
_PICTURE = [("digest", pa.string()), ("bytes", pa.int64())]
_ABOUT: dict[str, Any] = {
    "request_id": pa.string(),
    "row": pa.int32(),
    "time": pa.timestamp("us", tz="UTC"),
    "endpoint": pa.string(),
    "model": pa.string(),
    "version": pa.string(),
    "digest": pa.string(),
    "variant": pa.string(),
    "key": pa.string(),
    "shadow": pa.bool_(),
    "route": pa.string(),
    "latency_seconds": pa.float64(),
}


class Columns:
    """Rows of one version that wait to be written."""

    def __init__(self, head: Head, images: bool = False) -> None:
        self._head = head
        self._images = images
        self._kinds = [self._kind(name) for name in head.types]
        self._waiting: list[Rows] = []
        self.rows = 0
        self.schema = self._schema()

    def _kind(self, name: str) -> Any:
        if name == "image":
            return pa.struct([*_PICTURE, *([("content", pa.binary())] if self._images else [])])
        return _TYPES[name]

    def _schema(self) -> Any:
        head = self._head
        fields = [pa.field(name, kind) for name, kind in _ABOUT.items()]
        if head.names:
            fields.append(
                pa.field(
                    "instance",
                    pa.struct([pa.field(name, kind) for name, kind in zip(head.names, self._kinds, strict=True)]),
                )
            )
        if not head.classes:
            return pa.schema([*fields, pa.field("prediction", pa.float64())])
        return pa.schema(
            [
                *fields,
                pa.field("prediction", pa.string()),
                pa.field("score", pa.float32()),
                pa.field("probabilities", self._probabilities()),
            ]
        )

    def _probabilities(self) -> Any:
        classes = self._head.classes
        if len(classes) > MOST_CLASSES or "" in classes:
            return pa.list_(pa.float32())
        return pa.struct([pa.field(name, pa.float32()) for name in classes])

    def add(self, rows: Rows) -> None:
        """Takes some in."""
        self._waiting.append(rows)
        self.rows += len(rows.outputs) // (4 * rows.width)

    def clear(self) -> None:
        """Forgets what waits."""
        self._waiting, self.rows = [], 0

    def take(self) -> Any:
        """All that waits, as a record batch; nothing waits then.

        Raises:
            ValueError: a cell is of another type than its input; all rows are lost.
        """
        waiting, count = self._waiting, self.rows
        self.clear()
        arrays = [*self._about(waiting, count)]
        if self._head.names:
            arrays.append(self._instances(waiting))
        parts = [np.frombuffer(one.outputs, np.float32).reshape(-1, one.width) for one in waiting]
        arrays += self._predictions(np.concatenate(parts))
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)

    def _about(self, waiting: list[Rows], count: int) -> list[Any]:
        head = self._head
        sizes = [len(one.outputs) // (4 * one.width) for one in waiting]
        alike: dict[str, Any] = {
            "endpoint": head.endpoint,
            "model": head.model,
            "version": head.version,
            "digest": head.digest,
        }
        each: dict[str, list[Any]] = {
            "request_id": [one.request_id for one in waiting],
            "time": [round(one.time * 1e6) for one in waiting],
            "variant": [one.variant for one in waiting],
            "key": [one.key or None for one in waiting],
            "shadow": [one.shadow for one in waiting],
            "route": [one.route for one in waiting],
            "latency_seconds": [one.seconds for one in waiting],
        }
        found = []
        for name, kind in _ABOUT.items():
            if name in alike:
                found.append(pa.array([alike[name]] * count, kind))
            elif name == "row":
                places = [one.first + i for one, size in zip(waiting, sizes, strict=True) for i in range(size)]
                found.append(pa.array(places, kind))
            else:
                values = [v for v, size in zip(each[name], sizes, strict=True) for _ in range(size)]
                found.append(pa.array(values, kind))
        return found

    def _instances(self, waiting: list[Rows]) -> Any:
        empty: list[Any] = [None] * len(self._head.names)
        table: list[Any] = []
        for one in waiting:
            table += one.cells if one.cells is not None else [empty] * (len(one.outputs) // (4 * one.width))
        if self._head.types == ["image"]:
            names = ["digest", "bytes", "content"][: 3 if self._images else 2]
            pictures = [dict(zip(names, row, strict=False)) for row in table]
            return pa.StructArray.from_arrays([pa.array(pictures, self._kinds[0])], names=self._head.names)
        columns = [
            _array(list(cells), name, kind)
            for cells, name, kind in zip(zip(*table, strict=True), self._head.types, self._kinds, strict=True)
        ]
        return pa.StructArray.from_arrays(columns, names=self._head.names)

    def _predictions(self, outputs: Any) -> list[Any]:
        head = self._head
        if not head.classes:
            return [pa.array(outputs[:, 0].astype(np.float64))]
        if head.positive is not None:
            place = head.classes.index(head.positive)
            scores = outputs[:, place]
            chosen = np.where(scores.astype(np.float64) >= (head.threshold or 0.0), place, 1 - place)
        else:
            chosen = outputs.argmax(axis=1)
            scores = outputs.max(axis=1)
        labels = pa.array(head.classes, pa.string()).take(pa.array(chosen))
        kind = self._probabilities()
        if pa.types.is_list(kind):
            return [labels, pa.array(scores), pa.array(list(outputs), kind)]
        columns = [pa.array(np.ascontiguousarray(outputs[:, place])) for place in range(len(head.classes))]
        return [labels, pa.array(scores), pa.StructArray.from_arrays(columns, names=head.classes)]


def _array(cells: list[Any], name: str, kind: Any) -> Any:
    if name == "number":
        return pa.array(cells, kind, from_pandas=True)  # NaN is how some protocols say that a value is missing
    if name == "boolean":
        return pa.array([None if cell is None or cell != cell else bool(cell) for cell in cells], kind)
    if name == "date":
        return pa.array([_moment(cell) for cell in cells], kind)
    return pa.array(cells, kind)


def _moment(text: str | None) -> datetime | None:
    """A date, or a date and time, in UTC; without a zone it is UTC already (see `artifacts.signature`).

    None also where its zone takes it out of the years 1 to 9999, which the model is given and most readers do not know.
    """
    if not text:
        return None
    found = datetime.fromisoformat(text)
    try:
        return found.astimezone(UTC).replace(tzinfo=None) if found.tzinfo is not None else found
    except OverflowError:
        return None
