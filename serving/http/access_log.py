"""A line of JSON per request, on standard error, written by a thread: a reader that is slow stops no request."""

from __future__ import annotations

import queue
import sys
import threading
from datetime import UTC, datetime
from typing import Any

import msgspec

from headrace.serving.exchange import Request, Response

MOST_LINES = 10_000  # that wait to be written; what comes beyond is dropped, and counted


class AccessLog:
    """Notes requests with their answers."""

    def __init__(self, stream: Any = None) -> None:
        """Writes to `stream`, by default standard error."""
        self._stream = stream or sys.stderr
        self._lines: queue.Queue[tuple[Any, ...] | None] = queue.Queue(MOST_LINES)
        self._encode = msgspec.json.Encoder().encode
        self.dropped = 0
        self._thread = threading.Thread(target=self._write, daemon=True, name="access-log")
        self._thread.start()

    def note(self, request: Request | None, response: Response, seconds: float, peer: str) -> None:
        """One request; None where it was not understood."""
        try:
            self._lines.put_nowait((datetime.now(UTC), request, response.status, seconds, peer, len(response.body)))
        except queue.Full:
            self.dropped += 1

    def close(self) -> None:
        """Writes what waits, and ends; gives up after a second where nobody reads."""
        try:
            self._lines.put(None, timeout=1.0)
        except queue.Full:
            return
        self._thread.join(1.0)

    def _write(self) -> None:
        while (noted := self._lines.get()) is not None:
            lines = [self._line(*noted)]
            while len(lines) < 100 and not self._lines.empty():
                more = self._lines.get()
                if more is None:
                    self._put(lines)
                    return
                lines.append(self._line(*more))
            self._put(lines)

    def _put(self, lines: list[str]) -> None:
        if dropped := self.dropped:
            self.dropped = 0
            lines.append(
                self._encode({"level": "warning", "message": "requests not logged", "count": dropped}).decode()
            )
        try:
            self._stream.write("\n".join(lines) + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            return  # nobody reads it any more

    def _line(self, time: datetime, request: Request | None, status: int, seconds: float, peer: str, size: int) -> str:
        values: dict[str, Any] = {
            "time": time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": "info" if status < 500 else "error",
            "message": f"{request.method} {request.path} {status}" if request else f"a request not understood {status}",
            "status": status,
            "ms": round(1000 * seconds, 3),
            "bytes": size,
            "peer": peer,
        }
        if request is not None:
            values |= {"method": request.method, "path": request.path}
            agent = request.headers.get(b"user-agent")
            if agent:
                values["agent"] = agent[:200].decode("latin-1")
            trace = request.headers.get(b"traceparent", b"").split(b"-")
            if len(trace) >= 4 and len(trace[1]) == 32:
                values |= {"trace_id": trace[1].decode("latin-1"), "span_id": trace[2][:16].decode("latin-1")}
            if request.id:
                values["request_id"] = request.id.decode("latin-1")
            if request.served is not None:
                values |= {"model": request.served.name, "version": request.served.version}
        return self._encode(values).decode()
