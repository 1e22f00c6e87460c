"""From a platform's URI to the platform."""

from __future__ import annotations

import importlib
from pathlib import Path

from headrace.artifacts.errors import HeadraceError
from headrace.platforms.interface import Platform

HOME = "HEADRACE_HOME"
# By whole names, and not by parts put together: a warm worker imports beforehand what a pipeline names.
KINDS = {
    "local": "headrace.platforms.opening.local",
    "mlflow": "headrace.platforms.opening.mlflow",
    "vertex": "headrace.platforms.opening.vertex",
    "kubeflow": "headrace.platforms.opening.kubeflow",
}


def open_platform(uri: str, home: Path | str | None = None) -> Platform:
    """Opens a platform by its URI.

    Args:
        uri: `local`: a registry in a folder of this machine. `mlflow:URL`: MLflow's Model Registry, on a server or in a
            database. `vertex:PROJECT/LOCATION?bucket=gs://BUCKET/FOLDER&image=IMAGE`: Vertex AI's Model Registry;
            with `&machine=TYPE` also its endpoints.
            `kubeflow:NAMESPACE?bucket=s3://BUCKET/FOLDER&image=IMAGE`: a registry in the bucket, served by KServe.
        home: that folder; by default the environment variable HEADRACE_HOME.

    Raises:
        HeadraceError: the URI names no platform that this version has, or `local` has no home.
    """
    kind, _, rest = uri.partition(":")
    if kind not in KINDS or (uri != "local" if kind == "local" else not rest):
        expected = "`local`, `mlflow:URL`, `vertex:PROJECT/LOCATION` or `kubeflow:NAMESPACE`"
        raise HeadraceError(f"platform: expected {expected}. Received: {uri!r}")
    opened: Platform = importlib.import_module(KINDS[kind]).open_platform(uri, home)
    return opened
