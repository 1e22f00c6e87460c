"""Recognizes how KFP starts its components, so that a warm worker can do it without a shell."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headrace.pipelines.local.ir.graph import UnsupportedPipeline

_EXECUTOR = "kfp.dsl.executor_main"
_INSTALLED = re.compile(r"pip install\s+(.*?)\s*(?:&&|\|\||\)|$)", re.MULTILINE | re.DOTALL)
_WITH_VALUE = ("--index-url", "-i", "--extra-index-url", "--trusted-host", "--find-links", "-f")  # options of pip


@dataclass(frozen=True)
class Command:
    """What to run: a Python component's source (or none, when the image holds it), or a program."""

    python: bool
    source: str | None  # of a lightweight component
    words: tuple[str, ...]  # arguments of KFP's executor, or the program and its arguments
    installs: tuple[str, ...] = ()  # packages that the command would have installed


def recognize(command: Sequence[str], args: Sequence[str]) -> Command:
    """Takes a container's command apart.

    A pip install in front is dropped and named in `installs`: an environment is what its lock says.
    """
    words = list(command)
    installs: list[str] = []
    while len(words) > 3 and words[:2] == ["sh", "-c"] and words[2].rstrip().endswith('"$0" "$@"'):
        if "pip install" not in words[2]:
            break
        installs += _packages(words[2])
        words = words[3:]
    if len(words) == 4 and words[0] in ("sh", "bash") and words[1].startswith("-") and _EXECUTOR in words[2]:
        return Command(True, words[3], tuple(args), tuple(installs))
    if len(words) >= 3 and re.fullmatch(r"(?:.*/)?python[\d.]*", words[0]) and words[1:3] == ["-m", _EXECUTOR]:
        return Command(True, None, (*words[3:], *args), tuple(installs))
    return Command(False, None, (*words, *args), tuple(installs))


def with_driver(task: str, container: Mapping[str, Any]) -> tuple[Mapping[str, Any], bool]:
    """A container that runs its driver first, in its own process; and whether it has one.

    Vertex AI starts what `lifecycle.preCacheCheck` says before it looks into its cache, in a container of the same
    image, with the same executor input: there TFX's ExampleGen finds the newest span of its data. What it finds goes
    through the executor's output file, where TFX's executor looks for it.

    Raises:
        UnsupportedPipeline: another hook than that one.
    """
    if "lifecycle" not in container:
        return container, False
    hooks = container["lifecycle"]
    hook = hooks.get("preCacheCheck", {})
    first = [*hook.get("command", ()), *hook.get("args", ())]
    if set(hooks) != {"preCacheCheck"} or not first or not container.get("command"):
        raise UnsupportedPipeline(
            f"{task}: expected a plain container, or one with a driver before the cache. "
            f"Received: one with a lifecycle hook, {', '.join(sorted(hooks)) or 'empty'}"
        )
    places = " ".join(f'"${{{place}}}"' for place in range(1, len(first) + 1))
    script = f'{places} && shift {len(first)} && exec "$@"'
    words = [*container.get("command", ()), *container.get("args", ())]
    return {**container, "command": ["sh", "-c", script, "sh", *first], "args": words}, True


def _packages(script: str) -> list[str]:
    """The requirements that a script would install, less KFP's own runtime."""
    found: dict[str, None] = {}
    for match in _INSTALLED.finditer(script):
        try:
            words = shlex.split(match.group(1))
        except ValueError:  # quotes that go on elsewhere
            words = match.group(1).split()
        value = False
        for word in words:
            if not (value or word.startswith("-") or re.match(r"(kfp|typing-extensions)\b", word)):
                found[word] = None
            value = word in _WITH_VALUE
    return list(found)
