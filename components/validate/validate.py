"""The step as a whole: statistics and a schema in; the verdict, with its anomalies and page, out."""

from __future__ import annotations

from pathlib import Path

from headrace.artifacts.anomalies import write_anomalies
from headrace.artifacts.dataset import Dataset
from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.schema import FILE, parse_schema, write_schema
from headrace.artifacts.statistics import Statistics, read_statistics
from headrace.components.validate.check import check
from headrace.components.validate.findings import Finding, findings
from headrace.components.validate.infer import infer_schema
from headrace.components.validate.report import write_report
from headrace.components.validate.spec import ValidateSpec


class DataAnomalies(HeadraceError):
    """The data does not fit the schema. The message names each column; `findings` has them as values."""

    def __init__(self, message: str, findings: list[Finding]) -> None:
        super().__init__(message)
        self.findings = findings


def validate(
    statistics: Path | str,
    dataset: Path | str,
    schema_text: str,
    schema_output: Path | str,
    anomalies_output: Path | str,
    report: Path | str,
    settings: ValidateSpec | None = None,
) -> list[Finding]:
    """Holds the statistics of a snapshot against its schema.

    The schema is used as it is, and never widened. Where none is committed yet a first one is inferred from
    this data, for people to review and commit.

    Args:
        statistics: the statistics' folder.
        dataset: the snapshot's folder.
        schema_text: content of the committed `schema.pbtxt`; blank where there is none.
        schema_output: where the schema that was used goes.
        anomalies_output: where TFMD's Anomalies go.
        report: where the HTML page goes.
        settings: what to do about anomalies; by default fail.

    Returns:
        warnings, and under `on_anomaly: warn` the errors too.

    Raises:
        DataAnomalies: the data does not fit, and `on_anomaly` is `fail`. The outputs are written before.
        ArtifactError: an input is damaged, the schema too, or the statistics are of another snapshot.
    """
    settings = settings or ValidateSpec()
    snapshot = Dataset.open(dataset, verify=False)  # only its manifest is used
    described = _statistics_of(snapshot, statistics)
    inferred = not schema_text.strip()
    schema = infer_schema(described, snapshot.info) if inferred else parse_schema(schema_text, FILE)
    anomalies = check(described, schema)
    found = findings(anomalies, schema)
    write_schema(schema_output, schema)
    write_anomalies(anomalies_output, anomalies)
    write_report(report, found, schema, described, inferred)
    errors = [finding for finding in found if finding.level == "error"]
    fails = bool(errors) and settings.on_anomaly == "fail"
    _log([finding for finding in found if not (fails and finding in errors)], schema_output, inferred)
    if fails:
        raise DataAnomalies(_message(errors), errors)
    if not errors:
        print("the data fits its schema")
    return found


def _statistics_of(snapshot: Dataset, statistics: Path | str) -> Statistics:
    described = read_statistics(statistics)
    if described.dataset != snapshot.digest:
        raise HeadraceError(
            f"{statistics}: expected statistics of the data version {snapshot.digest}. "
            f"Received: those of {described.dataset}"
        )
    return described


def _log(found: list[Finding], schema_output: Path | str, inferred: bool) -> None:
    """Says in the step's log what the error does not."""
    if inferred:
        print(
            f"note: no schema is committed yet; one was inferred. Review {Path(schema_output) / FILE} and "
            "commit it beside the spec: until then any data passes"
        )
    for finding in found:
        print(f"{finding.level}: {finding.line()}")


def _message(errors: list[Finding]) -> str:
    """All of it: KFP records no outputs of a step that fails, so there may be no page to look at."""
    number = "1 departure" if len(errors) == 1 else f"{len(errors)} departures"
    lines = "\n".join(f"  - {finding.line()}" for finding in errors)
    return (
        f"expected the data to fit its schema. Received: {number}\n{lines}\n"
        "Put the data right at its source, or widen the committed schema.pbtxt on purpose; "
        "`validate: {on_anomaly: warn}` in the spec goes on in spite of them."
    )
