"""What an experiment tracker keeps of a run, and what every tracker can do: the interface is three functions wide.

One tracked run is one run of a pipeline. It is saved as a whole, once its model was evaluated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from headrace.artifacts.errors import HeadraceError

RUN = "headrace.run"  # the tag by which a run is found again, in whatever tracker
PREFIX = "headrace."  # of all tags that say where a run comes from
DATA, SOURCE = f"{PREFIX}data", f"{PREFIX}source"  # of those, the data's version, and what it was read from
MOST_STEPS = 1_000  # of a curve; trackers draw no more, and some take seconds for each thousand


class TrackingError(HeadraceError):
    """A tracker cannot be reached, refuses, or is not one. What is to be tracked is as it was."""


@dataclass(frozen=True)
class Series:
    """A metric round by round: `steps[i]`, from 1 on and rising, is where it was `values[i]`."""

    steps: tuple[int, ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class TrackedRun:
    """One run as trackers keep it.

    Attributes:
        experiment: what it belongs to: by default the model's name.
        run: the pipeline run's id, which is also its name in the tracker.
        started: seconds since 1970, UTC.
        ended: the same; 0 for a run that goes on (one that something else than a pipeline tracks).
        parameters: how the model was made, each as text.
        metrics: numbers at the end: `test/auc`, `test/auc_low`, `baseline/auc`, ...
        series: numbers round by round: `eval/log_loss`, ... Empty in a list of runs.
        tags: where it comes from: data, spec, code, environment, model.
        place: the run's own address in the tracker; empty until it is saved.
    """

    experiment: str
    run: str
    started: float
    ended: float
    parameters: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    series: Mapping[str, Series] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    place: str = ""


@dataclass(frozen=True)
class Curves:
    """What a tracker can draw itself: a ROC curve (of points fpr, tpr, threshold), and a confusion matrix."""

    roc: tuple[tuple[float, ...], ...] = ()
    classes: tuple[str, ...] = ()
    confusion: tuple[tuple[int, ...], ...] = ()  # [actual][predicted]


@dataclass(frozen=True)
class Attached:
    """What goes with a run.

    Attributes:
        files: name -> a file of this machine; trackers that store files take a copy.
        uris: name -> where the original lies, for trackers that keep addresses.
        curves: of the evaluation.
    """

    files: Mapping[str, Path] = field(default_factory=dict)
    uris: Mapping[str, str] = field(default_factory=dict)
    curves: Curves = Curves()


class Tracker(Protocol):
    """Keeps runs of experiments."""

    @property
    def uri(self) -> str:
        """What `open_tracker` was asked for."""

    def save(self, run: TrackedRun, attached: Attached) -> str:
        """Keeps a run, and returns its place. Saved again, a pipeline's run replaces what it said before.

        Raises:
            TrackingError: the tracker cannot be reached, or refuses.
        """

    def runs(self, experiment: str | None = None) -> list[TrackedRun]:
        """The runs of an experiment, or of all, the latest first; without their series.

        Raises:
            TrackingError: as for `save`; or there is no such experiment.
        """

    def run(self, run: str) -> TrackedRun:
        """One run, by its id or its name, or the unambiguous beginning of either; with its series.

        Raises:
            TrackingError: as for `save`; there is no such run, or more than one.
        """


def thinned(values: tuple[float, ...] | list[float]) -> Series:
    """A metric of every round, from 1 on, as at most MOST_STEPS points: evenly spread, the last one always there."""
    total = len(values)
    count = min(total, MOST_STEPS)
    steps = sorted({1 + (total - 1) * i // max(1, count - 1) for i in range(count)})
    return Series(tuple(steps), tuple(float(values[step - 1]) for step in steps))


def one_of(runs: list[TrackedRun], wanted: str, where: str) -> TrackedRun:
    """The run that an id, a name or the beginning of either means.

    Raises:
        TrackingError: none, or more than one.
    """
    exact = [run for run in runs if wanted in (run.run, run.place)]
    found = exact or [run for run in runs if wanted and (run.run.startswith(wanted) or run.place.startswith(wanted))]
    if wanted == "latest":
        found = runs[:1]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(run.run for run in found[:5])
        raise TrackingError(f"{where}: expected one run. Received: {wanted!r}, which {len(found)} begin with: {names}")
    known = ", ".join(run.run for run in runs[:5]) or "none yet"
    raise TrackingError(
        f"{where}: expected a tracked run ({known}{', ...' if len(runs) > 5 else ''}). Received: {wanted!r}"
    )
