"""Vertex AI's training pipelines: a custom job, and its model's upload behind it.

https://cloud.google.com/vertex-ai/docs/reference/rest/v1/projects.locations.trainingPipelines

AutoML's tasks are the real service's own. A managed dataset is not split for the job.
"""

from __future__ import annotations

import re
import sys
import threading
import traceback
from datetime import datetime
from typing import TYPE_CHECKING, Any

from headrace.artifacts.errors import HeadraceError
from headrace.emulator import filters, masks, paging
from headrace.emulator.documents import Document, now, stamped
from headrace.emulator.paging import camel
from headrace.emulator.refusals import CODES, Refusal
from headrace.emulator.routing import Call, Route
from headrace.emulator.vertex import custom_jobs, models
from headrace.emulator.vertex.names import check_labels, invalid, location, new_id, required

if TYPE_CHECKING:
    from headrace.emulator.state import Emulator

KIND = "TrainingPipeline"
_OF_JOB = "TrainingPipelineOfJob"  # documents: by a custom job's name, the training pipeline that it is of
_UPLOAD = "TrainingPipelineUpload"  # documents: of a training pipeline whose model is to be uploaded
ENDED = ("PIPELINE_STATE_SUCCEEDED", "PIPELINE_STATE_FAILED", "PIPELINE_STATE_CANCELLED")
_SENT = (
    "displayName", "inputDataConfig", "trainingTaskDefinition", "trainingTaskInputs", "modelToUpload", "modelId",
    "parentModel", "labels", "encryptionSpec",
)  # fmt: skip
_DEFINITION = re.compile(r"gs://google-cloud-aiplatform/schema/trainingjob/definition/(\w+?)(?:_\d+(?:\.\d+)+)?\.yaml")
_CUSTOM = "custom_task"
_AUTOML = {  # how a task's name begins -> the class whose `run` sends it
    "automl_tabular": "AutoMLTabularTrainingJob",
    "automl_time_series_forecasting": "AutoMLForecastingTrainingJob",
    "automl_image": "AutoMLImageTrainingJob",
    "automl_text": "AutoMLTextTrainingJob",
    "automl_video": "AutoMLVideoTrainingJob",
    "seq2seq_plus": "SequenceToSequencePlusForecastingTrainingJob",
    "temporal_fusion_transformer": "TemporalFusionTransformerForecastingTrainingJob",
    "time_series_dense_encoder": "TimeSeriesDenseEncoderForecastingTrainingJob",
}
_NO_AUTOML = "AutoML is the real service's own"


def begin(emulator: Emulator) -> None:
    """Follows the custom jobs, and uploads their models."""
    emulator.jobs.listen(custom_jobs.KIND, lambda told: _follow(emulator, told["job"]))
    emulator.clock.add(_Uploads(emulator).due)


def _create(emulator: Emulator, call: Call) -> Document:
    sent, parent = call.json, location(call)
    required(sent, "displayName", "training_pipeline")
    check_labels(sent)
    _check_task(sent)
    spec = _job_spec(sent.get("trainingTaskInputs"))
    if "modelToUpload" in sent:
        models.check(emulator, parent, _upload_request(sent))
        if not spec.get("baseOutputDirectory", {}).get("outputUriPrefix"):
            raise invalid("training_task_inputs.base_output_directory: expected a folder, of which a model is uploaded")
    name = f"{parent}/trainingPipelines/{new_id()}"
    kept = {field: value for field, value in sent.items() if field in _SENT}
    pipeline = stamped({**kept, "name": name, "state": "PIPELINE_STATE_PENDING"})
    del pipeline["etag"]  # which these resources do not have

    def also(job: Document) -> None:
        pipeline["trainingTaskMetadata"] = {"backingCustomJob": job["name"]}
        emulator.documents.create(KIND, name, pipeline, parent)
        emulator.documents.create(_OF_JOB, job["name"], {"pipeline": name})

    wanted = {"displayName": f"{sent['displayName']}-custom-job", "jobSpec": spec, "labels": sent.get("labels", {})}
    custom_jobs.create(emulator, parent, wanted, also)
    return pipeline


