"""The KFP interface of validation."""

from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Input, Output

from headrace.components import images


@dsl.component(base_image=images.TFX, install_kfp_package=False)
def validate(
    dataset: Input[Dataset],
    statistics: Input[Artifact],
    schema_text: str,
    validate: dict,
    schema: Output[Artifact],
    anomalies: Output[Artifact],
    report: Output[HTML],
) -> None:
    """Holds the statistics of each split against the schema, and fails when they do not fit.

    Args:
        dataset: The snapshot (`headrace/dataset`).
        statistics: Its statistics (`headrace/statistics`).
        schema_text: Content of the committed schema.pbtxt; empty to infer a first one from this data.
        validate: The `validate` section of the spec (`headrace.components.validate.spec.ValidateSpec`).
        schema: The schema that was used (`headrace/schema`).
        anomalies: TFMD's Anomalies (`headrace/anomalies`).
        report: A page with the anomalies and the schema.
    """
    from pathlib import Path

    from headrace.components.validate.spec import ValidateSpec
    from headrace.components.validate.validate import validate as hold

    hold(
        Path(statistics.path),
        Path(dataset.path),
        schema_text,
        Path(schema.path),
        Path(anomalies.path),
        Path(report.path),
        ValidateSpec(**validate),
    )
