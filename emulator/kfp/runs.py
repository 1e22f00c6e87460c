"""Runs of Kubeflow Pipelines, by the local runner."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from headrace.artifacts.errors import HeadraceError
from headrace.emulator import jobs, pipeline_runs
from headrace.emulator.documents import Document, now
from headrace.emulator.kfp.experiments import to_run_in
from headrace.emulator.kfp.packages import (
    check_parameters,
    check_spec,
    given_spec,
    keep,
    kept,
    pipeline_name,
    shown_spec,
)
from headrace.emulator.kfp.pipelines import referred
from headrace.emulator.kfp.resources import (
    ARCHIVED,
    AVAILABLE,
    BASE,
    EXPERIMENT,
    RUN,
    get,
    in_namespace,
    invalid,
    listed,
    new_id,
)
from headrace.emulator.kfp.task_details import task_details
from headrace.emulator.pipeline_runs import RunRequest
from headrace.emulator.refusals import Refusal
from headrace.emulator.routing import Call, Route

if TYPE_CHECKING:
    from headrace.emulator.state import Emulator

JOB = "KfpRun"  # the kind of their jobs
PENDING, RUNNING, SUCCEEDED, FAILED = "PENDING", "RUNNING", "SUCCEEDED", "FAILED"
CANCELING, CANCELED = "CANCELING", "CANCELED"
ENDED = frozenset({SUCCEEDED, FAILED, CANCELED})
_FIELDS = {
    "id": "run_id",
    **{
        name: name
        for name in (
            "run_id", "experiment_id", "storage_state", "state", "scheduled_at", "finished_at", "pipeline_version_id",
            "recurring_run_id", "service_account",
        )
    },
}  # fmt: skip
_KEPT = ("description", "service_account", "plugins_input")
_CREATE = "Failed to create a new run"
_UNKNOWN = 2  # google.rpc.Code


def begin(emulator: Emulator) -> None:
    """Has runs follow their jobs."""
    emulator.jobs.listen(JOB, lambda job: _follow(emulator, job))


def source_of(emulator: Emulator, given: Mapping[str, Any], doing: str) -> Document:
    """What a run or schedule is made of: `spec`, by which it is kept, and the version where it names one.

    Raises:
        Refusal: INVALID_ARGUMENT, NOT_FOUND.
    """
    documents, reference = emulator.documents, given.get("pipeline_version_reference")
    if reference:
        version = referred(documents, reference, doing)
        return {"spec": version["spec"], "pipeline_version_reference": reference}
    if given.get("pipeline_version_id"):
        version = referred(documents, {"pipeline_version_id": given["pipeline_version_id"]}, doing)
        return {"spec": version["spec"], "pipeline_version_id": given["pipeline_version_id"]}
    if not given.get("pipeline_spec"):
        raise invalid(doing, "Failed to find a pipeline: neither pipeline_spec nor pipeline_version_reference is given")
    spec = given_spec(given["pipeline_spec"], doing)
    check_spec(spec, doing)
    return {"spec": keep(documents, spec)}


def runtime_of(given: Mapping[str, Any], doing: str) -> Document:
    """The runtime configuration of a run or schedule: `parameters`, `pipeline_root`.

    Raises:
        Refusal: INVALID_ARGUMENT.
    """
    config = given.get("runtime_config") or {}
    parameters = config.get("parameters") or {}
    if not isinstance(parameters, Mapping):
        raise invalid(doing, "runtime_config.parameters: expected a mapping")
    root = str(config.get("pipeline_root") or "")
    return {"parameters": dict(parameters), **({"pipeline_root": root} if root else {})}


def create(emulator: Emulator, given: Mapping[str, Any], more: Mapping[str, Any], id: str = "") -> Document:
    """Makes a run, and puts it into the queue.

    Args:
        emulator: whose.
        given: the run as the API's client states it.
        more: other fields of its document, such as the schedule that it belongs to.
        id: its identity; empty for a new one.

    Raises:
        Refusal: it cannot be.
    """
    name, id, documents = str(given.get("display_name") or ""), id or new_id(), emulator.documents
    if not name.strip():
        raise invalid(_CREATE, "The run name is empty. Please specify a valid name")
    runtime = runtime_of(given, _CREATE)
    with documents.transaction():
        experiment = to_run_in(documents, str(given.get("experiment_id") or ""), _CREATE)
        source = source_of(emulator, given, _CREATE)
        spec = kept(documents, source["spec"])
        check_parameters(spec, runtime["parameters"], _CREATE)
        moment = now()
        run: Document = {
            "experiment_id": experiment["experiment_id"],
            "run_id": id,
            "display_name": name,
            "storage_state": AVAILABLE,
            **source,
            "runtime_config": runtime,
            **{field: given[field] for field in _KEPT if given.get(field)},
            "created_at": moment,
            "scheduled_at": moment,
            "state": PENDING,
            "state_history": [{"update_time": moment, "state": PENDING}],
            "namespace": experiment["namespace"],
            **more,
        }
        documents.create(RUN, id, run, parent=experiment["experiment_id"])
        documents.change(
            EXPERIMENT, experiment["experiment_id"], lambda found: {**found, "last_run_created_at": moment}
        )
        try:
            pipeline_runs.submit(emulator, JOB, job_name(id), _request(emulator, run, spec))
        except HeadraceError as error:
            raise invalid(_CREATE, str(error)) from None
    emulator.jobs.wake()
    return run


def job_name(run: str) -> str:
    """The name of a run's job."""
    return f"kfp/runs/{run}"


