"""Finds what the command line names: a bundle by endpoint, model or path; a server by its endpoint's name."""

from __future__ import annotations

import json
import os
from pathlib import Path
from urllib.parse import quote

from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.folder import MANIFEST, write_json
from headrace.platforms.interface import ModelVersion, Platform
from headrace.platforms.open import open_platform
from headrace.serving.target import Follow, Target


def locate_bundle(name: str, home: Path) -> Path:
    """The bundle behind an endpoint's name, a model's (`churn`, `churn:2`, `churn:champion`), or a folder's path.

    Raises:
        HeadraceError: nothing has that name.
    """
    return locate_target(name, home).path


def locate_target(name: str, home: Path) -> Target:
    """The same, with the version that the registry knows it by.

    Raises:
        HeadraceError: nothing has that name.
    """
    if (Path(name) / MANIFEST).is_file():
        return Target(Path(name))
    found = meant(open_platform("local", home), name, f"in {home}")
    return Target(Path(found.uri), found.version)


def meant(platform: Platform, name: str, where: str) -> ModelVersion:
    """The version that serves behind an endpoint's name, that a model's name with a version or an alias means, or
    that is the champion of a model.

    Raises:
        HeadraceError: nothing has that name `where` the registry is.
    """
    model, _, version = name.partition(":")
    endpoint = None if version else platform.endpoints.get(name)
    if endpoint is not None:
        model, version = endpoint.main.model, endpoint.main.version
    if not platform.registry.versions(model):
        known = sorted({*platform.registry.models(), *(e.name for e in platform.endpoints.list())})
        there = ", ".join(known) or "none yet; `headrace run SPEC` makes one"
        raise HeadraceError(
            f"expected an endpoint, a model or a bundle's folder. Received: {name}; {where} there is {there}"
        )
    return platform.registry.get(model, version or "champion")


def follow(name: str, home: Path) -> Follow | None:
    """What says which bundle a name means from one moment to the next.

    None for what means the same for ever: a folder, and a version's number.
    """
    if (Path(name) / MANIFEST).is_file() or name.partition(":")[2].isdigit():
        return None
    return lambda: locate_target(name, home)


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
