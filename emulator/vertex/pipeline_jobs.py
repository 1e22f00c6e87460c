"""Vertex AI's pipeline jobs, which the local runner carries out.

https://cloud.google.com/vertex-ai/docs/reference/rest/v1/projects.locations.pipelineJobs
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from headrace.emulator import filters, jobs, masks, paging, pipeline_runs
from headrace.emulator.documents import Document, now, stamped
from headrace.emulator.pipeline_runs import RunRequest
from headrace.emulator.refusals import CODES, Refusal
from headrace.emulator.routing import Call, Route
from headrace.emulator.vertex.pipeline_metadata import contexts, with_parents, write_contexts, write_metadata
from headrace.emulator.vertex.pipeline_tasks import Told, task_details
from headrace.pipelines.local.record import results

if TYPE_CHECKING:
    from headrace.emulator.state import Emulator

KIND = "PipelineJob"
ENDED = ("PIPELINE_STATE_SUCCEEDED", "PIPELINE_STATE_FAILED", "PIPELINE_STATE_CANCELLED")
_ID = re.compile(r"[a-z][-a-z0-9]{0,127}")
_MOST_IN_BATCH = 32
_STATES = {jobs.QUEUED: "QUEUED", jobs.RUNNING: "RUNNING"} | {state: state for state in jobs.ENDED}
_SENT = (
    "displayName", "pipelineSpec", "labels", "runtimeConfig", "encryptionSpec", "serviceAccount", "network",
    "reservedIpRanges", "templateUri", "scheduleName", "preflightValidations", "pspsConfig", "pscInterfaceConfig",
)  # fmt: skip


def begin(emulator: Emulator) -> None:
    """Listens to the runs."""
    emulator.jobs.listen(KIND, lambda job: _changed(emulator, job))


def create(emulator: Emulator, parent: str, sent: Document, id: str = "") -> Document:
    """A new pipeline job, which runs.

    Args:
        emulator: whose.
        parent: `projects/P/locations/L`.
        sent: the resource, as the client sent it.
        id: the job's; empty for one that is made up.

    Raises:
        Refusal: the pipeline cannot be read, a parameter is missing, the id is taken.
    """
    sent = {name: value for name, value in sent.items() if name in _SENT}
    config = sent.get("runtimeConfig", {})
    spec = sent.get("pipelineSpec") or _template(emulator, sent.get("templateUri", ""))
    parameters = parameters_of(config)
    pipeline_runs.check(spec, parameters)
    id = id or _made_up(_pipeline_name({"pipelineSpec": spec}))
    if not _ID.fullmatch(id):
        raise Refusal("INVALID_ARGUMENT", f"pipeline_job_id: expected to match {_ID.pattern}. Received: {id!r}")
    root = str(config.get("gcsOutputDirectory") or spec.get("defaultPipelineRoot") or "")
    name = f"{parent}/pipelineJobs/{id}"
    own_root = f"{root.rstrip('/')}/{parent.split('/')[1]}/{id}" if root else ""
    job = stamped(
        {
            **sent,
            "name": name,
            "displayName": sent.get("displayName") or id,
            "pipelineSpec": spec,
            "state": "PIPELINE_STATE_PENDING",
            "labels": {
                **sent.get("labels", {}),
                "vertex-ai-pipelines-run-billing-id": str(pipeline_runs.task_number(name, "")),
            },
        }
    )
    del job["etag"]  # which these resources do not have
    job["jobDetail"] = contexts(job)
    request = RunRequest(
        ir=spec,
        name=id,
        parameters=parameters,
        fail_fast=config.get("failurePolicy") in (2, "PIPELINE_FAILURE_POLICY_FAIL_FAST"),
        labels={"vertex": name},
        root=str(pipeline_runs.local(emulator, own_root)) if own_root else "",
        replaced={"{{$.pipeline_job_resource_name}}": name, **({"{{$.pipeline_root}}": root} if root else {})},
    )
    with emulator.documents.transaction():
        emulator.documents.create(KIND, name, job, parent)
        run = pipeline_runs.submit(emulator, KIND, name, request)
        emulator.documents.create(_ROOT, name, {"root": own_root, "run": run})
        write_contexts(emulator, job)
    emulator.jobs.wake()
    return job


_TASK_ENDED = (results.SUCCEEDED, results.FAILED, results.CANCELLED, results.SKIPPED)
_written: dict[str, int] = {}  # jobs that run -> with how many tasks at their end the metadata store knows them
_ROOT = "PipelineJobRoot"  # documents beside the jobs': where the outputs are, for clients


def _create(emulator: Emulator, call: Call) -> Document:
    return create(emulator, _parent(call), call.json, call.one("pipelineJobId"))


def _get(emulator: Emulator, call: Call) -> Document:
    return with_parents(emulator, _current(emulator, emulator.documents.get(KIND, _name(call))))


def _list(emulator: Emulator, call: Call) -> Document:
    wanted = filters.predicate(call.one("filter"), {"pipeline_name": _pipeline_name, "pipelineName": _pipeline_name})
    found = [job for job in emulator.documents.list(KIND, _parent(call)) if wanted(job)]
    found = paging.ordered(found, call.one("orderBy"))
    shown, token = paging.page(found, call.one("pageSize"), call.one("pageToken"))
    mask = ",".join(call.query.get("readMask", [])) or call.one("readMask")
    answer: Document = {
        "pipelineJobs": [masks.read(with_parents(emulator, _current(emulator, job)), mask) for job in shown]
    }
    return {**answer, "nextPageToken": token} if token else answer


def _cancel(emulator: Emulator, call: Call) -> Document:
    cancel(emulator, _name(call))
    return {}


def cancel(emulator: Emulator, name: str) -> Document:
    """Asks for a job's end.

    Raises:
        Refusal: NOT_FOUND; FAILED_PRECONDITION, where it has ended.
    """
    with emulator.documents.transaction():
        job = emulator.documents.get(KIND, name)
        if job["state"] in ENDED:
            told = job["state"].removeprefix("PIPELINE_STATE_")
            raise Refusal("FAILED_PRECONDITION", f"The PipelineJob is not cancellable, as its state is {told}: {name}")
        job = emulator.documents.change(KIND, name, lambda found: _moved(found, "PIPELINE_STATE_CANCELLING"))
        emulator.jobs.cancel(KIND, name)
    emulator.jobs.wake()
    return job


def delete(emulator: Emulator, name: str) -> Document:
    """Removes a job that has ended, and returns it; what it put out stays.

    Raises:
        Refusal: NOT_FOUND; FAILED_PRECONDITION, where it has not ended.
    """
    with emulator.documents.transaction():
        job = emulator.documents.get(KIND, name)
        if job["state"] not in ENDED:
            told = job["state"].removeprefix("PIPELINE_STATE_")
            raise Refusal(
                "FAILED_PRECONDITION", f"The PipelineJob is not in a terminal state, cancel it first: {name} is {told}"
            )
        emulator.documents.delete(KIND, name)
        emulator.documents.delete(_ROOT, name)
        pipeline_runs.forget(emulator, KIND, name)
    return job


def _delete(emulator: Emulator, call: Call) -> Document:
    name = _name(call)
    delete(emulator, name)
    return emulator.operations.done(
        name, "google.protobuf.Empty", {}, metadata="DeleteOperationMetadata", version=call.version
    )


def _batch_delete(emulator: Emulator, call: Call) -> Document:
    names = _names(emulator, call)
    with emulator.documents.transaction():
        done = {"pipelineJobs": [delete(emulator, name) for name in names]}
    return emulator.operations.done(
        _parent(call),
        "BatchDeletePipelineJobsResponse",
        done,
        metadata="DeleteOperationMetadata",
        version=call.version,
    )


def _batch_cancel(emulator: Emulator, call: Call) -> Document:
    names = _names(emulator, call)
    with emulator.documents.transaction():
        done = {"pipelineJobs": [cancel(emulator, name) for name in names]}
    return emulator.operations.done(
        _parent(call),
        "BatchCancelPipelineJobsResponse",
        done,
        metadata="BatchCancelPipelineJobsOperationMetadata",
        version=call.version,
    )


def _names(emulator: Emulator, call: Call) -> list[str]:
    names = list(dict.fromkeys(call.json.get("names", [])))
    if not 0 < len(names) <= _MOST_IN_BATCH:
        raise Refusal("INVALID_ARGUMENT", f"names: expected 1 to {_MOST_IN_BATCH}. Received: {len(names)}")
    if other := [name for name in names if not name.startswith(f"{_parent(call)}/pipelineJobs/")]:
        raise Refusal("INVALID_ARGUMENT", f"names: expected jobs of {_parent(call)}. Received: {other[0]}")
    for name in names:
        emulator.documents.get(KIND, name)
    return names


def _current(emulator: Emulator, job: Document) -> Document:
    """A job with its tasks as they are now."""
    if job["state"] in ENDED:
        return job
    result = pipeline_runs.result(emulator, job["name"])
    if result is None:
        return job
    told = _told(emulator, job, result)
    ended = sum(task.state in _TASK_ENDED for task in result.tasks.values())
    if _written.get(job["name"]) != ended:  # it is read every few seconds by whoever waits
        with emulator.documents.transaction():
            # It may have ended since it was read: what is written then is the last word.
            if (emulator.documents.find(KIND, job["name"]) or {}).get("state") not in (None, *ENDED):
                write_metadata(emulator, told, job)
                _written[job["name"]] = ended
    return {**job, "jobDetail": {**job["jobDetail"], "taskDetails": task_details(told)}}


def _told(emulator: Emulator, job: Document, result: Any) -> Told:
    root = (emulator.documents.find(_ROOT, job["name"]) or {}).get("root", "")
    return Told(job["name"], root, result, job["state"].removeprefix("PIPELINE_STATE_"), emulator.folder / "gcs")


def _changed(emulator: Emulator, told: Document) -> None:
    """A job's process has begun, or ended."""
    state = f"PIPELINE_STATE_{_STATES[told['state']]}"
    job = emulator.documents.find(KIND, told["job"])
    if job is None or job["state"] in ENDED:
        return
    if job["state"] == "PIPELINE_STATE_CANCELLING" and state not in ENDED:
        return
    job = _moved(job, state)
    if state == "PIPELINE_STATE_RUNNING":
        job.setdefault("startTime", now())
    if state in ENDED:
        job["endTime"] = now()
        if state == "PIPELINE_STATE_FAILED":
            text = pipeline_runs.error_text(emulator, job["name"])
            job["error"] = {"code": CODES["FAILED_PRECONDITION"][0], "message": text}
        elif state == "PIPELINE_STATE_CANCELLED":
            job["error"] = {"code": CODES["CANCELLED"][0], "message": f"The pipeline job was cancelled: {job['name']}"}
        if result := pipeline_runs.result(emulator, job["name"]):
            seen = _told(emulator, job, result)
            job["jobDetail"] = {**job["jobDetail"], "taskDetails": task_details(seen)}
            write_metadata(emulator, seen, job)
        _written.pop(job["name"], None)
    after = job
    emulator.documents.change(KIND, job["name"], lambda found: after)
    emulator.clock.wake()  # a schedule may wait for it


