"""The part of a pipeline between a snapshot and a model: what runs, what is given, what cannot happen."""

import json

import pytest
import yaml

from headrace.pipelines.compile import training_ir
from headrace.pipelines.local.ir.reading import read_graph
from headrace.pipelines.local.record.results import ArtifactRecord, TaskResult
from headrace.pipelines.reproduction.derived import NotDerivable, derive
from headrace.pipelines.spec import Spec

SPEC = {
    "name": "churn",
    "task": "classification",
    "data": {"source": "t.csv", "label": "y"},
    "validate": {"freshness": {"column": "at", "max_age": "7d"}},
}
MOMENT = "{{$.pipeline_job_create_time_utc}}"


@pytest.fixture(scope="module")
def ir():
    return json.loads(json.dumps(yaml.safe_load(training_ir(Spec.model_validate(SPEC), ""))))


def record(ir):
    """Every task with an artifact for each of its outputs, at /store/TASK/OUTPUT."""
    found = {}
    for name, task in ir["root"]["dag"]["tasks"].items():
        component = ir["components"][task["componentRef"]["name"]]
        outputs = component.get("outputDefinitions", {}).get("artifacts", {})
        artifacts = {
            key: (ArtifactRecord(key, one["artifactType"]["schemaTitle"], f"/store/{name}/{key}", "sha256:1"),)
            for key, one in outputs.items()
        }
        found[name] = TaskResult(name, name, f"comp-{name}", "SUCCEEDED", artifacts=artifacts, outputs={"digest": "x"})
    return found


def derived(ir, place=lambda artifact: artifact.uri, source="ingest", target="train", recorded=None, **constants):
    return derive(ir, recorded or record(ir), source, target, constants, place)


def test_only_what_leads_from_the_snapshot_to_the_model_runs(ir):
    before = json.dumps(ir)
    found = derived(ir)
    assert json.dumps(ir) == before, "the recorded pipeline stays as it is"
    assert {"statistics", "transform", "train", "validate"} <= set(found.tasks)
    outside = {"fingerprint", "ingest", "champion", "evaluate", "track", "gate", "infra-validate", "condition-1"}
    assert not outside & set(found.tasks)
    text = json.dumps(found.ir)
    for component in ("comp-register", "comp-push", "exec-ingest", "exec-register", "exec-champion"):
        assert f'"{component}"' not in text, component
    assert found.given["ingest/dataset"] == "/store/ingest/dataset"
    assert "source" not in found.parameters
    graph = read_graph(found.ir)  # the runner accepts it
    assert graph.root.dag is not None
    assert set(graph.root.dag.tasks) == {*found.tasks, *(f"given-{n.replace('/', '-')}" for n in found.given)}


def test_what_was_measured_from_the_time_of_the_run_is_so_again(ir):
    assert MOMENT in json.dumps(ir)
    found = derived(ir, **{MOMENT: "2026-01-02T03:04:05Z"})
    assert MOMENT not in json.dumps(found.ir)
    assert "2026-01-02T03:04:05Z" in json.dumps(found.ir)


def test_an_optional_input_that_is_gone_is_left_out_and_said(ir):
    found = derived(ir, lambda artifact: None if "champion" in artifact.uri else artifact.uri)
    assert found.left_out == ("examine without champion",)
    assert "champion" not in found.ir["root"]["dag"]["tasks"]["examine"]["inputs"]["artifacts"]
    read_graph(found.ir)


def test_what_cannot_be_given_is_refused(ir):
    with pytest.raises(NotDerivable, match="expected its input `dataset`, which ingest put out. Received: it is gone"):
        derived(ir, lambda artifact: None)
    with pytest.raises(NotDerivable, match="expected gate to follow from train"):
        derived({**ir, "root": without(ir["root"], "gate")}, source="train", target="gate")
    with pytest.raises(NotDerivable, match="Received: nowhere, inside of a group"):
        derived(ir, target="nowhere")
    recorded = {name: task for name, task in record(ir).items() if name != "ingest"}
    with pytest.raises(NotDerivable, match="expected the task ingest in the record"):
        derived(ir, recorded=recorded)


def without(root, task):
    """A root in which a task takes nothing from others."""
    tasks = root["dag"]["tasks"]
    alone = {name: one for name, one in tasks[task].items() if name not in ("inputs", "dependentTasks")}
    return {**root, "dag": {"tasks": {**tasks, task: alone}}}


def test_parameters_that_others_put_out_become_constants(ir):
    found = derived(ir, source="fingerprint", target="ingest")
    given = found.ir["root"]["dag"]["tasks"]["ingest"]["inputs"]["parameters"]["source_digest"]
    assert given == {"runtimeValue": {"constant": "x"}}
    assert found.parameters == ("source",)


def test_a_pipeline_with_a_platform_spec_keeps_it(ir):
    found = derived({"pipelineSpec": ir, "platformSpec": {"platforms": {}}}, recorded=record(ir))
    assert set(found.ir) == {"pipelineSpec", "platformSpec"}
    assert "register" not in found.ir["pipelineSpec"]["root"]["dag"]["tasks"]
