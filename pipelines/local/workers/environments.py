"""Environments: which Python, built from which lock, stands in for an image on this machine."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.local.ir.commands import Command, recognize

if TYPE_CHECKING:
    from headrace.pipelines.local.ir.graph import Executor
    from headrace.pipelines.local.store.attempts import Attempt
    from headrace.pipelines.local.tree import Node

STAMP = "headrace-env"  # written by tools/setup_envs.py: which lock the environment equals
_MAIN = ("components", "main", "trainer", "trainer-gpu", "serving")


class UnknownEnvironment(HeadraceError):
    """An image that no environment stands in for, or an environment that is not built."""


@dataclass(frozen=True)
class Environments:
    """The environments of this machine, by name, and what is known of images beyond the naming rule.

    Everything about a run that depends on where its tasks run is asked here; `images.ContainerEnvironments` gives
    other answers to the same questions.
    """

    prefixes: Mapping[str, Path]
    images: Mapping[str, str] = field(default_factory=dict)  # image, as the pipeline names it -> environment
    containers: ClassVar[bool] = False  # whether tasks run in the images themselves
    preload: ClassVar[tuple[str, ...]] = ()  # modules that every worker needs, whatever it is to run

    def name_for(self, image: str) -> str:
        """The environment for an image: an explicit entry, else by the last part of its name.

        Raises:
            UnknownEnvironment: nothing stands in for it.
        """
        if image in self.images:
            return self._known(self.images[image], image)
        last = image.split("@")[0].rsplit("/", 1)[-1].split(":")[0]
        if re.search(r"(^|[-_.])tfx$", last):
            return self._known("tfx", image)
        if re.search(rf"(^|[-_.])({'|'.join(_MAIN)})$", last) or is_plain_python(image):
            return self._known("main", image)
        known = ", ".join([f"*{name}" for name in (*_MAIN, "tfx")] + ["python:*", *self.images])
        raise UnknownEnvironment(
            f"expected an image that a local environment stands in for ({known}). Received: {image or 'none'}"
        )

    def prefix(self, name: str) -> Path:
        """The folder of an environment, which is built.

        Raises:
            UnknownEnvironment: it is not.
        """
        prefix = self.prefixes[name]
        if not (prefix / "bin" / "python").exists():
            raise UnknownEnvironment(
                f"expected the environment `{name}` at {prefix}. Received: no Python there. `make setup` builds it."
            )
        return prefix

    def digest(self, name: str) -> str:
        """What an environment is made of, as a SHA-256 (hex)."""
        return digest(self.prefix(name))

    def worker(self, name: str) -> str:
        """The environment whose warm worker runs the tasks of this one."""
        return name

    def command(self, executor: Executor) -> Command:
        """How a component's container is started here."""
        return recognize(executor.command, executor.args)

    def request(
        self, request: dict[str, Any], node: Node, attempt: Attempt, constants: Mapping[str, str]
    ) -> dict[str, Any]:
        """What to ask a worker for, from the request for a plain process."""
        return request

    def reading(self, ir: Mapping[str, Any], parameters: Mapping[str, Any], mounts: Sequence[Path]) -> Environments:
        """The same, where tasks may read what a pipeline's parameters name, and `mounts`."""
        return self

    def labels(self, mounts: Sequence[Path]) -> dict[str, str]:
        """What is recorded with a run, so that it is resumed in the same way."""
        return {}

    def clean_up(self, home: Path, alive: Callable[[], Container[str]]) -> None:
        """Removes what the dead runs of a home have left outside of it; `alive` are the ids of the living ones."""

    def end_run(self, home: Path, run_id: str) -> None:
        """Removes what a run has left outside of the home."""

    def _known(self, name: str, image: str) -> str:
        if name not in self.prefixes:
            raise UnknownEnvironment(
                f"expected one of the environments {', '.join(self.prefixes)} for {image}. Received: {name}"
            )
        return name


def default_environments(images: Mapping[str, str] | None = None) -> Environments:
    """`main` is the Python that runs this; `tfx` is beside it, or where HEADRACE_ENV_TFX says."""
    main = Path(sys.prefix)
    tfx = os.environ.get("HEADRACE_ENV_TFX")
    return Environments(
        {"main": main, "tfx": Path(tfx) if tfx else main.with_name(main.name + "-tfx")}, dict(images or {})
    )


def is_plain_python(image: str) -> bool:
    """Whether an image is Python and nothing else, as lightweight components have it by default."""
    return re.fullmatch(r"(?:.*/)?python(?::[\w.-]+)?(?:@.*)?", image) is not None


def digest(prefix: Path) -> str:
    """What an environment is made of: its Python, its lock's hash where it has one, and what is installed in fact."""
    stamp = prefix / STAMP
    lines = stamp.read_text().splitlines() if stamp.is_file() else []
    locks = [line for line in lines if line.split(" ")[0] in ("main.lock", "tfx.lock")]
    installed = sorted(p.name for p in prefix.glob("lib/python*/site-packages/*.dist-info"))
    covered = "\n".join([_python_version(prefix), *locks, *installed])
    return hashlib.sha256(covered.encode()).hexdigest()


def _python_version(prefix: Path) -> str:
    if prefix == Path(sys.prefix):
        return ".".join(map(str, sys.version_info[:3]))
    config = prefix / "pyvenv.cfg"
    for line in config.read_text().splitlines() if config.is_file() else ():
        key, _, value = line.partition("=")
        if key.strip() in ("version", "version_info"):
            return ".".join(value.strip().split(".")[:3])
    return ",".join(sorted(p.name for p in prefix.glob("lib/python*")))
