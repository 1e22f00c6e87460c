"""Counters and a latency histogram in Prometheus' text format, version 0.0.4.

Written by hand: a request costs one bisection and a few additions, and the server needs no library for it.
Each worker process has its own numbers.
"""

from __future__ import annotations

from bisect import bisect_left

BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """What one server process counts."""

    def __init__(self, model: str, version: str | None, digest: str) -> None:
        self._swaps = -1
        self.serves(model, version, digest)
        self.refused = False  # whether a version that should be served is not, because it failed to load
        self._statuses: dict[int, int] = {}
        self._buckets = [0] * (len(BUCKETS) + 1)
        self._seconds = 0.0
        self._rows = 0
        self._unseen = 0

    def serves(self, model: str, version: str | None, digest: str) -> None:
        """Another model takes over; what was counted stays."""
        self._labels = f'model="{_escaped(model)}",version="{_escaped(version or "")}",digest="{digest}"'
        self._swaps += 1
        self.refused = False

    def scored(self, seconds: float, rows: int, unseen: int) -> None:
        """Counts one answered prediction request; `seconds` from its body to its answer."""
        self._buckets[bisect_left(BUCKETS, seconds)] += 1
        self._seconds += seconds
        self._rows += rows
        self._unseen += unseen
        self.answered(200)

    def answered(self, status: int) -> None:
        """Counts one answer to the prediction route by its HTTP status."""
        self._statuses[status] = self._statuses.get(status, 0) + 1

    def text(self) -> bytes:
        """The page that Prometheus reads."""
        lines = [
            *_family("headrace_model_info", "gauge", "The model that is served."),
            f"headrace_model_info{{{self._labels}}} 1",
            *_family("headrace_model_swaps_total", "counter", "Models that took over from another while serving."),
            f"headrace_model_swaps_total {self._swaps}",
            *_family("headrace_model_refused", "gauge", "1 while a newer model should be served and cannot be."),
            f"headrace_model_refused {int(self.refused)}",
            *_family("headrace_requests_total", "counter", "Prediction requests by HTTP status."),
            *(f'headrace_requests_total{{status="{k}"}} {v}' for k, v in sorted(self._statuses.items())),
            *_family("headrace_rows_total", "counter", "Instances scored."),
            f"headrace_rows_total {self._rows}",
            *_family("headrace_unseen_categories_total", "counter", "Category values unknown in training."),
            f"headrace_unseen_categories_total {self._unseen}",
            *_family("headrace_latency_seconds", "histogram", "Time to score a request and answer it."),
        ]
        count = 0
        for bound, number in zip((*BUCKETS, "+Inf"), self._buckets, strict=True):
            count += number
            lines.append(f'headrace_latency_seconds_bucket{{le="{bound}"}} {count}')
        lines += [
            f"headrace_latency_seconds_sum {self._seconds!r}",
            f"headrace_latency_seconds_count {count}",
            "",
        ]
        return "\n".join(lines).encode()


def _family(name: str, kind: str, text: str) -> tuple[str, str]:
    return f"# HELP {name} {text}", f"# TYPE {name} {kind}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
