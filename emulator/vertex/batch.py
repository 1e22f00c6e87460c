"""Vertex AI's batch prediction jobs: a model's answers to the rows of files.

https://cloud.google.com/vertex-ai/docs/reference/rest/v1/projects.locations.batchPredictionJobs
"""

from __future__ import annotations

import json
import re
import sys
from datetime import UTC, datetime
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.emulator import filters, jobs, masks
from headrace.emulator.documents import Document, now, stamped
from headrace.emulator.paging import ordered, page
from headrace.emulator.refusals import CODES, Refusal
from headrace.emulator.routing import Call, Route
from headrace.emulator.vertex import containers, model_files, versions
from headrace.emulator.vertex.names import LOCATION, check_labels, invalid, location, new_id, required

if TYPE_CHECKING:
    from headrace.emulator.state import Emulator

KIND = "BatchPredictionJob"
# As `batch_program` has them, which imports much.
_JOB, _RESULT, _ERROR, _MODEL = "job.json", "result.json", "error.txt", "model"
_ENDED = ("JOB_STATE_SUCCEEDED", "JOB_STATE_FAILED", "JOB_STATE_CANCELLED")
_SENT = (
    "displayName", "model", "inputConfig", "outputConfig", "instanceConfig", "modelParameters", "labels",
    "dedicatedResources", "serviceAccount", "manualBatchTuningParameters", "encryptionSpec", "disableContainerLogging",
)  # fmt: skip
_ROWS = 64  # that are sent at a time, as the service does unless it is told otherwise
_STATES = {jobs.QUEUED: "QUEUED", jobs.RUNNING: "RUNNING"} | {state: state for state in jobs.ENDED}


def begin(emulator: Emulator) -> None:
    """Listens to the jobs."""
    emulator.jobs.listen(KIND, lambda job: _changed(emulator, job))


def _create(emulator: Emulator, call: Call) -> Document:
    sent = call.json
    required(sent, "displayName", "batch_prediction_job")
    check_labels(sent)
    for field in ("unmanagedContainerModel", "generateExplanation", "explanationSpec", "modelMonitoringConfig"):
        if sent.get(field):
            raise Refusal("UNIMPLEMENTED", f"BatchPredictionJob.create with {field}: the emulator does not serve it")
    model, reference = versions.split(required(sent, "model", "batch_prediction_job"))
    version = versions.find(emulator, model, reference)
    containers.require_servable(emulator, version, "BatchPredictionJob.create")
    kind, sources = _sources(emulator, sent)
    rows = int((sent.get("manualBatchTuningParameters") or {}).get("batchSize") or _ROWS)
    output, uri = _output(emulator, sent, version)
    id = new_id()
    name = f"{location(call)}/batchPredictionJobs/{id}"
    kept = {field: value for field, value in sent.items() if field in _SENT}
    own = {"name": name, "modelVersionId": version["versionId"], "state": "JOB_STATE_PENDING"}
    job = stamped({**kept, **own})
    del job["etag"]  # which these resources do not have
    folder = emulator.folder / "batch" / id
    folder.mkdir(parents=True)
    asked = {
        "format": kind,
        "sources": [str(one) for one in sources],
        "instances": sent.get("instanceConfig") or {},
        "output": str(output),
        "uri": uri,
        "rows": rows,
        "parameters": sent.get("modelParameters"),
        **_model(emulator, version, id, folder),
    }
    (folder / _JOB).write_text(json.dumps(asked))
    with emulator.documents.transaction():
        emulator.documents.create(KIND, name, job, location(call))
        argv = [sys.executable, "-m", "headrace.emulator.batch_program", str(folder)]
        emulator.jobs.start(KIND, name, argv, folder)
    emulator.jobs.wake()
    return job


def _model(emulator: Emulator, version: Document, id: str, folder: Path) -> Document:
    """Of a job's description, what answers."""
    ours = containers.bundle(emulator, version) is not None
    # The model may be deleted while the job runs.
    files = model_files.link(emulator, f"{version['name']}@{version['versionId']}", folder / _MODEL)
    if ours:
        return {"bundle": str(files)}
    own = version.get("containerSpec") or {}
    default = f"/v1/endpoints/{id}/deployedModels/{id}"
    variables = {
        "AIP_PREDICT_ROUTE": str(own.get("predictRoute") or f"{default}:predict"),
        "AIP_HEALTH_ROUTE": str(own.get("healthRoute") or default),
    }
    file = containers.write(emulator, version, folder, f"batch-{id}", variables, files)
    return {"container": str(file), "route": variables["AIP_PREDICT_ROUTE"]}


def _sources(emulator: Emulator, sent: Document) -> tuple[str, list[Path]]:
    config = sent.get("inputConfig") or {}
    kind = config.get("instancesFormat")
    if kind not in ("jsonl", "csv"):
        code = (
            "UNIMPLEMENTED" if kind in ("bigquery", "tf-record", "tf-record-gzip", "file-list") else "INVALID_ARGUMENT"
        )
        raise Refusal(code, f"input_config.instances_format: the emulator reads jsonl and csv. Received: {kind!r}")
    _check_instances(sent.get("instanceConfig") or {}, kind)
    uris = (config.get("gcsSource") or {}).get("uris") or []
    found = [file for uri in uris for file in _files(emulator, str(uri))]
    if not found:
        raise invalid(f"input_config.gcs_source.uris: expected files that are there. Received: {uris!r:.500}")
    return kind, found


