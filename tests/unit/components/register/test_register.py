from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from headrace.artifacts.bundle import Bundle
from headrace.artifacts.decision import Verdict, write_verdict
from headrace.artifacts.errors import ArtifactError, HeadraceError
from headrace.artifacts.evaluation import read_evaluation, write_evaluation
from headrace.components.register.blessing import NotBlessed
from headrace.components.register.register import register
from headrace.platforms.interface import ModelVersion
from headrace.platforms.local.platform import LocalPlatform
from tests.unit.components.evidence import write_decision, write_evidence_of_worth
from tests.unit.platforms.bundles import write_unscorable_bundle as write_bundle

OTHER = "sha256:" + "0" * 64


class Case:
    """A bundle, a registry, and evidence that each test spoils in its own way."""

    def __init__(self, folder: Path) -> None:
        self.platform = LocalPlatform(folder / "home")
        self.model = write_bundle(folder / "model")
        self.digest = Bundle.open(self.model).digest
        self.decision = folder / "decision"
        self.evaluation = folder / "evaluation"

    def register(self) -> ModelVersion:
        evidence = {"evaluation": self.evaluation, "decision": self.decision}
        return register(self.platform, "homes", self.model, **evidence, run="run-1")

    def refused(self, error: type[HeadraceError], message: str) -> None:
        with pytest.raises(error, match=message):
            self.register()
        assert self.platform.registry.models() == []


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


def test_a_passed_model_is_registered_with_its_metrics(case: Case) -> None:
    write_decision(case.decision, case.digest)
    write_evidence_of_worth(case.evaluation, case.digest)
    version = case.register()
    assert (version.version, version.digest, version.run) == ("1", case.digest, "run-1")
    assert version.metrics == {"rmse": 1.25}
    assert version.labels == {"task": "regression", "split": "test", "dataset": "sha256:data"}
    assert (version.state, version.judged_against) == ("blessed", None)
    assert case.register() == version


def of_segment(case: Case, number: int, segment: str) -> ModelVersion:
    """Registers the model of a segment."""
    folder = case.model.parent / str(number)
    model = write_bundle(folder / "model", number)
    digest = Bundle.open(model).digest
    write_decision(folder / "decision", digest)
    worth = read_evaluation(write_evidence_of_worth(folder / "worth", digest))
    write_evaluation(folder / "evaluation", replace(worth, segment=segment))
    evidence = {"evaluation": folder / "evaluation", "decision": folder / "decision"}
    return register(case.platform, "churn-a-b", model, **evidence, run="run-1")


def test_a_version_keeps_its_segment_and_another_is_refused(case: Case) -> None:
    assert of_segment(case, 1, "a b").labels["segment"] == "a b"
    assert of_segment(case, 2, "a b").version == "2"
    with pytest.raises(NotBlessed, match=r"churn-a-b: expected the segment of its version 2, 'a b'\. Received: 'a-b'"):
        of_segment(case, 3, "a-b")
    assert [one.version for one in case.platform.registry.versions("churn-a-b")] == ["1", "2"]


def test_a_version_that_does_not_say_its_segment_stands_in_no_way(case: Case) -> None:
    assert "segment" not in of_segment(case, 1, "").labels
    assert of_segment(case, 2, "a b").version == "2"


def test_a_model_that_is_not_passed_is_refused(case: Case) -> None:
    write_decision(case.decision, case.digest, passed=False)
    write_evidence_of_worth(case.evaluation, case.digest)
    case.refused(NotBlessed, r"expected all gates passed\. Received: not passed: auc at least 0\.75 \(auc is 0\.7\)")


def test_a_decision_on_another_model_is_refused(case: Case) -> None:
    write_decision(case.decision, OTHER)
    write_evidence_of_worth(case.evaluation, case.digest)
    case.refused(NotBlessed, f"decision: expected one on {case.digest[:19]}. Received: one on {OTHER[:19]}")


def test_a_decision_without_any_gate_is_refused(case: Case) -> None:
    write_verdict(case.decision, Verdict(case.digest, ()))
    write_evidence_of_worth(case.evaluation, case.digest)
    case.refused(NotBlessed, r"expected all gates passed\. Received: no gate")


def test_no_decision_is_refused(case: Case) -> None:
    write_evidence_of_worth(case.evaluation, case.digest)
    case.refused(ArtifactError, "expected a headrace/decision folder")


def test_something_else_as_a_decision_is_refused(case: Case) -> None:
    write_evidence_of_worth(case.evaluation, case.digest)
    case.decision = case.evaluation
    case.refused(ArtifactError, r"expected a headrace/decision\. Received: a headrace/evaluation")


def test_a_decision_that_was_edited_is_refused(case: Case) -> None:
    write_decision(case.decision, case.digest, passed=False)
    write_evidence_of_worth(case.evaluation, case.digest)
    file = case.decision / "decision.json"
    value = json.loads(file.read_text())
    value["passed"] = value["decisions"][0]["passed"] = True
    file.write_text(json.dumps(value))
    case.refused(ArtifactError, "changed content")


@pytest.mark.parametrize("digest", [OTHER, None])
def test_an_evaluation_of_another_model_is_refused(case: Case, digest: str | None) -> None:
    write_decision(case.decision, case.digest)
    write_evidence_of_worth(case.evaluation, digest)
    case.refused(NotBlessed, f"evaluation: expected one of the model {case.digest[:19]}")


def test_a_model_that_changed_after_the_decision_is_refused(case: Case) -> None:
    write_decision(case.decision, case.digest)
    write_evidence_of_worth(case.evaluation, case.digest)
    (case.model / "model.onnx").write_bytes(b"another model")
    case.refused(ArtifactError, "changed content")
