"""Pipelines of Kubeflow Pipelines, and their versions."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from headrace.emulator.documents import Document, Documents, now
from headrace.emulator.kfp.packages import (
    check_spec,
    given_spec,
    keep,
    pipeline_name,
    read_package,
    read_tags,
    shown_spec,
)
from headrace.emulator.kfp.resources import (
    BASE,
    PIPELINE,
    VERSION,
    get,
    in_namespace,
    invalid,
    listed,
    new_id,
    taken,
)
from headrace.emulator.refusals import Refusal
from headrace.emulator.routing import Call, Route

if TYPE_CHECKING:
    from headrace.emulator.state import Emulator

_FIELDS = {"id": "pipeline_id", "pipeline_id": "pipeline_id", "name": "name"}
_VERSION_FIELDS = {**_FIELDS, "id": "pipeline_version_id", "pipeline_version_id": "pipeline_version_id"}
_CREATE, _UPLOAD = "Failed to create a new pipeline", "Failed to upload a pipeline"
_VERSION, _UPLOAD_VERSION = "Failed to create a new pipeline version", "Failed to upload a pipeline version"


def referred(documents: Documents, reference: Any, doing: str) -> Document:
    """The version that a run's or schedule's `pipeline_version_reference` means: without a version, the latest.

    Raises:
        Refusal: there is none.
    """
    pipeline = str((reference or {}).get("pipeline_id") or "")
    version = str((reference or {}).get("pipeline_version_id") or "")
    if version:
        found = get(documents, VERSION, version, doing)
        if pipeline and found["pipeline_id"] != pipeline:
            raise invalid(doing, f"the version {version} is not one of the pipeline {pipeline}")
        return found
    get(documents, PIPELINE, pipeline, doing)
    versions = documents.list(VERSION, pipeline)
    if not versions:
        raise Refusal("NOT_FOUND", f"{doing}: ResourceNotFoundError: pipeline {pipeline} has no version")
    return versions[0]


def _new_pipeline(documents: Documents, given: Document, doing: str) -> Document:
    """Within a transaction."""
    shown = str(given.get("display_name") or given.get("name") or "")
    name, namespace = str(given.get("name") or shown), str(given.get("namespace") or "")
    if not shown.strip():
        raise invalid(doing, "pipeline's name cannot be empty")
    if any(one["name"] == name for one in documents.list(PIPELINE, namespace)):
        raise taken(doing, name)
    id = new_id()
    body: Document = {
        "pipeline_id": id,
        "name": name,
        "display_name": shown,
        "description": str(given.get("description") or ""),
        "created_at": now(),
        "namespace": namespace,
    }
    if tags := read_tags(given.get("tags"), doing):
        body["tags"] = tags
    return documents.create(PIPELINE, id, body, parent=namespace)


def _new_version(documents: Documents, pipeline: str, given: Document, spec: Document, doing: str) -> Document:
    """Within a transaction."""
    shown = str(given.get("display_name") or given.get("name") or "")
    name = str(given.get("name") or shown)
    if not shown.strip():
        raise invalid(doing, "pipeline version's name cannot be empty")
    if any(one["name"] == name for one in documents.list(VERSION, pipeline)):
        raise taken(doing, name)
    id = new_id()
    body: Document = {
        "pipeline_id": pipeline,
        "pipeline_version_id": id,
        "name": name,
        "display_name": shown,
        "description": str(given.get("description") or ""),
        "created_at": now(),
        "spec": keep(documents, spec),
    }
    for field in ("code_source_url", "package_url"):
        if given.get(field):
            body[field] = given[field]
    if tags := read_tags(given.get("tags"), doing):
        body["tags"] = tags
    return documents.create(VERSION, id, body, parent=pipeline)


def _shown(documents: Documents, version: Document) -> Document:
    told = {key: value for key, value in version.items() if key != "spec"}
    return {**told, "pipeline_spec": shown_spec(documents, version["spec"])}


async def _uploaded(call: Call, doing: str) -> tuple[str, bytes]:
    """The name and the bytes of the file in a form."""
    request = call.request
    if request is None or not request.content_type.startswith("multipart/"):
        raise invalid(doing, "expected a form (multipart/form-data) with the file `uploadfile`")
    try:
        async for part in await request.multipart():
            if getattr(part, "name", None) == "uploadfile":
                return str(getattr(part, "filename", "") or ""), bytes(await part.read())  # type: ignore[union-attr]
    except (ValueError, AssertionError) as error:
        raise invalid(doing, f"the form cannot be read: {error}") from None
    raise invalid(doing, "the form has no file `uploadfile`")


async def _upload(emulator: Emulator, call: Call) -> Document:
    """A pipeline and its first version."""
    filename, data = await _uploaded(call, _UPLOAD)

    def made() -> Document:
        spec = read_package(data, _UPLOAD)
        check_spec(spec, _UPLOAD)
        shown = call.one("display_name") or call.one("name") or filename.partition(".")[0] or pipeline_name(spec)
        given = {
            "name": call.one("name") or shown,
            "display_name": shown,
            "description": call.one("description"),
            "namespace": call.one("namespace"),
            "tags": call.one("tags"),
        }
        with emulator.documents.transaction():
            pipeline = _new_pipeline(emulator.documents, given, _UPLOAD)
            _new_version(emulator.documents, pipeline["pipeline_id"], given, spec, _UPLOAD)
        return pipeline

    return await asyncio.to_thread(made)


async def _upload_version(emulator: Emulator, call: Call) -> Document:
    filename, data = await _uploaded(call, _UPLOAD_VERSION)

    def made() -> Document:
        spec, documents, pipeline = read_package(data, _UPLOAD_VERSION), emulator.documents, call.one("pipelineid")
        check_spec(spec, _UPLOAD_VERSION)
        if not pipeline:
            raise invalid(_UPLOAD_VERSION, "pipeline id cannot be empty")
        shown = call.one("display_name") or call.one("name") or filename.partition(".")[0]
        given = {
            "name": call.one("name") or shown,
            "display_name": shown,
            "description": call.one("description"),
            "tags": call.one("tags"),
        }
        with documents.transaction():
            get(documents, PIPELINE, pipeline, _UPLOAD_VERSION)
            return _shown(documents, _new_version(documents, pipeline, given, spec, _UPLOAD_VERSION))

    return await asyncio.to_thread(made)


def _create(emulator: Emulator, call: Call) -> Document:
    with emulator.documents.transaction():
        return _new_pipeline(emulator.documents, call.json, _CREATE)


def _create_both(emulator: Emulator, call: Call) -> Document:
    given, documents = call.json, emulator.documents
    version = {**(given.get("pipeline_version") or {})}
    spec = _spec_of(version, _CREATE)
    with documents.transaction():
        pipeline = _new_pipeline(documents, given.get("pipeline") or {}, _CREATE)
        version.setdefault("display_name", pipeline["display_name"])
        _new_version(documents, pipeline["pipeline_id"], version, spec, _CREATE)
    return pipeline


def _create_version(emulator: Emulator, call: Call) -> Document:
    given, documents, pipeline = call.json, emulator.documents, call.params["pipeline"]
    with documents.transaction():
        get(documents, PIPELINE, pipeline, _VERSION)
        return _shown(documents, _new_version(documents, pipeline, given, _spec_of(given, _VERSION), _VERSION))


def _spec_of(version: Document, doing: str) -> Document:
    """A version's spec, as it stands in a request; the emulator fetches none from elsewhere."""
    if not version.get("pipeline_spec") and version.get("package_url"):
        raise Refusal(
            "UNIMPLEMENTED",
            f"{doing}: pipeline_service_create_pipeline_version with package_url: the emulator fetches no packages "
            "from elsewhere. Upload the file",
        )
    spec = given_spec(version.get("pipeline_spec"), doing)
    check_spec(spec, doing)
    return spec


