"""What a custom job's machine would run, as a program of this machine: which Python, which words, which variables.

An image of ours, or plain Python, runs in the environment that stands in for it when pipelines run here. So do Vertex
AI's own images for training, in `main`: their libraries are those of this machine, which the job's log says. What a job
installs at its start is not installed. Every other image runs as a container, where DOCKER_HOST has an engine.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tarfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.emulator import jobs, pipeline_runs
from headrace.emulator.documents import Document
from headrace.emulator.pipeline_runs import RunRequest
from headrace.emulator.refusals import Refusal
from headrace.pipelines.local.workers.environments import UnknownEnvironment, default_environments

if TYPE_CHECKING:
    from headrace.emulator.state import Emulator

_TRAINER = re.compile(r"(^|[-_.])trainer(-gpu)?$")
_ENTRYPOINT = ("python", "-m", "headrace.trainer.task")  # of the trainer's image
_PREBUILT = re.compile(r"(?:[a-z]+-docker\.pkg\.dev/vertex-ai|gcr\.io/cloud-aiplatform)/training/.+")
_WORD = re.compile(r"gs://[^\s'\"]*|/gcs/[^\s'\"]*")


@dataclass(frozen=True)
class Program:
    """A program of this machine."""

    argv: tuple[str, ...]
    environment: Mapping[str, str]


def program(emulator: Emulator, name: str, spec: Document, folder: Path) -> Program | Document:
    """What a custom job runs: a program of this machine, or the `containerSpec` of a container.

    Args:
        emulator: whose.
        name: the job's full name.
        spec: its `jobSpec`.
        folder: the job's own, into which packages are unpacked.

    Raises:
        Refusal: it asks for several machines, or for what is not there.
    """
    pool = _pool(spec)
    package, container = pool.get("pythonPackageSpec"), pool.get("containerSpec", {})
    image = str((package or {}).get("executorImageUri") or container.get("imageUri") or "")
    if not image:
        raise Refusal("INVALID_ARGUMENT", "worker_pool_specs: expected a container_spec or python_package_spec")
    environment = {one["name"]: one.get("value", "") for one in (package or container).get("env", []) if "name" in one}
    environment |= _variables(name, spec)
    prefix = _prefix(image)
    if prefix is None and package is None:
        told = [{"name": key, "value": value} for key, value in environment.items()]
        return {**container, "env": told}
    if prefix is None:
        raise Refusal(
            "UNIMPLEMENTED", f"python_package_spec: the emulator has nothing that stands in for the image {image}"
        )
    if package is not None:
        environment["PYTHONPATH"] = _unpacked(emulator, package.get("packageUris", []), folder)
        words = ["python3", "-m", str(package.get("pythonModule", "")), *package.get("args", [])]
    else:
        words = [*(container.get("command") or _entrypoint(image)), *container.get("args", [])]
    if any("headrace." in word for word in words):  # which reads files: gs:// lies at /gcs on Vertex AI
        words = [_places(emulator, word, ("gs://", "/gcs/")) for word in words]
        environment = {key: _places(emulator, value, ("gs://", "/gcs/")) for key, value in environment.items()}
    else:
        words = [_places(emulator, word, ("/gcs/",)) for word in words]
    environment["PATH"] = f"{prefix / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    if _PREBUILT.fullmatch(image):
        _say(folder, f"{image}: the environment `main` of this machine stands in for it; nothing is installed")
    found = shutil.which(words[0], path=environment["PATH"]) or words[0]
    return Program((found, *words[1:]), environment)


def container_request(name: str, container: Document) -> RunRequest:
    """A pipeline of one task: the container, by the engine that DOCKER_HOST names."""
    id = f"custom-job-{name.rpartition('/')[2]}"
    executor = {
        "image": container["imageUri"],
        "command": list(container.get("command", [])),
        "args": list(container.get("args", [])),
        "env": container["env"],
    }
    ir: dict[str, Any] = {
        "pipelineInfo": {"name": id},
        "components": {"comp-job": {"executorLabel": "exec-job"}},
        "deploymentSpec": {"executors": {"exec-job": {"container": executor}}},
        "root": {"dag": {"tasks": {"job": {"componentRef": {"name": "comp-job"}, "taskInfo": {"name": "job"}}}}},
        "schemaVersion": "2.1.0",
        "sdkVersion": "kfp-2.16.1",
    }
    return RunRequest(ir=ir, name=id, labels={"vertex": name}, cache=False, containers=True)


def _pool(spec: Document) -> Document:
    pools = [pool for pool in spec.get("workerPoolSpecs", []) if pool]
    if not pools:
        raise Refusal("INVALID_ARGUMENT", "job_spec.worker_pool_specs: expected at least one. Received: none")
    if len(pools) > 1 or int(pools[0].get("replicaCount", 1)) > 1:
        raise Refusal("UNIMPLEMENTED", "worker_pool_specs: the emulator runs jobs of one replica")
    pool: Document = pools[0]
    return pool


def _variables(name: str, spec: Document) -> dict[str, str]:
    """https://cloud.google.com/vertex-ai/docs/training/code-requirements#environment-variables"""
    _, project, _, location, _, id = name.split("/")
    task = {"type": "workerpool0", "index": 0, "trial": ""}
    found = {
        "CLOUD_ML_PROJECT_ID": project,
        "CLOUD_ML_REGION": location,
        "CLOUD_ML_JOB_ID": id,
        "CLUSTER_SPEC": json.dumps(
            {"cluster": {"workerpool0": ["127.0.0.1:2222"]}, "environment": "cloud", "task": task}
        ),
    }
    if root := spec.get("baseOutputDirectory", {}).get("outputUriPrefix", "").rstrip("/"):
        found |= {
            "AIP_MODEL_DIR": f"{root}/model/",
            "AIP_CHECKPOINT_DIR": f"{root}/checkpoints/",
            "AIP_TENSORBOARD_LOG_DIR": f"{root}/logs/",
        }
    return found


