"""The KFP interface of segments: a snapshot in parts, one part as a snapshot, and a report over all models."""

from typing import Dict, List, NamedTuple  # noqa: UP035 (KFP reads these by name)

from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Input, Metrics, Output

from headrace.components import images


@dsl.component(base_image=images.MAIN, install_kfp_package=False)
def split_segments(
    dataset: Input[Dataset],
    for_each: dict,
    model_name: str,
    endpoint: str,
    parts: Output[Artifact],
) -> NamedTuple("Outputs", [("segments", List[Dict[str, str]])]):  # type: ignore[valid-type]  # noqa: UP006
    """Parts a snapshot by the values of a column, each row into one part.

    Args:
        dataset: The snapshot (`headrace/dataset`).
        for_each: The `for_each` section of the spec (`headrace.components.segments.spec.ForEachSpec`).
        model_name: What the names of all models begin with.
        endpoint: What the names of all endpoints begin with.
        parts: The rows of each segment beside each other (`headrace/segments`).

    Returns:
        segments: To loop over: `part`, `model` and `endpoint` of each segment.
    """
    from pathlib import Path

    from headrace.components.segments.spec import ForEachSpec
    from headrace.components.segments.split import notes, split_segments

    settings = ForEachSpec(**for_each)
    found = split_segments(Path(dataset.path), settings, model_name, endpoint, Path(parts.path))
    parts.metadata["segments"] = len(found.segments)
    if said := notes(found):
        parts.metadata["notes"] = said
    return ([{"part": one.part, "model": one.model, "endpoint": one.endpoint} for one in found.segments],)


@dsl.component(base_image=images.MAIN, install_kfp_package=False)
def segment(parts: Input[Artifact], part: str, dataset: Output[Dataset]) -> None:
    """Takes one segment out, as a snapshot like any other.

    Args:
        parts: The snapshot in parts (`headrace/segments`).
        part: Which part.
        dataset: The snapshot of its rows (`headrace/dataset`).
    """
    from pathlib import Path

    from headrace.components.segments.take import take_segment

    found = take_segment(Path(parts.path), part, Path(dataset.path))
    dataset.metadata.update({"segment": found.value, **{f"{split}_rows": rows for split, rows in found.rows.items()}})


@dsl.component(base_image=images.MAIN, install_kfp_package=False)
def summarize_segments(
    name: str,
    platform: str,
    summary: Output[Artifact],
    metrics: Output[Metrics],
    report: Output[HTML],
    parts: Input[Artifact] = None,  # KFP's way to say that it may be missing
    datasets: Input[List[Dataset]] = None,  # noqa: UP006
    evaluations: Input[List[Artifact]] = None,  # noqa: UP006
    champions: Input[List[Artifact]] = None,  # noqa: UP006
    decisions: Input[List[Artifact]] = None,  # noqa: UP006
) -> None:
    """Says what became of the model of each segment, also where steps of some have failed.

    Args:
        name: The spec's name.
        platform: Where the registry is.
        parts: All segments (`headrace/segments`).
        datasets: The snapshots of the segments, of those that got so far.
        evaluations: The evaluations of their models (`headrace/evaluation`).
        champions: The evaluations of their champions on the same rows (`headrace/evaluation`).
        decisions: The decisions on their models (`headrace/decision`).
        summary: What became of each (`headrace/segment-results`); `headrace/absent` where there are no segments.
        metrics: How many got where.
        report: The same for people.
    """
    from pathlib import Path

    from headrace.components.segments.summarize import Evidence, summarize
    from headrace.platforms.open import open_platform

    def paths(artifacts: list) -> list[Path]:
        return [Path(one.path) for one in artifacts or ()]

    found = summarize(
        Evidence(
            Path(parts.path) if parts else None,
            paths(datasets),
            paths(evaluations),
            paths(champions),
            paths(decisions),
        ),
        open_platform(platform),
        name,
        Path(summary.path),
        Path(report.path),
    )
    for state, count in found.items():
        metrics.log_metric(state, count)
