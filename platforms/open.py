"""From a platform's URI to the platform."""

from __future__ import annotations

import os
from pathlib import Path

from headrace.artifacts.errors import HeadraceError
from headrace.platforms.interface import Platform

HOME = "HEADRACE_HOME"


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
    if uri == "local":
        found = home or os.environ.get(HOME)
        if not found:
            # A default such as the working folder would be a new, empty registry wherever a step runs.
            raise HeadraceError(f"platform local: expected its folder in {HOME}. Received: no such variable")
        from headrace.platforms.local.platform import LocalPlatform

        return LocalPlatform(Path(found))
    kind, _, rest = uri.partition(":")
    if kind == "mlflow" and rest:
        return _mlflow(rest)
    if kind == "vertex" and rest:
        from headrace.platforms.ledger.platform import LedgerPlatform
        from headrace.platforms.vertex.store import VertexPlace, VertexStore

        place = VertexPlace.of(uri)
        if place.machine:
            from headrace.platforms.vertex.endpoints import VertexPlatform

            return VertexPlatform(place)
        return LedgerPlatform(VertexStore(place))
    if kind == "kubeflow" and rest:
        from headrace.platforms.kubeflow.place import KubeflowPlace
        from headrace.platforms.kubeflow.platform import KubeflowPlatform

        return KubeflowPlatform(KubeflowPlace.of(uri))
    expected = "`local`, `mlflow:URL`, `vertex:PROJECT/LOCATION` or `kubeflow:NAMESPACE`"
    raise HeadraceError(f"platform: expected {expected}. Received: {uri!r}")


def _mlflow(tracking: str) -> Platform:
    from headrace.platforms.ledger.platform import LedgerPlatform
    from headrace.platforms.local.tracking.opening import check_uri
    from headrace.platforms.mlflow.store import MlflowStore

    try:
        check_uri(tracking)
    except HeadraceError as error:
        raise HeadraceError(f"platform mlflow: {error}") from None
    if tracking == "local":
        expected = "the URL of an MLflow server, or sqlite:///FILE, as in mlflow:https://mlflow.example.org"
        raise HeadraceError(f"platform mlflow: expected {expected}. Received: {tracking!r}")
    return LedgerPlatform(MlflowStore(tracking))
