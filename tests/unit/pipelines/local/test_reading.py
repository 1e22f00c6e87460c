"""What the IR and the platform spec say, and what is refused or said before anything runs."""

import copy

import pytest

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.local.ir.graph import Secret, UnsupportedPipeline
from headrace.pipelines.local.ir.platform_spec import MissingVariable, check_variables
from headrace.pipelines.local.ir.reading import read_graph
from headrace.pipelines.local.tree import Tree
from headrace.pipelines.pipeline_file import load_pipeline


def pipeline(container=None, component=None, inputs=None, root=None):
    """A pipeline of one task, `step`."""
    return {
        "pipelineInfo": {"name": "one"},
        "deploymentSpec": {"executors": {"exec-step": {"container": {"image": "python:3.11", **(container or {})}}}},
        "components": {"comp-step": {"executorLabel": "exec-step", **(component or {})}},
        "root": {
            "dag": {"tasks": {"step": {"componentRef": {"name": "comp-step"}, "inputs": inputs or {}}}},
            **(root or {}),
        },
    }


def on_kubernetes(config, pipeline_config=None, **options):
    executors = {"deploymentSpec": {"executors": {"exec-step": config}}}
    platform = {"platforms": {"kubernetes": {**executors, "pipelineConfig": pipeline_config or {}}}}
    return {"pipelineSpec": pipeline(**options), "platformSpec": platform}


def step(ir):
    return read_graph(ir).components["comp-step"]


