"""What a run made of one model, read and checked to be of one model and one snapshot."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headrace.artifacts.bundle import Bundle
from headrace.artifacts.dataset import Dataset, DatasetInfo
from headrace.artifacts.decision import Verdict, read_verdict
from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.evaluation import Evaluation, read_evaluation
from headrace.artifacts.findings import Findings, read_findings
from headrace.artifacts.folder import read_json
from headrace.artifacts.image_evaluation import ImageEvaluation, read_images
from headrace.artifacts.infra import Infra, read_infra
from headrace.artifacts.tuning import Tuning, read_tuning


@dataclass(frozen=True)
class Inputs:
    """Folders of what the run made; the later ones where they are there.

    Attributes:
        model: the bundle.
        dataset: the snapshot that it was trained and judged on.
        evaluation: of the bundle.
        decision: the gate's.
        champion_evaluation: of the version that serves, on the same rows.
        infra: what the real server did with the bundle.
        findings: about the data.
        tuning: the search that found the parameters.
    """

    model: Path
    dataset: Path
    evaluation: Path
    decision: Path
    champion_evaluation: Path | None = None
    infra: Path | None = None
    findings: Path | None = None
    tuning: Path | None = None


@dataclass(frozen=True)
class Known:
    """The same, read."""

    bundle: Bundle
    lineage: dict[str, Any]
    info: DatasetInfo
    dataset: str
    evaluation: Evaluation
    verdict: Verdict
    images: ImageEvaluation | None
    champion: Evaluation | None
    infra: Infra | None
    findings: Findings | None
    tuning: Tuning | None


def read_known(inputs: Inputs) -> Known:
    """Reads all of it.

    Raises:
        ArtifactError: an artifact is damaged.
        HeadraceError: one is of another model or snapshot.
    """
    bundle = Bundle.open(inputs.model, verify=False)  # the graph is of no interest here
    data = Dataset.open(inputs.dataset, verify=False)
    known = Known(
        bundle,
        read_json(bundle.lineage) if bundle.lineage.exists() else {},
        data.info,
        data.digest,
        read_evaluation(inputs.evaluation),
        read_verdict(inputs.decision),
        images=read_images(inputs.evaluation),
        champion=_maybe(read_evaluation, inputs.champion_evaluation),
        infra=_maybe(read_infra, inputs.infra),
        findings=_maybe(read_findings, inputs.findings),
        tuning=_maybe(read_tuning, inputs.tuning),
    )
    for what, digest in (("evaluation", known.evaluation.model_digest), ("decision", known.verdict.model_digest)):
        _require(f"{what}: expected one of the model", bundle.digest, digest)
    if known.infra is not None:
        _require("infra: expected one of the model", bundle.digest, known.infra.model_digest)
    _require("evaluation: expected one on the snapshot", data.digest, known.evaluation.dataset_digest)
    if known.findings is not None:
        whole = data.info.query.get("segment", {}).get("of", data.digest)  # a segment's data was examined as a whole
        _require("findings: expected those about the snapshot", whole, known.findings.dataset)
    return known


def _maybe(reader: Any, path: Path | None) -> Any:
    return None if path is None else reader(path)


def _require(what: str, expected: str, received: str | None) -> None:
    if received != expected:
        raise HeadraceError(f"model card: {what} {expected[:19]}. Received: one of {str(received)[:19]}")