def _prefix(image: str) -> Path | None:
    """The environment that stands in for an image; None where none does.

    Raises:
        Refusal: FAILED_PRECONDITION: it is not built.
    """
    environments = default_environments()
    try:
        name = "main" if _PREBUILT.fullmatch(image) else environments.name_for(image)
    except UnknownEnvironment:
        return None
    try:
        return environments.prefix(name)
    except UnknownEnvironment as error:
        raise Refusal("FAILED_PRECONDITION", str(error)) from None


def _entrypoint(image: str) -> tuple[str, ...]:
    """What our images start by themselves.

    Raises:
        Refusal: INVALID_ARGUMENT: that is not known outside of the image.
    """
    last = image.split("@")[0].rsplit("/", 1)[-1].split(":")[0]
    if not _TRAINER.search(last):
        raise Refusal(
            "INVALID_ARGUMENT", f"container_spec.command: expected the program, as {image} is not run in its image"
        )
    return _ENTRYPOINT


def _places(emulator: Emulator, word: str, schemes: tuple[str, ...]) -> str:
    """A word in which places in Cloud Storage are paths of this machine."""

    def local(found: re.Match[str]) -> str:
        text = found[0]
        if not text.startswith(schemes):
            return text
        uri = f"gs://{text.removeprefix('gs://').removeprefix('/gcs/')}"
        path = str(pipeline_runs.local(emulator, uri))
        return f"{path}/" if text.endswith("/") else path

    return _WORD.sub(local, word)


def _unpacked(emulator: Emulator, uris: list[str], folder: Path) -> str:
    """Unpacks Python packages, and returns where they are, as PYTHONPATH has it.

    Raises:
        Refusal: INVALID_ARGUMENT: one is not there, or no package.
    """
    found = []
    for number, uri in enumerate(uris):
        archive, target = pipeline_runs.local(emulator, uri), folder / "packages" / str(number)
        target.mkdir(parents=True, exist_ok=True)
        try:
            if archive.suffix in (".whl", ".zip"):
                with zipfile.ZipFile(archive) as wheel:
                    wheel.extractall(target)  # which keeps names within the folder
            else:
                with tarfile.open(archive) as packed:
                    packed.extractall(target, filter="data")
        except (OSError, tarfile.TarError, zipfile.BadZipFile) as error:
            raise Refusal("INVALID_ARGUMENT", f"package_uris: expected a package at {uri}: {error}") from None
        inner = [path for path in target.iterdir() if path.is_dir() and (path / "setup.py").exists()]
        found.append(str(inner[0] if inner else target))
    return os.pathsep.join(found)


def _say(folder: Path, text: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / jobs.LOG).open("a", encoding="utf-8") as log:
        print(text, file=log)
