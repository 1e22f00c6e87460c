"""Vertex AI Experiments, by the public API of google.cloud.aiplatform.

An experiment is a context of Vertex's metadata store, and a run one below it, with parameters and metrics as metadata.
Where a run comes from is kept among the parameters, for a run has nothing else that the console shows and filters.
"""

from __future__ import annotations

import logging
import math
import re
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit
from urllib.request import getproxies

from headrace.platforms.emulated import use_storage
from headrace.platforms.tracking import PREFIX, Attached, Series, TrackedRun, TrackingError, one_of

_STARTED, _ENDED, _ARTIFACT = f"{PREFIX}started", f"{PREFIX}ended", "artifact."
_LONGEST = 128  # of an experiment's name, a hyphen and a run's name
_STEPS = 50  # of a curve: TensorBoard takes one request for each
_PATIENCE_S = 10.0  # for a first answer
_LOCAL = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Place:
    """Where experiments are.

    Attributes:
        project: the Google Cloud project.
        location: its region.
        tensorboard: the id or the resource name of a TensorBoard, which keeps the metrics of each round; without one
            only those at the end are kept.
        endpoint: another address of the API; by http on this machine, an emulator that asks for no credentials.
    """

    project: str
    location: str
    tensorboard: str | None = None
    endpoint: str | None = None

    @property
    def uri(self) -> str:
        """As `open_tracker` takes it."""
        options = {name: value for name in ("tensorboard", "endpoint") if (value := getattr(self, name))}
        return f"vertex://{quote(self.project, safe=':')}/{self.location}{'?' + urlencode(options) if options else ''}"

    @classmethod
    def of(cls, uri: str) -> Place:
        """From `vertex://PROJECT/LOCATION?tensorboard=...&endpoint=...`.

        Raises:
            TrackingError: the URI is another.
        """
        parts = urlsplit(uri)
        project, location, options = parts.netloc, parts.path.strip("/"), dict(parse_qsl(parts.query))
        if not project or not re.fullmatch(r"[a-z0-9-]+", location) or set(options) - {"tensorboard", "endpoint"}:
            raise TrackingError(f"expected vertex://PROJECT/LOCATION. Received: {uri!r}")
        return cls(project, location, **options)


class VertexTracker:
    """Implements `platforms.tracking.Tracker` on Vertex AI Experiments."""

    def __init__(self, place: Place) -> None:
        self.uri = place.uri
        self._place = place

    def save(self, run: TrackedRun, attached: Attached) -> str:
        """Keeps a run; see `Tracker.save`. Of its files the addresses are kept."""
        experiment, name = names(run.experiment, run.run)
        with self._connected() as aiplatform:
            aiplatform.Experiment.get_or_create(experiment)
            known = aiplatform.ExperimentRun.get(name, experiment=experiment)
            board = self._place.tensorboard
            there = known or aiplatform.ExperimentRun.create(name, experiment=experiment, tensorboard=board)
            there.log_params(_parameters(run, attached.uris))
            there.log_metrics({key: value for key, value in run.metrics.items() if math.isfinite(value)})
            if known is None or not known.get_classification_metrics():
                _draw(there, attached)
            if known is None and board:
                _log_series(there, run.series)
            there.end_run()
            return str(there.resource_name)

    def runs(self, experiment: str | None = None) -> list[TrackedRun]:
        """The runs, the latest first; see `Tracker.runs`."""
        with self._connected() as aiplatform:
            known = [found.name for found in aiplatform.Experiment.list()]
            if experiment is not None and experiment not in known:
                shown = ", ".join(sorted(known)) or "none yet"
                raise TrackingError(f"{self.uri}: expected an experiment ({shown}). Received: {experiment!r}")
            found = [
                _tracked(run, name)
                for name in known
                if experiment in (None, name)
                for run in aiplatform.ExperimentRun.list(experiment=name)
            ]
        return sorted(found, key=lambda run: -run.started)

    def run(self, run: str) -> TrackedRun:
        """One run; see `Tracker.run`. The rounds stay in the TensorBoard."""
        return one_of(self.runs(), run, self.uri)

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        from google.api_core.exceptions import GoogleAPIError
        from google.auth.exceptions import GoogleAuthError

        quiet()
        from google.cloud import aiplatform

        try:
            knock(self._place)
            aiplatform.init(
                project=self._place.project,
                location=self._place.location,
                experiment_tensorboard=False,  # else one is made, and paid for, in each region
                **transport(self._place.endpoint),
            )
            yield aiplatform
        except (GoogleAPIError, GoogleAuthError, OSError) as error:  # requests' errors are OSErrors
            told = next(iter(str(error).splitlines()), type(error).__name__)[:500]
            raise TrackingError(f"{self.uri}: expected Vertex AI to answer. Received: {told}") from error


