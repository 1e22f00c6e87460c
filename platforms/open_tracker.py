"""From a tracker's URI to the tracker; apart from open.py, so that who needs a registry alone imports no tracker."""

from __future__ import annotations

import os
from pathlib import Path

from headrace.platforms.open import HOME
from headrace.platforms.tracking import Tracker

VERTEX = "vertex://"


def open_tracker(uri: str, home: Path | str | None = None) -> Tracker:
    """Opens an experiment tracker by its URI.

    Args:
        uri: `local`: the file mlflow.db of the home folder; an MLflow server's URL, or `sqlite:///FILE`;
            `vertex://PROJECT/LOCATION` for Vertex AI Experiments.
        home: that folder; by default the environment variable HEADRACE_HOME.

    Raises:
        TrackingError: the URI names no tracker, or `local` has no home.
    """
    if uri.startswith(VERTEX):
        from headrace.platforms.vertex.experiments import Place, VertexTracker

        return VertexTracker(Place.of(uri))
    from headrace.platforms.local.tracking.opening import open_mlflow

    found = home or os.environ.get(HOME)
    return open_mlflow(uri, Path(found) if found else None)
