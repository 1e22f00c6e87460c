"""The same registry in each of the places that there are, for tests that hold on all of them."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fsspec import get_filesystem_class, register_implementation
from fsspec.implementations.dirfs import DirFileSystem
from fsspec.implementations.local import LocalFileSystem

from headrace.platforms.interface import Platform
from headrace.platforms.kubeflow.place import KubeflowPlace
from headrace.platforms.kubeflow.store import ObjectStore
from headrace.platforms.ledger.platform import LedgerPlatform
from headrace.platforms.open import open_platform
from headrace.platforms.vertex.store import VertexPlace
from tests.cloud.gcs_server import storage_service
from tests.integration.platforms.vertex_models import model_service
from tests.ports import free_port

Connect = Callable[[], Platform]  # opens the same registry once more, as another process would


@contextmanager
def local(folder: Path) -> Iterator[Connect]:
    yield lambda: open_platform("local", folder / "home")


@contextmanager
def vertex(folder: Path) -> Iterator[Connect]:
    """The real client against a service on this machine; Cloud Storage is a folder."""

    class Bucket(DirFileSystem):
        protocol = "gs"

        def __init__(self, **_: object) -> None:
            super().__init__(str(folder / "gs"), LocalFileSystem(auto_mkdir=True))

        @classmethod
        def _strip_protocol(cls, path):  # type: ignore[no-untyped-def]
            return str(path).removeprefix("gs://").rstrip("/")

        def _join(self, path):  # type: ignore[no-untyped-def]
            return super()._join(self._strip_protocol(path) if isinstance(path, str) else path)

    before = get_filesystem_class("gs")
    register_implementation("gs", Bucket, clobber=True)
    try:
        with model_service() as service:
            place = VertexPlace("demo", "us-central1", "gs://models/headrace", "example.com/serving:1", service.url)
            yield lambda: open_platform(place.uri)
    finally:  # other tests have other buckets
        register_implementation("gs", before, clobber=True)


@contextmanager
def volume(folder: Path) -> Iterator[Connect]:
    """The registry of a Kubeflow cluster, in a volume that is mounted."""
    place = KubeflowPlace("models", "pvc://claim/headrace", mount=str(folder / "pvc"))
    yield lambda: LedgerPlatform(ObjectStore(place))


@contextmanager
def bucket(folder: Path) -> Iterator[Connect]:
    """The same in Cloud Storage, by the real client against a service on this machine."""
    with storage_service("models") as storage, pytest.MonkeyPatch.context() as environment:
        environment.setenv("STORAGE_EMULATOR_HOST", storage.url)
        yield lambda: LedgerPlatform(ObjectStore(KubeflowPlace("models", "gs://models/headrace")))


@contextmanager
def mlflow(folder: Path) -> Iterator[Connect]:
    """A real `mlflow server` on this machine, with SQLite and a folder for files."""
    port = free_port()
    words = ["server", "--backend-store-uri", f"sqlite:///{folder}/s.db", "--artifacts-destination", str(folder / "a")]
    server = subprocess.Popen(
        [sys.executable, "-m", "mlflow", *words, "--port", str(port), "--workers", "1"],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"},
    )
    try:
        _wait_for(f"http://127.0.0.1:{port}/health")
        yield lambda: open_platform(f"mlflow:http://127.0.0.1:{port}")
    finally:
        subprocess.run(["kill", "-9", "--", f"-{server.pid}"], check=False)
        server.wait(20)


def _wait_for(url: str) -> None:
    give_up = time.monotonic() + 120
    while time.monotonic() < give_up:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5):
            return
        time.sleep(0.2)
    raise AssertionError(f"nothing answers at {url}")
