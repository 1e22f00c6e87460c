"""The step as a whole: statistics, findings and a champion in; all findings, and the data report, out."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from headrace.artifacts.anomalies import write_anomalies
from headrace.artifacts.dataset import Dataset, holds_pictures
from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.findings import Finding, Findings, as_warnings, read_findings, sort_findings, write_findings
from headrace.artifacts.schema import FILE, parse_schema, write_schema
from headrace.artifacts.statistics import Statistics, read_statistics
from headrace.components.examine.anomalies import find_anomalies
from headrace.components.examine.baseline import Baseline, read_baseline
from headrace.components.examine.change import find_label_change, find_monotony, find_staleness, find_volume
from headrace.components.examine.drift import Compared, compare
from headrace.components.examine.example_rows import find_rows, with_examples
from headrace.components.examine.infer import infer_schema
from headrace.components.examine.report import Examined, write_report
from headrace.components.examine.words import findings
from headrace.components.validate.spec import ValidateSpec

if TYPE_CHECKING:
    from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

Described = TypeVar("Described", Statistics, Findings)


@dataclass(frozen=True)
class Inputs:
    """What is known of the data: folders, where they are there.

    Attributes:
        dataset: the snapshot.
        statistics: its statistics.
        checks: the findings about its rows.
        champion: the champion's bundle, or the statement that there is none.
        requests: logs of served requests.
    """

    dataset: Path
    statistics: Path
    checks: Path | None = None
    champion: Path | None = None
    requests: Path | None = None


@dataclass(frozen=True)
class Outputs:
    """Where the schema that was used, TFMD's Anomalies, all findings and the page go."""

    schema: Path
    anomalies: Path
    findings: Path
    report: Path


@dataclass(frozen=True)
class _Logged:
    """What was found of logged requests, beside skew, and their statistics."""

    found: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    statistics: statistics_pb2.DatasetFeatureStatistics | None = None


def examine(
    inputs: Inputs,
    schema_text: str,
    outputs: Outputs,
    settings: ValidateSpec | None = None,
    dropped: Collection[str] = (),
    now: datetime | None = None,
) -> Findings:
    """Puts together all that is known of a snapshot's faults; it never fails on the data.

    The schema is used as it is, and never widened. Where none is committed yet a first one is inferred from
    this data, for people to review and commit.

    Args:
        inputs: what is known of the data.
        schema_text: content of the committed `schema.pbtxt`; blank where there is none.
        outputs: where to write.
        settings: the `validate` section of the spec.
        dropped: columns that are no features.
        now: what ages are measured from; by default, the time it is.

    Raises:
        ArtifactError: an input is damaged, the schema too.
        HeadraceError: the statistics, or the findings, are of another snapshot.
    """
    settings = settings or ValidateSpec()
    snapshot = Dataset.open(inputs.dataset, verify=False)  # its rows are only looked at for examples
    statistics = _of(snapshot, read_statistics(inputs.statistics), inputs.statistics)
    checks = _of(snapshot, read_findings(inputs.checks), inputs.checks) if inputs.checks else None
    inferred = not schema_text.strip()
    schema = infer_schema(statistics, snapshot.info) if inferred else parse_schema(schema_text, FILE)
    anomalies = find_anomalies(statistics, schema)
    found = with_examples(findings(anomalies, schema), anomalies, schema, snapshot)
    baseline = read_baseline(inputs.champion)
    drift, changes = _changes(statistics, baseline, schema, snapshot, settings)
    skew, logged = _skew(statistics, inputs.requests, schema, settings, dropped)
    anomalies.drift_skew_info.extend([*drift.joined.drift_skew_info, *skew.joined.drift_skew_info])
    found += [*changes, *drift.found, *skew.found, *logged.found]
    now = now or datetime.now(UTC)
    found += find_staleness(statistics, settings, now, lambda name, wrong: find_rows(snapshot, name, wrong))
    if not holds_pictures(snapshot.info):  # whose features are the pictures themselves
        found += find_monotony(statistics, settings, dropped)
    found += checks.found if checks else []
    notes = [*_notes(baseline, inferred, checks), *logged.notes]
    found = sort_findings(as_warnings(found) if settings.on_anomaly == "warn" else found)
    profile = checks.profile if checks else {}
    result = Findings(snapshot.digest, found, notes)
    examined = Examined(
        snapshot, statistics, schema, inferred, result, baseline, drift, skew, profile, logged.statistics
    )
    write_schema(outputs.schema, schema)
    write_anomalies(outputs.anomalies, anomalies)
    write_findings(outputs.findings, result)
    write_report(outputs.report, examined)
    for note in notes:
        print(f"note: {note}")
    return result


def _changes(
    statistics: Statistics, baseline: Baseline, schema: schema_pb2.Schema, snapshot: Dataset, settings: ValidateSpec
) -> tuple[Compared, list[Finding]]:
    """Drift, volume and label against the champion's data."""
    before = baseline.statistics
    if before is None:
        return Compared(), []
    changes = [
        *find_volume(statistics, before, settings),
        *find_label_change(statistics, before, snapshot.info.label, settings),
    ]
    return compare("drift", statistics, before.split("train"), schema, settings.drift), changes


def _skew(
    statistics: Statistics,
    requests: Path | None,
    schema: schema_pb2.Schema,
    settings: ValidateSpec,
    dropped: Collection[str],
) -> tuple[Compared, _Logged]:
    """Skew against logged requests, and what departs from the schema in them."""
    if requests is None:
        return Compared(), _Logged()
    from headrace.components.examine.serving import describe_requests, find_in_requests, find_unfit, unread

    try:
        described = describe_requests(requests, statistics.columns)
    except HeadraceError as error:  # who asks for a comparison is told where there is none, with a report all the same
        return Compared(), _Logged([unread(str(error), settings.skew.level)])
    absent = [name for name in described.absent if name not in dropped]
    notes = [f"not held against logged requests, which do not have them: {', '.join(absent)}"] if absent else []
    departures = [
        *find_unfit(described, settings.skew.level, dropped),
        *find_in_requests(described, statistics, schema),
    ]
    return (
        compare("skew", statistics, described.statistics, schema, settings.skew),
        _Logged(departures, notes, described.statistics),
    )


def _notes(baseline: Baseline, inferred: bool, checks: Findings | None) -> list[str]:
    notes = list(checks.notes) if checks else ["the rows were not looked at: no findings of `check` were given"]
    if baseline.statistics is None:
        notes.append(f"not held against earlier data: {baseline.why_not}")
    if inferred:
        notes.append(
            "no schema is committed yet; one was inferred from this data, which therefore fits it. "
            f"Review it and commit it beside the spec as {FILE}: until then any data passes it"
        )
    return notes


def _of(snapshot: Dataset, described: Described, place: Path | None) -> Described:
    kind = "statistics" if isinstance(described, Statistics) else "findings"
    if described.dataset != snapshot.digest:
        raise HeadraceError(
            f"{place}: expected {kind} of the data version {snapshot.digest}. Received: those of {described.dataset}"
        )
    return described
