"""Any store of MLflow, by MLflow's own client: a tracking server, another database, a file of another revision.

Credentials are MLflow's own variables: MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from headrace.platforms.local.tracking.names import CONTEXT, EXPERIMENT_TAGS, data_of, names, short
from headrace.platforms.local.tracking.sqlite import with_series
from headrace.platforms.tracking import RUN, Attached, TrackedRun, TrackingError, one_of

_METRICS, _TEXTS = 1_000, 100  # the most that one request may carry
_LISTED = 1_000  # runs of a list
# Instead of MLflow's own patience, which is minutes for a server that is not there.
_PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}

T = TypeVar("T")


class MlflowTracker:
    """Implements `platforms.tracking.Tracker` by `mlflow.MlflowClient`."""

    def __init__(self, uri: str, artifacts: str | None = None) -> None:
        """`artifacts` is where a new experiment keeps its files; None leaves that to the server."""
        self.uri = uri
        self._artifacts = artifacts

    def save(self, run: TrackedRun, attached: Attached) -> str:
        """Keeps a run; see `Tracker.save`."""
        with self._connected() as client:
            experiment = self._experiment(client, run.experiment)
            place = self._place(client, experiment, run)
            self._log(client, place, run)
            with tempfile.TemporaryDirectory() as folder:
                for name, file in attached.files.items():
                    # A file is stored under its own name, and the store's files are all called alike.
                    named = Path(folder) / Path(name).name
                    named.unlink(missing_ok=True)
                    named.symlink_to(file.resolve())
                    parent = str(Path(name).parent)
                    client.log_artifact(place, str(named), None if parent == "." else parent)
            client.set_terminated(place, "FINISHED", round(run.ended * 1000))
        return place

    def runs(self, experiment: str | None = None) -> list[TrackedRun]:
        """The runs, the latest first; see `Tracker.runs`."""
        with self._connected() as client:
            known = {found.experiment_id: found.name for found in client.search_experiments()}
            if experiment is not None and experiment not in known.values():
                shown = ", ".join(sorted(set(known.values()) - {"Default"})) or "none yet"
                raise TrackingError(f"{self.uri}: expected an experiment ({shown}). Received: {experiment!r}")
            wanted = [id for id, name in known.items() if experiment in (None, name)]
            found = client.search_runs(wanted, max_results=_LISTED, order_by=["attributes.start_time DESC"])
            return [_tracked(run, known[run.info.experiment_id]) for run in found]

    def run(self, run: str) -> TrackedRun:
        """One run with its series; see `Tracker.run`."""
        found = one_of(self.runs(), run, self.uri)
        with self._connected() as client:
            points = {
                key: sorted((m.step, m.value) for m in client.get_metric_history(found.place, key))
                for key in found.metrics
            }
        return with_series(found, points)

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        for variable, value in _PATIENCE.items():
            os.environ.setdefault(variable, value)
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield MlflowClient(self.uri)
        except (MlflowException, SQLAlchemyError, OSError) as error:  # requests' errors are OSErrors
            raise TrackingError(
                f"{self.uri}: expected an MLflow store that answers. Received: {_told(error)}"
            ) from error

    def _experiment(self, client: Any, name: str) -> str:
        found = client.get_experiment_by_name(name)
        if found is None:
            return str(client.create_experiment(name, self._artifacts, EXPERIMENT_TAGS))
        return str(found.experiment_id)

    def _place(self, client: Any, experiment: str, run: TrackedRun) -> str:
        """The run's id: a new one, or the one that it was saved under before."""
        there = client.search_runs([experiment], f"tags.`{RUN}` = '{run.run}'", max_results=1) if run.run else []
        tags = {key: short(value) for key, value in run.tags.items()}
        if there:
            for key, value in tags.items():
                client.set_tag(there[0].info.run_id, key, value)
            return str(there[0].info.run_id)
        made = client.create_run(experiment, round(run.started * 1000), {**tags, RUN: run.run}, run.run)
        return str(made.info.run_id)

    def _log(self, client: Any, place: str, run: TrackedRun) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param

        clean, named = names(run.parameters), names({**run.metrics, **run.series})
        # The same times whenever it is saved, so that what is there already is recognized; see sqlite.py.
        time = round(run.started * 1000)
        metrics = [Metric(named[name], value, time, 0) for name, value in run.metrics.items()]
        metrics += [
            Metric(named[name], value, time + step, step)
            for name, series in run.series.items()
            for step, value in zip(series.steps, series.values, strict=True)
        ]
        for some in _chunks([Param(clean[name], short(value)) for name, value in run.parameters.items()], _TEXTS):
            client.log_batch(place, params=some)
        for points in _chunks(metrics, _METRICS):
            client.log_batch(place, metrics=points)
        if data := data_of(run):
            client.log_inputs(place, [DatasetInput(Dataset(*data), [InputTag(*CONTEXT)])])


def _tracked(run: Any, experiment: str) -> TrackedRun:
    return TrackedRun(
        experiment=experiment,
        run=run.info.run_name or run.info.run_id,
        started=run.info.start_time / 1000,
        ended=(run.info.end_time or 0) / 1000,
        parameters=_sorted(run.data.params),
        metrics=_sorted(run.data.metrics),
        tags=_sorted(run.data.tags),
        place=run.info.run_id,
    )


def _sorted(values: Mapping[str, T]) -> dict[str, T]:
    return dict(sorted(values.items()))


def _chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _told(error: Exception) -> str:
    """The first line of what MLflow says, which may be a page."""
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)[:500]
