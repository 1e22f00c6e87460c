"""The KFP interface of the model card."""

from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Input, Model, Output

from headrace.components import images


@dsl.component(base_image=images.MAIN, install_kfp_package=False)
def card(
    model: Input[Model],
    dataset: Input[Dataset],
    evaluation: Input[Artifact],
    decision: Input[Artifact],
    model_name: str,
    card: Output[Artifact],
    report: Output[HTML],
    champion_evaluation: Input[Artifact] = None,  # KFP's way to say that it may be left out
    infra: Input[Artifact] = None,
    findings: Input[Artifact] = None,
    tuning: Input[Artifact] = None,
    spec: dict = {},  # noqa: B006
) -> None:
    """Writes the model card: all that the run knows of its model, whether or not it passed its gates.

    Args:
        model: The bundle (`headrace/bundle`).
        dataset: The snapshot (`headrace/dataset`).
        evaluation: The bundle's evaluation (`headrace/evaluation`).
        decision: The gate's decision on it (`headrace/decision`).
        model_name: The model's name.
        champion_evaluation: The champion's evaluation on the same rows; or that there is no champion.
        infra: What the real server did with the bundle (`headrace/infra`).
        findings: What was found wrong with the data (`headrace/findings`).
        tuning: The search that found the parameters (`headrace/tuning`).
        spec: The whole spec; its section `card` (`headrace.components.card.spec.CardSpec`) is what the owner says.
        card: The card as JSON, Markdown and a page (`headrace/card`).
        report: The page.
    """
    from pathlib import Path

    from headrace.components.card.card import make_card
    from headrace.components.card.known import Inputs

    optional = {
        "champion_evaluation": champion_evaluation,
        "infra": infra,
        "findings": findings,
        "tuning": tuning,
    }
    given = {name: Path(artifact.path) for name, artifact in optional.items() if artifact is not None}
    inputs = Inputs(Path(model.path), Path(dataset.path), Path(evaluation.path), Path(decision.path), **given)
    make_card(inputs, model_name, spec, Path(card.path), Path(report.path))
