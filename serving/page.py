"""The page that Prometheus reads, in its text format, version 0.0.4: what all processes counted together."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

from headrace import __version__
from headrace.serving import board
from headrace.serving.board import Block, Board
from headrace.serving.metrics import BINS, BUCKETS, PROBABILITIES, ROW_BUCKETS, error_kinds

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"

Labels = Mapping[str, str]


class _Version:
    """What all processes counted of one version."""

    def __init__(self, key: Mapping[str, Any]) -> None:
        self.key = key
        self.labels = {"model": str(key["model"]), "version": str(key["version"])}
        self.counts = [0] * board.PAIRS
        self.numbers = {board.LATENCY_SUM: 0.0, board.PREDICTED_SUM: 0.0}
        self.answers: dict[tuple[str, int], int] = {}
        self.bounds: Sequence[float] = PROBABILITIES if "class" in key else ()
        self.share = 0

    def add(self, block: Block) -> None:
        counted = block.counts[: board.PAIRS].tolist()
        self.counts = [mine + more for mine, more in zip(self.counts, counted, strict=True)]
        for word in (board.ROWS, board.REQUEST_ROWS):
            self.counts[word] += counted[board.SINGLES]
        for word in self.numbers:
            self.numbers[word] += block.numbers[word]
        for place, pair in enumerate(block.pairs()):
            self.answers[pair] = self.answers.get(pair, 0) + block.counts[board.PAIRS + place]
        if "value" in self.key:
            self.bounds = list(block.numbers[board.BOUNDS : board.BOUNDS + BINS])
        self.share = max(self.share, counted[board.SHARE])

    def histogram(self, word: int, bounds: Sequence[float], total: float, beyond: int = 0) -> _Histogram:
        return _Histogram(self.labels, self.counts[word : word + len(bounds) + 1], bounds, total, beyond)


class _Histogram(NamedTuple):
    labels: Labels
    counts: list[int]  # one per bound, and one above
    bounds: Sequence[float]
    total: float
    beyond: int = 0  # counted in no bucket but the last


class _Process(NamedTuple):
    cpu: float = 0.0
    resident: int = 0
    virtual: int = 0
    files: int = 0
    threads: int = 0


def page(shared: Board) -> bytes:
    """All series."""
    slots = [slot.copy() for slot in shared.slots]
    versions: dict[tuple[str, str, bool], _Version] = {}
    for slot in slots:
        for block in slot.versions:
            key = block.key()
            found = versions.setdefault((key["model"], key["version"], key["shadow"]), _Version(key))
            found.add(block)
    live = [one for _, one in sorted(versions.items()) if not one.key["shadow"]]
    shadows = [one for _, one in sorted(versions.items()) if one.key["shadow"]]
    lines = [
        *_models(live, shadows),
        *_answers("headrace", "", live),
        *_server([slot.process for slot in slots]),
        *_processes(shared, [slot.process for slot in slots]),
    ]
    if shadows:
        lines += _answers("headrace_shadow", " of shadows", shadows)
    return "\n".join([*lines, ""]).encode()


def _models(live: Sequence[_Version], shadows: Sequence[_Version]) -> Iterator[str]:
    served = [(one, "false") for one in live if one.share] + [(one, "true") for one in shadows if one.share]
    yield from _family("headrace_model_info", "gauge", "The versions that are served.")
    for one, shadow in served:
        yield _line("headrace_model_info", {**one.labels, "digest": one.key["digest"], "shadow": shadow}, 1)
    yield from _family("headrace_model_traffic_percent", "gauge", "Share of the requests that a version is to answer.")
    for one, shadow in served:
        if shadow == "false":
            yield _line("headrace_model_traffic_percent", one.labels, one.share - 1)


def _answers(prefix: str, of: str, versions: Sequence[_Version]) -> Iterator[str]:
    yield from _family(f"{prefix}_requests_total", "counter", f"Prediction requests{of} by route and HTTP status.")
    for one in versions:
        for (route, status), number in sorted(one.answers.items()):
            labels = {**one.labels, "route": route, "status": str(status or "other")}
            yield _line(f"{prefix}_requests_total", labels, number)
    yield from _family(f"{prefix}_rows_total", "counter", f"Instances scored{of}.")
    yield from (_line(f"{prefix}_rows_total", one.labels, one.counts[board.ROWS]) for one in versions)
    name = f"{prefix}_unseen_categories_total"
    yield from _family(name, "counter", f"Category values unknown in training{of}.")
    yield from (_line(name, one.labels, one.counts[board.UNSEEN]) for one in versions)
    yield from _histograms(
        f"{prefix}_latency_seconds",
        f"Time from a whole prediction request to its answer{of}.",
        (one.histogram(board.LATENCY, BUCKETS, one.numbers[board.LATENCY_SUM]) for one in versions),
    )
    yield from _histograms(
        f"{prefix}_request_rows",
        f"Instances per request{of}.",
        (one.histogram(board.REQUEST_ROWS, ROW_BUCKETS, one.counts[board.ROWS]) for one in versions),
    )
    yield from _predictions(prefix, of, versions)


def _predictions(prefix: str, of: str, versions: Sequence[_Version]) -> Iterator[str]:
    numbers, labelled = ([one for one in versions if ("labels" in one.key) is there] for there in (False, True))
    broken = board.PREDICTED + board.NOT_A_NUMBER
    if numbers:
        yield from _histograms(
            f"{prefix}_predictions",
            f"What was predicted{of}: the positive class's probability, or the value.",
            (
                one.histogram(board.PREDICTED, one.bounds, one.numbers[board.PREDICTED_SUM], one.counts[broken])
                for one in numbers
            ),
        )
    if labelled:
        yield from _family(f"{prefix}_predictions_total", "counter", f"What was predicted{of}, by label.")
    for one in labelled:
        names = [str(name) for name in one.key["labels"]]
        counts = one.counts[board.PREDICTED : board.PREDICTED + len(names)]
        others = one.counts[board.PREDICTED + board.OTHER_LABEL]
        for name, number in [*zip(names, counts, strict=True), *([("(other)", others)] if others else [])]:
            yield _line(f"{prefix}_predictions_total", {**one.labels, "label": name}, number)
    name = f"{prefix}_predictions_not_finite_total"
    yield from _family(name, "counter", f"Predictions{of} that are no number.")
    yield from (_line(name, one.labels, one.counts[broken]) for one in versions)


def _server(blocks: Sequence[Block]) -> Iterator[str]:
    def summed(word: int) -> int:
        return sum(block.counts[word] for block in blocks)

    def most(word: int) -> int:
        return max(block.counts[word] for block in blocks)

    simple: list[tuple[str, str, str, Callable[[int], int], int]] = [
        ("model_swaps_total", "counter", "Models that took over from another while serving.", most, board.SWAPS),
        ("model_refused", "gauge", "1 while a newer model should be served and cannot be.", most, board.REFUSED),
        ("connections", "gauge", "Open connections.", summed, board.CONNECTIONS),
        ("connections_total", "counter", "Connections that were made.", summed, board.ALL_CONNECTIONS),
        ("requests_in_progress", "gauge", "Requests without an answer yet.", summed, board.IN_PROGRESS),
        ("requests_queued", "gauge", "Requests that wait for a thread or for a batch.", summed, board.QUEUED),
        ("request_log_rows_total", "counter", "Rows written to the request log.", summed, board.LOG_ROWS),
        ("request_log_dropped_rows_total", "counter", "Rows lost to the log: it was full.", summed, board.LOG_DROPPED),
        ("request_log_files_total", "counter", "Files finished by the request log.", summed, board.LOG_FILES),
        ("request_log_bytes", "gauge", "Bytes of the request log's files on disk.", most, board.LOG_BYTES),
    ]
    for name, kind, text, how, word in simple:
        yield from _family(f"headrace_{name}", kind, text)
        yield _line(f"headrace_{name}", {}, how(word))
    yield from _family("headrace_errors_total", "counter", "Answers that are errors, by kind.")
    for place, name in enumerate(error_kinds()):
        yield _line("headrace_errors_total", {"kind": name}, summed(board.ERRORS + place))
    for name, text, word, total in (
        ("batch_rows", "Instances per call of a slow model.", board.BATCH_ROWS, board.BATCH_ROWS_SUM),
        ("batch_requests", "Requests per call of a slow model.", board.BATCH_REQUESTS, board.BATCH_REQUESTS_SUM),
    ):
        counts = [summed(word + place) for place in range(len(ROW_BUCKETS) + 1)]
        if any(counts):
            yield from _histograms(f"headrace_{name}", text, [_Histogram({}, counts, ROW_BUCKETS, summed(total))])


def _processes(shared: Board, blocks: Sequence[Block]) -> Iterator[str]:
    """Of all processes together, under the names that Prometheus' own clients have; memory also of each."""
    now = {number: _process(block.counts[board.PID]) for number, block in enumerate(blocks) if block.counts[board.PID]}
    cpu = 0.0
    for number, block in enumerate(blocks):
        seen = max(now[number].cpu if number in now else 0.0, block.numbers[board.CPU_SEEN])
        shared.slots[number].process.numbers[board.CPU_SEEN] = seen
        cpu += block.numbers[board.CPU_BEFORE] + seen
    running = {number: one for number, one in now.items() if one.resident}
    for name, kind, text, value in (
        ("start_time_seconds", "gauge", "When the server began, in seconds since 1970.", round(shared.started, 3)),
        ("cpu_seconds_total", "counter", "Of all processes, those that ended included.", round(cpu, 2)),
        ("resident_memory_bytes", "gauge", "Of all processes; what they share counts for each.", _sum(running, 1)),
        ("virtual_memory_bytes", "gauge", "Of all processes.", _sum(running, 2)),
        ("open_fds", "gauge", "Open files and sockets of all processes.", _sum(running, 3)),
        ("max_fds", "gauge", "That one process may open.", _most_files()),
    ):
        yield from _family(f"process_{name}", kind, text)
        yield _line(f"process_{name}", {}, value)
    yield from _family("headrace_process_resident_memory_bytes", "gauge", "Of each process, by its place.")
    for number, one in running.items():
        yield _line("headrace_process_resident_memory_bytes", {"process": str(number)}, one.resident)
    yield from _family("headrace_processes", "gauge", "Processes that run.")
    yield _line("headrace_processes", {}, len(running))
    yield from _family("headrace_build_info", "gauge", "The server's own version.")
    yield _line("headrace_build_info", {"version": __version__}, 1)


