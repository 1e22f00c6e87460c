"""What a pipeline job leaves in the metadata store: contexts, executions, artifacts, and what went into what."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from headrace.emulator.documents import Document
from headrace.emulator.vertex import metadata
from headrace.emulator.vertex.pipeline_tasks import (
    Told,
    execution,
    inputs,
    outputs,
    run_execution,
    state_of,
)

if TYPE_CHECKING:
    from headrace.emulator.state import Emulator

_METRICS = ("system.Metrics", "system.ClassificationMetrics")  # which the SDK reads as those of a run


def contexts(job: Document) -> Document:
    """The detail of a job as it is created: the contexts of its pipeline, and of its run."""
    parent, _, id = str(job["name"]).partition("/pipelineJobs/")
    store = f"{parent}/metadataStores/default"
    pipeline = str(job["pipelineSpec"].get("pipelineInfo", {}).get("name", "")) or id
    times = {"createTime": job["createTime"], "updateTime": job["updateTime"], "schemaVersion": "0.0.1"}
    above = {
        "name": f"{store}/contexts/{re.sub(r'[^a-z0-9-]', '-', pipeline.lower())}",
        "displayName": pipeline,
        "schemaTitle": "system.Pipeline",
        "metadata": {},
        **times,
    }
    run = {
        "name": f"{store}/contexts/{id}",
        "displayName": id,  # by which the SDK finds the job of a run of an experiment
        "schemaTitle": "system.PipelineRun",
        "parentContexts": [above["name"]],
        "metadata": {},
        **times,
    }
    return {"pipelineContext": above, "pipelineRunContext": run}


def with_parents(emulator: Emulator, job: Document) -> Document:
    """A job whose context shows what clients have put it below since: experiments, and their runs."""
    detail = job["jobDetail"]
    kept = emulator.documents.find("Context", detail["pipelineRunContext"]["name"])
    if not kept:
        return job
    parents = kept.get("parentContexts", [])
    return {
        **job,
        "jobDetail": {**detail, "pipelineRunContext": {**detail["pipelineRunContext"], "parentContexts": parents}},
    }


def write_contexts(emulator: Emulator, job: Document) -> None:
    """Makes the contexts of a job: an experiment may take them in before anything ran."""
    _record(emulator, job, [], [], [])


def write_metadata(emulator: Emulator, told: Told, job: Document) -> None:
    """Brings the metadata store up to what the record says."""
    whole = run_execution(told)
    executions, events = [whole], []
    artifacts: dict[str, Document] = {}
    for path, task in told.tasks.items():
        state = state_of(told, task)
        if not task.leaf or state == "NOT_TRIGGERED":
            continue
        done = execution(told, path, task, state)
        executions.append(done)
        for kind, named in (("INPUT", inputs(told, task)), ("OUTPUT", outputs(told, task))):
            for found in (one for several in named.values() for one in several):
                artifacts.setdefault(found["name"], found)
                events.append({"artifact": found["name"], "execution": done["name"], "type": kind})
                if kind == "OUTPUT" and found["schemaTitle"] in _METRICS:
                    events.append({"artifact": found["name"], "execution": whole["name"], "type": kind})
    _record(emulator, job, executions, list(artifacts.values()), events)


def _record(
    emulator: Emulator,
    job: Document,
    executions: list[Document],
    artifacts: list[Document],
    events: list[Document],
) -> None:
    pipeline, run = job["jobDetail"]["pipelineContext"], job["jobDetail"]["pipelineRunContext"]
    with emulator.documents.transaction():
        metadata.record(
            emulator,
            str(job["name"]).partition("/pipelineJobs/")[0],
            contexts=[pipeline, run],
            executions=executions,
            artifacts=artifacts,
            events=events,
            children=[(pipeline["name"], run["name"])],
        )
