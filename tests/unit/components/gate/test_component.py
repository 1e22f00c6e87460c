"""The components' interfaces compile, and the condition on the gate's answer is a boolean one."""

import yaml
from kfp import compiler, dsl

from headrace.components.evaluate.component import evaluate
from headrace.components.gate.component import gate


@dsl.component(base_image="x", install_kfp_package=False)
def source(model: dsl.Output[dsl.Model], data: dsl.Output[dsl.Dataset], infra: dsl.Output[dsl.Artifact]):
    pass


@dsl.component(base_image="x", install_kfp_package=False)
def register(model: dsl.Input[dsl.Model], decision: dsl.Input[dsl.Artifact]):
    pass


@dsl.pipeline(name="gated")
def gated(task: str, section: dict):
    made = source()
    model, data = made.outputs["model"], made.outputs["data"]
    own = evaluate(model=model, dataset=data, evaluate=section)
    champion = evaluate(model=model, dataset=data, evaluate=section)
    gated = gate(
        model=model,
        evaluation=own.outputs["evaluation"],
        champion_evaluation=champion.outputs["evaluation"],
        infra=made.outputs["infra"],
        findings=made.outputs["infra"],
        task=task,
        evaluate=section,
    )
    with dsl.If(gated.outputs["passed"] == True):  # noqa: E712 (KFP overloads the comparison)
        register(model=model, decision=gated.outputs["decision"])


def test_the_pipeline_branches_on_the_gates_answer(tmp_path):
    compiler.Compiler().compile(gated, str(tmp_path / "p.yaml"))
    ir = yaml.safe_load((tmp_path / "p.yaml").read_text())
    tasks = ir["root"]["dag"]["tasks"]
    assert tasks["condition-1"]["triggerPolicy"]["condition"].endswith("['pipelinechannel--gate-passed'] == true")
    outputs = ir["components"]["comp-gate"]["outputDefinitions"]
    assert outputs["parameters"]["passed"]["parameterType"] == "BOOLEAN"
    command = "".join(ir["deploymentSpec"]["executors"]["exec-gate"]["container"]["command"])
    assert "pip install" not in command
    types = {
        name: value["artifactType"]
        for name, value in ir["components"]["comp-evaluate"]["outputDefinitions"]["artifacts"].items()
    }
    assert types["metrics"]["schemaTitle"] == "system.Metrics"
    assert types["curves"]["schemaTitle"] == "system.ClassificationMetrics"
    assert types["report"]["schemaTitle"] == "system.HTML"