def quiet() -> None:
    """Has the client, before it is imported, warn on standard error and say nothing else.

    Its modules would write what they do to standard output, among what a program prints there; they do not where a
    handler above theirs exists.
    """
    logger = logging.getLogger("google.cloud.aiplatform")
    if "google.cloud.aiplatform" not in sys.modules and not logger.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setLevel(logging.WARNING)
        logger.addHandler(handler)
        logger.propagate = False


def knock(place: Place) -> None:
    """Fails within seconds where nobody answers; the client itself would try for minutes.

    Where an emulator does, its Cloud Storage is this process's from now on.

    Raises:
        OSError: there is no connection. Behind a proxy only the proxy can tell, so nothing is tried.
    """
    address = urlsplit(place.endpoint or f"https://{place.location}-aiplatform.googleapis.com")
    if not getproxies():
        port = address.port or {"http": 80}.get(address.scheme, 443)
        socket.create_connection((address.hostname or "", port), timeout=_PATIENCE_S).close()
    use_storage(place.endpoint)


def names(experiment: str, run: str) -> tuple[str, str]:
    """An experiment's and a run's name as Vertex takes them: small letters, digits and hyphens, 128 together.

    Raises:
        TrackingError: they are too long.
    """
    clean = [re.sub(r"[^a-z0-9-]+", "-", name.lower()).strip("-") for name in (experiment, run)]
    if not all(clean) or len("-".join(clean)) > _LONGEST:
        raise TrackingError(f"expected names of {_LONGEST} letters and digits together. Received: {experiment}, {run}")
    return clean[0], clean[1]


def transport(endpoint: str | None) -> dict[str, Any]:
    """What `aiplatform.init` needs to speak to another address than Google's."""
    if endpoint is None:
        return {}
    address = urlsplit(endpoint)
    if address.scheme == "http" and address.hostname in _LOCAL:
        from google.auth.credentials import AnonymousCredentials

        anonymous = AnonymousCredentials()  # type: ignore[no-untyped-call]
        return {"api_endpoint": endpoint, "api_transport": "rest", "credentials": anonymous}
    return {"api_endpoint": endpoint}


def _parameters(run: TrackedRun, uris: Mapping[str, str]) -> dict[str, str | float]:
    addresses = {f"{_ARTIFACT}{name}": uri for name, uri in uris.items()}
    return {**run.parameters, **run.tags, **addresses, _STARTED: run.started, _ENDED: run.ended}


def _draw(there: Any, attached: Attached) -> None:
    """The ROC curve and the confusion matrix as Vertex's own artifact, which its console draws."""
    curves = attached.curves
    drawn: dict[str, Any] = {}
    if curves.roc:
        drawn["fpr"], drawn["tpr"], drawn["threshold"] = (list(column) for column in zip(*curves.roc, strict=True))
    if curves.confusion:
        drawn["labels"], drawn["matrix"] = list(curves.classes), [list(row) for row in curves.confusion]
    if drawn:
        there.log_classification_metrics(display_name="test", **drawn)


def _log_series(there: Any, series: Mapping[str, Series]) -> None:
    """The metrics of each round, in as many steps as TensorBoard takes in a few seconds."""
    at: dict[int, dict[str, float]] = {}
    for name, values in series.items():
        every = max(1, math.ceil(len(values.steps) / _STEPS))
        for step, value in zip(values.steps, values.values, strict=True):
            if math.isfinite(value) and ((step - 1) % every == 0 or step == values.steps[-1]):
                at.setdefault(step, {})[name] = value
    for step in sorted(at):
        there.log_time_series_metrics(at[step], step=step)


def _tracked(run: Any, experiment: str) -> TrackedRun:
    said = dict(run.get_params())
    started, ended = float(said.pop(_STARTED, 0)), float(said.pop(_ENDED, 0))
    return TrackedRun(
        experiment=experiment,
        run=run.name,
        started=started,
        ended=ended,
        parameters={k: str(v) for k, v in sorted(said.items()) if not k.startswith((PREFIX, _ARTIFACT))},
        metrics={k: float(v) for k, v in sorted(run.get_metrics().items())},
        tags={k: str(v) for k, v in sorted(said.items()) if k.startswith(PREFIX)},
        place=run.resource_name,
    )
