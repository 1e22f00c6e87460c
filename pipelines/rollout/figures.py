"""What servers have counted, per version: read from their pages for Prometheus.

Counters only grow, and begin again at 0 with their process. So what came between two readings is the difference of each
series, or all of it where the process is another one: as Prometheus' `increase` has it, and for any number of servers.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from headrace.artifacts.errors import HeadraceError

REQUESTS = "headrace_requests_total"
LATENCY = "headrace_latency_seconds_bucket"
SIZES = "headrace_request_rows_bucket"
PREDICTIONS = "headrace_predictions"
_INFO = "headrace_model_info"
_STARTED = "process_start_time_seconds"
_LINE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})?\s+(\S+)")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')
_KEPT = ("version", "route", "status", "le", "label", "protocol")
_NEXT = re.compile(f"\x1f(?=(?:{'|'.join(_KEPT)})=)")  # what is between them; a label's value may have it too
_NOT_OURS = ("429", "499", "503")  # of a server that is full, and of a client that left: no version's doing


@dataclass(frozen=True)
class Reading:
    """One page, as far as it is about a model's versions."""

    started: str  # when the process began, as the page has it; empty where it does not say
    series: Mapping[str, float]  # by name and labels, see `_written`
    digests: Mapping[str, str] = field(default_factory=dict)  # version -> the bundle that the server has under it


@dataclass
class Figures:
    """What one version answered between two readings, all servers together."""

    requests: float = 0.0
    errors: float = 0.0
    latency: dict[float, float] = field(default_factory=dict)  # bound in seconds -> requests up to it
    predictions: dict[str, float] = field(default_factory=dict)  # of rows: "le 0.35" cumulative, or "label no"
    sizes: dict[float, float] = field(default_factory=dict)  # rows -> requests that had up to so many

    def add(self, other: Figures) -> None:
        """Adds what another server counted."""
        self.requests += other.requests
        self.errors += other.errors
        for bound, value in other.latency.items():
            self.latency[bound] = self.latency.get(bound, 0.0) + value
        for bound, value in other.sizes.items():
            self.sizes[bound] = self.sizes.get(bound, 0.0) + value
        for key, value in other.predictions.items():
            self.predictions[key] = self.predictions.get(key, 0.0) + value


def read_page(text: str) -> Reading:
    """The series of the versions that a server answers with.

    Raises:
        HeadraceError: the page has no counts per version: it is no page of a server of ours.
    """
    started = ""
    series: dict[str, float] = {}
    digests: dict[str, str] = {}
    for line in text.split("\n"):  # and at nothing else: a label may hold what else ends lines, as U+2028
        found = _LINE.match(line) if line and not line.startswith("#") else None
        if found is None:
            continue
        name, labels, value = found.group(1), _labels(found.group(2) or ""), found.group(3)
        if name.endswith(_STARTED):
            started = value
        elif name == _INFO and "version" in labels:
            digests[labels["version"]] = labels.get("digest", "")
        elif _counts(name, labels) and (number := _number(value)) is not None:
            key = _written(name, labels)
            series[key] = series.get(key, 0.0) + number
    if not series and REQUESTS not in text:
        raise HeadraceError(f"metrics: expected {REQUESTS} per version. Received: a page without them")
    return Reading(started, series, digests)


def require_same(reading: Reading, versions: Mapping[str, str]) -> None:
    """Refuses the page of a server that has another bundle under a version's number: it serves another model.

    Args:
        reading: of the page.
        versions: the bundles' digests by version, as the registry has them.

    Raises:
        HeadraceError: with both digests.
    """
    for version, digest in versions.items():
        found = reading.digests.get(version)
        if found and found != digest:
            raise HeadraceError(
                f"metrics: expected version {version} to be {digest[:19]}. Received: {found[:19]}; another model "
                "serves there"
            )


def _counts(name: str, labels: Mapping[str, str]) -> bool:
    """Whether a series is a count of answers by one version; what only shadows is not answered."""
    ours = name in (REQUESTS, LATENCY, SIZES) or name.startswith(PREDICTIONS)
    return ours and "version" in labels and labels.get("shadow", "false") in ("false", "0", "")


def since(before: Reading | None, now: Reading) -> dict[str, Figures]:
    """What each version answered since a reading of the same server; all, where the process is another one."""
    restarted = before is None or before.started != now.started
    found: dict[str, Figures] = {}
    for written, value in now.series.items():
        old = 0.0 if restarted or before is None else before.series.get(written, 0.0)
        grown = value - old if value >= old else value
        name, labels = _split(written)
        _count(found.setdefault(labels["version"], Figures()), name, labels, grown)
    return found


def total(parts: Iterable[Mapping[str, Figures]]) -> dict[str, Figures]:
    """What all servers counted together."""
    found: dict[str, Figures] = {}
    for part in parts:
        for version, figures in part.items():
            found.setdefault(version, Figures()).add(figures)
    return found


def _count(figures: Figures, name: str, labels: Mapping[str, str], grown: float) -> None:
    if name == REQUESTS:
        status = labels.get("status", "")
        if status not in _NOT_OURS:
            figures.requests += grown
            figures.errors += grown if status >= "400" else 0.0
    elif name in (LATENCY, SIZES):
        bound = math.inf if labels.get("le") == "+Inf" else float(labels.get("le", "nan"))
        kept = figures.latency if name == LATENCY else figures.sizes
        kept[bound] = kept.get(bound, 0.0) + grown
    elif "le" in labels:
        key = f"le {labels['le']}"
        figures.predictions[key] = figures.predictions.get(key, 0.0) + grown
    elif "label" in labels:
        key = f"label {labels['label']}"
        figures.predictions[key] = figures.predictions.get(key, 0.0) + grown


def _labels(text: str) -> dict[str, str]:
    return {name: _plain(value) for name, value in _LABEL.findall(text)}


def _plain(value: str) -> str:
    return re.sub(r"\\(.)", lambda found: "\n" if found.group(1) == "n" else found.group(1), value)


def _written(name: str, labels: Mapping[str, str]) -> str:
    """A series as a key: each label that counts here, in order."""
    kept = {key: labels[key] for key in _KEPT if key in labels}
    return "\x1f".join([name, *(f"{key}={value}" for key, value in kept.items())])


def _split(written: str) -> tuple[str, dict[str, str]]:
    name, *pairs = _NEXT.split(written)
    return name, dict(pair.split("=", 1) for pair in pairs)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None
