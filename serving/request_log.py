"""A worker's side of the request log: what was seen goes to the writer's process, or is dropped; nobody waits.

The writer (see `serving.log_writer`) turns it into Parquet. What is not to be logged does not leave the worker.
"""

from __future__ import annotations

import hashlib
import socket
import struct
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec

from headrace.artifacts.signature import Signature
from headrace.serving import board
from headrace.serving.log_process import omitted
from headrace.serving.metrics import Metrics
from headrace.serving.observe import Observed, sampled
from headrace.serving.settings import Settings

MOST_ROWS = 1_000  # of a request, the first ones: encoding a million would keep other requests waiting
MOST_PICTURES = 32  # requests with pictures that wait to be logged; more are dropped
LONGEST = 1024 * 1024  # bytes of a message

_ROWS = struct.Struct("<I")  # before each message: how many rows it has


class Head(msgspec.Struct, array_like=True, frozen=True):
    """What the rows of a version have in common."""

    endpoint: str
    model: str
    version: str | None
    digest: str
    names: list[str]  # of the inputs that are logged
    types: list[str]
    label: str
    classes: list[str]
    positive: str | None
    threshold: float | None


class Rows(msgspec.Struct, array_like=True):
    """Some rows of one request."""

    head: bytes  # a `Head`, encoded
    request_id: str
    time: float
    seconds: float
    route: str
    variant: str
    key: str
    shadow: bool
    first: int  # the first row's place in its request
    width: int
    outputs: bytes  # float32
    cells: list[Any] | None  # a list per row; of a picture (digest, bytes, content)


class RequestLog:
    """Sends what it sees. Implements `observe.Observer`; it may be called from any thread."""

    def __init__(self, line: socket.socket, settings: Settings, metrics: Metrics) -> None:
        self._line = line
        self._settings = settings
        self._metrics = metrics
        self._omit = omitted(settings)
        self._longest = min(LONGEST, line.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) // 2 - 1024)
        # By what identifies a version: the same bundle may be registered twice, as for an A/A test.
        self._heads: dict[tuple[str, str | None, str], tuple[bytes, tuple[int, ...] | None]] = {}
        self._encode = msgspec.msgpack.Encoder().encode
        self._thread = ThreadPoolExecutor(1, "log-pictures")  # which begins with the first picture
        self._pictures = 0  # requests that wait for it

    def wants(self, request_id: bytes) -> bool:
        """Whether the request is in the sample."""
        return sampled(request_id, self._settings.log_sample)

    def see(self, observed: Observed) -> None:
        """Sends the rows of a request that was answered; an error has none."""
        if observed.outputs is None or not len(observed.outputs):
            return
        if observed.signature.image is None:
            self._see(observed)
        elif self._pictures < MOST_PICTURES:
            self._pictures += 1
            self._thread.submit(self._see_pictures, observed)
        else:
            self._drop(len(observed.outputs))

    def _see_pictures(self, observed: Observed) -> None:
        """In a thread: digests of large pictures would keep requests waiting."""
        try:
            self._see(observed)
        finally:
            self._pictures -= 1

    def _see(self, observed: Observed) -> None:
        found = self._heads.get((observed.model, observed.version, observed.digest)) or self._head(observed)
        count = min(len(observed.outputs), MOST_ROWS)
        if count < len(observed.outputs):
            self._drop(len(observed.outputs) - count)
        self._send(observed, found, 0, count)

    def close(self) -> None:
        """Sends what waits for the thread."""
        self._thread.shutdown(wait=True)

    def _send(self, seen: Observed, head: tuple[bytes, tuple[int, ...] | None], start: int, stop: int) -> None:
        encoded, places = head
        outputs = seen.outputs[start:stop]
        rows = Rows(
            head=encoded,
            request_id=seen.request_id,
            time=seen.time,
            seconds=seen.seconds,
            route=seen.route,
            variant=seen.variant,
            key="" if "key" in self._omit else seen.key,
            shadow=seen.shadow,
            first=start,
            width=outputs.shape[1],
            outputs=outputs.tobytes(),
            cells=self._cells(seen, places, start, stop),
        )
        message = _ROWS.pack(stop - start) + self._encode(rows)
        if len(message) > self._longest:
            if stop - start == 1:
                self._drop(1)
                return
            middle = (start + stop) // 2
            self._send(seen, head, start, middle)
            self._send(seen, head, middle, stop)
            return
        try:
            self._line.send(message)
        except OSError:  # it is full, or the writer is gone: the request's path does not wait for either
            self._drop(stop - start)

    def _cells(self, seen: Observed, places: tuple[int, ...] | None, start: int, stop: int) -> list[Any] | None:
        if seen.rows is None:
            return None
        rows = seen.rows[start:stop]
        if seen.signature.image is not None:
            return [self._picture(one) for one in rows] if places != () else None
        if places is None:
            return [tuple(row) for row in rows]
        return [[row[place] for place in places] for row in rows]

    def _picture(self, picture: Any) -> tuple[str, int, bytes | None]:
        content = picture if isinstance(picture, bytes) else picture.tobytes()
        kept = content if self._settings.log_images and isinstance(picture, bytes) else None
        if kept is not None and len(kept) > self._longest - 4096:
            kept = None  # its digest tells which one it was
        return "sha256:" + hashlib.sha256(content).hexdigest(), len(content), kept

    def _head(self, seen: Observed) -> tuple[bytes, tuple[int, ...] | None]:
        """A version's description, encoded, and the places of the inputs that are logged; None: all."""
        signature: Signature = seen.signature
        places = tuple(place for place, item in enumerate(signature.inputs) if item.name not in self._omit)
        kept = [signature.inputs[place] for place in places]
        head = Head(
            endpoint=self._settings.endpoint,
            model=seen.model,
            version=seen.version,
            digest=seen.digest,
            names=[item.name for item in kept],
            types=[item.type for item in kept],
            label=signature.label,
            classes=list(signature.classes),
            positive=signature.positive,
            threshold=signature.threshold,
        )
        found = self._encode(head), None if len(places) == len(signature.inputs) else places
        if len(self._heads) > board.VERSIONS:
            self._heads.clear()
        self._heads[seen.model, seen.version, seen.digest] = found
        return found

    def _drop(self, rows: int) -> None:
        self._metrics.add(board.LOG_DROPPED, rows)