def _check_instances(config: Any, kind: str) -> None:
    """Raises: Refusal: INVALID_ARGUMENT."""
    if config.get("instanceType") not in (None, "", "object", "array"):
        raise invalid(f"instance_config.instance_type: expected object or array. Received: {config['instanceType']!r}")
    if kind == "csv" and (told := [name for name in config if name != "keyField" and config[name]]):
        # https://cloud.google.com/vertex-ai/docs/reference/rest/v1/projects.locations.batchPredictionJobs#InstanceConfig
        raise invalid(f"instance_config: {', '.join(told)} do not apply to csv, whose rows are sent as arrays")
    if config.get("includedFields") and config.get("excludedFields"):
        raise invalid("instance_config: expected included_fields or excluded_fields. Received: both")
    if config.get("instanceType") == "array" and not config.get("includedFields"):
        raise invalid("instance_config.included_fields: expected the order of an array's fields. Received: none")


def _files(emulator: Emulator, uri: str) -> list[Path]:
    """The files of an address; its last part may have `*`."""
    above, _, last = uri.rpartition("/")
    if "*" not in last:
        file = emulator.objects.path(uri) if uri.startswith("gs://") else Path(uri)
        return [file] if file.is_file() else []
    folder = model_files.bucket_folder(emulator, above) if uri.startswith("gs://") else Path(above)
    return sorted(one for one in folder.iterdir() if fnmatch(one.name, last)) if folder.is_dir() else []


def _output(emulator: Emulator, sent: Document, version: Document) -> tuple[Path, str]:
    config = sent.get("outputConfig") or {}
    told = config.get("predictionsFormat")
    if told != "jsonl":
        name = f"{version['name']}@{version['versionId']}"
        raise Refusal(
            "UNIMPLEMENTED" if told == "bigquery" else "INVALID_ARGUMENT",
            f'output_config.predictions_format: "{told}" is not supported for Model {name}. Supported values are: '
            "[jsonl]",
        )
    prefix = str((config.get("gcsDestination") or {}).get("outputUriPrefix") or "").rstrip("/")
    if not prefix:
        raise invalid("output_config.gcs_destination.output_uri_prefix: expected gs://BUCKET/FOLDER. Received: nothing")
    clean = re.sub(r"[^A-Za-z0-9_-]", "_", version["displayName"])
    moment = datetime.now(UTC).strftime("%Y_%m_%dT%H_%M_%S_%f")[:-3] + "Z"
    uri = f"{prefix}/prediction-{clean}-{moment}"
    return (model_files.bucket_folder(emulator, uri) if uri.startswith("gs://") else Path(uri)), uri


def _changed(emulator: Emulator, job: Document) -> None:
    """The job began to run, or ended."""
    if emulator.documents.find(KIND, job["job"]) is None:
        return
    folder = Path(job["folder"])
    state = f"JOB_STATE_{_STATES[job['state']]}"
    told: Document = {"state": state}
    if job.get("startTime"):
        told["startTime"] = job["startTime"]
    if state in _ENDED:
        told["endTime"] = job.get("endTime") or now()
    if job["state"] == jobs.SUCCEEDED:
        counted = json.loads((folder / _RESULT).read_text())
        told["outputInfo"] = {"gcsOutputDirectory": json.loads((folder / _JOB).read_text())["uri"]}
        told["completionStats"] = {
            "successfulCount": str(counted["successful"]),
            "failedCount": str(counted["failed"]),
            "incompleteCount": "0",
        }
    elif job["state"] == jobs.FAILED:
        error = folder / _ERROR
        why = error.read_text() if error.exists() else jobs.tail(folder)[-1000:] or "it ended without a word"
        told["error"] = {"code": CODES["INVALID_ARGUMENT"][0], "message": f"{why}\nLogs: {folder / jobs.LOG}"}
    emulator.documents.change(KIND, job["job"], lambda found: {**found, **told, "updateTime": now()})


def _name(call: Call) -> str:
    return f"{location(call)}/batchPredictionJobs/{call.params['job']}"


def _get(emulator: Emulator, call: Call) -> Document:
    return emulator.documents.get(KIND, _name(call))


def _list(emulator: Emulator, call: Call) -> Document:
    fitting = filters.predicate(call.one("filter"))
    found = [one for one in emulator.documents.list(KIND, location(call)) if fitting(one)]
    some, following = page(ordered(found, call.one("orderBy")), call.one("pageSize"), call.one("pageToken"))
    mask = ",".join(call.query.get("readMask", []))
    told = {"nextPageToken": following} if following else {}
    return {"batchPredictionJobs": [masks.read(one, mask) for one in some], **told}


def _cancel(emulator: Emulator, call: Call) -> Document:
    emulator.documents.get(KIND, _name(call))
    emulator.jobs.cancel(KIND, _name(call))
    return {}


def _delete(emulator: Emulator, call: Call) -> Document:
    name = _name(call)
    with emulator.documents.transaction():
        job = emulator.documents.get(KIND, name)
        if job["state"] not in _ENDED:
            raise Refusal("FAILED_PRECONDITION", f"{name} is in the state {job['state']}: cancel it first.")
        emulator.documents.delete(KIND, name)
        emulator.jobs.forget(KIND, name)
        return emulator.operations.done(
            name, "google.protobuf.Empty", {}, metadata="DeleteOperationMetadata", version=call.version
        )


_ABOVE = f"{LOCATION}/batchPredictionJobs"
ROUTES = (
    Route("POST", _ABOVE, _create, "BatchPredictionJob.create, BatchPredictionJob.submit, Model.batch_predict"),
    Route("GET", _ABOVE, _list, "BatchPredictionJob.list"),
    Route("GET", f"{_ABOVE}/{{job}}", _get, "BatchPredictionJob, BatchPredictionJob.wait"),
    Route("POST", f"{_ABOVE}/{{job}}:cancel", _cancel, "BatchPredictionJob.cancel"),
    Route("DELETE", f"{_ABOVE}/{{job}}", _delete, "BatchPredictionJob.delete"),
)
