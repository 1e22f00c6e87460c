"""The KFP interface of the examination."""

from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Input, Model, Output

from headrace.components import images


@dsl.component(base_image=images.TFX, install_kfp_package=False)
def examine(
    dataset: Input[Dataset],
    statistics: Input[Artifact],
    schema_text: str,
    validate: dict,
    features: dict,
    schema: Output[Artifact],
    anomalies: Output[Artifact],
    findings: Output[Artifact],
    report: Output[HTML],
    checks: Input[Artifact] = None,  # how KFP spells an optional artifact
    champion: Input[Model] = None,
    requests: Input[Artifact] = None,
    now: str = "",
) -> None:
    """Holds a snapshot against its schema, the champion's data and logged requests, and writes the data report.

    It does not fail on what it finds, so that there is a report to look at: `validate` decides.

    Args:
        dataset: The snapshot (`headrace/dataset`).
        statistics: Its statistics (`headrace/statistics`).
        schema_text: Content of the committed schema.pbtxt; empty to infer a first one from this data.
        validate: The `validate` section of the spec (`headrace.components.validate.spec.ValidateSpec`).
        features: The `features` section of the spec: columns that it drops may be constant, or name their row;
            so may texts, of which words are learned.
        schema: The schema that was used (`headrace/schema`).
        anomalies: TFMD's Anomalies (`headrace/anomalies`).
        findings: All findings, those of `checks` too (`headrace/findings`).
        report: The data report.
        checks: What `check` found in the rows (`headrace/findings`).
        champion: The champion's bundle with its data's statistics, or `headrace/absent`.
        requests: A folder with .jsonl or .parquet files of logged requests.
        now: What ages are measured from, as ISO 8601; empty for the time it is.
    """
    from datetime import datetime
    from pathlib import Path

    from headrace.components.examine.examine import Inputs, Outputs
    from headrace.components.examine.examine import examine as put_together
    from headrace.components.transform.spec import FeaturesSpec
    from headrace.components.validate.spec import ValidateSpec

    learned = FeaturesSpec(**features)
    given = [Path(artifact.path) if artifact else None for artifact in (checks, champion, requests)]
    found = put_together(
        Inputs(Path(dataset.path), Path(statistics.path), *given),
        schema_text,
        Outputs(Path(schema.path), Path(anomalies.path), Path(findings.path), Path(report.path)),
        ValidateSpec(**validate),
        [*learned.drop, *sorted(learned.text_columns)],
        datetime.fromisoformat(now) if now else None,
    )
    findings.metadata["errors"] = len(found.errors)
    findings.metadata["warnings"] = len(found.found) - len(found.errors)
