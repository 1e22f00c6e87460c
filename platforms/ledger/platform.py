"""A platform whose registry and endpoints live in a service's log."""

from __future__ import annotations

from headrace.platforms.interface import Endpoints
from headrace.platforms.ledger.endpoints import LedgerEndpoints
from headrace.platforms.ledger.ledger import Ledger
from headrace.platforms.ledger.registry import LedgerRegistry
from headrace.platforms.ledger.store import Store


class LedgerPlatform:
    """Implements `platforms.interface.Platform` on a `Store`."""

    def __init__(self, store: Store) -> None:
        self.uri = store.uri
        ledger = Ledger(store)
        self.registry = LedgerRegistry(store, ledger)
        self.endpoints: Endpoints = LedgerEndpoints(store, ledger)
