"""What serves a model: our own server in a process, or the container that its image makes.

https://cloud.google.com/vertex-ai/docs/predictions/custom-container-requirements
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.emulator.documents import Document
from headrace.emulator.refusals import Refusal
from headrace.emulator.serving import STARTUP_S, Program, server_argv
from headrace.emulator.vertex import model_files
from headrace.emulator.vertex.names import invalid, required

if TYPE_CHECKING:
    from headrace.emulator.state import Emulator

SPEC = "container.json"
_OUR_IMAGE = re.compile(r"(^|[-_.])serving$")
# Images of Google's that serve models of some library: a bundle that was uploaded with one is served by our server.
_PREBUILT = re.compile(r"(?:[a-z]+-docker\.pkg\.dev/vertex-ai|gcr\.io/cloud-aiplatform)/prediction/.+")
_PORT = 8080
_LONGER_S = 15.0  # that the driver of a container has beyond the container itself
_START = "HEADRACE_EMULATOR_START"  # as `container_program` has it: this start, in the labels of its containers
_PORTS = "ports"


def check(sent: Document) -> None:
    """What a client says of a model's container.

    Raises:
        Refusal: INVALID_ARGUMENT.
    """
    container = sent.get("containerSpec")
    if container is None:
        return
    required(container, "imageUri", "model.container_spec")
    for route in ("predictRoute", "healthRoute"):
        if not re.fullmatch(r"(/[!-~]*)?", given := container.get(route, "")):
            raise invalid(
                f"model.container_spec.{route}: expected a path that begins with /, without blanks. Received: {given!r}"
            )
    for port in container.get("ports", []):
        if not 0 < (number := int(port.get("containerPort") or 0)) < 2**16:
            raise invalid(f"model.container_spec.ports: expected 1 to 65535. Received: {number}")
    if not re.fullmatch(r"(\d{1,6}(\.\d{1,9})?s)?", given := container.get("deploymentTimeout", "")):
        raise invalid(f"model.container_spec.deployment_timeout: expected seconds, such as 600s. Received: {given!r}")
    if unnamed := [one for one in container.get("env", []) if not one.get("name")]:
        raise invalid(f"model.container_spec.env: expected variables with a name. Received: {unnamed}")


def require_servable(emulator: Emulator, version: Document, call: str) -> None:
    """A version that can be served here.

    Raises:
        Refusal: UNIMPLEMENTED: it needs a container, and there is no engine that would run one.
    """
    if bundle(emulator, version) is not None:
        return
    from headrace.pipelines.local.containers.docker_engine import NoEngine, api_version

    try:
        api_version()
    except NoEngine as error:
        raise Refusal(
            "UNIMPLEMENTED",
            f"{call}: the image {_image(version)} needs a container engine, as it is not one of Headrace's "
            f"(*serving) with a bundle of Headrace at artifact_uri, since the upload. "
            f"Received: {version.get('artifactUri') or 'no artifact_uri'}, and no engine: {error}",
        ) from None


def bundle(emulator: Emulator, version: Document) -> Path | None:
    """The files of a version that our own server serves; None where its image runs as a container."""
    files = model_files.of(emulator, _full_name(version))
    ours = bool(_OUR_IMAGE.search(_last(_image(version))) or _PREBUILT.fullmatch(_image(version)))
    return files if files is not None and ours and model_files.is_bundle(files) else None


def program(
    emulator: Emulator, version: Document, folder: Path, id: str, variables: dict[str, str], *, patient: bool
) -> Program:
    """What serves a version.

    Args:
        emulator: whose.
        version: of a model.
        folder: the server's own.
        id: the server's.
        variables: of the environment, beside those of the model's container.
        patient: as of `Program`.
    """
    container = version.get("containerSpec") or {}
    startup_s = _startup_s(version)
    files = bundle(emulator, version)
    if files is not None:
        arguments = [_here(emulator, one) for one in container.get("args", [])]
        environment = _environment(emulator, version, variables, files)
        return Program(server_argv(files, arguments), folder, environment, patient, startup_s)
    file = write(emulator, version, folder, id, variables, model_files.of(emulator, _full_name(version)))
    argv = (sys.executable, "-m", "headrace.emulator.container_program", str(file))
    return Program(argv, folder, patient=patient, startup_s=startup_s + _LONGER_S, tidy=partial(_remove, id))


def write(
    emulator: Emulator, version: Document, folder: Path, id: str, variables: dict[str, str], files: Path | None
) -> Path:
    """Writes down the container of a version, for `emulator.container_program`; returns the file.

    Args:
        emulator, version, folder, id, variables: as of `program`.
        files: the version's, which the container can read.
    """
    from headrace.pipelines.local.containers.docker_engine import HOME, TASK

    container = version.get("containerSpec") or {}
    ports = container.get("ports") or [{}]
    spec = {
        "image": _image(version),
        "name": _name(id),
        "command": list(container.get("command", [])),
        "args": list(container.get("args", [])),
        "env": _environment(emulator, version, variables, files),
        "port": int(ports[0].get("containerPort") or _PORT),
        "health": variables["AIP_HEALTH_ROUTE"],
        "startup_s": _startup_s(version),
        "shm": int(container.get("sharedMemorySizeMb") or 0) * 2**20,
        "mounts": [str(files)] if files is not None else [],
        "labels": {HOME: str(emulator.folder), TASK: id},
        "ports": str(emulator.serving.folder / _PORTS),
    }
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / SPEC
    file.write_text(json.dumps(spec))
    return file


def _name(id: str) -> str:
    return f"headrace-model-{id}"


def _remove(id: str) -> None:
    """A container whose driver was killed."""
    from headrace.pipelines.local.containers import docker_engine

    with contextlib.suppress(docker_engine.NoEngine):  # no containers run without it
        api, _ = docker_engine.api_version()
        client = docker_engine.connect(api)
        with contextlib.closing(client), docker_engine.engine_errors():
            docker_engine.remove(client, _name(id))


def sweep(emulator: Emulator) -> None:
    """Removes the containers that earlier starts have left: of drivers that were killed."""
    os.environ[_START] = start = f"{os.getpid()}-{time.time_ns()}"
    if (emulator.serving.folder / _PORTS).is_dir():  # there have been some
        threading.Thread(target=_sweep, args=(emulator.folder, start), name="sweep", daemon=True).start()


def _sweep(folder: Path, start: str) -> None:
    from headrace.pipelines.local.containers import docker_engine

    # Without an engine there are no containers that run; the next start looks again.
    with contextlib.suppress(docker_engine.NoEngine):
        api, _ = docker_engine.api_version()
        docker_engine.sweep(api, folder, lambda: {start})


def _startup_s(version: Document) -> float:
    limit = str((version.get("containerSpec") or {}).get("deploymentTimeout", "")).removesuffix("s")
    return float(limit) if limit else STARTUP_S


def _environment(
    emulator: Emulator, version: Document, variables: dict[str, str], files: Path | None
) -> dict[str, str]:
    """https://cloud.google.com/vertex-ai/docs/predictions/custom-container-requirements#aip-variables"""
    uri = str(version.get("artifactUri", ""))
    container = version.get("containerSpec") or {}
    return {
        **{str(one["name"]): str(one.get("value", "")) for one in container.get("env", [])},
        "AIP_FRAMEWORK": "CUSTOM_CONTAINER",
        "AIP_MODE": "PREDICTION",
        "AIP_MODE_VERSION": "1.0.0",
        "AIP_MODEL_NAME": version["name"].rpartition("/")[2],
        "AIP_VERSION_NAME": version["versionId"],
        "AIP_PROJECT_NUMBER": version["name"].split("/")[1],
        "AIP_STORAGE_URI": uri if uri.startswith("gs://") or files is None else str(files),
        "STORAGE_EMULATOR_HOST": emulator.address,
        **variables,
    }


def _image(version: Document) -> str:
    return str((version.get("containerSpec") or {}).get("imageUri", ""))


def _last(image: str) -> str:
    """The last part of an image's name."""
    return image.split("@")[0].rsplit("/", 1)[-1].split(":")[0]


def _full_name(version: Document) -> str:
    return f"{version['name']}@{version['versionId']}"


def _here(emulator: Emulator, argument: str) -> str:
    """An argument that is an address in the emulator's buckets, as our server finds it on this machine."""
    return str(model_files.bucket_folder(emulator, argument)) if argument.startswith("gs://") else argument
