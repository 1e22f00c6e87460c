"""Finds what the command line names: a bundle by endpoint, model or path; a server by its endpoint's name."""

from __future__ import annotations

import json
import os
from pathlib import Path
from urllib.parse import quote

from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.folder import MANIFEST, write_json
from headrace.platforms.open import open_platform


def locate_bundle(name: str, home: Path) -> Path:
    """The bundle behind an endpoint's name, a model's (`churn`, `churn:2`, `churn:champion`), or a folder's path.

    Raises:
        HeadraceError: nothing has that name.
    """
    if (Path(name) / MANIFEST).is_file():
        return Path(name)
    platform = open_platform("local", home)
    model, _, version = name.partition(":")
    endpoint = None if version else platform.endpoints.get(name)
    if endpoint is not None:
        model, version = endpoint.main.model, endpoint.main.version
    if not platform.registry.versions(model):
        known = sorted({*platform.registry.models(), *(e.name for e in platform.endpoints.list())})
        there = ", ".join(known) or "none yet; `headrace run SPEC` makes one"
        raise HeadraceError(
            f"expected an endpoint, a model or a bundle's folder. Received: {name}; in {home} there is {there}"
        )
    return Path(platform.registry.get(model, version or "champion").uri)


def record_address(name: str, url: str, home: Path) -> Path:
    """Notes where this process serves, so that `headrace predict NAME` finds it; delete the file when it stops."""
    file = _file(name, home)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_json(file, {"url": url, "pid": os.getpid()})
    return file


def find_address(name: str, home: Path) -> str:
    """The URL of the running server of an endpoint.

    Raises:
        HeadraceError: no server of that name runs.
    """
    try:
        entry = json.loads(_file(name, home).read_text())
        os.kill(int(entry["pid"]), 0)
    except (OSError, ValueError, KeyError, TypeError):
        raise HeadraceError(
            f"{name}: expected a running server. Received: none; start it with `headrace serve {name}`"
        ) from None
    return str(entry["url"])


def _file(name: str, home: Path) -> Path:
    return home / "servers" / f"{quote(name, safe='')}.json"
