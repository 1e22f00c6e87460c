"""Puts a run on record in each tracker. One that cannot be reached is told of, and fails the step only if required."""

from __future__ import annotations

import math
import tempfile
import time as clock
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from headrace.artifacts.folder import write_json
from headrace.components.track.describe import Run, describe, files
from headrace.platforms.open_tracker import VERTEX, open_tracker
from headrace.platforms.tracking import Attached, TrackedRun, TrackingError

SPEC = "spec.json"


@dataclass(frozen=True)
class Result:
    """What became of one tracker: the run's place in it, or why there is none."""

    tracker: str
    place: str = ""
    error: str = ""


def track_run(
    trackers: Sequence[str],
    *,
    model: Path,
    evaluation: Path,
    reports: Mapping[str, Path],
    uris: Mapping[str, str],
    experiment: str,
    spec: Mapping[str, Any],
    run: str,
    started: str,
    output: Path,
    tags: Mapping[str, str],
    required: bool,
) -> dict[str, Any]:
    """Gathers what there is to say of a run, saves it in each tracker, and writes to `output` what and where.

    Args:
        trackers: their URIs.
        model: the bundle.
        evaluation: its evaluation.
        reports: name -> HTML file.
        uris: name -> where an artifact lies, for trackers that keep addresses.
        experiment: what the run belongs to.
        spec: the whole spec, of which the digest is kept.
        run: the pipeline run's id.
        started: when it began, ISO 8601.
        output: a JSON file.
        tags: of the user's own.
        required: whether a tracker that does not take the run ends the step.

    Returns:
        what the step's artifact says of itself: the run's place in each tracker, and notes on those that failed.

    Raises:
        ArtifactError: bundle or evaluation are damaged, or do not belong together.
        TrackingError: a tracker does not take the run, and that is required.
    """
    about = Run(experiment, run, seconds(started), clock.time(), spec, tags)
    told, curves = describe(about, model, evaluation)
    with tempfile.TemporaryDirectory() as folder:
        write_json(Path(folder) / SPEC, dict(spec))
        attached = Attached({SPEC: Path(folder) / SPEC, **files(model, evaluation, reports)}, uris, curves)
        results = track(told, attached, trackers, required)
    write_record(output, told, results)
    places = {result.tracker: result.place for result in results if result.place}
    return {"places": places, **({"notes": said} if (said := notes(results)) else {})}


def with_mlflow(trackers: Sequence[str], mlflow: str) -> list[str]:
    """The trackers of a spec on a machine that has an MLflow store of its own.

    >>> with_mlflow(["local", "vertex://project/us-central1"], "https://mlflow.example.com")
    ['https://mlflow.example.com', 'vertex://project/us-central1']
    """
    return [mlflow, *(uri for uri in trackers if uri.startswith(VERTEX))] if mlflow else list(trackers)


def track(run: TrackedRun, attached: Attached, trackers: Sequence[str], required: bool) -> list[Result]:
    """Saves a run in every tracker, also where another one fails.

    Args:
        run: what goes on record.
        attached: what goes with it.
        trackers: their URIs.
        required: whether an error ends the step.

    Raises:
        TrackingError: `required`, and some tracker did not take it; the message names each.
    """
    results = [_save(uri, run, attached) for uri in trackers]
    for result in results:
        print(f"{result.tracker}: " + (f"tracked as {result.place}" if result.place else result.error))
    failed = [result for result in results if result.error]
    if required and failed:
        raise TrackingError("\n".join(f"track: {result.error}" for result in failed))
    return results


def _save(uri: str, run: TrackedRun, attached: Attached) -> Result:
    try:
        return Result(uri, place=open_tracker(uri).save(run, attached))
    except TrackingError as error:
        return Result(uri, error=str(error))


def notes(results: Sequence[Result]) -> list[str]:
    """What the reader of a run's outcome has to know: where it is not on record."""
    return [f"not on record in {result.tracker}: {result.error}" for result in results if result.error]


def write_record(path: Path, run: TrackedRun, results: Sequence[Result]) -> None:
    """Writes what was to be tracked, and where it is, as JSON: complete, whatever the trackers took of it."""
    told = asdict(run)
    for series in told["series"].values():
        series["values"] = [value if math.isfinite(value) else None for value in series["values"]]
    write_json(path, {**told, "trackers": [asdict(result) for result in results]})


def seconds(time: str) -> float:
    """ISO 8601, as a platform gives the time at which a run began, in seconds since 1970; now, where it gives none.

    >>> seconds("2026-11-21T00:00:00Z")
    1795219200.0
    """
    try:
        began = datetime.fromisoformat(time)
    except ValueError:
        return clock.time()
    return (began if began.tzinfo else began.replace(tzinfo=UTC)).timestamp()
