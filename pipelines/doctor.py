"""What `headrace doctor` looks at: this machine, a spec, and the place that its pipeline is submitted to."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.submission import VERTEX
from headrace.platforms.emulated import is_emulator
from headrace.platforms.running import Finding, open_runs

if TYPE_CHECKING:
    from headrace.pipelines.submission import Plan

_PYTHON = (3, 11)
_DISK_GIB = 5  # free, below which a run may not end: snapshots, models and reports of a few gigabytes of rows
_MEMORY_GIB = 4  # TensorFlow's and TFDV's workers beside a training
_ROOT = Path(__file__).resolve().parent.parent


def local_findings(home: Path) -> Iterator[Finding]:
    """This machine: Python, the environments and whether they equal their locks, cores, memory, disk, containers."""
    version = ".".join(map(str, sys.version_info[:3]))
    right = sys.version_info[:2] == _PYTHON
    remedy = "" if right else "install Python 3.11, and `make setup`"
    yield Finding("Python", right, version if right else f"{version}, and the locks are for 3.11", remedy)
    yield from _environments()
    yield from _machine()
    place = next(folder for folder in (home, *home.parents) if folder.exists())
    free = shutil.disk_usage(place).free / 2**30
    enough = free >= _DISK_GIB
    remedy = "" if enough else "headrace store gc, or another folder by --home"
    yield Finding("disk", enough, f"{free:,.1f} GiB free at {place}", remedy)
    if not os.access(place, os.W_OK):
        yield Finding("home", False, f"{place} cannot be written", "another folder by --home or $HEADRACE_HOME")
    yield _engine()


def _environments() -> Iterator[Finding]:
    """Whether each environment is there, and was made from the lock as it is now."""
    import hashlib

    from headrace.pipelines.local.workers.environments import STAMP, default_environments

    for name, prefix in default_environments().prefixes.items():
        what, stamp = f"environment {name}", prefix / STAMP
        if not (prefix / "bin" / "python").exists():
            needed = None if name == "tfx" else False
            yield Finding(what, needed, f"none at {prefix}", "make setup")
            continue
        lock = _ROOT / "requirements" / f"{name}.lock"
        if not stamp.is_file() or not lock.is_file():
            yield Finding(what, None, f"{prefix}, and no telling whether it equals its lock", "make setup")
            continue
        current = f"{lock.name} {hashlib.sha256(lock.read_bytes()).hexdigest()}" in stamp.read_text().splitlines()
        told = "equals its lock" if current else "is older than its lock"
        yield Finding(what, current, told, "" if current else "make setup")


def _machine() -> Iterator[Finding]:
    from headrace.pipelines.local.workers.resources import CORE, machine

    has = machine()
    memory = has.memory / 2**30
    told = f"{has.cpu / CORE:g} cores, {memory:,.1f} GiB of memory"
    enough = memory >= _MEMORY_GIB
    yield Finding("machine", enough or None, told, "" if enough else "headrace run --max-parallel 1")


def _engine() -> Finding:
    """Only worth knowing: containers are for `--runner docker`."""
    from headrace.pipelines.local.containers.docker_engine import NoEngine, api_version, connect

    try:
        version, podman = api_version()
        connect(version, timeout=10).ping()
    except (NoEngine, OSError) as error:
        told = str(error).splitlines()[0][:160]
        return Finding("container engine", None, f"none: {told}", "only `headrace run --runner docker` needs one")
    return Finding("container engine", True, f"{'Podman' if podman else 'Docker'} answers, API {version}")


def spec_findings(file: Path) -> Iterator[Finding]:
    """The spec and its source, as `headrace validate` looks at them."""
    from headrace.pipelines.check import check_spec

    try:
        spec, head = check_spec(file)
    except HeadraceError as error:
        yield Finding(str(file), False, str(error), f"headrace validate {file}")
    else:
        yield Finding(str(file), True, f"{spec.task} from {head.num_columns} columns")


def place_findings(planned: Plan) -> list[Finding]:
    """The place that a pipeline is submitted to: its API, what we may do there, folders, images, the registry."""
    found: list[Finding] = []
    for check in (_runs, _vertex, _kubeflow):
        try:
            found += check(planned)
        except HeadraceError as error:
            found.append(Finding(planned.where.shown, False, str(error)))
    found += _images(planned)
    if planned.spec:
        found += _registry(planned)
    return found


def _runs(planned: Plan) -> list[Finding]:
    return open_runs(planned.where).check()


def _vertex(planned: Plan) -> list[Finding]:
    if planned.where.on != VERTEX:
        return []
    from headrace.platforms.vertex.place_checks import check_account, check_bucket

    section = planned.submit.vertex
    wanted = ["roles/dataflow.developer"] if section and section.dataflow else []
    found: list[Finding] = check_account(planned.where, planned.said("service_account"), optional=wanted)
    if not planned.root:
        return [*found, Finding("root", False, "none is said", "submit.vertex.root: gs://BUCKET/FOLDER, or --root")]
    bucket = check_bucket(planned.where, planned.root)
    if is_emulator(planned.where.endpoint):  # a command that makes it at Google's would not help
        made = "not there yet: `headrace submit` makes it"
        bucket = [replace(one, ok=None, told=made, remedy="") if "404" in one.told else one for one in bucket]
    return [*found, *bucket]


def _kubeflow(planned: Plan) -> list[Finding]:
    if planned.where.on == VERTEX:
        return []
    platform = getattr(planned.place, "platform", None) or os.environ.get("HEADRACE_PLATFORM", "")
    if not platform.startswith("kubeflow:"):
        return []
    from headrace.platforms.kubeflow.checking import check_serving
    from headrace.platforms.kubeflow.place import KubeflowPlace

    return check_serving(KubeflowPlace.of(platform))


def _images(planned: Plan) -> Iterable[Finding]:
    """Whether the images that would be compiled in can be pulled from elsewhere, as far as their names tell."""
    from headrace.components import images
    from headrace.pipelines.submission import only_here

    remedy = "make push-images, and HEADRACE_IMAGES=FILE that it writes"
    named, emulated = images.named(), is_emulator(planned.where.endpoint)
    for name in ("components", "tfx"):
        image = named[name]
        if emulated:
            yield Finding(f"image {name}", True, f"{image}, whose steps the emulator runs from its own installation")
        elif only_here(image):  # the nodes of a cluster may have been given it
            ok = False if planned.where.on == VERTEX and not planned.where.endpoint else None
            yield Finding(f"image {name}", ok, f"{image}, which is in no registry", remedy)
        elif "@sha256:" in image:
            yield Finding(f"image {name}", True, image)
        else:
            yield Finding(f"image {name}", None, f"{image}, a tag, which may move", remedy)


def _registry(planned: Plan) -> Iterable[Finding]:
    from headrace.pipelines.submitted_parameters import platform

    try:
        yield Finding("registry", True, platform(planned, {}))
    except HeadraceError as error:
        yield Finding("registry", False, str(error))