def shown(emulator: Emulator, run: Document, *, details: bool = True) -> Document:
    """A run as the API answers it."""
    told = {key: value for key, value in run.items() if key not in ("spec", "namespace")}
    if "pipeline_version_reference" not in run and "pipeline_version_id" not in run:
        told["pipeline_spec"] = shown_spec(emulator.documents, run["spec"])
    if details and (result := pipeline_runs.result(emulator, job_name(run["run_id"]))):
        told["run_details"] = {"task_details": task_details(run["run_id"], result)}
    return told


def _request(emulator: Emulator, run: Document, spec: Document) -> RunRequest:
    """What the local runner is asked for; platforms other than Kubernetes are not for this API, and ignored by it."""
    spec = copy.deepcopy(spec)
    if platforms := (spec.get("platformSpec") or {}).get("platforms"):
        spec["platformSpec"]["platforms"] = {key: one for key, one in platforms.items() if key == "kubernetes"}
    return RunRequest(
        ir=spec,
        name=run["display_name"],
        parameters=run["runtime_config"]["parameters"],
        labels={"kfp_run": run["run_id"], "pipeline": pipeline_name(spec)},
        root=_root(emulator, run["runtime_config"].get("pipeline_root", ""), run["run_id"]),
    )


def _root(emulator: Emulator, root: str, run: str) -> str:
    """The folder that a root means on this machine: one of `gs://` is in the emulator's storage.

    Of stores that the emulator does not have (`s3://`, `minio://`) it means none: outputs are in the local store alone.
    """
    if root.startswith("gs://"):
        return str(emulator.objects.path(f"{root.rstrip('/')}/{run}"))
    if root.startswith(("/", "file:///")):
        return f"{root.removeprefix('file://').rstrip('/')}/{run}"
    return ""


def _follow(emulator: Emulator, job: Document) -> None:
    """A job began or ended; within the transaction that records it."""
    id = job["job"].removeprefix("kfp/runs/")
    run = emulator.documents.find(RUN, id)
    if run is None:  # it was deleted meanwhile
        if job["state"] in jobs.ENDED:
            pipeline_runs.forget(emulator, JOB, job["job"])
        return
    state, news = _STATES[job["state"]], dict[str, Any]()
    if run["state"] == state or (state == RUNNING and run["state"] == CANCELING):
        return
    if state in ENDED:
        news["finished_at"] = now()
    if state == FAILED:
        news["error"] = {"code": _UNKNOWN, "message": pipeline_runs.error_text(emulator, job["job"])}
    emulator.documents.change(RUN, id, lambda found: _moved(found, state, news))
    if state in ENDED:
        emulator.clock.wake()  # a schedule may wait for it


_STATES = {
    jobs.QUEUED: PENDING,
    jobs.RUNNING: RUNNING,
    jobs.SUCCEEDED: SUCCEEDED,
    jobs.FAILED: FAILED,
    jobs.CANCELLED: CANCELED,
}


def _moved(run: Document, state: str, news: Mapping[str, Any]) -> Document:
    status = {"update_time": now(), "state": state, **({"error": news["error"]} if "error" in news else {})}
    return {**run, "state": state, "state_history": [*run["state_history"], status], **news}