def _check_task(sent: Document) -> None:
    """Whether the task is one of our own code.

    Raises:
        Refusal: it is not.
    """
    definition = required(sent, "trainingTaskDefinition", "training_pipeline")
    found = _DEFINITION.fullmatch(definition)
    task = found[1] if found else definition
    if task != _CUSTOM:
        job = next((job for begin, job in _AUTOML.items() if task.startswith(begin)), "TrainingPipeline")
        raise Refusal("UNIMPLEMENTED", f"{job}.run ({task}): the emulator does not serve this call: {_NO_AUTOML}")
    if "datasetId" in sent.get("inputDataConfig", {}):
        raise Refusal(
            "UNIMPLEMENTED",
            "CustomTrainingJob.run(dataset=...): the emulator does not split managed datasets for a job: give the "
            "program the data's address among its arguments",
        )


def _job_spec(inputs: Any) -> Document:
    """A CustomJobSpec from the task's inputs, which are free JSON: names in both spellings, numbers for texts."""
    if not isinstance(inputs, dict):
        raise invalid(f"training_task_inputs: expected an object. Received: {inputs!r:.200}")
    spec: Document = _named(inputs)
    pools = spec.get("workerPoolSpecs")
    if not isinstance(pools, list) or not all(isinstance(pool, dict) for pool in pools):
        raise invalid(f"training_task_inputs.worker_pool_specs: expected a list. Received: {pools!r:.200}")
    for pool in pools:
        for program in (pool.get("containerSpec"), pool.get("pythonPackageSpec")):
            if isinstance(program, dict) and "args" in program:
                program["args"] = [str(one) for one in program["args"]]
    return spec


def _named(value: Any) -> Any:
    if isinstance(value, dict):
        return {camel(name): _named(inner) for name, inner in value.items() if inner is not None}
    return [_named(inner) for inner in value] if isinstance(value, list) else value


def _upload_request(pipeline: Document) -> Document:
    """The UploadModelRequest that a training pipeline ends with."""
    request: Document = {"model": dict(pipeline["modelToUpload"])}
    for field in ("modelId", "parentModel"):
        if pipeline.get(field):
            request[field] = pipeline[field]
    return request


def _follow(emulator: Emulator, job_name: str) -> None:
    """A custom job has changed; within the transaction in which it does."""
    link, job = emulator.documents.find(_OF_JOB, job_name), emulator.documents.find(custom_jobs.KIND, job_name)
    pipeline = emulator.documents.find(KIND, link["pipeline"]) if link else None
    if pipeline is None or job is None or pipeline["state"] in ENDED:
        return
    state = job["state"].replace("JOB_STATE_", "PIPELINE_STATE_")
    if state == "PIPELINE_STATE_SUCCEEDED" and "modelToUpload" in pipeline:
        emulator.documents.create(_UPLOAD, pipeline["name"], {"name": pipeline["name"]})
        emulator.clock.wake()
    else:
        if pipeline["state"] == "PIPELINE_STATE_CANCELLING" and state not in ENDED:
            return
        fields = {"error": job["error"]} if "error" in job else {}
        _set(emulator, pipeline["name"], state, fields)


def _set(emulator: Emulator, name: str, state: str, fields: Document) -> Document:
    """A training pipeline's new state, with its times."""

    def change(found: Document) -> Document:
        moment = now()
        after = {**found, **fields, "state": state, "updateTime": moment}
        if state in (*ENDED, "PIPELINE_STATE_RUNNING"):
            after.setdefault("startTime", moment)
        return {**after, "endTime": moment} if state in ENDED else after

    return emulator.documents.change(KIND, name, change)


