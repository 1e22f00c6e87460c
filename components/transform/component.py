"""The KFP interface of the transform."""

from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Input, Output

from headrace.components import images


@dsl.component(base_image=images.MAIN, install_kfp_package=False)
def transform(
    dataset: Input[Dataset],
    features: dict,
    transform: Output[Artifact],
    report: Output[HTML],
    model: str = "gbdt",
    sample_weight: str = "",
) -> None:
    """Fits the features on the train split.

    Args:
        dataset: The snapshot.
        features: The `features` section of the spec (`headrace.components.transform.spec.FeaturesSpec`).
        transform: The fitted features, and their graph.
        report: What each column becomes, what was left out and why, and what was learned.
        model: The kind of model that the features are for: `gbdt`, `linear`, `mlp` or `module`.
        sample_weight: The column that says how much a row counts; empty where all count the same. It is no feature.
    """
    from pathlib import Path

    from headrace.components.transform.fit import fit
    from headrace.components.transform.report import write_report
    from headrace.components.transform.spec import FeaturesSpec

    fitted = fit(Path(dataset.path), FeaturesSpec(**features), Path(transform.path), model, sample_weight)
    write_report(report.path, fitted)
    transform.metadata["features"] = len(fitted.features)
    notes = [f"`{name}` is no feature: {reason}" for name, reason in fitted.surprises.items()]
    if notes := [*notes, *fitted.notes]:
        transform.metadata["notes"] = notes
