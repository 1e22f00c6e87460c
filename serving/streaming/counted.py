"""What a stream's process counts, and the port where Prometheus and Kubernetes ask for it."""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from headrace.artifacts.errors import HeadraceError
from headrace.serving.streaming.message import Record

SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)  # messages of a batch
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)  # from a batch's read to its commit
STALLED_SECONDS = 60.0  # without a turn of the loop: what hangs is not healthy


class Histogram:
    """Counts by upper bounds."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def add(self, value: float) -> None:
        """Counts one value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def lines(self, name: str) -> list[str]:
        """In Prometheus' text format."""
        found, count = [], 0
        for bound, number in zip((*self._bounds, "+Inf"), self._counts, strict=True):
            count += number
            found.append(f'{name}_bucket{{le="{bound}"}} {count}')
        return [*found, f"{name}_sum {self._sum!r}", f"{name}_count {count}"]


class Counted:
    """The numbers of one process. One thread counts, and others read."""

    def __init__(self) -> None:
        self.scored = self.dead = self.doubled = self.again = self.taken_over = self.lost = 0
        self.unseen = 0
        self.unavailable: dict[str, int] = {"source": 0, "sink": 0}
        self.swaps = -1
        self.refused = False  # whether a version that should answer cannot be loaded
        self.model = ""  # labels
        self.in_flight = 0
        self.reachable = True
        self._sizes, self._seconds = Histogram(SIZES), Histogram(SECONDS)
        self.waiting: int | None = None  # messages of the source that are not done, where it can tell
        self._turned = time.monotonic()
        self._last = 0.0  # when a batch was committed, in epoch seconds

    def serves(self, name: str, version: str | None, digest: str) -> None:
        """Another model answers."""
        name, version = (text.replace("\\", r"\\").replace('"', r"\"") for text in (name, version or ""))
        self.model = f'model="{name}",version="{version}",digest="{digest}"'
        self.swaps += 1
        self.refused = False

    def turned(self) -> None:
        """The loop is alive."""
        self._turned = time.monotonic()

    def committed(self, records: list[Record], twice: int, seconds: float) -> None:
        """A batch was answered, of which `twice` had been already."""
        dead = sum(bool(record.reason) for record in records)
        self.scored += len(records) - dead
        self.dead += dead
        self.doubled += twice
        self.again += sum(record.message.attempt > 1 for record in records)
        self._sizes.add(len(records))
        self._seconds.add(seconds)
        self._last = time.time()

    @property
    def healthy(self) -> bool:
        """Whether the loop turns; waiting for a place that cannot be reached is turning, and no reason to be killed."""
        return time.monotonic() - self._turned < STALLED_SECONDS

    def text(self) -> bytes:
        """The page that Prometheus reads."""
        lines: list[str] = []

        def family(name: str, kind: str, text: str, *values: str) -> None:
            lines.extend((f"# HELP headrace_stream_{name} {text}", f"# TYPE headrace_stream_{name} {kind}", *values))

        def one(name: str, kind: str, text: str, value: float) -> None:
            family(name, kind, text, f"headrace_stream_{name} {value}")

        family("model_info", "gauge", "The model that answers.", f"headrace_stream_model_info{{{self.model}}} 1")
        one("model_swaps_total", "counter", "Models that took over from another.", self.swaps)
        one("model_refused", "gauge", "1 while a newer model should answer and cannot.", int(self.refused))
        family(
            "messages_total", "counter", "Messages that are done, by what came of them.",
            f'headrace_stream_messages_total{{outcome="answered"}} {self.scored}',
            f'headrace_stream_messages_total{{outcome="dead"}} {self.dead}',
        )  # fmt: skip
        one("duplicates_total", "counter", "Of those, the ones that the sink had already.", self.doubled)
        one("redelivered_total", "counter", "Of those, the ones that were delivered before.", self.again)
        one("lost_batches_total", "counter", "Batches that another consumer had taken over.", self.lost)
        one("unseen_categories_total", "counter", "Category values unknown in training.", self.unseen)
        family(
            "unavailable_total", "counter", "Attempts that failed since a place could not be reached.",
            *(f'headrace_stream_unavailable_total{{place="{k}"}} {v}' for k, v in self.unavailable.items()),
        )  # fmt: skip
        one("reachable", "gauge", "0 while source or sink cannot be reached.", int(self.reachable))
        one("in_flight", "gauge", "Messages read and not done.", self.in_flight)
        if self.waiting is not None:
            one("lag", "gauge", "Messages of the source that are not done.", self.waiting)
        one("last_commit_timestamp_seconds", "gauge", "When a batch was done last, 0 if none.", self._last)
        family(
            "batch_messages", "histogram", "Messages of a batch.", *self._sizes.lines("headrace_stream_batch_messages")
        )
        name = "headrace_stream_batch_seconds"
        family("batch_seconds", "histogram", "From a batch's read to its commit.", *self._seconds.lines(name))
        return ("\n".join(lines) + "\n").encode()


def listen(counted: Counted, host: str, port: int) -> str:
    """Answers GET /metrics and /health in a thread, until the process ends; returns the url.

    Raises:
        HeadraceError: the address is taken.
    """

    class Page(BaseHTTPRequestHandler):
        timeout = 10  # for a client that says nothing

        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._answer(200, "text/plain; version=0.0.4; charset=utf-8", counted.text())
            elif self.path in ("/health", "/healthz"):
                status, word = (200, b"ok") if counted.healthy else (503, b"stalled")
                self._answer(status, "application/json", b'{"status":"%s"}' % word)
            else:
                self._answer(404, "application/json", b'{"error":"expected GET /metrics or GET /health"}')

        do_HEAD = do_GET

        def _answer(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    ThreadingHTTPServer.daemon_threads = True
    try:
        server = ThreadingHTTPServer((host, port), Page)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise HeadraceError(f"metrics port: expected a free port. Received: {host}:{port} ({reason})") from None
    threading.Thread(target=server.serve_forever, daemon=True, name="metrics").start()
    return f"http://{host}:{server.server_address[1]}"