def _get(emulator: Emulator, call: Call) -> Document:
    return get(emulator.documents, PIPELINE, call.params["pipeline"], "Failed to get a pipeline")


def _get_by_name(emulator: Emulator, call: Call) -> Document:
    name, documents = call.params["name"], emulator.documents
    for one in documents.list(PIPELINE):
        if one["name"] == name and in_namespace(one, call.one("namespace")):
            return one
    raise Refusal("NOT_FOUND", f"Failed to get a pipeline by name: ResourceNotFoundError: Pipeline {name} not found.")


def _list(emulator: Emulator, call: Call) -> Document:
    found = [one for one in emulator.documents.list(PIPELINE) if in_namespace(one, call.one("namespace"))]
    return listed(call, found, "pipelines", _FIELDS)


def _update(emulator: Emulator, call: Call) -> Document:
    return _changed(emulator, PIPELINE, call.params["pipeline"], call.json, "Failed to update a pipeline")


def _update_version(emulator: Emulator, call: Call) -> Document:
    doing = "Failed to update a pipeline version"
    return _shown(emulator.documents, _changed(emulator, VERSION, _version_of(emulator, call, doing), call.json, doing))


def _changed(emulator: Emulator, kind: str, id: str, given: Document, doing: str) -> Document:
    get(emulator.documents, kind, id, doing)
    news: Document = {name: str(given[name]) for name in ("display_name", "description") if given.get(name) is not None}
    if "tags" in given:
        news["tags"] = read_tags(given["tags"], doing)
    return emulator.documents.change(kind, id, lambda found: {**found, **news})


