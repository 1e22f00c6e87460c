"""The parameters of a pipeline that runs elsewhere: sources that can be reached from there, and a registry there."""

from __future__ import annotations

import difflib
import json
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headrace.artifacts.errors import HeadraceError
from headrace.components import images
from headrace.components.fingerprint.url import absolute, public, sources_of
from headrace.pipelines.compiled import resolve_source
from headrace.pipelines.sending import Sender, beside, is_local
from headrace.pipelines.spec import Spec
from headrace.pipelines.submission import VERTEX, Plan, only_here
from headrace.platforms.emulated import is_emulator

_PASSWORD = re.compile(r"://[^/\s@]*:([^/\s@]+)@")
_FROM_ENVIRONMENT = re.compile(r"\$\{\w+\}")
_LONGEST_LABEL = 63
_TYPES = {"NUMBER_INTEGER": "a whole number", "NUMBER_DOUBLE": "a number", "BOOLEAN": "true or false"}


def parameters_of(planned: Plan, ir: Mapping[str, Any], sender: Sender) -> dict[str, Any]:
    """The parameters to submit, of the types that the pipeline has.

    Args:
        planned: where to.
        ir: the pipeline.
        sender: what sends local sources.

    Raises:
        HeadraceError: one is not the pipeline's, is missing, or does not fit; a source cannot be reached from there; or
            one would make a password known.
    """
    taken: Mapping[str, Any] = ir["root"].get("inputDefinitions", {}).get("parameters", {})
    given = planned.asked.parameters
    for name in given:
        if name not in taken:
            near = difflib.get_close_matches(name, taken, n=1)
            hint = f"did you mean `{near[0]}`?" if near else f"the parameters are {', '.join(taken) or 'none'}"
            raise HeadraceError(f"--param: expected a parameter of the pipeline. Received: {name}; {hint}")
    found: dict[str, Any] = {name: cast(name, value, taken[name]) for name, value in given.items()}
    if "platform" in taken:
        found["platform"] = found.get("platform") or platform(planned, ir)
    found |= {name: value for name, value in _dataflow(planned, ir).items() if name not in given}
    if "source" in taken:
        found["source"] = _source(planned, taken["source"], found)
    for name, definition in taken.items():
        if name not in found and "defaultValue" not in definition and not definition.get("isOptional"):
            raise HeadraceError(f"expected a value for the parameter {name}, by --param {name}=VALUE. Received: none")
    _no_passwords(found)
    return found | _sent(planned, taken, found, sender)  # last, when there is nothing left to refuse


def _sent(planned: Plan, taken: Mapping[str, Any], found: Mapping[str, Any], sender: Sender) -> dict[str, str]:
    """Where what lies on this machine can be opened by the tasks: the source, what is joined to it, logged requests."""
    spec, sent = planned.spec, {}
    if "source" in taken:
        sent["source"] = sender.source(found["source"], _listing(spec, found["source"]))
    if spec is None:
        return sent
    if "folder" in taken and "folder" not in found and (joined := _joined(spec)):
        sent["folder"] = _folder(joined, planned.file, sender)
    requests = spec.validation.requests
    if "requests" in taken and "requests" not in found and requests:
        sent["requests"] = sender.source(absolute(requests, planned.file.resolve().parent))
    return sent


def cast(name: str, value: str, definition: Mapping[str, Any]) -> Any:
    """A text as the parameter's type.

    Raises:
        HeadraceError: it is none of that type.

    >>> cast("rows", "3", {"parameterType": "NUMBER_INTEGER"}), cast("keep", '["a"]', {"parameterType": "LIST"})
    (3, ['a'])
    """
    kind = definition.get("parameterType", "STRING")
    try:
        if kind == "NUMBER_INTEGER":
            return int(value)
        if kind == "NUMBER_DOUBLE":
            if math.isfinite(number := float(value)):  # JSON has no others
                return number
            raise ValueError
        if kind == "BOOLEAN":
            return {"true": True, "false": False}[value.lower()]
        if kind in ("LIST", "STRUCT"):
            read = json.loads(value)
            if isinstance(read, list if kind == "LIST" else dict):
                return read
            raise ValueError
    except (ValueError, KeyError):
        expected = _TYPES.get(kind, "a list in JSON" if kind == "LIST" else "a mapping in JSON")
        raise HeadraceError(f"--param {name}: expected {expected}. Received: {value!r}") from None
    return value


def platform(planned: Plan, ir: Mapping[str, Any]) -> str:
    """Where the registry is: as the spec says, else $HEADRACE_PLATFORM, else of Vertex AI its own.

    Where the spec says what endpoints of Vertex AI run on, that is in it too.

    Raises:
        HeadraceError: it would be a folder of this machine, or has no endpoints of Vertex AI and the spec means them.
    """
    chosen = getattr(planned.place, "platform", None) or os.environ.get("HEADRACE_PLATFORM") or ""
    if not chosen and planned.where.on == VERTEX:
        chosen = _of_vertex(planned)
    if chosen in ("", "local") and not _has_home(ir) and not is_emulator(planned.where.endpoint):
        example = "kubeflow:NAMESPACE?bucket=s3://...&image=... or mlflow:URL"
        raise HeadraceError(
            f"{planned.file}: expected a registry that the tasks can reach: submit.{planned.where.on}.platform, "
            f"HEADRACE_PLATFORM or --param platform=URI, such as {example}. Received: {chosen or 'none'}; `local` "
            "needs a volume for all steps, and HEADRACE_HOME on it: see resources.all"
        )
    return _served(planned, chosen or "local")


