"""The container engine that DOCKER_HOST names (Docker, or Podman's service): reached, described, tidied up.

`docker` is imported where it is used, since it takes a third of a second and most commands do not want it.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headrace.artifacts.errors import HeadraceError

RUN, TASK, HOME = "headrace.run", "headrace.task", "headrace.home"  # the labels of our containers
_ANY = "1.41"  # a version that is not spoken: what is asked first has none in its address
PATIENCE = 60  # seconds for an answer; what takes longer by its nature sets its own


class NoEngine(HeadraceError):
    """No container engine answers, or it answers what cannot be used."""


@dataclass(frozen=True)
class About:
    """How an engine differs from others, as far as it matters to a container.

    Attributes:
        cores: of the machine that it runs on.
        rootless: it runs without root's rights, and maps its user to root within containers.
        podman: it is Podman's service, which maps users in its own way.
        selinux: it confines containers by labels on files.
    """

    cores: int = 1
    rootless: bool = False
    podman: bool = False
    selinux: bool = False


def connect(api: str, timeout: float | None = PATIENCE) -> Any:
    """A `docker.APIClient` for the engine of DOCKER_HOST, of the current Docker context, or the usual socket.

    Args:
        api: the version of the API to speak, see `api_version`.
        timeout: seconds for each answer; None for as long as it takes.

    Raises:
        NoEngine: what names the engine cannot be understood.
    """
    import docker

    try:
        return docker.from_env(version=api, timeout=timeout).api
    except (docker.errors.DockerException, ValueError) as error:
        raise _no_engine(error) from None


def api_version() -> tuple[str, bool]:
    """(the version of the API that the engine speaks, whether it is Podman's), by the headers of a ping.

    To ask for the version in so many words takes Podman a third of a second.

    Raises:
        NoEngine: nothing answers.
    """
    import requests

    client = connect(_ANY)
    with contextlib.closing(client):
        try:
            answer = client.get(f"{client.base_url}/_ping", timeout=PATIENCE)
            answer.raise_for_status()
        except (requests.RequestException, ValueError) as error:
            raise _no_engine(error) from None
    if "Api-Version" not in answer.headers:
        raise _no_engine(NoEngine("something else than an engine answers"))
    return answer.headers["Api-Version"], "Libpod-Api-Version" in answer.headers


@functools.cache
def about(api: str, podman: bool) -> About:
    """Asks the engine what else matters; once, since it does not change."""
    client = connect(api)
    with contextlib.closing(client), engine_errors():
        return described(client.info(), podman)


def described(info: Mapping[str, Any], podman: bool) -> About:
    """What matters of an engine's description of itself. Docker and Podman say in different places what is rootless."""
    security = [str(option) for option in info.get("SecurityOptions") or ()]
    return About(
        cores=int(info.get("NCPU") or 1),
        rootless=bool(info.get("Rootless")) or any("name=rootless" in option for option in security),
        podman=podman,
        selinux=any("name=selinux" in option for option in security),
    )


def _no_engine(error: BaseException) -> NoEngine:
    return NoEngine(
        f"expected a container engine for --runner docker. Received: no answer at {address()} ({_root(error)}); "
        "set DOCKER_HOST, or start Docker (or Podman's service: podman system service)"
    )


def address() -> str:
    """Where the engine is looked for, as a person would write it."""
    from docker.context import ContextAPI

    if host := os.environ.get("DOCKER_HOST"):
        return host
    try:
        found = ContextAPI.kwargs_from_context().get("base_url", "")
    except Exception:  # noqa: BLE001  (a broken context is said by the connection; this only names a place)
        found = ""
    return str(found or "unix:///var/run/docker.sock").replace("http+unix://", "unix://")


@contextlib.contextmanager
def engine_errors() -> Iterator[None]:
    """Turns what the client raises into one clear error.

    Raises:
        NoEngine: the engine refused, or went away.
    """
    import docker
    import requests

    try:
        yield
    except docker.errors.APIError as error:
        raise NoEngine(f"expected the engine at {address()} to obey. Received: {explanation(error)}") from None
    except (docker.errors.DockerException, requests.RequestException) as error:
        raise NoEngine(f"expected an answer from the engine at {address()}. Received: {_root(error)}") from None


def explanation(error: Any) -> str:
    """What an engine said of a request that it refused."""
    said = getattr(error, "explanation", None) or error
    return (said.decode(errors="replace") if isinstance(said, bytes) else str(said)).strip()


def remove(client: Any, container: str) -> None:
    """Kills and removes a container with its anonymous volumes; one that is gone, or going, is as good."""
    import docker

    try:
        client.remove_container(container, force=True, v=True)
    except docker.errors.APIError as error:
        if error.status_code not in (404, 409):
            raise


def sweep(api: str, home: Path, leave: Callable[[], Container[str]], *, run: str | None = None) -> list[str]:
    """Removes the containers of a home, or of one run of it, that nobody waits for any more.

    Args:
        leave: the runs whose containers stay; asked after the containers were listed, since a run is recorded
            before it has any.
        run: only this run's.

    Returns the ids of what was removed.

    Raises:
        NoEngine: the engine does not answer.
    """
    client = connect(api)
    with contextlib.closing(client), engine_errors():
        labels = [f"{HOME}={home}", *([f"{RUN}={run}"] if run else [])]
        found = client.containers(all=True, filters={"label": labels})
        stays = leave()
        gone = [one["Id"] for one in found if one["Labels"].get(RUN, "") not in stays]
        for container in gone:
            remove(client, container)
    return gone


def _root(error: BaseException) -> str:
    """The reason at the bottom of the client's nested errors, in a few words."""
    seen: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in seen:
        seen.append(current)
        current = current.__cause__ or current.__context__
    system = [one for one in seen if isinstance(one, OSError) and one.strerror]
    return str(system[-1].strerror) if system else str(error)
