"""Runs the steps of a build file on this machine, in the images that they name, as Cloud Build would.

A step gets what it gets there: the sources at /workspace (a copy of what git has, or would have), the engine's socket,
and a home folder that the steps share. What needs a project is left out and named.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.ci.build_file import Build, Step
from tools.ci.checks import CLOUD, PUBLIC

# Made by steps, and ignored by git.
KEPT = (".venv", ".venv-tfx", ".venv-uv", ".venv.lock", ".mypy_cache", ".ruff_cache", "build", ".headrace")


class StepFailed(RuntimeError):
    """A step ended with an error; its output says why."""


@dataclass(frozen=True)
class Ran:
    """A step that ran.

    Attributes:
        id: the step's.
        seconds: how long it took.
    """

    id: str
    seconds: float


def checkout(root: Path, workspace: Path) -> None:
    """Makes a folder equal to what a commit of everything would hold, and keeps what steps have built there."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        check=True,
    ).stdout.split(b"\0")
    workspace.mkdir(parents=True, exist_ok=True)
    for entry in workspace.iterdir():
        if entry.name not in KEPT:
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    for name in filter(None, map(os.fsdecode, listed)):
        source, target = root / name, workspace / name
        if not source.exists() and not source.is_symlink():
            continue  # removed, and not yet committed
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target, follow_symlinks=False)
    for command in (["init", "--quiet"], ["add", "--all"]):  # a trigger's checkout is a repository, and tests ask it
        subprocess.run(["git", *command], cwd=workspace, check=True, capture_output=True)


def run_steps(
    build: Build,
    workspace: Path,
    *,
    only: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    volumes: Sequence[str] = (),
    say: Callable[[str], None] = print,
) -> list[Ran]:
    """Runs a resolved build's steps one after another, in the order of the file, which is one that `waitFor` allows.

    Args:
        build: with its substitutions filled in.
        workspace: what the steps find at /workspace.
        only: ids of the steps to run; all, if there are none.
        env: what this machine's network needs in a container, such as a proxy or certificates.
        volumes: `HERE:THERE`, as for `docker run`: a folder of downloads, for one.
        say: is told of each step.

    Raises:
        StepFailed: a step ended with an error.
    """
    done = []
    for step in build.steps:
        if only and step.id not in only:
            continue
        if step.target in CLOUD:
            say(f"-- {step.id}: needs a project, not run here: make {' '.join(step.args)}")
            continue
        say(f"-- {step.id}: {step.image}: {' '.join(filter(None, [step.entrypoint, *step.args]))}")
        began = time.monotonic()
        if step.image in PUBLIC:  # it holds a Docker client and nothing else: this machine's does the same
            code = subprocess.run(["docker", *step.args], cwd=workspace).returncode
        else:
            code = _in_container(in_container(step, workspace, env or {}, volumes))
        if code:
            raise StepFailed(f"{build.file}: {step.id}: expected exit code 0. Received: {code}")
        done.append(Ran(step.id, time.monotonic() - began))
        say(f"-- {step.id}: done in {done[-1].seconds:.1f} s")
    return done


def _in_container(command: Sequence[str]) -> int:
    """Runs a container to its end; returns its exit code.

    Without `--rm`: by podman's service, `docker run --rm` ends with 0 whatever the container ended with.
    """
    name = f"headrace-ci-{os.getpid()}-{time.monotonic_ns()}"
    try:
        return subprocess.run([*command[:2], f"--name={name}", *command[2:]]).returncode
    finally:
        subprocess.run(["docker", "rm", "--force", name], capture_output=True)


def in_container(step: Step, workspace: Path, env: Mapping[str, str], volumes: Sequence[str]) -> list[str]:
    """The command by which an engine runs a step as Cloud Build does."""
    home = workspace.with_name(f"{workspace.name}-home")
    home.mkdir(parents=True, exist_ok=True)
    mounts = [f"{workspace}:/workspace", f"{home}:/builder/home", *volumes]
    socket = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    if socket.startswith("unix://"):
        mounts.append(f"{socket.removeprefix('unix://')}:/var/run/docker.sock")
    variables = {"HOME": "/builder/home", **dict(entry.split("=", 1) for entry in step.env), **env}
    return [
        "docker",
        "run",
        "--network=host",
        "--workdir=/workspace",
        *(f"--volume={mount}" for mount in mounts),
        *(f"--env={name}={value}" for name, value in variables.items()),
        *([f"--entrypoint={step.entrypoint}"] if step.entrypoint else []),
        step.image,
        *step.args,
    ]
