"""`mlflow:URL`: MLflow's Model Registry, on a server or in a database."""

from __future__ import annotations

from pathlib import Path

from headrace.artifacts.errors import HeadraceError
from headrace.platforms.interface import Platform
from headrace.platforms.ledger.platform import LedgerPlatform
from headrace.platforms.local.tracking.opening import check_uri
from headrace.platforms.mlflow.store import MlflowStore


def open_platform(uri: str, home: Path | str | None) -> Platform:
    """The platform whose versions and log MLflow keeps.

    Raises:
        HeadraceError: the URI names no store of MLflow's.
    """
    tracking = uri.removeprefix("mlflow:")
    try:
        check_uri(tracking)
    except HeadraceError as error:
        raise HeadraceError(f"platform mlflow: {error}") from None
    if tracking == "local":
        expected = "the URL of an MLflow server, or sqlite:///FILE, as in mlflow:https://mlflow.example.org"
        raise HeadraceError(f"platform mlflow: expected {expected}. Received: {tracking!r}")
    return LedgerPlatform(MlflowStore(tracking))