def test_the_platform_spec_of_an_executor():
    secret = {"secretNameParameter": {"runtimeValue": {"constant": "db"}}, "optional": False}
    config_map = {"configMapNameParameter": {"componentInputParameter": "name"}, "optional": True}
    ir = on_kubernetes(
        {
            "activeDeadlineSeconds": "20",
            "secretAsEnv": [{**secret, "keyToEnv": [{"secretKey": "password", "envVar": "DB_PASSWORD"}]}],
            "configMapAsEnv": [{**config_map, "keyToEnv": [{"configMapKey": "mode", "envVar": "MODE"}]}],
            "podMetadata": {"labels": {"team": "x"}},
            "fieldPathAsEnv": [
                {"name": "TEAM", "fieldPath": "metadata.labels['team']"},
                {"name": "NOTE", "fieldPath": "metadata.annotations['note']"},
                {"name": "NODE", "fieldPath": "spec.nodeName"},
            ],
            "nodeSelector": {"labels": {"disk": "ssd"}},
            "pvcMount": [{"mountPath": "/data"}],
            "tolerations": [],
            "novelty": {"a": 1},
        },
        pipeline_config={"resourceTtlOnCompletion": 5},
        container={"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "$(A)-$(NONE)-$$(A)"}]},
    )
    graph = read_graph(ir)
    executor = graph.components["comp-step"].executor
    assert executor.timeout == 20.0
    assert executor.env == {"A": "1", "B": "1-$(NONE)-$(A)", "TEAM": "x", "NOTE": ""}
    assert executor.secrets == (
        Secret("DB_PASSWORD", "the key `password` of the secret `db`"),
        Secret("MODE", "the key `mode` of the config map `name`", optional=True),
    )
    assert graph.notices == (
        "step: this machine has no use for the node selector",
        "step: this machine has no use for the labels and annotations of the pod",
        "step: this machine has no use for the volume",
        "step: this machine has no use for the setting novelty",
        "step: this machine has no use for the variable NODE from the pod's spec.nodeName",
        "step: DB_PASSWORD is taken from this machine's environment, not from the key `password` of the secret `db`",
        "step: MODE is taken from this machine's environment, not from the key `mode` of the config map `name`",
        "the pipeline's setting resourceTtlOnCompletion means nothing on this machine",
    )
    check_variables(graph, {"DB_PASSWORD": ""})
    with pytest.raises(MissingVariable, match=r"Missing: step needs DB_PASSWORD \(the key `password` of the secret"):
        check_variables(graph, {"MODE": "x"})


def test_what_a_component_passes_on_to_a_job_of_its_own():
    container = {
        "env": [{"name": "A", "value": "1"}],
        "resources": {
            "resourceCpuLimit": "2",
            "resourceMemoryRequest": "1Gi",
            "accelerator": {"resourceType": "nvidia.com/gpu", "resourceCount": "1"},
        },
    }
    fields = [
        {"field": "RESOURCES"},
        {"field": "ENV", "applyToTask": True},
        {"field": "KUBERNETES_TOLERATIONS"},
        {"field": "KUBERNETES_NODE_SELECTOR"},
    ]
    kubernetes = {"tolerations": [{"key": "gpu"}], "nodeSelector": {"labels": {"disk": "ssd"}}}
    declared = {
        "taskConfigPassthroughs": fields,
        "inputDefinitions": {"parameters": {"config": {"parameterType": "TASK_CONFIG", "isOptional": True}}},
    }
    ir = on_kubernetes(kubernetes, container=container, component=declared)
    expected = {
        "resources": {"limits": {"cpu": "2", "nvidia.com/gpu": "1"}, "requests": {"memory": "1Gi"}},
        "env": [{"name": "A", "value": "1"}],
        "tolerations": [{"key": "gpu"}],
        "nodeSelector": {"disk": "ssd"},
    }
    component = step(ir)
    assert component.executor.resources == {}
    assert component.executor.env == {"A": "1"}
    assert component.task_config == expected
    leaves = []
    Tree(read_graph(ir), {}, {}, leaves.append, lambda node: None).work()
    assert leaves[0].parameters == {"config": expected}


@pytest.mark.parametrize(
    ("ir", "why"),
    [
        (on_kubernetes({"initContainers": [{"name": "i"}]}), "step: expected a task without init containers"),
        (pipeline({"image": "argostub/createpvc"}), "step: .*stands for an action on a Kubernetes volume"),
        (
            pipeline({"env": [{"name": "A", "value": "v-{{channel:task=;name=x;type=String;}}"}]}),
            "step: expected a fixed value for the variable A: .* Give the task a parameter instead",
        ),
        (pipeline({"lifecycle": {}}), "comp-step: expected a plain container"),
        (
            pipeline(inputs={"parameters": {"x": {"componentInputParameter": "nowhere"}}}),
            "step: expected a source for its input `x` in root. Received: one that is not there",
        ),
        (
            pipeline(inputs={"artifacts": {"x": {"componentInputArtifact": "nowhere"}}}),
            "step: expected a source for its input `x` in root",
        ),
        (
            pipeline(inputs={"parameters": {"pipelinechannel--item": {"componentInputParameter": "item"}}}),
            "KFP's compiler loses a loop's item in a text inside another loop",
        ),
    ],
)
def test_what_cannot_be_is_refused(ir, why):
    with pytest.raises(UnsupportedPipeline, match=why):
        read_graph(ir)


def test_an_output_of_another_tasks_that_it_does_not_have_is_refused():
    ir = pipeline()
    ir["root"]["dag"]["outputs"] = {
        "parameters": {"o": {"valueFromParameter": {"producerSubtask": "gone", "outputParameterKey": "o"}}}
    }
    with pytest.raises(UnsupportedPipeline, match="root: expected the output `o` to come from one of its tasks"):
        read_graph(ir)
    ir = pipeline()
    source = {"taskOutputParameter": {"producerTask": "step", "outputParameterKey": "none"}}
    ir["root"]["dag"]["tasks"]["next"] = {
        "componentRef": {"name": "comp-step"},
        "inputs": {"parameters": {"x": source}},
    }
    with pytest.raises(UnsupportedPipeline, match="next: expected a source for its input `x`"):
        read_graph(ir)


def test_only_the_values_that_a_parameter_takes():
    declared = {"inputDefinitions": {"parameters": {"x": {"parameterType": "NUMBER_INTEGER", "literals": [0.0, 2.0]}}}}
    for value, state in ((0.0, "RUNNING"), (2.0, "RUNNING"), (1.0, "FAILED")):
        inputs = {"parameters": {"x": {"runtimeValue": {"constant": value}}}}
        nodes = []
        tree = Tree(read_graph(pipeline(component=declared, inputs=inputs)), {}, {}, lambda node: None, nodes.append)
        tree.work()
        assert tree.nodes[0].state == state
    assert nodes[0].error.message == "step: expected `x` to be one of 0, 2. Received: 1"


SPEC = "root: {dag: {}}\ndeploymentSpec: {executors: {}}\n"


@pytest.mark.parametrize(
    ("text", "platform"),
    [
        (SPEC, None),
        (f"{SPEC}---\nplatforms: {{kubernetes: {{}}}}\n", {"platforms": {"kubernetes": {}}}),
        (f"---\n{SPEC}---\n", None),
        ("pipelineSpec: {root: {dag: {}}, deploymentSpec: {executors: {}}}\nplatformSpec: {platforms: {}}\n",
         {"platforms": {}}),
        ("kind: Pipeline\nspec: {displayName: x}\n---\nkind: PipelineVersion\n"
         "spec: {displayName: x, pipelineSpec: {root: {dag: {}}, deploymentSpec: {executors: {}}}}\n", None),
    ],
)  # fmt: skip
def test_the_forms_that_kfp_writes(tmp_path, text, platform):
    file = tmp_path / "pipeline.yaml"
    file.write_text(text)
    spec = {"root": {"dag": {}}, "deploymentSpec": {"executors": {}}}
    found = load_pipeline(file)
    assert found == (spec if platform is None else {"pipelineSpec": spec, "platformSpec": platform})
    assert read_graph(copy.deepcopy(found)).name == "pipeline"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("- 1\n", "expected a compiled pipeline. Received: list"),
        ("platforms: {}\n", "expected a compiled pipeline .KFP's IR"),
        (f"{SPEC}---\n{SPEC}", "expected one pipeline. Received: a second pipelineSpec"),
    ],
)
def test_other_files_are_no_pipelines(tmp_path, text, why):
    file = tmp_path / "pipeline.yaml"
    file.write_text(text)
    with pytest.raises(HeadraceError, match=why):
        load_pipeline(file)
