"""Checks a GitHub Actions workflow: it calls the same targets, in the same order, with no more rights than it needs."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tools.ci.checks import BEFORE, CLOUD
from tools.ci.makefile import Makefile, read_makefile

_PINNED = re.compile(r"^[\w.-]+/[\w./-]+@(v\d+(\.\d+)*|[0-9a-f]{40})$")


@dataclass(frozen=True)
class Job:
    """A job: its `make` targets in order, the jobs that it needs, and what it may do."""

    id: str
    targets: tuple[str, ...]
    needs: tuple[str, ...]
    content: dict[str, Any]


def jobs(file: Path) -> dict[str, Job]:
    """The jobs of a workflow by their ids."""
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    found = {}
    for name, job in content["jobs"].items():
        commands = [command for step in job["steps"] for command in _commands(step)]
        needs = job.get("needs", [])
        targets = tuple(words[1] for words in commands if words[:1] == ["make"])
        found[name] = Job(name, targets, (needs,) if isinstance(needs, str) else tuple(needs), job)
    return found


def _commands(step: dict[str, Any]) -> Iterator[list[str]]:
    for line in str(step.get("run", "")).replace("\\\n", " ").splitlines():
        if line.strip():
            yield shlex.split(line)


def before(found: dict[str, Job], name: str) -> set[str]:
    """The targets that are done when a job begins."""
    done: set[str] = set()
    for other in found[name].needs:
        done |= {*found[other].targets, *before(found, other)}
    return done


def problems(file: Path, root: Path) -> list[str]:
    """All that is wrong with a workflow, a line each; empty where nothing is."""
    found, makefile = jobs(file), read_makefile(root / "Makefile")
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    lines = [] if content.get("permissions") == {"contents": "read"} else ["expected permissions: {contents: read}"]
    for job in found.values():
        if missing := sorted(set(job.needs) - set(found)):
            lines.append(f"{job.id}: needs: expected jobs that there are. Received: {', '.join(missing)}")
            continue
        lines += [f"{job.id}: {text}" for text in _of_job(job, found, makefile)]
    return [f"{file}: {line}" for line in lines]


def _of_job(job: Job, found: dict[str, Job], makefile: Makefile) -> Iterator[str]:
    if "timeout-minutes" not in job.content:
        yield "expected timeout-minutes. Received: none"
    for step in job.content["steps"]:
        if "uses" in step and not _PINNED.match(step["uses"]):
            yield f"expected an action with a version. Received: {step['uses']}"
        for words in _commands(step):
            if words[0] != "make":
                yield f"expected a `make` target. Received: {shlex.join(words)}"
            elif words[1] not in makefile.targets:
                yield f"expected a target of the Makefile. Received: {words[1]}"
            elif unknown := {word.split("=")[0] for word in words[2:]} - makefile.variables[words[1]]:
                yield f"expected variables that `make {words[1]}` reads. Received: {', '.join(sorted(unknown))}"
    if CLOUD & set(job.targets) and job.content.get("permissions", {}).get("id-token") != "write":
        yield "expected permissions: id-token: write, by which it is let into the project. Received: none"
    done = before(found, job.id)
    for target in job.targets:
        if missing := sorted(BEFORE.get(target, set()) - done):
            yield f"{target}: expected it after {', '.join(missing)}. Received: after {', '.join(sorted(done))}"
        done.add(target)
