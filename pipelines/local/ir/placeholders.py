"""KFP's placeholders in commands, arguments and constants, resolved against a task's executor input."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.local.ir.values import as_text

# Texts like `{{$.Values.x}}` are none of KFP's, and stay as they are.
_PLACEHOLDER = re.compile(
    r"\{\{\$((?:\.(?:inputs|outputs|outputMetadataUri|pipeline_|workspace_path|json_escape)(?:(?!\}\}).)*)?)\}\}",
    re.DOTALL,
)
_KEYED = re.compile(
    r"\.(?P<side>inputs|outputs)\.(?P<kind>parameters|artifacts)\[(?:''|'|\")(?P<name>.+?)(?:''|'|\")\]"
    r"(?:\.(?P<attribute>\w+)(?:\['(?P<field>.+)'\])?|\['(?P<other>\w+)'\])?$"
)
WORKSPACE = "{{$.workspace_path}}"
WORKSPACE_MOUNT = "/kfp-workspace"  # where KFP mounts it, and some components say so themselves


class PlaceholderError(HeadraceError):
    """A placeholder that names what the task does not have, or a kind that is not known."""


def task_constants(constants: Mapping[str, str], name: str, path: str) -> dict[str, str]:
    """The placeholders without a key of one task: the run's, and its own. `path` is its place in the run."""
    place = hashlib.sha256(path.encode()).hexdigest()[:8]
    return {
        **constants,
        "{{$.pipeline_task_name}}": name,
        "{{$.pipeline_task_uuid}}": f"{constants.get('{{$.pipeline_job_uuid}}', '')}-{place}",
    }


def resolve_command(words: Sequence[str], executor_input: Mapping[str, Any], constants: Mapping[str, str]) -> list[str]:
    """A container's command or arguments with every placeholder resolved.

    `constants` are the placeholders without a key, such as `{{$.pipeline_job_name}}`. A word that is an
    `IfPresent` of a missing input and has no `Else` vanishes; one with a list becomes several words.
    """
    resolved: list[str] = []
    for word in words:
        if word.startswith(('{"Concat": ', '{"IfPresent": ')):
            resolved += _structure(json.loads(word), executor_input, constants)
        else:
            resolved.append(resolve_text(word, executor_input, constants))
    return resolved


def resolve_text(text: str, executor_input: Mapping[str, Any], constants: Mapping[str, str]) -> str:
    """A text with its placeholders replaced, once each: what a value holds is never resolved again."""

    def one(match: re.Match[str]) -> str:
        whole, inner = match.group(0), match.group(1)
        if whole in constants:
            return constants[whole]
        if inner == "":
            return json.dumps(executor_input)
        if inner in (".outputs.output_file", ".outputMetadataUri"):
            return str(executor_input["outputs"]["outputFile"])
        return as_text(_keyed(whole, inner, executor_input))

    return _PLACEHOLDER.sub(one, text)


def resolve_value(value: Any, executor_input: Mapping[str, Any], constants: Mapping[str, str]) -> Any:
    """A constant of the IR. One that is a placeholder and nothing else keeps the value's type."""
    if isinstance(value, str) and "{{$" in value:
        match = _PLACEHOLDER.fullmatch(value)
        if match and _KEYED.match(match.group(1)):
            return _keyed(value, match.group(1), executor_input)
        return resolve_text(value, executor_input, constants)
    if isinstance(value, list):
        return [resolve_value(item, executor_input, constants) for item in value]
    if isinstance(value, Mapping):
        return {
            resolve_value(k, executor_input, constants): resolve_value(v, executor_input, constants)
            for k, v in value.items()
        }
    return value


def _keyed(whole: str, inner: str, executor_input: Mapping[str, Any]) -> Any:
    match = _KEYED.match(inner)
    if not match:
        raise PlaceholderError(f"expected a placeholder of KFP's. Received: {whole}")
    name, attribute = match["name"], match["attribute"] or match["other"]
    known = executor_input.get(match["side"], {})
    if match["kind"] == "artifacts":
        artifacts = known.get("artifacts", {}).get(name, {}).get("artifacts")
        if attribute is None and artifacts is not None:
            return artifacts  # a list of artifacts is given as a whole
        if artifacts:
            return _of_artifact(artifacts[0], attribute, match["field"], whole)
    elif match["side"] == "inputs":
        return known.get("parameterValues", {}).get(name)
    elif attribute == "output_file" and name in known.get("parameters", {}):
        return known["parameters"][name]["outputFile"]
    raise PlaceholderError(
        f"expected the placeholder {whole} to name an input or output of the task. Received: no such one"
    )


def _of_artifact(artifact: Mapping[str, Any], attribute: str, field: str | None, whole: str) -> Any:
    if attribute in ("path", "uri"):
        return artifact["uri"]
    if attribute == "metadata":
        metadata = artifact.get("metadata", {})
        if field is not None and field not in metadata:
            raise PlaceholderError(
                f"expected the metadata for {whole}. Received: {', '.join(sorted(metadata)) or 'none'}"
            )
        return metadata if field is None else metadata[field]
    if attribute in ("value", "name"):
        return artifact.get("name")
    raise PlaceholderError(f"expected a placeholder of KFP's. Received: {whole}")


def _structure(node: Any, executor_input: Mapping[str, Any], constants: Mapping[str, str]) -> list[str]:
    if isinstance(node, str):
        return [resolve_text(node, executor_input, constants)]
    if isinstance(node, list):
        return [word for item in node for word in _structure(item, executor_input, constants)]
    if "Concat" in node:
        return ["".join(word for item in node["Concat"] for word in _structure(item, executor_input, constants))]
    if "IfPresent" in node:
        choice = node["IfPresent"]
        branch = choice.get("Then") if _present(choice["InputName"], executor_input) else choice.get("Else")
        return _structure(branch, executor_input, constants) if branch is not None else []
    raise PlaceholderError(f"expected Concat or IfPresent. Received: {json.dumps(node)[:200]}")


def _present(name: str, executor_input: Mapping[str, Any]) -> bool:
    inputs = executor_input.get("inputs", {})
    return inputs.get("parameterValues", {}).get(name) is not None or bool(
        inputs.get("artifacts", {}).get(name, {}).get("artifacts")
    )
