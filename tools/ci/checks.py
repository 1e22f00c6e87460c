"""What a build file may get wrong without a cloud noticing before it runs. Each rule is a function of its own."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tools.ci.build_file import BUILT_IN, Build, BuildFileError, Step, references, resolve
from tools.ci.makefile import Makefile, read_makefile, recipe

# Images that nobody builds here. A floating tag of anybody else's would run with the build's rights.
PUBLIC = frozenset({"gcr.io/cloud-builders/docker"})
CI_IMAGE = "headrace/ci"
MACHINES = frozenset({"E2_HIGHCPU_8", "E2_HIGHCPU_32", "E2_MEDIUM", "E2_STANDARD_2", "N1_HIGHCPU_8", "N1_HIGHCPU_32"})
# What cannot be done without a project; each says so when it is called without one.
CLOUD = frozenset({"push-images", "submit-e2e", "gate", "promote", "release"})
# What has to be done before, in the same build: nothing leaves before it was checked, nothing is promoted ungated.
BEFORE = {
    "push-images": {"lint", "types", "test", "images"},
    "submit-e2e": {"push-images", "compile-all"},
    "gate": {"submit-e2e"},
    "promote": {"lint", "types", "test", "push-images", "compile-all", "submit-e2e", "gate"},
    "release": {"dist"},
}


@dataclass(frozen=True)
class Around:
    """What a build file refers to: the repository that it stands in."""

    root: Path
    makefile: Makefile


def problems(build: Build, root: Path) -> list[str]:
    """All that is wrong with a build file, a line each with the step; empty where nothing is."""
    around = Around(root, read_makefile(root / "Makefile"))
    return [f"{build.file}: {text}" for rule in RULES for text in rule(build, around)]


def _order(build: Build, _: Around) -> Iterator[str]:
    seen: set[str] = set()
    for step in build.steps:
        if step.id in seen:
            yield f"{step.id}: expected ids that are there once. Received: two of it"
        for name in step.wait_for or ():
            if name != "-" and name not in seen:
                yield f"{step.id}: waitFor: expected steps that stand above. Received: {name}"
        seen.add(step.id)


def _targets(build: Build, around: Around) -> Iterator[str]:
    for step in build.steps:
        if step.image in PUBLIC:
            continue
        if not step.target:
            yield f"{step.id}: expected a step that calls `make`. Received: {step.entrypoint} {' '.join(step.args)}"
        elif step.target not in around.makefile.targets:
            yield f"{step.id}: expected a target of the Makefile. Received: {step.target}"
        else:
            known = around.makefile.variables[step.target]
            if unknown := sorted(set(step.variables) - known):
                yield f"{step.id}: expected variables that `make {step.target}` reads. Received: {', '.join(unknown)}"
            if odd := [arg for arg in step.args[1:] if "=" not in arg]:
                yield f"{step.id}: expected one target a step. Received also: {', '.join(odd)}"


def _images(build: Build, around: Around) -> Iterator[str]:
    for step in build.steps:
        if step.image in PUBLIC:
            continue
        makers = {one.id for one in build.steps if step.image in _built_by(one)}
        if not makers:
            yield f"{step.id}: expected an image that a step builds, or {', '.join(PUBLIC)}. Received: {step.image}"
        elif not _ordered(build) or not makers & build.before(step.id):
            yield f"{step.id}: expected it to wait for what builds {step.image}. Received: {step.wait_for}"


def _built_by(step: Step) -> set[str]:
    if step.args[:1] != ("build",):
        return set()
    return {step.args[index + 1] for index, arg in enumerate(step.args[:-1]) if arg in ("-t", "--tag")}


def _same_as_make(build: Build, around: Around) -> Iterator[str]:
    """The one step that `make` cannot do, since its image is not there yet, is the command of `make ci-image`."""
    wanted = [["docker", *step.args] for step in build.steps if CI_IMAGE in _built_by(step)]
    said = recipe(around.root, "ci-image")
    if wanted and wanted[0] not in said:
        yield f"ci-image: expected the command of `make ci-image`, {said}. Received: {wanted[0]}"


def _files(build: Build, around: Around) -> Iterator[str]:
    values = dict.fromkeys(BUILT_IN, "given")
    try:
        steps = resolve(build, values).steps
    except BuildFileError:
        return  # another rule tells
    for step in steps:
        named = {"SPEC": step.variables.get("SPEC", "")} if step.target else {}
        for index, arg in enumerate(step.args[:-1]):
            if arg == "--file":
                named[arg] = step.args[index + 1]
        for name, path in named.items():
            if path and not (around.root / path).is_file():
                yield f"{step.id}: {name}: expected a file of the repository. Received: {path}"


def _substitutions(build: Build, _: Around) -> Iterator[str]:
    texts = [text for step in build.steps for text in (step.image, *step.args, *step.env)]
    used = {name for text in [*texts, *build.substitutions.values()] for name in references(text)}
    for name in sorted(used - BUILT_IN - set(build.substitutions)):
        yield f"substitutions: expected a default for what is used. Received: none for {name}"
    for name in sorted(set(build.substitutions) - used):
        yield f"substitutions: expected what is used; the service refuses the rest. Received: {name}"
    nested = any(references(value) for value in build.substitutions.values())
    if nested and not build.options.get("dynamicSubstitutions"):
        yield "options: expected dynamicSubstitutions, as substitutions refer to others. Received: none"


def _options(build: Build, _: Around) -> Iterator[str]:
    if build.options.get("logging") != "CLOUD_LOGGING_ONLY":
        received = build.options.get("logging")
        yield f"options: expected logging: CLOUD_LOGGING_ONLY, as its service account is our own. Received: {received}"
    machine = build.options.get("machineType")
    if machine is not None and machine not in MACHINES:
        yield f"options: machineType: expected one of {', '.join(sorted(MACHINES))}. Received: {machine}"
    seconds = re.fullmatch(r"(\d+)s", build.timeout)
    if not seconds or not 0 < int(seconds[1]) <= 86_400:
        yield f"timeout: expected seconds up to a day, such as 3600s. Received: {build.timeout}"


def _checked_first(build: Build, _: Around) -> Iterator[str]:
    """Nothing is pushed, promoted or released before what has to be done was done, whoever edits `waitFor`."""
    if not _ordered(build):
        return
    for step in build.steps:
        done = {build.step(name).target for name in build.before(step.id)}
        if missing := sorted(BEFORE.get(step.target, set()) - done):
            yield f"{step.id}: expected it to wait for {', '.join(missing)}. Received: {step.wait_for}"


def _ordered(build: Build) -> bool:
    return not list(_order(build, Around(Path(), Makefile({}))))


RULES: tuple[Callable[[Build, Around], Iterator[str]], ...] = (
    _order,
    _targets,
    _images,
    _same_as_make,
    _files,
    _substitutions,
    _options,
    _checked_first,
)
