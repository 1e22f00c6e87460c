"""The KFP interface of evaluation."""

from kfp import dsl
from kfp.dsl import HTML, Artifact, ClassificationMetrics, Dataset, Input, Metrics, Model, Output

from headrace.components import images


@dsl.component(base_image=images.MAIN, install_kfp_package=False)
def evaluate(
    model: Input[Model],
    dataset: Input[Dataset],
    evaluate: dict,
    evaluation: Output[Artifact],
    metrics: Output[Metrics],
    curves: Output[ClassificationMetrics],
    report: Output[HTML],
    split: str = "test",
    beam_runner: str = "",
    beam_options: dict = {},  # noqa: B006 (KFP reads a default, and never changes it)
) -> None:
    """Measures a model on rows that nothing before has looked at.

    Args:
        model: The bundle; or the statement that there is none, which the evaluation then repeats.
        dataset: The snapshot.
        evaluate: The `evaluate` section of the spec (`headrace.components.evaluate.spec.EvaluateSpec`).
        split: The split to measure on.
        beam_runner: Apache Beam's runner, where it is not to be the section's; `none` is in process.
        beam_options: Beam's pipeline options, by their names; the section's own go before them.
        evaluation: The sealed evaluation, which gates read.
        metrics: The metrics, for the console.
        curves: ROC curve and confusion matrix, for the console.
        report: The same for people.
    """
    from pathlib import Path

    from headrace.components.evaluate.console import show
    from headrace.components.evaluate.evaluate import evaluate as run
    from headrace.components.evaluate.spec import EvaluateSpec, with_runner

    settings = with_runner(EvaluateSpec(**evaluate), beam_runner, beam_options)
    paths = Path(model.path), Path(dataset.path), Path(evaluation.path), Path(report.path)
    found = run(*paths[:2], settings, *paths[2:], split, dataset.uri)
    show(found, metrics, curves)
