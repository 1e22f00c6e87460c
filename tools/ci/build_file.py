"""Reads a Cloud Build file and fills in its substitutions, as the service does."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

# The fields of google.devtools.cloudbuild.v1 (Build, BuildStep, BuildOptions) that a file may set: one that the service
# does not know is an error there, and should be one here.
BUILD_FIELDS = frozenset(
    (
        "artifacts",
        "availableSecrets",
        "dependencies",
        "images",
        "logsBucket",
        "options",
        "queueTtl",
        "secrets",
        "serviceAccount",
        "steps",
        "substitutions",
        "tags",
        "timeout",
    )
)
STEP_FIELDS = frozenset(
    (
        "allowExitCodes",
        "allowFailure",
        "args",
        "automapSubstitutions",
        "dir",
        "entrypoint",
        "env",
        "id",
        "name",
        "pullTiming",
        "script",
        "secretEnv",
        "timeout",
        "volumes",
        "waitFor",
    )
)
OPTION_FIELDS = frozenset(
    (
        "automapSubstitutions",
        "defaultLogsBucketBehavior",
        "diskSizeGb",
        "dynamicSubstitutions",
        "enableStructuredLogging",
        "env",
        "logStreamingOption",
        "logging",
        "machineType",
        "pool",
        "requestedVerifyOption",
        "secretEnv",
        "sourceProvenanceHash",
        "substitutionOption",
        "volumes",
        "workerPool",
    )
)
# What the service itself fills in; those of a trigger are empty where there is none.
BUILT_IN = frozenset(
    (
        "PROJECT_ID",
        "BUILD_ID",
        "PROJECT_NUMBER",
        "LOCATION",
        "TRIGGER_NAME",
        "COMMIT_SHA",
        "REVISION_ID",
        "SHORT_SHA",
        "REPO_NAME",
        "REPO_FULL_NAME",
        "BRANCH_NAME",
        "TAG_NAME",
        "REF_NAME",
        "TRIGGER_BUILD_CONFIG_PATH",
        "SERVICE_ACCOUNT_EMAIL",
        "SERVICE_ACCOUNT",
        "_HEAD_BRANCH",
        "_BASE_BRANCH",
        "_HEAD_REPO_URL",
        "_PR_NUMBER",
    )
)
USER_DEFINED = re.compile(r"^_[A-Z0-9_]+$")
_REFERENCE = re.compile(r"\$\$|\$(?:\{([A-Z_][A-Z0-9_]*)\}|([A-Z_][A-Z0-9_]*))")


class BuildFileError(ValueError):
    """A file that the service would refuse; the message says where, what was expected, and what was received."""


@dataclass(frozen=True)
class Step:
    """A step: a command in an image.

    Attributes:
        id: its name in the build.
        image: what it runs in.
        entrypoint: the command; empty for the image's own.
        args: the command's arguments.
        env: `NAME=VALUE`.
        wait_for: the steps that have to be done before; None for all that stand above it, empty for none.
    """

    id: str
    image: str
    entrypoint: str
    args: tuple[str, ...]
    env: tuple[str, ...]
    wait_for: tuple[str, ...] | None

    @property
    def target(self) -> str:
        """The `make` target that it calls; empty where it calls none."""
        return self.args[0] if self.entrypoint == "make" and self.args else ""

    @property
    def variables(self) -> dict[str, str]:
        """What it gives `make`."""
        return dict(arg.split("=", 1) for arg in self.args[1:] if "=" in arg) if self.target else {}


@dataclass(frozen=True)
class Build:
    """A build as its file has it."""

    file: Path
    steps: tuple[Step, ...]
    substitutions: Mapping[str, str]
    options: Mapping[str, Any]
    timeout: str

    def step(self, name: str) -> Step:
        """The step with an id.

        Raises:
            KeyError: there is none.
        """
        return {step.id: step for step in self.steps}[name]

    def before(self, name: str) -> set[str]:
        """The ids of all steps that are done before one begins."""
        order = [step.id for step in self.steps]
        found: set[str] = set()
        waiting = [name]
        while waiting:
            step = self.step(waiting.pop())
            direct = order[: order.index(step.id)] if step.wait_for is None else [w for w in step.wait_for if w != "-"]
            waiting += [one for one in direct if one not in found]
            found.update(direct)
        return found


def load(file: Path) -> Build:
    """Reads a build file as it stands, with its substitutions not filled in.

    Raises:
        BuildFileError: it has a field that Cloud Build does not know, or one of another form.
    """
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise BuildFileError(f"{file}: expected a mapping with steps. Received: {type(content).__name__}")
    _known(content, BUILD_FIELDS, str(file))
    options = content.get("options", {})
    _known(options, OPTION_FIELDS, f"{file}: options")
    substitutions = content.get("substitutions", {})
    for name, value in substitutions.items():
        if not USER_DEFINED.match(name) or not isinstance(value, str):
            expected = "a name such as _REGION with a text"
            raise BuildFileError(f"{file}: substitutions: expected {expected}. Received: {name}: {value!r}")
    steps = tuple(_step(entry, f"{file}: steps[{index}]") for index, entry in enumerate(content.get("steps") or []))
    if not steps:
        raise BuildFileError(f"{file}: expected at least one step. Received: none")
    return Build(file, steps, substitutions, options, str(content.get("timeout", "600s")))


def _step(entry: Any, where: str) -> Step:
    _known(entry, STEP_FIELDS, where)
    for field in ("id", "name"):
        if not isinstance(entry.get(field), str):
            raise BuildFileError(f"{where}: {field}: expected a text. Received: {entry.get(field)!r}")
    lists = {}
    for field in ("args", "env", "waitFor"):
        value = entry.get(field, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise BuildFileError(f"{where} ({entry['id']}): {field}: expected a list of texts. Received: {value!r}")
        lists[field] = tuple(value)
    wait_for = lists["waitFor"] if entry.get("waitFor") else None
    return Step(entry["id"], entry["name"], entry.get("entrypoint", ""), lists["args"], lists["env"], wait_for)


def _known(content: Any, fields: frozenset[str], where: str) -> None:
    if not isinstance(content, dict):
        raise BuildFileError(f"{where}: expected a mapping. Received: {content!r}")
    if unknown := sorted(set(content) - fields):
        raise BuildFileError(f"{where}: expected fields of Cloud Build's. Received: {', '.join(unknown)}")


def references(text: str) -> set[str]:
    """The names of the substitutions in a text.

    >>> sorted(references("$_A-${PROJECT_ID}/$$HOME"))
    ['PROJECT_ID', '_A']
    """
    return {match[1] or match[2] for match in _REFERENCE.finditer(text) if match[0] != "$$"}


def fill(text: str, values: Mapping[str, str]) -> str:
    """A text with its substitutions filled in; `$$` is a dollar.

    >>> fill("$_A-${PROJECT_ID}/$$HOME", {"_A": "a", "PROJECT_ID": "p"})
    'a-p/$HOME'

    Raises:
        BuildFileError: one is neither given nor one of the service's own.
    """

    def value(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        name = match[1] or match[2]
        if name not in values and name not in BUILT_IN:
            raise BuildFileError(f"expected a substitution that is defined. Received: ${name} in {text!r}")
        return values.get(name, "")  # the service's own, where a build has no trigger

    return _REFERENCE.sub(value, text)


def resolve(build: Build, given: Mapping[str, str]) -> Build:
    """A build with its substitutions filled in.

    Args:
        build: as the file has it.
        given: values of the service's own substitutions, and those that a trigger sets instead of the file's.

    Raises:
        BuildFileError: a substitution is not defined, or defined by itself.
    """
    if unknown := sorted(set(given) - BUILT_IN - set(build.substitutions)):
        raise BuildFileError(f"{build.file}: expected substitutions that it has. Received: {', '.join(unknown)}")
    values = {**build.substitutions, **given}
    if build.options.get("dynamicSubstitutions"):
        values = {name: _resolved(name, values, ()) for name in values}
    return replace(
        build,
        substitutions=values,
        steps=tuple(
            replace(
                step,
                image=fill(step.image, values),
                args=tuple(fill(arg, values) for arg in step.args),
                env=tuple(fill(entry, values) for entry in step.env),
            )
            for step in build.steps
        ),
    )


def _resolved(name: str, values: Mapping[str, str], above: tuple[str, ...]) -> str:
    if name in above:
        raise BuildFileError(f"substitutions: expected no circle. Received: {' -> '.join([*above, name])}")
    inner = references(values[name]) & set(values)
    return fill(values[name], {**values, **{one: _resolved(one, values, (*above, name)) for one in inner}})