def _delete(emulator: Emulator, call: Call) -> Document:
    id, documents, doing = call.params["pipeline"], emulator.documents, "Failed to delete a pipeline"
    with documents.transaction():
        get(documents, PIPELINE, id, doing)
        versions = documents.list(VERSION, id)
        if versions and call.one("cascade").lower() != "true":
            raise invalid(
                doing, f"the pipeline {id} has {len(versions)} versions. Delete them first, or say cascade=true"
            )
        for one in versions:
            documents.delete(VERSION, one["pipeline_version_id"])
        documents.delete(PIPELINE, id)
    return {}


def _version_of(emulator: Emulator, call: Call, doing: str) -> str:
    """The identity of the version in a path, which has to be one of the pipeline there."""
    found = get(emulator.documents, VERSION, call.params["version"], doing)
    if found["pipeline_id"] != call.params["pipeline"]:
        raise Refusal(
            "NOT_FOUND", f"{doing}: ResourceNotFoundError: PipelineVersion {call.params['version']} not found."
        )
    return str(found["pipeline_version_id"])


def _get_version(emulator: Emulator, call: Call) -> Document:
    id = _version_of(emulator, call, "Failed to get a pipeline version")
    return _shown(emulator.documents, emulator.documents.get(VERSION, id))


def _list_versions(emulator: Emulator, call: Call) -> Document:
    documents, pipeline = emulator.documents, call.params["pipeline"]
    get(documents, PIPELINE, pipeline, "Failed to list pipeline versions")
    found = documents.list(VERSION, pipeline)
    return listed(call, found, "pipeline_versions", _VERSION_FIELDS, lambda one: _shown(documents, one))


def _delete_version(emulator: Emulator, call: Call) -> Document:
    """Runs that were made of it go on; schedules that name it fail from then on, as they do with the API server."""
    emulator.documents.delete(VERSION, _version_of(emulator, call, "Failed to delete a pipeline version"))
    return {}


_ALL, _ONE = f"{BASE}/pipelines", f"{BASE}/pipelines/{{pipeline}}"
_VERSIONS, _V = f"{_ONE}/versions", f"{_ONE}/versions/{{version}}"
ROUTES = (
    Route(
        "POST", f"{_ALL}/upload", _upload, "kfp.Client.upload_pipeline, kfp.Client.upload_pipeline_from_pipeline_func"
    ),
    Route(
        "POST",
        f"{_ALL}/upload_version",
        _upload_version,
        "kfp.Client.upload_pipeline_version, kfp.Client.upload_pipeline_version_from_pipeline_func",
    ),
    Route("POST", f"{_ALL}/create", _create_both, "kfp.Client.pipelines.pipeline_service_create_pipeline_and_version"),
    Route("GET", f"{_ALL}/names/{{name}}", _get_by_name, "kfp.Client.pipelines.pipeline_service_get_pipeline_by_name"),
    Route("POST", _ALL, _create, "kfp.Client.pipelines.pipeline_service_create_pipeline"),
    Route("GET", _ALL, _list, "kfp.Client.list_pipelines, kfp.Client.get_pipeline_id"),
    Route("GET", _ONE, _get, "kfp.Client.get_pipeline"),
    Route("PATCH", _ONE, _update, "kfp.Client.pipelines.pipeline_service_update_pipeline"),
    Route("DELETE", _ONE, _delete, "kfp.Client.delete_pipeline"),
    Route("POST", _VERSIONS, _create_version, "kfp.Client.pipelines.pipeline_service_create_pipeline_version"),
    Route("GET", _VERSIONS, _list_versions, "kfp.Client.list_pipeline_versions"),
    Route("GET", _V, _get_version, "kfp.Client.get_pipeline_version"),
    Route("PATCH", _V, _update_version, "kfp.Client.pipelines.pipeline_service_update_pipeline_version"),
    Route("DELETE", _V, _delete_version, "kfp.Client.delete_pipeline_version"),
)
