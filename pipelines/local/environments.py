"""Environments: which Python, built from which lock, stands in for an image on this machine."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from headrace.artifacts.errors import HeadraceError

STAMP = "headrace-env"  # written by tools/setup_envs.py: which lock the environment equals
_MAIN = ("components", "main", "trainer", "serving")


class UnknownEnvironment(HeadraceError):
    """An image that no environment stands in for, or an environment that is not built."""


@dataclass(frozen=True)
class Environments:
    """The environments of this machine, by name, and what is known of images beyond the naming rule."""

    prefixes: Mapping[str, Path]
    images: Mapping[str, str] = field(default_factory=dict)  # image, as the pipeline names it -> environment

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
