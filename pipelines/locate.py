"""Finds what the command line names: a bundle by endpoint, model or path; a server by its endpoint's name."""

from __future__ import annotations

import json
import os
from pathlib import Path
from urllib.parse import quote

from headrace.artifacts.bundle import Bundle
from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.folder import MANIFEST, write_json
from headrace.pipelines.plans import Asked, asked, resolve
from headrace.platforms.meant import meant
from headrace.platforms.open import open_platform
from headrace.serving.target import Follow, Plan, Target

SERVED = "served"  # in the home: bundles of registries in services, by their digest


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


def open_bundle(name: str, platform: str, home: Path) -> Bundle:
    """The bundle of a name, opened and checked, of a registry on this machine or in a service.

    Args:
        name: as for `locate_bundle`.
        platform: the registry's URI.
        home: where a bundle of a registry in a service is kept, by its digest.

    Raises:
        HeadraceError: nothing has that name, or the bundle is damaged.
    """
    if platform == "local" or (Path(name) / MANIFEST).is_file():
        target = locate_target(name, home)
        bundle = Bundle.open(target.path)
        return bundle if target.version is None else bundle.registered(target.version)
    opened = open_platform(platform, home)
    found = meant(opened, name, f"in {platform}")
    folder = home / SERVED / found.digest.partition(":")[2]
    if not folder.exists():
        opened.registry.download(found.name, found.version, folder)
    return Bundle.open(folder).registered(found.version)


def locate_plan(what: Asked, home: Path, *, strict: bool = True) -> Plan:
    """What a server is to serve, of this machine's registry; see `pipelines.plans.resolve`.

    Raises:
        HeadraceError: nothing has one of the names.
    """
    platform = open_platform("local", home)
    return resolve(what, platform, lambda found: Target(Path(found.uri), found.version), f"in {home}", strict=strict)


def follow(what: str | Asked, home: Path) -> Follow | None:
    """What says which bundles a name means from one moment to the next.

    None for what means the same for ever: a folder, and a version's number.
    """
    wanted = asked([what]) if isinstance(what, str) else what
    return None if wanted.for_ever else lambda: locate_plan(wanted, home, strict=False)


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


def served_at(name: str, platform: str, home: Path) -> tuple[str, str]:
    """The URL of an endpoint's server, and the host's name to send with requests where a gateway needs one.

    Args:
        name: the endpoint.
        platform: where it is: a server of this machine, for whatever registry, or the services of a cluster.
        home: where servers of this machine are noted.

    Raises:
        HeadraceError: no server of that name runs.
    """
    if not platform.startswith("kubeflow:"):
        try:
            return find_address(name, home), ""
        except HeadraceError as error:
            if not platform.startswith("vertex:"):
                raise
            hint = f"where Vertex AI serves it, say so by &machine=TYPE in the platform: {platform}&machine=..."
            raise HeadraceError(f"{error}; {hint}") from None
    from headrace.platforms.kubeflow.kserve import KServe
    from headrace.platforms.kubeflow.place import KubeflowPlace

    return KServe.at(KubeflowPlace.of(platform)).address(name)


def _file(name: str, home: Path) -> Path:
    return home / "servers" / f"{quote(name, safe='')}.json"