def _served(planned: Plan, registry: str) -> str:
    """The registry's URI, with the machines that Vertex AI serves on and what it watches, as the spec has them."""
    section = planned.submit.vertex if planned.where.on == VERTEX else None
    if section is None or section.serving is None:
        return registry
    from headrace.platforms.vertex.monitoring import monitored_by
    from headrace.platforms.vertex.settings import VertexSettings
    from headrace.platforms.vertex.store import SCHEME, VertexPlace

    if not registry.startswith(SCHEME):
        raise HeadraceError(
            f"{planned.file}: submit.vertex.serving: expected the registry of Vertex AI, whose endpoints it is about. "
            f"Received: {registry.partition('?')[0]}"
        )
    settings = VertexSettings.of(section.model_dump())
    if settings.monitoring is not None and planned.spec is not None and planned.spec.of_images:
        raise HeadraceError(
            f"{planned.file}: submit.vertex.monitoring: expected a model of columns to watch. Received: one of images"
        )
    place = VertexPlace.of(registry)
    if not place.machine:  # what a URI itself says goes first
        place = place.served_on(settings.serving)
    if settings.monitoring is not None and not place.monitor:
        place = monitored_by(place, settings.monitoring)
    return place.uri


def _of_vertex(planned: Plan) -> str:
    from headrace.platforms.vertex.store import VertexPlace

    where = planned.where
    image = planned.said("image") or _pushed(images.named()["serving"])
    if not planned.root or not image:
        needed = {"submit.vertex.root or --root": planned.root, "submit.vertex.image or $HEADRACE_IMAGES": image}
        missing = " and ".join(name for name, value in needed.items() if not value)
        raise HeadraceError(
            f"{planned.file}: vertex: expected a folder for models, and the image that serves them. "
            f"Received: nothing for {missing}"
        )
    bucket = f"{planned.root}/models"
    return VertexPlace(where.project, where.location, bucket, image, where.endpoint or None).uri


def _pushed(image: str) -> str:
    """An image, unless only this machine has it."""
    return "" if only_here(image) else image


def _has_home(ir: Mapping[str, Any]) -> bool:
    """Whether the tasks have a home folder of their own, by a variable of the compiled pipeline."""
    executors = ir.get("deploymentSpec", {}).get("executors", {}).values()
    return any(item["name"] == "HEADRACE_HOME" for one in executors for item in one.get("container", {}).get("env", ()))


def _source(planned: Plan, definition: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    """The source as it can be opened on this machine: the command's, or the spec's."""
    if "source" in found:
        return _from_here(str(found["source"]))
    if planned.spec is not None and planned.asked.pipeline == "training":
        return resolve_source(planned.spec.data.source, planned.file)
    default = str(definition.get("defaultValue", ""))
    if not default or any(is_local(one) for one in sources_of(default)):
        raise HeadraceError(
            f"{planned.file}: expected the source, by --param source=FILE|URL. Received: {default or 'none'}"
            + (", of which a compiled pipeline does not say where it lies" if default else "")
        )
    return default


def _from_here(text: str) -> str:
    """Sources as the command line has them: relative to the folder that it was typed in."""
    found = [absolute(one, Path.cwd()) for one in sources_of(text)]
    return found[0] if len(found) == 1 else json.dumps(found)


def _listing(spec: Spec | None, source: str) -> list[str] | None:
    """Of a CSV that lists images, their paths; None of anything else."""
    if spec is None or not spec.of_images or not is_local(source):
        return None
    from headrace.components.fingerprint.images import LISTS, list_images

    if not source.lower().endswith(LISTS):
        return None
    return [image.path for image in list_images(source, label_column=spec.data.label.name).images]


def _joined(spec: Spec) -> list[str]:
    """What is joined to the source, and child tables: sources as the spec has them."""
    children = [one.source for one in spec.features.aggregate.values() if one.source]
    return [join.source for join in spec.data.join] + children


def _folder(joined: list[str], file: Path, sender: Sender) -> str:
    folder = file.resolve().parent
    files = beside(folder, joined)
    return sender.tree(files, "what is joined") if files else ""


def _dataflow(planned: Plan, ir: Mapping[str, Any]) -> dict[str, Any]:
    """Beam's runner and its options, where the spec has steps run on Dataflow.

    They are the same for each run of a pipeline: tasks are taken from the cache by them.
    """
    taken: Mapping[str, Any] = ir["root"].get("inputDefinitions", {}).get("parameters", {})
    section = getattr(planned.place, "dataflow", None)
    if section is None or "beam_runner" not in taken:
        return {}
    from headrace.components import images
    from headrace.platforms.vertex.settings import Dataflow, dataflow_options

    if not planned.root:
        raise HeadraceError(f"{planned.file}: vertex.dataflow: expected submit.vertex.root or --root. Received: none")
    options = dataflow_options(
        Dataflow(**section.model_dump()),
        planned.where.project,
        planned.where.location,
        planned.root,
        ir=ir,
        workers=images.workers(),
        encryption_key=getattr(planned.place, "encryption_key", None) or "",
        name=str(ir["pipelineInfo"]["name"])[:_LONGEST_LABEL],
    )
    return {"beam_runner": "DataflowRunner"} | ({"beam_options": options} if "beam_options" in taken else {})


def _no_passwords(found: Mapping[str, Any]) -> None:
    """Parameters are kept with the run, for all to read who see it."""
    for name, value in found.items():
        for password in _PASSWORD.findall(value if isinstance(value, str) else json.dumps(value)):
            if not _FROM_ENVIRONMENT.fullmatch(password):
                raise HeadraceError(
                    f"{name}: expected no password in a parameter, which everybody reads who sees the run: write "
                    "${NAME}, and give the steps the variable by resources.all.secrets. "
                    f"Received: {public(str(value)) if isinstance(value, str) else 'one'}"
                )