def _moved(job: Document, state: str) -> Document:
    return job if job["state"] == state else {**job, "state": state, "updateTime": now()}


def parameters_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """The values that a client gave, of both forms of the API.

    Raises:
        Refusal: input artifacts, which are not served.
    """
    if config.get("inputArtifacts"):
        raise Refusal("UNIMPLEMENTED", "runtime_config.input_artifacts: the emulator does not serve input artifacts")
    values = dict(config.get("parameterValues", {}))
    for name, value in config.get("parameters", {}).items():  # of pipelines compiled by KFP 1
        values.setdefault(name, next(iter(value.values()), None))
    return values


def _template(emulator: Emulator, uri: str) -> Document:
    """A pipeline spec by its place.

    Raises:
        Refusal: there is none.
    """
    if not uri:
        raise Refusal("INVALID_ARGUMENT", "pipeline_spec or template_uri is required. Received: neither")
    if not uri.startswith("gs://"):
        raise Refusal("UNIMPLEMENTED", f"template_uri: the emulator reads gs://. Received: {uri}")
    from headrace.artifacts.errors import HeadraceError
    from headrace.pipelines.pipeline_file import load_pipeline

    file = pipeline_runs.local(emulator, uri)
    if not file.is_file():
        raise Refusal("INVALID_ARGUMENT", f"template_uri: expected a pipeline. Received: {uri}, where nothing lies")
    try:
        found = load_pipeline(file)
    except HeadraceError as error:
        raise Refusal("INVALID_ARGUMENT", f"template_uri: {error}") from None
    spec: Document = json.loads(json.dumps(found.get("pipelineSpec", found), default=str))
    return spec


