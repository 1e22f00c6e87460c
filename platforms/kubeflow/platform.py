"""A platform whose registry lives in an object store or in MLflow, and whose endpoints are KServe's."""

from __future__ import annotations

from headrace.platforms.interface import Endpoints
from headrace.platforms.kubeflow.endpoints import KubeflowEndpoints
from headrace.platforms.kubeflow.kserve import KServe
from headrace.platforms.kubeflow.place import KubeflowPlace
from headrace.platforms.kubeflow.store import ObjectStore
from headrace.platforms.ledger.endpoints import LedgerEndpoints
from headrace.platforms.ledger.ledger import Ledger
from headrace.platforms.ledger.registry import LedgerRegistry
from headrace.platforms.ledger.store import Store


class KubeflowPlatform:
    """Implements `platforms.interface.Platform`."""

    def __init__(self, place: KubeflowPlace, *, every_s: float = 1.0) -> None:
        """`every_s`: seconds between two looks at a service that is to get ready."""
        self.uri = place.uri
        files = ObjectStore(place)
        store = _mlflow(place.registry) if place.registry else files
        ledger = Ledger(store)
        self.registry = LedgerRegistry(store, ledger)
        self.services = KServe(place, files, every_s=every_s)
        self.endpoints: Endpoints = KubeflowEndpoints(self.registry, LedgerEndpoints(store, ledger), self.services)


def _mlflow(uri: str) -> Store:
    from headrace.platforms.mlflow.store import MlflowStore

    return MlflowStore(uri.removeprefix("mlflow:"))
