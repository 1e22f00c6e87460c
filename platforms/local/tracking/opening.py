"""From an MLflow URI to the tracker behind it."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from headrace.platforms.local.tracking import sqlite
from headrace.platforms.tracking import Tracker, TrackingError

FILE = "mlflow.db"  # of a home
_SERVERS = ("http", "https", "databricks", "postgresql", "mysql", "mssql")


def open_mlflow(uri: str, home: Path | None) -> Tracker:
    """Opens an MLflow store.

    Args:
        uri: `local`: the file mlflow.db of the home; `sqlite:///FILE`; or whatever else MLflow's client takes,
            such as a server's URL.
        home: the `.headrace` folder; None where there is none.

    Raises:
        TrackingError: the URI is not one of MLflow's, it carries a password, or `local` has no home.
    """
    if uri == "local":
        if home is None:
            raise TrackingError(
                "expected a folder for mlflow.db in HEADRACE_HOME. Received: no such variable. "
                "Where runs have no home of their own, as on a cluster, `track.mlflow` names a server"
            )
        return _file(home.resolve() / FILE, uri)
    if uri.startswith("sqlite:"):
        path = unquote(uri.removeprefix("sqlite:///").split("?")[0])
        if not uri.startswith("sqlite:///") or not path:
            raise TrackingError(f"expected sqlite:///FILE, with four slashes before an absolute one. Received: {uri!r}")
        return _file(Path(path).resolve(), uri)
    check_uri(uri)
    from headrace.platforms.local.tracking.client import MlflowTracker

    return MlflowTracker(uri)


def check_uri(uri: str) -> None:
    """Refuses what is no URI of a store, and a password in one: it would stand in the pipeline, the record and the log.

    Raises:
        TrackingError: with what to write instead.
    """
    scheme = re.split(r"[:+]", uri, maxsplit=1)[0]
    if uri == "local" or uri.startswith("sqlite:///") or uri == "databricks":
        return
    if scheme not in _SERVERS or "://" not in uri:
        raise TrackingError(f"expected `local`, `none`, or the URL of an MLflow server. Received: {uri!r}")
    if urlsplit(uri).password is not None:
        raise TrackingError(
            "expected a URL without a password, which belongs into MLFLOW_TRACKING_PASSWORD (or a token into "
            f"MLFLOW_TRACKING_TOKEN). Received: one for {urlsplit(uri).hostname}"
        )


def _file(file: Path, uri: str) -> Tracker:
    """Our own statements where they fit the file's tables, MLflow's client where they do not."""
    if sqlite.revision(file) in (None, sqlite.own_revision()):
        return sqlite.SqliteTracker(file, uri)
    from headrace.platforms.local.tracking.client import MlflowTracker

    return MlflowTracker(f"sqlite:///{file}", (file.parent / sqlite.ARTIFACTS).as_uri())
