"""The evidence that registering and pushing ask for, as the steps before them write it."""

from __future__ import annotations

from pathlib import Path

from headrace.artifacts.decision import Decision, Verdict, write_verdict
from headrace.artifacts.evaluation import Evaluation, write_evaluation
from headrace.artifacts.infra import Check, Infra, write_infra


def write_decision(path: Path, digest: str, passed: bool = True, champion: str | None = None) -> Path:
    """A decision on the bundle with this digest, judged against the champion with that one, if any."""
    write_verdict(path, Verdict(digest, (Decision("auc at least 0.75", passed, "auc is 0.7"),), champion))
    return path


def write_infra_report(path: Path, digest: str, passed: bool = True) -> Path:
    write_infra(path, Infra(digest, (Check("answers", passed, "sample 3 differs"),), {"p50": 1.0, "p99": 2.0}))
    return path


def write_evidence_of_worth(path: Path, digest: str | None) -> Path:
    """An evaluation of the bundle with this digest."""
    evaluation = Evaluation(
        present=digest is not None,
        task="regression",
        label="price",
        split="test",
        rows=100,
        dataset_digest="sha256:data",
        model_digest=digest,
        metrics={"rmse": 1.25},
    )
    write_evaluation(path, evaluation)
    return path
