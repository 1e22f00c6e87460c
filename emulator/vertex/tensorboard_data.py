"""The points of TensorBoard's time series: one document for each step."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from headrace.emulator import filters
from headrace.emulator.comparison import moment
from headrace.emulator.documents import Document, now
from headrace.emulator.refusals import Refusal
from headrace.emulator.vertex.names import invalid

if TYPE_CHECKING:
    from headrace.emulator.state import Emulator

_POINT = "TensorboardPoint"  # documents `SERIES|STEP`, whose parent is the series
_FIELDS = {"SCALAR": "scalar", "TENSOR": "tensor"}
_MOST_WRITTEN = 5000
_MOST_READ = {"SCALAR": 1000, "TENSOR": 100}


def write(emulator: Emulator, run: str, sent: Sequence[Document]) -> None:
    """Takes points of a run's series in; one at the same step takes the other's place. Within a transaction.

    Args:
        emulator: whose.
        run: its full name.
        sent: TimeSeriesData.

    Raises:
        Refusal: NOT_FOUND: there is no such series; INVALID_ARGUMENT: a point is none of its type, or there are more
            than 5000.
    """
    if sum(len(one.get("values") or ()) for one in sent) > _MOST_WRITTEN:
        raise invalid(f"time_series_data: expected up to {_MOST_WRITTEN} points in a request")
    for one in sent:
        name = f"{run}/timeSeries/{one.get('tensorboardTimeSeriesId', '')}"
        series = emulator.documents.get("TensorboardTimeSeries", name)
        field = _FIELDS.get(series["valueType"])
        if field is None:
            raise Refusal(
                "UNIMPLEMENTED",
                "TensorboardServiceClient.write_tensorboard_run_data: the emulator keeps no blobs of time series",
            )
        written = [_write(emulator, name, field, value) for value in one.get("values") or ()]
        if written:
            _tell(emulator, series, written)


def _tell(emulator: Emulator, series: Document, written: Sequence[Document]) -> None:
    """Keeps a series' last step and time, which are asked for with every list of series."""
    told = series.get("metadata", {})
    steps = [int(point["step"]) for point in written] + [int(told.get("maxStep", 0))]
    times = [point["wallTime"] for point in written] + [told.get("maxWallTime", "0001-01-01T00:00:00Z")]
    after = {"maxStep": str(max(steps)), "maxWallTime": max(times, key=_moment)}
    emulator.documents.change("TensorboardTimeSeries", series["name"], lambda found: {**found, "metadata": after})


def _write(emulator: Emulator, series: str, field: str, sent: Document) -> Document:
    if field not in sent:
        raise invalid(f"values: expected a {field} for {series}. Received: {sent!r:.200}")
    step = _whole(sent.get("step", 0), "step")
    point = {"step": str(step), "wallTime": sent.get("wallTime") or now(), field: sent[field]}
    _moment(point["wallTime"])
    link = f"{series}|{step}"
    if emulator.documents.find(_POINT, link) is None:
        emulator.documents.create(_POINT, link, point, series)
    else:
        emulator.documents.change(_POINT, link, lambda before: point)
    return point


def points(emulator: Emulator, series: str) -> list[Document]:
    """All of a series, by their steps."""
    return sorted(emulator.documents.list(_POINT, series), key=lambda point: int(point["step"]))


def read(emulator: Emulator, series: Document, most: str = "", text: str = "") -> Document:
    """The points of a series, as TimeSeriesData.

    Where there are more than are to be read, some at even distances stand for all: the first and the last are among
    them. (The service takes some by chance.)

    Args:
        emulator: whose.
        series: the resource.
        most: how many, as the client gave it: empty for 1000 scalars or 100 tensors, -1 for all.
        text: a filter of the points.
    """
    wanted = filters.predicate(text)
    found = [point for point in points(emulator, series["name"]) if wanted(point)]
    limit = _whole(most, "max_data_points") if most else _MOST_READ.get(series["valueType"], -1)
    if limit != -1 and limit < 1:
        raise invalid(f"max_data_points: expected 1 or more, or -1. Received: {most!r:.50}")
    if 0 < limit < len(found):
        last = len(found) - 1
        found = [found[-1]] if limit == 1 else [found[round(at * last / (limit - 1))] for at in range(limit)]
    id = series["name"].rpartition("/")[2]
    return {"tensorboardTimeSeriesId": id, "valueType": series["valueType"], "values": found}


def clear(emulator: Emulator, series: str) -> None:
    """Removes the points of a series."""
    emulator.documents.clear(_POINT, series)


def _moment(text: Any) -> datetime:
    found = moment(str(text))
    if found is None:
        raise invalid(f"wall_time: expected a time. Received: {text!r:.50}")
    return found


def _whole(value: Any, field: str) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        raise invalid(f"{field}: expected a whole number. Received: {value!r:.50}") from None