def _create(emulator: Emulator, call: Call) -> Document:
    given = call.json
    if experiment := call.one("experiment_id"):
        given.setdefault("experiment_id", experiment)
    return shown(emulator, create(emulator, given, {}), details=False)


def _get(emulator: Emulator, call: Call) -> Document:
    return shown(emulator, get(emulator.documents, RUN, call.params["run"], "Failed to get a run"))


def _list(emulator: Emulator, call: Call) -> Document:
    documents, experiment = emulator.documents, call.one("experiment_id")
    if experiment:
        get(documents, EXPERIMENT, experiment, "Failed to list runs")
    found = [one for one in documents.list(RUN, experiment or None) if in_namespace(one, call.one("namespace"))]
    return listed(call, found, "runs", _FIELDS, lambda one: shown(emulator, one))


def _terminate(emulator: Emulator, call: Call) -> Document:
    doing, id = "Failed to terminate a run", call.params["run"]

    def change(run: Document) -> Document:
        if run["state"] in ENDED or run["state"] == CANCELING:
            raise invalid(doing, f"the run {id} cannot be terminated: it is {run['state']}")
        return _moved(run, CANCELING, {})

    with emulator.documents.transaction():
        get(emulator.documents, RUN, id, doing)
        emulator.documents.change(RUN, id, change)
        emulator.jobs.cancel(JOB, job_name(id))
    emulator.jobs.wake()
    return {}


def _retry(emulator: Emulator, call: Call) -> Document:
    """Goes on where it stopped: what had succeeded stays."""
    doing, id = "Failed to retry a run", call.params["run"]

    def change(run: Document) -> Document:
        if run["state"] not in (FAILED, CANCELED):
            raise Refusal(
                "FAILED_PRECONDITION", f"{doing}: the run {id} must be FAILED or CANCELED, not {run['state']}"
            )
        again = {key: value for key, value in run.items() if key not in ("finished_at", "error")}
        return _moved(again, PENDING, {})

    with emulator.documents.transaction():
        get(emulator.documents, RUN, id, doing)
        emulator.documents.change(RUN, id, change)
        pipeline_runs.retry(emulator, JOB, job_name(id))
    emulator.jobs.wake()
    return {}


def _delete(emulator: Emulator, call: Call) -> Document:
    """One that goes on is cancelled; its record and artifacts stay in the home, as they do in the cluster's store."""
    id = call.params["run"]
    with emulator.documents.transaction():
        run = get(emulator.documents, RUN, id, "Failed to delete a run")
        emulator.documents.delete(RUN, id)
        if run["state"] in ENDED:
            pipeline_runs.forget(emulator, JOB, job_name(id))
        else:
            emulator.jobs.cancel(JOB, job_name(id))
    emulator.jobs.wake()
    emulator.clock.wake()
    return {}


def _stored(state: str, doing: str) -> Any:
    def change(emulator: Emulator, call: Call) -> Document:
        get(emulator.documents, RUN, call.params["run"], doing)
        emulator.documents.change(RUN, call.params["run"], lambda found: {**found, "storage_state": state})
        return {}

    return change


_ALL, _ONE = f"{BASE}/runs", f"{BASE}/runs/{{run}}"
ROUTES = (
    Route(
        "POST",
        _ALL,
        _create,
        "kfp.Client.run_pipeline, kfp.Client.create_run_from_pipeline_func, "
        "kfp.Client.create_run_from_pipeline_package",
    ),
    Route("GET", _ALL, _list, "kfp.Client.list_runs"),
    Route("GET", _ONE, _get, "kfp.Client.get_run, kfp.Client.wait_for_run_completion"),
    Route("DELETE", _ONE, _delete, "kfp.Client.delete_run"),
    Route("POST", f"{_ONE}:terminate", _terminate, "kfp.Client.terminate_run"),
    Route("POST", f"{_ONE}:retry", _retry, "kfp.Client.runs.run_service_retry_run"),
    Route("POST", f"{_ONE}:archive", _stored(ARCHIVED, "Failed to archive a run"), "kfp.Client.archive_run"),
    Route("POST", f"{_ONE}:unarchive", _stored(AVAILABLE, "Failed to unarchive a run"), "kfp.Client.unarchive_run"),
)
