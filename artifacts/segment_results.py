"""What became of the model of each segment of one run.

<summary>/
    results.json     the fields of `SegmentResults`
    manifest.json    details: column, states {state: number of segments}
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from headrace.artifacts.errors import ArtifactError
from headrace.artifacts.folder import read_json, read_manifest, write_folder, write_json

FORMAT = "headrace/segment-results"
VERSION = 1
FILE = "results.json"

State = Literal["failed", "not passed", "waiting", "registered", "live", "left out"]
STATES: tuple[State, ...] = get_args(State)  # the ones that ask for somebody first
GOOD: tuple[State, ...] = ("waiting", "live", "left out")  # nothing is missing that was wanted


@dataclass(frozen=True)
class FailedGate:
    """A gate that stopped a model, and why."""

    gate: str
    reason: str


@dataclass(frozen=True)
class SegmentResult:
    """One segment: its rows, what its model is worth, and where it got to.

    `state`: `failed`: a step did, before its gates or after; `not passed`: a gate did not; `waiting`: for its approval;
    `registered`: but not pushed; `live`; `left out`: too few rows.
    """

    value: str
    state: State
    rows: int
    model: str = ""
    endpoint: str = ""
    version: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    champion: dict[str, float] = field(default_factory=dict)  # metrics of the champion that it was judged against
    failed_gates: tuple[FailedGate, ...] = ()
    why: str = ""
    asked: bool = False  # a left-out one was asked for by name

    @property
    def good(self) -> bool:
        """Whether nothing is missing that was wanted."""
        return self.state in GOOD and not (self.state == "left out" and self.asked)


@dataclass(frozen=True)
class SegmentResults:
    """All segments of a run, in the order of their values."""

    name: str  # the spec's
    column: str
    split: str  # that the models were judged on; empty where none was
    results: tuple[SegmentResult, ...]
    without_value: int = 0  # rows without a segment

    @property
    def counts(self) -> dict[State, int]:
        """How many are in which state, in the order of `STATES`."""
        found = Counter(one.state for one in self.results)
        return {state: found[state] for state in STATES if found[state]}

    @property
    def good(self) -> bool:
        """Whether every segment has what it should."""
        return all(one.good for one in self.results)


def write_segment_results(path: Path | str, results: SegmentResults) -> None:
    """Writes the results as a sealed folder."""
    with write_folder(Path(path), FORMAT, VERSION, {"column": results.column, "states": results.counts}) as folder:
        write_json(folder / FILE, asdict(results))


def read_segment_results(path: Path | str) -> SegmentResults:
    """Opens the results of a run.

    Raises:
        ArtifactError: not such results, damaged, or of a newer format version.
    """
    path = Path(path)
    read_manifest(path, FORMAT, VERSION)
    value = read_json(path / FILE)
    try:
        return SegmentResults(**{**value, "results": tuple(_result(one) for one in value["results"])})
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ArtifactError(f"{path / FILE}: expected results of segments. Received: {error!r}") from None


def _result(value: dict[str, Any]) -> SegmentResult:
    if value["state"] not in STATES:
        raise ValueError(f"state={value['state']!r}")
    intervals = {name: (low, high) for name, (low, high) in value["intervals"].items()}
    gates = tuple(FailedGate(**gate) for gate in value["failed_gates"])
    return SegmentResult(**{**value, "intervals": intervals, "failed_gates": gates})
