"""The KFP interface of the gate."""

from typing import NamedTuple

from kfp import dsl
from kfp.dsl import HTML, Artifact, Input, Model, Output

from headrace.components import images


@dsl.component(base_image=images.MAIN, install_kfp_package=False)
def gate(
    model: Input[Model],
    evaluation: Input[Artifact],
    champion_evaluation: Input[Artifact],
    infra: Input[Artifact],
    findings: Input[Artifact],
    task: str,
    evaluate: dict,
    decision: Output[Artifact],
    report: Output[HTML],
) -> NamedTuple("Outputs", [("passed", bool)]):  # type: ignore[valid-type]
    """Decides whether a model may be registered and pushed; not passed is an answer, not an error.

    Args:
        model: The bundle.
        evaluation: Its evaluation.
        champion_evaluation: The champion's evaluation on the same rows; or that there is no champion.
        infra: What the real server said of the bundle.
        findings: What the data report found in the snapshot.
        task: classification or regression.
        evaluate: The `evaluate` section of the spec (`headrace.components.evaluate.spec.EvaluateSpec`).
        decision: The sealed decision, without which nothing is registered or pushed.
        report: The same for people.

    Returns:
        passed: Whether all gates are passed.
    """
    from pathlib import Path

    from headrace.components.evaluate.spec import EvaluateSpec
    from headrace.components.gate.gate import gate as run
    from headrace.components.gate.gate import summary

    verdict = run(
        model=Path(model.path),
        evaluation=Path(evaluation.path),
        champion_evaluation=Path(champion_evaluation.path),
        infra=Path(infra.path),
        task=task,
        settings=EvaluateSpec(**evaluate),
        output=Path(decision.path),
        report=Path(report.path),
        findings=Path(findings.path),
    )
    print(summary(verdict))
    decision.metadata["passed"] = verdict.passed
    return (verdict.passed,)