def _sum(running: Mapping[int, _Process], place: int) -> int:
    return int(sum(one[place] for one in running.values()))


def _process(pid: int) -> _Process:
    """What a process takes; nothing where it has ended, or where there is no /proc."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    except OSError:
        return _Process()
    ticks = os.sysconf("SC_CLK_TCK")
    cpu = (int(words[11]) + int(words[12])) / ticks
    return _Process(cpu, int(words[21]) * os.sysconf("SC_PAGE_SIZE"), int(words[20]), files, int(words[17]))


def _most_files() -> int:
    import resource

    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def _histograms(name: str, text: str, found: Iterable[_Histogram]) -> Iterator[str]:
    yield from _family(name, "histogram", text)
    for one in found:
        sums = list(accumulate(one.counts))
        sums[-1] += one.beyond
        for bound, number in zip((*one.bounds, "+Inf"), sums, strict=True):
            yield _line(f"{name}_bucket", {**one.labels, "le": str(bound)}, number)
        yield _line(f"{name}_sum", one.labels, one.total)
        yield _line(f"{name}_count", one.labels, sums[-1])


def _family(name: str, kind: str, text: str) -> tuple[str, str]:
    return f"# HELP {name} {text}", f"# TYPE {name} {kind}"


def _line(name: str, labels: Labels, value: float) -> str:
    told = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
    return f"{name}{{{told}}} {value!r}" if told else f"{name} {value!r}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
