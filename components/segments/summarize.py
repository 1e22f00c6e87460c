"""What became of the model of each segment, from the evidence that the steps left and from the registry."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from headrace.artifacts import report
from headrace.artifacts.absent import write_absent
from headrace.artifacts.dataset import Dataset
from headrace.artifacts.decision import Verdict, read_verdict
from headrace.artifacts.evaluation import Evaluation, read_evaluation
from headrace.artifacts.segment_results import (
    FailedGate,
    SegmentResult,
    SegmentResults,
    State,
    write_segment_results,
)
from headrace.artifacts.segments import Segment, Segments, read_segments
from headrace.components.segments.page import results_page
from headrace.platforms.interface import APPROVED, BLESSED, LIVE, ModelVersion, Platform

Found = TypeVar("Found")


@dataclass(frozen=True)
class Evidence:
    """What the steps left, as far as they came: none of the lists has to have an entry for each segment."""

    parts: Path | None
    datasets: Sequence[Path] = ()
    evaluations: Sequence[Path] = ()
    champions: Sequence[Path] = ()  # evaluations of the champions
    decisions: Sequence[Path] = ()


def summarize(evidence: Evidence, platform: Platform, name: str, output: Path, page: Path) -> Mapping[State, int]:
    """Writes what became of each segment, and the page that shows it.

    Evidence finds its segment by digests (a decision names its model, an evaluation its model and its data), and never
    by its place in a list, in which the segments that failed are missing.

    Returns:
        how many segments are in which state.

    Raises:
        ArtifactError: evidence is damaged.
        HeadraceError: the registry does not answer.
    """
    if evidence.parts is None:
        reason = "the data was not parted into segments: a step before has failed"
        write_absent(output, reason)
        report.write(page, report.page("Segments", name, [report.section("Segments", report.paragraph(reason))]))
        return {}
    segments = read_segments(evidence.parts)
    results = gather(segments, evidence, platform, name)
    write_segment_results(output, results)
    report.write(page, results_page(results))
    print(", ".join(f"{count} {state}" for state, count in results.counts.items()))
    return results.counts


def gather(segments: Segments, evidence: Evidence, platform: Platform, name: str) -> SegmentResults:
    """The results of all segments, in the order of their values."""
    values = {
        digest: str(dataset.info.query["segment"]["value"])
        for path in evidence.datasets
        for dataset in [Dataset.open(path, verify=False)]
        for digest in [dataset.digest]
    }
    ours = _by_value(map(read_evaluation, evidence.evaluations), lambda one: values.get(one.dataset_digest))
    theirs = _by_value(map(read_evaluation, evidence.champions), lambda one: values.get(one.dataset_digest))
    verdicts = {verdict.model_digest: verdict for verdict in map(read_verdict, evidence.decisions)}
    versions = _versions(platform, {one.model for one in segments.segments})
    results = []
    for one in segments.segments:
        evaluation = ours.get(one.value)
        digest = str(evaluation.model_digest) if evaluation else ""
        version = versions.get((one.model, digest))
        results.append(_result(one, evaluation, theirs.get(one.value), verdicts.get(digest), version))
    for other in segments.left_out:
        results.append(SegmentResult(other.value, "left out", other.rows, why=other.why, asked=other.asked))
    split = next((one.split for one in ours.values()), "")
    ordered = sorted(results, key=lambda one: one.value)
    return SegmentResults(name, segments.column, split, tuple(ordered), segments.without_value)


def _by_value(found: Iterable[Found], value: Callable[[Found], str | None]) -> dict[str, Found]:
    return {key: one for one in found if (key := value(one)) is not None}


def _versions(platform: Platform, models: set[str]) -> dict[tuple[str, str], ModelVersion]:
    """The registered versions of these models by name and digest: asked for at once, as there may be hundreds."""
    found = platform.registry.versions()
    return {(one.name, one.digest): one for one in found if one.name in models}


def _result(
    one: Segment,
    evaluation: Evaluation | None,
    rival: Evaluation | None,
    verdict: Verdict | None,
    version: ModelVersion | None,
) -> SegmentResult:
    state, why = _state(one, verdict, version)
    failed = [] if verdict is None else [d for d in verdict.decisions if d.passed is not True]
    return SegmentResult(
        value=one.value,
        state=state,
        rows=one.total,
        model=one.model,
        endpoint=one.endpoint,
        version=version.version if version else "",
        metrics=dict(evaluation.metrics) if evaluation else {},
        intervals=dict(evaluation.intervals) if evaluation else {},
        champion=_metrics(rival),
        failed_gates=tuple(FailedGate(d.gate, d.reason) for d in failed),
        why=why,
    )


def _state(one: Segment, verdict: Verdict | None, version: ModelVersion | None) -> tuple[State, str]:
    if verdict is None:
        return "failed", "a step before its gates failed: the run's page and its log say why"
    if not verdict.passed:
        return "not passed", ""
    if version is None:
        return "failed", "its gates are passed, and it was not registered: the run's page and its log say why"
    if version.state == LIVE and one.endpoint in version.endpoints:
        return "live", ""
    if version.state in (BLESSED, APPROVED):
        if len(version.approvals) < version.approvals_needed:
            return "waiting", f"for approval: headrace models approve {one.model}:{version.version}"
        return "failed", "registered, and not pushed: the run's page and its log say why"
    return "registered", f"its state is {version.state}: it was not pushed to {one.endpoint}"


def _metrics(rival: Evaluation | None) -> dict[str, float]:
    return dict(rival.metrics) if rival is not None and rival.present and not rival.unfit else {}
