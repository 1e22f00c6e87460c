"""The gate step: reads evidence from disk, fails closed on what it cannot read, writes decision and page."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from headrace.artifacts.bundle import Bundle, write_bundle
from headrace.artifacts.decision import read_verdict
from headrace.artifacts.errors import ArtifactError
from headrace.artifacts.evaluation import Evaluation, read_evaluation, write_evaluation
from headrace.artifacts.folder import write_json
from headrace.artifacts.infra import Check, Infra, write_infra
from headrace.artifacts.signature import Input, Signature
from headrace.components.evaluate.spec import EvaluateSpec
from headrace.components.gate.gate import gate, summary

SPEC = EvaluateSpec(gates=[{"metric": "r2", "at_least": 0.5}])


@pytest.fixture
def paths(tmp_path):
    with write_bundle(tmp_path / "model", {"name": "m"}) as folder:
        Signature("regression", "y", (Input("x", "number"),)).write(folder / "signature.json")
        (folder / "model.onnx").write_bytes(b"raw")
        (folder / "matrix.onnx").write_bytes(b"matrix")
        write_json(folder / "samples.json", {"instances": [{"x": 1}], "predictions": [{"value": 1.0}]})
    digest = Bundle.open(tmp_path / "model").digest
    own = Evaluation(True, "regression", "y", "test", 100, "sha256:d", digest, metrics={"r2": 0.6})
    write_evaluation(tmp_path / "evaluation", own)
    write_evaluation(tmp_path / "champion", replace(own, present=False, model_digest=None, metrics={}))
    write_infra(tmp_path / "infra", Infra(digest, (Check("loads", True, "fine"),)))
    return tmp_path


def run(paths: Path, spec: EvaluateSpec = SPEC, task: str = "regression"):
    shutil.rmtree(paths / "decision", ignore_errors=True)
    names = ("model", "evaluation", "champion", "infra")
    return gate(*(paths / name for name in names), task, spec, paths / "decision", paths / "report.html")


def test_passed(paths):
    verdict = run(paths)
    assert verdict.passed
    assert read_verdict(paths / "decision") == verdict
    assert verdict.model_digest == Bundle.open(paths / "model").digest
    assert "All gates are passed." in (paths / "report.html").read_text()
    assert summary(verdict).startswith("passed: all 3 checks\n  ok   ")


def test_the_verdict_says_against_which_champion(paths):
    assert run(paths).champion_digest is None
    found = read_evaluation(paths / "champion")
    shutil.rmtree(paths / "champion")
    write_evaluation(paths / "champion", replace(found, present=True, model_digest="sha256:c", unfit="no column x"))
    assert run(paths).champion_digest == "sha256:c"
    assert read_verdict(paths / "decision").champion_digest == "sha256:c"


def test_not_passed_says_why_everywhere(paths):
    verdict = run(paths, EvaluateSpec(gates=[{"metric": "r2", "at_least": 0.7}, {"metric": "r2", "at_least": 0.1}]))
    assert not verdict.passed
    assert read_verdict(paths / "decision") == verdict
    lines = summary(verdict).splitlines()
    assert lines[:2] == ["NOT passed: 1 of 4 checks failed", "  FAIL r2 at least 0.7: r2 is 0.6"]
    page = (paths / "report.html").read_text()
    assert "not passed" in page and "r2 is 0.6" in page


@pytest.mark.parametrize("name", ["evaluation", "champion", "infra"])
@pytest.mark.parametrize("harm", ["gone", "changed", "another kind"])
def test_evidence_that_cannot_be_read_is_not_passed(paths, name, harm):
    assert run(paths).passed
    if harm == "gone":
        shutil.rmtree(paths / name)
    elif harm == "changed":
        file = next(file for file in (paths / name).iterdir() if file.name != "manifest.json")
        file.write_text(file.read_text() + " ")
    else:
        shutil.rmtree(paths / name)
        shutil.copytree(paths / "model", paths / name)
    verdict = run(paths)
    assert not verdict.passed
    assert [item.reason for item in verdict.decisions if "can be read" in item.gate and not item.passed]


def test_a_model_that_changed_after_its_evaluation(paths):
    shutil.rmtree(paths / "model")
    with write_bundle(paths / "model", {"name": "m"}) as folder:
        Signature("regression", "y", (Input("x", "number"),)).write(folder / "signature.json")
        (folder / "model.onnx").write_bytes(b"something else")
        (folder / "matrix.onnx").write_bytes(b"matrix")
        write_json(folder / "samples.json", {"instances": [{"x": 1}], "predictions": [{"value": 1.0}]})
    assert [item.passed for item in run(paths).decisions] == [False, False, False]


def test_the_default_gates_hold(paths):
    verdict = run(paths, EvaluateSpec())
    assert [item.gate for item in verdict.decisions[2:]] == [
        "r2 versus baseline: better by 0.05",
        "r2 versus champion: no worse than 0.01",
    ]
    assert [item.passed for item in verdict.decisions] == [
        True,
        True,
        False,
        True,
    ]  # there is no baseline here


def test_an_empty_list_of_gates_does_not_bless(paths):
    assert not run(paths, EvaluateSpec(gates=[])).passed


def test_no_model_is_an_error(paths):
    shutil.rmtree(paths / "model")
    with pytest.raises(ArtifactError):
        run(paths)
    assert not (paths / "decision").exists()


def test_the_gate_runs_in_a_light_worker():
    code = (
        "import sys, headrace.components.gate.gate; "
        "heavy = {'sklearn', 'fairlearn', 'onnxruntime', 'pandas', 'numpy', 'pyarrow'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
