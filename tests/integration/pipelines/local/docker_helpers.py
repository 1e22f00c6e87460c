"""Small images, made in the test by the engine's own API, and what the tests ask of an engine."""

import contextlib
import io
import os
import tarfile
from collections.abc import Iterator
from typing import Any

import pytest

from headrace.pipelines.local.containers import docker_engine
from headrace.pipelines.local.containers.docker_engine import NoEngine

BASE = "python:3.11-slim"
PLAIN = "headrace-test/plain:1"  # with an entry point, which a component's command must override
KFP = "headrace-test/kfp:2.16.1"


def client_or_skip() -> Any:
    """A client of the engine; skips the test where none answers, or it has no image to start from."""
    import docker

    try:
        api, _ = docker_engine.api_version()
    except NoEngine as error:
        pytest.skip(str(error))
    client = docker_engine.connect(api, timeout=600)
    try:
        client.inspect_image(BASE)
    except docker.errors.ImageNotFound:
        for line in client.pull(BASE, stream=True, decode=True):
            if problem := line.get("error"):
                pytest.skip(f"the engine has no {BASE}, and cannot pull it: {problem}")
    return client


def build(client: Any, tag: str, *lines: str) -> str:
    """Makes an image from the lines of a Dockerfile; returns its digest."""
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as archive:
        text = "\n".join([f"FROM {BASE}", *lines, ""]).encode()
        entry = tarfile.TarInfo("Dockerfile")
        entry.size = len(text)
        archive.addfile(entry, io.BytesIO(text))
    context.seek(0)
    said = list(client.build(fileobj=context, custom_context=True, tag=tag, rm=True, forcerm=True, decode=True))
    if problems := [line["error"] for line in said if "error" in line]:
        raise RuntimeError(f"{tag}: {problems[0]}\n" + "".join(line.get("stream", "") for line in said)[-2000:])
    return str(client.inspect_image(tag)["Id"])


def containers(client: Any, home: os.PathLike[str]) -> list[dict[str, Any]]:
    """The containers of a home, in whatever state."""
    found: list[dict[str, Any]] = client.containers(
        all=True, filters={"label": [f"{docker_engine.HOME}={os.fspath(home)}"]}
    )
    return found


@contextlib.contextmanager
def removed(client: Any, *tags: str) -> Iterator[None]:
    """Within the block there may be images with these tags."""
    import docker

    try:
        yield
    finally:
        for tag in tags:
            with contextlib.suppress(docker.errors.ImageNotFound):
                client.remove_image(tag, force=True)
