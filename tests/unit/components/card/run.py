"""A run's artifacts of a small model, as the steps before the card write them, each of which a test can change."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from headrace.artifacts.bundle import MATRIX, MODEL, SAMPLES, SIGNATURE, Bundle, write_bundle
from headrace.artifacts.card import ModelCard, card_json
from headrace.artifacts.dataset import Column, Dataset, DatasetInfo, describe, write_dataset
from headrace.artifacts.decision import Decision, Verdict, write_verdict
from headrace.artifacts.evaluation import Evaluation, Importance, Slice, Unjudged, write_evaluation
from headrace.artifacts.findings import Finding, Findings, write_findings
from headrace.artifacts.folder import write_json
from headrace.artifacts.image_evaluation import ImageEvaluation
from headrace.artifacts.infra import Check, Infra, write_infra
from headrace.artifacts.signature import Input, Signature
from headrace.components.card.card import make_card
from headrace.components.card.known import Inputs

CHAMPION = "sha256:" + "c" * 64
SPLITS = {"train": 700, "eval": 150, "test": 400}


@dataclass
class Run:
    """The artifacts in a folder, and what makes a card of them."""

    folder: Path
    model: Path
    digest: str
    dataset: Path
    data: str
    evaluation: Evaluation
    verdict: Verdict
    findings: Findings
    champion: Evaluation | None = None
    images: ImageEvaluation | None = None

    def card(self, spec: dict[str, Any] | None = None, name: str = "churn") -> ModelCard:
        """Writes what is there, and makes the card in `folder / "card"`."""
        places = {name: self.folder / name for name in ("evaluation", "decision", "infra", "findings")}
        write_evaluation(places["evaluation"], self.evaluation, self.images)
        write_verdict(places["decision"], self.verdict)
        checks = (Check("answers", True, "fine"),)
        write_infra(places["infra"], Infra(self.digest, checks, {"p50": 0.25, "p99": 0.5}, {"bundle_mib": 1.5}))
        write_findings(places["findings"], self.findings)
        optional = {}
        if self.champion is not None:
            optional["champion_evaluation"] = self.folder / "champion"
            write_evaluation(optional["champion_evaluation"], self.champion)
        inputs = Inputs(self.model, self.dataset, **places, **optional)
        return make_card(inputs, name, spec or {}, self.folder / "card", self.folder / "card.html")


def finished_run(folder: Path, *, by: str = "hash", inputs: tuple[Input, ...] = (), told: bool = True) -> Run:
    """A classification that passed its gates.

    Args:
        folder: where to write.
        by: how rows were split.
        inputs: of the model.
        told: whether the bundle has a card of its own, as bundles of now have.
    """
    signature = Signature(
        "classification", "churned", inputs or (Input("hours", "number", 0.0, 0.5, 120.0),), ("0", "1"), "1", 0.5
    )
    with write_bundle(folder / "model", {"name": "churn"}) as place:
        for file in (MODEL, MATRIX):
            (place / file).write_bytes(b"graph")
        signature.write(place / SIGNATURE)
        write_json(place / SAMPLES, {"instances": [{"hours": 3}], "predictions": [{"label": "0"}]})
        lineage = {
            "training": {"baseline": {"answer": {"0": 0.8, "1": 0.2}}},
            "origin": {"commit": "abc123", "headrace": "1.0"},
        }
        write_json(place / "lineage.json", lineage)
        if told:
            own = ModelCard("churn", "classification", "churned", details={"Learner": "trees"}, limits=("No trees.",))
            (place / "card.json").write_text(card_json(own), encoding="utf-8")
    digest = Bundle.open(folder / "model").digest
    data = _snapshot(folder / "dataset", by)
    evaluation = Evaluation(
        present=True,
        task="classification",
        label="churned",
        split="test",
        rows=400,
        dataset_digest=data,
        model_digest=digest,
        classes=("0", "1"),
        positive="1",
        threshold=0.5,
        metrics={"accuracy": 0.85, "auc": 0.8},
        undefined={"mcc": "one class only"},
        intervals={"auc": (0.78, 0.82)},
        baseline={"accuracy": 0.8, "auc": 0.5},
        slices=(
            Slice("plan", "basic", 300, {"auc": 0.81, "accuracy": 0.86}, {}, {"auc": (0.79, 0.83)}),
            Slice("plan", "premium", 100, {"auc": 0.61, "accuracy": 0.7}, {}, {"auc": (0.55, 0.7)}),
        ),
        unjudged=(Unjudged("plan", 2, 7, 20, 0, ("gift", "trial")),),
        importance=(Importance("hours", "auc", 0.2), Importance("noise", "auc", -0.01)),
    )
    verdict = Verdict(digest, (Decision("auc at least 0.75", True, "auc is 0.8"),), None)
    findings = Findings(data, [Finding("drift", "warn", "hours", "as before", "0.3 away", "look at it", ["hours"])])
    return Run(folder, folder / "model", digest, folder / "dataset", data, evaluation, verdict, findings)


def _snapshot(path: Path, by: str) -> str:
    info = DatasetInfo(
        task="classification",
        columns=[Column("hours", "float64"), Column("churned", "string")],
        label="churned",
        rows=dict(SPLITS),
        classes=["0", "1"],
        positive="1",
        id="subscriber",
        source={"name": "subscribers.csv", "digest": "sha256:source"},
        query={"split": {"by": by, "column": "day" if by == "time" else None, "eval": 0.1, "test": 0.2}},
    )
    table = pa.table({"hours": pa.array([1.0]), "churned": pa.array(["0"])})
    with write_dataset(path) as (files, details):
        for file in files.values():
            pq.write_table(table, file)
        details.update(describe(info))
    return Dataset.open(path).digest


def changed(run: Run, **evaluation: Any) -> Run:
    """The same run with another evaluation."""
    return replace(run, evaluation=replace(run.evaluation, **evaluation))
