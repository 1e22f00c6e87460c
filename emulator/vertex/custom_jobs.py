"""Vertex AI's custom jobs: a program in a process of this machine, or a container.

https://cloud.google.com/vertex-ai/docs/reference/rest/v1/projects.locations.customJobs
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.emulator import filters, jobs, masks, paging, pipeline_runs
from headrace.emulator.documents import Document, now, stamped
from headrace.emulator.refusals import CODES, Refusal
from headrace.emulator.routing import Call, Route
from headrace.emulator.vertex.job_program import Program, container_request, program

if TYPE_CHECKING:
    from headrace.emulator.state import Emulator

KIND = "CustomJob"
ENDED = ("JOB_STATE_SUCCEEDED", "JOB_STATE_FAILED", "JOB_STATE_CANCELLED")
_STATES = {jobs.QUEUED: "PENDING", jobs.RUNNING: "RUNNING"} | {state: state for state in jobs.ENDED}
_LINES = 20  # of a log that stand in an error


def begin(emulator: Emulator) -> None:
    """Listens to the jobs."""
    emulator.jobs.listen(KIND, lambda job: _changed(emulator, job))


def create(
    emulator: Emulator, parent: str, sent: Document, also: Callable[[Document], object] = lambda job: None
) -> Document:
    """A new custom job, which runs.

    Args:
        emulator: whose.
        parent: `projects/P/locations/L`.
        sent: the resource, as a client sends it.
        also: is called with the job within the transaction that makes it.

    Raises:
        Refusal: it cannot be run as it is: several machines, a package that is not there.
    """
    if not sent.get("displayName"):
        raise Refusal("INVALID_ARGUMENT", "custom_job.display_name is required")
    spec = sent.get("jobSpec", {})
    name = f"{parent}/customJobs/{int.from_bytes(os.urandom(7), 'big')}"
    known = ("displayName", "jobSpec", "labels", "encryptionSpec")
    job = stamped(
        {
            **{field: value for field, value in sent.items() if field in known},
            "name": name,
            "state": "JOB_STATE_PENDING",
        }
    )
    del job["etag"]  # which these resources do not have
    folder = emulator.folder / "custom-jobs" / name.rpartition("/")[2]
    start = program(emulator, name, spec, folder)
    with emulator.documents.transaction():
        emulator.documents.create(KIND, name, job, parent)
        also(job)
        if isinstance(start, Program):
            emulator.jobs.start(KIND, name, start.argv, folder, start.environment)
        else:
            pipeline_runs.submit(emulator, KIND, name, container_request(name, start))
    emulator.jobs.wake()
    return job


def _create(emulator: Emulator, call: Call) -> Document:
    return create(emulator, _parent(call), call.json)


def _get(emulator: Emulator, call: Call) -> Document:
    return emulator.documents.get(KIND, _name(call))


def _list(emulator: Emulator, call: Call) -> Document:
    wanted = filters.predicate(call.one("filter"))
    found = [job for job in emulator.documents.list(KIND, _parent(call)) if wanted(job)]
    found = paging.ordered(found, call.one("orderBy"))
    shown, token = paging.page(found, call.one("pageSize"), call.one("pageToken"))
    answer: Document = {"customJobs": [masks.read(job, call.one("readMask")) for job in shown]}
    return {**answer, "nextPageToken": token} if token else answer


def cancel(emulator: Emulator, name: str) -> None:
    """Asks for a job's end; one that has ended stays as it is, as the service has it.

    Raises:
        Refusal: NOT_FOUND.
    """
    with emulator.documents.transaction():
        job = emulator.documents.get(KIND, name)
        if job["state"] not in ENDED:
            after = {**job, "state": "JOB_STATE_CANCELLING", "updateTime": now()}
            emulator.documents.change(KIND, name, lambda found: after)
            emulator.jobs.cancel(KIND, name)
    emulator.jobs.wake()


def _cancel(emulator: Emulator, call: Call) -> Document:
    cancel(emulator, _name(call))
    return {}


def _delete(emulator: Emulator, call: Call) -> Document:
    name = _name(call)
    with emulator.documents.transaction():
        job = emulator.documents.get(KIND, name)
        if job["state"] not in ENDED:
            told = job["state"].removeprefix("JOB_STATE_")
            raise Refusal("FAILED_PRECONDITION", f"The CustomJob has not ended, cancel it first: {name} is {told}")
        emulator.documents.delete(KIND, name)
        if emulator.documents.find(pipeline_runs.KIND, name):
            pipeline_runs.forget(emulator, KIND, name)
        else:
            emulator.jobs.forget(KIND, name)
    return emulator.operations.done(
        name, "google.protobuf.Empty", {}, metadata="DeleteOperationMetadata", version=call.version
    )


def _changed(emulator: Emulator, told: Document) -> None:
    """A job's process has begun, or ended."""
    job = emulator.documents.find(KIND, told["job"])
    state = f"JOB_STATE_{_STATES[told['state']]}"
    if job is None or job["state"] in ENDED or (job["state"] == "JOB_STATE_CANCELLING" and state not in ENDED):
        return
    job = {**job, "state": state, "updateTime": now()}
    if state == "JOB_STATE_RUNNING":
        job.setdefault("startTime", now())
    if state in ENDED:
        job["endTime"] = now()
    if state == "JOB_STATE_FAILED":
        job["error"] = {"code": CODES["INTERNAL"][0], "message": _error(emulator, told)}
    elif state == "JOB_STATE_CANCELLED":
        job["error"] = {"code": CODES["CANCELLED"][0], "message": "The job was cancelled."}
    after = job
    emulator.documents.change(KIND, job["name"], lambda found: after)


def _error(emulator: Emulator, told: Document) -> str:
    if emulator.documents.find(pipeline_runs.KIND, told["job"]):
        return f"The job's image runs as a container: {pipeline_runs.error_text(emulator, told['job'])}"
    code = told.get("exitCode", 1)
    ended = f"was ended by signal {-code}" if code < 0 else f"exited with a non-zero status of {code}"
    folder = Path(told["folder"])
    last = "\n".join(jobs.tail(folder).splitlines()[-_LINES:])
    return f"The replica workerpool0-0 {ended}. Its log: {folder / jobs.LOG}\n{told.get('error', last)}"


def _parent(call: Call) -> str:
    return f"projects/{call.params['project']}/locations/{call.params['location']}"


def _name(call: Call) -> str:
    return f"{_parent(call)}/customJobs/{call.params['job']}"


_ALL = "/v1/projects/{project}/locations/{location}/customJobs"
ROUTES = (
    Route("POST", _ALL, _create, "CustomJob.submit, CustomJob.run"),
    Route("GET", _ALL, _list, "CustomJob.list"),
    Route("GET", _ALL + "/{job}", _get, "CustomJob.get, CustomJob.wait"),
    Route("POST", _ALL + "/{job}:cancel", _cancel, "CustomJob.cancel"),
    Route("DELETE", _ALL + "/{job}", _delete, "CustomJob.delete"),
)
