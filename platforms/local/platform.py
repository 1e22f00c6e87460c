"""The local platform: a registry and endpoints in one home folder."""

from __future__ import annotations

from pathlib import Path

from headrace.platforms.local.database import Database
from headrace.platforms.local.endpoints import LocalEndpoints
from headrace.platforms.local.registry import LocalRegistry


class LocalPlatform:
    """Implements `platforms.interface.Platform` in the folder `home`, which is made when first used."""

    uri = "local"

    def __init__(self, home: Path) -> None:
        self.home = Path(home).absolute()
        database = Database(self.home)
        self.registry = LocalRegistry(self.home, database)
        self.endpoints = LocalEndpoints(self.home, database)