def _made_up(pipeline: str) -> str:
    base = re.sub(r"[^a-z0-9]+", "-", pipeline.lower()).strip("-") or "pipeline"
    return f"{base[:90]}-{datetime.now(UTC).strftime('%Y%m%d%H%M%S')}-{os.urandom(3).hex()}"


def _pipeline_name(job: Document) -> str:
    return str(job.get("pipelineSpec", {}).get("pipelineInfo", {}).get("name", ""))


def _parent(call: Call) -> str:
    return f"projects/{call.params['project']}/locations/{call.params['location']}"


def _name(call: Call) -> str:
    return f"{_parent(call)}/pipelineJobs/{call.params['job']}"


_ALL = "/v1/projects/{project}/locations/{location}/pipelineJobs"
ROUTES = (
    Route("POST", _ALL, _create, "PipelineJob.submit, PipelineJob.run"),
    Route("GET", _ALL, _list, "PipelineJob.list, PipelineJobSchedule.list_jobs"),
    Route("POST", _ALL + ":batchCancel", _batch_cancel, "PipelineJob.batch_cancel"),
    Route("POST", _ALL + ":batchDelete", _batch_delete, "PipelineJob.batch_delete"),
    Route("GET", _ALL + "/{job}", _get, "PipelineJob.get, PipelineJob.wait, PipelineJob.task_details"),
    Route("POST", _ALL + "/{job}:cancel", _cancel, "PipelineJob.cancel"),
    Route("DELETE", _ALL + "/{job}", _delete, "PipelineJob.delete"),
)
