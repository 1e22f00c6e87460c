"""Vertex AI's Model Registry: models, which have versions.

https://cloud.google.com/vertex-ai/docs/reference/rest/v1/projects.locations.models

It is a registry of its own: models of the local platform in the emulator's home have approvals and a log that nobody
changes unseen, which these, that every client may change, cannot have.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from headrace.emulator import filters, masks
from headrace.emulator.documents import Document
from headrace.emulator.paging import ordered, page
from headrace.emulator.refusals import Refusal
from headrace.emulator.routing import Call, Route, refused
from headrace.emulator.vertex import containers, deployments, model_files, versions
from headrace.emulator.vertex.names import LOCATION, check_id, check_labels, invalid, location, new_id, required

if TYPE_CHECKING:
    from headrace.emulator.state import Emulator

_SENT = (  # of the fields of a Model those that are the client's to give
    "displayName", "description", "versionDescription", "labels", "predictSchemata", "metadataSchemaUri", "metadata",
    "containerSpec", "artifactUri", "explanationSpec", "encryptionSpec", "pipelineJob", "dataStats",
    "baseModelSource", "trainingPipeline", "defaultCheckpointId", "customModelGardenSource", "modelSourceInfo",
)  # fmt: skip


def begin(emulator: Emulator) -> None:
    """Removes files of models whose upload was not acknowledged."""
    model_files.sweep(emulator)


def _upload(emulator: Emulator, call: Call) -> Document:
    return upload(emulator, location(call), call.json, lambda version: _answer(emulator, call, version, "UploadModel"))


def check(emulator: Emulator, above: str, body: Document) -> list[str]:
    """Whether an UploadModelRequest can be followed, as far as its model's files are not asked for.

    Returns:
        The aliases that the version is to have.

    Raises:
        Refusal: it cannot.
    """
    sent = body.get("model")
    if not isinstance(sent, dict):
        raise invalid(f"model: expected a Model. Received: {sent!r:.200}")
    required(sent, "displayName", "model")
    check_labels(sent)
    containers.check(sent)
    aliases = versions.check_aliases(sent.get("versionAliases") or [])
    _check_target(emulator, _target(emulator, above, body), body)
    return aliases


def upload(emulator: Emulator, above: str, body: Document, then: Callable[[Document], Document]) -> Document:
    """A new version of a model.

    Args:
        emulator: whose.
        above: `projects/P/locations/L`.
        body: an UploadModelRequest.
        then: is given the version, within the transaction that makes it, and returns the answer.

    Raises:
        Refusal: the request cannot be followed, or there are no files.
    """
    aliases = check(emulator, above, body)
    sent, name = body["model"], _target(emulator, above, body)
    files = model_files.keep(emulator, sent["artifactUri"]) if sent.get("artifactUri") else ""
    kept = _resource(sent)
    with emulator.documents.transaction():
        _check_target(emulator, name, body)
        return then(versions.add(emulator, name, kept, aliases, files))


def _copy(emulator: Emulator, call: Call) -> Document:
    body = call.json
    source = versions.find(emulator, *versions.split(str(body.get("sourceModel", ""))))
    name = _target(emulator, location(call), body)
    there = model_files.of(emulator, versions.full_name(source))
    files = model_files.keep(emulator, str(there)) if there else ""
    kept = {field: value for field, value in source.items() if field in _KEPT}
    kept |= {"originalModelInfo": {"model": versions.full_name(source)}}
    with emulator.documents.transaction():
        _check_target(emulator, name, body)
        version = versions.add(emulator, name, kept, [], files)
        return _answer(emulator, call, version, "CopyModel")


def _target(emulator: Emulator, above: str, body: Document) -> str:
    """The model that a new version is of."""
    if parent := body.get("parentModel"):
        name, _ = versions.split(str(parent))
        if not name.startswith(f"{above}/models/"):
            raise invalid(f"parent_model: expected a model of {above}. Received: {parent}")
        emulator.documents.get(versions.MODEL, name)
        return name
    id = str(body.get("modelId") or "")
    return f"{above}/models/{check_id(id, 'model_id') if id else new_id()}"


def _check_target(emulator: Emulator, name: str, body: Document) -> None:
    """Again, now that nothing comes between."""
    known = emulator.documents.find(versions.MODEL, name)
    if body.get("parentModel") and not known:
        raise Refusal("NOT_FOUND", f"The Model does not exist: {name}")
    if known and not body.get("parentModel"):
        raise Refusal("ALREADY_EXISTS", f"Model with id {name.rpartition('/')[2]} already exists: {name}")


def _resource(sent: Document) -> Document:
    """A Model as it is kept, of what the client sent."""
    kept = {field: value for field, value in sent.items() if field in _SENT}
    kept.setdefault("modelSourceInfo", {"sourceType": "CUSTOM"})
    if "containerSpec" in kept:  # others are placeholders, which cannot be deployed
        kept |= {
            "supportedDeploymentResourcesTypes": ["DEDICATED_RESOURCES"],
            "supportedInputStorageFormats": ["jsonl", "csv"],
            "supportedOutputStorageFormats": ["jsonl"],
        }
    return kept


_KEPT = (
    *_SENT,
    "supportedDeploymentResourcesTypes",
    "supportedInputStorageFormats",
    "supportedOutputStorageFormats",
)


def _answer(emulator: Emulator, call: Call, version: Document, method: str) -> Document:
    told = {"model": version["name"], "modelVersionId": version["versionId"]}
    return emulator.operations.done(
        version["name"], f"{method}Response", told, metadata=f"{method}OperationMetadata", version=call.version
    )


def _list(emulator: Emulator, call: Call) -> Document:
    """The default version of each model."""
    fields = {"model": lambda one: one["name"].rpartition("/")[2]}
    fitting = filters.predicate(call.one("filter"), fields)
    models = [versions.find(emulator, one["name"]) for one in emulator.documents.list(versions.MODEL, location(call))]
    found = ordered([one for one in models if fitting(one)], call.one("orderBy"))
    some, following = page(found, call.one("pageSize"), call.one("pageToken"))
    mask = ",".join(call.query.get("readMask", []))
    told = [masks.read(versions.shown(emulator, one), mask) for one in some]
    return {"models": told, **({"nextPageToken": following} if following else {})}


def _delete(emulator: Emulator, call: Call) -> Document:
    name, reference = versions.model_name(call)
    if reference:
        raise invalid(f"name: expected a model without a version; :deleteVersion deletes one. Received: {reference}")
    with emulator.documents.transaction():
        emulator.documents.get(versions.MODEL, name)
        all_of = versions.of_model(emulator, name)
        deployments.require_none(emulator, [versions.full_name(one) for one in all_of])
        files = [model_files.of(emulator, versions.full_name(one)) for one in all_of]
        for one in all_of:
            versions.remove(emulator, one)
        emulator.documents.delete(versions.MODEL, name)
        done = emulator.operations.done(
            name, "google.protobuf.Empty", {}, metadata="DeleteOperationMetadata", version=call.version
        )
    for folder in files:
        model_files.remove(folder)
    return done


_MODEL = f"{LOCATION}/models/{{model}}"
ROUTES = (
    Route("POST", f"{LOCATION}/models:upload", _upload, "Model.upload"),
    Route("POST", f"{LOCATION}/models:copy", _copy, "Model.copy"),
    Route("GET", f"{LOCATION}/models", _list, "Model.list"),
    Route("DELETE", _MODEL, _delete, "Model.delete"),
    refused("POST", f"{_MODEL}:export", "Model.export_model", "models with a container of their own have no exports"),
    *versions.ROUTES,
)