class _Uploads:
    """Uploads models, a thread each: their files are copied. What was not finished is begun anew after a restart."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        self._begun: set[str] = set()

    def due(self, moment: datetime) -> None:
        """As `Clock.add` has it."""
        with self._emulator.documents.transaction():  # behind the one that woke the clock
            waiting = [one["name"] for one in self._emulator.documents.list(_UPLOAD)]
        for name in set(waiting) - self._begun:
            self._begun.add(name)
            threading.Thread(target=self._upload, args=(name,), name="upload", daemon=True).start()

    def _upload(self, name: str) -> None:
        try:
            _upload(self._emulator, name)
        except (Refusal, HeadraceError) as error:
            self._fail(name, error.code if isinstance(error, Refusal) else "FAILED_PRECONDITION", str(error))
        except Exception as error:  # noqa: BLE001 (nobody else would tell the client)
            traceback.print_exc(file=sys.stderr)
            self._fail(name, "INTERNAL", f"{type(error).__name__}: {error}")
        finally:
            self._begun.discard(name)

    def _fail(self, name: str, code: str, message: str) -> None:
        state = f"PIPELINE_STATE_{'CANCELLED' if code == 'CANCELLED' else 'FAILED'}"
        with self._emulator.documents.transaction():
            _set(self._emulator, name, state, {"error": {"code": CODES[code][0], "message": message}})
            self._emulator.documents.delete(_UPLOAD, name)


def _upload(emulator: Emulator, name: str) -> None:
    pipeline = emulator.documents.get(KIND, name)
    request = _upload_request(pipeline)
    spec = _job_spec(pipeline["trainingTaskInputs"])
    folder = f"{spec['baseOutputDirectory']['outputUriPrefix'].rstrip('/')}/model"
    request["model"] |= {"artifactUri": folder, "trainingPipeline": name}

    def then(version: Document) -> Document:
        if emulator.documents.get(KIND, name)["state"] == "PIPELINE_STATE_CANCELLING":
            raise Refusal("CANCELLED", "The training pipeline was cancelled.")
        emulator.documents.delete(_UPLOAD, name)
        model = {**request["model"], "name": version["name"], "versionId": version["versionId"]}
        return _set(emulator, name, "PIPELINE_STATE_SUCCEEDED", {"modelToUpload": model})

    models.upload(emulator, name.rpartition("/trainingPipelines/")[0], request, then)


def _name(call: Call) -> str:
    return f"{location(call)}/trainingPipelines/{call.params['pipeline']}"


def _get(emulator: Emulator, call: Call) -> Document:
    return emulator.documents.get(KIND, _name(call))


def _list(emulator: Emulator, call: Call) -> Document:
    wanted = filters.predicate(call.one("filter"))
    found = [one for one in emulator.documents.list(KIND, location(call)) if wanted(one)]
    shown, token = paging.page(paging.ordered(found, call.one("orderBy")), call.one("pageSize"), call.one("pageToken"))
    answer: Document = {"trainingPipelines": [masks.read(one, call.one("readMask")) for one in shown]}
    return {**answer, "nextPageToken": token} if token else answer


def _cancel(emulator: Emulator, call: Call) -> Document:
    """One that has ended stays as it is."""
    name = _name(call)
    with emulator.documents.transaction():
        pipeline = emulator.documents.get(KIND, name)
        if pipeline["state"] not in ENDED:
            _set(emulator, name, "PIPELINE_STATE_CANCELLING", {})
            custom_jobs.cancel(emulator, pipeline["trainingTaskMetadata"]["backingCustomJob"])
    emulator.jobs.wake()
    return {}


def _delete(emulator: Emulator, call: Call) -> Document:
    """The custom job stays."""
    name = _name(call)
    with emulator.documents.transaction():
        pipeline = emulator.documents.get(KIND, name)
        if pipeline["state"] not in ENDED:
            told = pipeline["state"].removeprefix("PIPELINE_STATE_")
            raise Refusal(
                "FAILED_PRECONDITION", f"The TrainingPipeline has not ended, cancel it first: {name} is {told}"
            )
        emulator.documents.delete(KIND, name)
        emulator.documents.delete(_OF_JOB, pipeline["trainingTaskMetadata"]["backingCustomJob"])
        return emulator.operations.done(
            name, "google.protobuf.Empty", {}, metadata="DeleteOperationMetadata", version=call.version
        )


_ALL = "/v1/projects/{project}/locations/{location}/trainingPipelines"
_RUN = "CustomTrainingJob.run, CustomContainerTrainingJob.run, CustomPythonPackageTrainingJob.run"
ROUTES = (
    Route("POST", _ALL, _create, f"{_RUN}, {_RUN.replace('.run', '.submit')}"),
    # The same handler answers these, by the task that they send; they stand here for the table of what is not served.
    Route("POST", _ALL, _create, ", ".join(f"{job}.run" for job in _AUTOML.values()), _NO_AUTOML),
    Route("GET", _ALL, _list, "CustomTrainingJob.list"),
    Route("GET", _ALL + "/{pipeline}", _get, "CustomTrainingJob.get, CustomTrainingJob.get_model"),
    Route("POST", _ALL + "/{pipeline}:cancel", _cancel, "CustomTrainingJob.cancel"),
    Route("DELETE", _ALL + "/{pipeline}", _delete, "CustomTrainingJob.delete"),
)
