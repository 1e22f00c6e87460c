"""The pipeline of TFX's own components, of a spec: by TFX's runner, by ours, and what becomes of its model."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from headrace.artifacts.answer import predictions
from headrace.artifacts.bundle import Bundle
from headrace.artifacts.raw_inputs import open_graph, run_graph
from headrace.pipelines.local.record.record import list_runs, load_run
from headrace.pipelines.locate import locate_bundle

pytestmark = pytest.mark.slow

SPEC = """
name: tips
task: classification
data: {source: tips.csv, label: tipped}
features: {construct: {long: "log1p(miles)", far: "miles > 12"}}
train: {threshold: 0.3, mlp: {epochs: 80, hidden_units: [16], learning_rate: 0.01}}
evaluate:
  slices: [paid]
  gates: [{metric: auc, at_least: 0.8}, {metric: brier, at_most: 0.25}]
"""
ROWS = 2_000


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tips")
    random = np.random.default_rng(0)
    miles, paid = random.gamma(2, 3, ROWS), random.integers(0, 4, ROWS)
    tipped = (paid == 1) & (random.random(ROWS) < 0.9) | (miles > 12)
    names = ("cash", "card", "it's a voucher", "")
    lines = [
        f"{'' if row % 11 == 0 else round(float(miles[row]), 3)},{names[paid[row]]},2026-0{1 + row % 9}-03,{tipped[row]}"
        for row in range(ROWS)
    ]
    (folder / "tips.csv").write_text("miles,paid,day,tipped\n" + "\n".join(lines) + "\n")
    (folder / "spec.yaml").write_text(SPEC)
    return folder


def headrace(project: Path, *arguments: str, code: int = 0) -> str:
    command = [str(Path(sys.executable).with_name("headrace")), *arguments, "--home", str(project / "home")]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_what_tfx_pushes_is_judged_registered_and_answers_as_tensorflow_does(project):
    told = headrace(project, "tfx", "run", "spec.yaml")
    assert "pushed by TFX:" in told
    assert "registered as tips version 1; live" in told
    bundle = Bundle.open(locate_bundle("tips", project / "home"))
    lineage = json.loads(bundle.lineage.read_text())
    assert lineage["parity"]["rows"] > 300
    assert lineage["parity"]["largest_difference"] < 2e-5
    assert {item.name: item.type for item in bundle.signature.inputs} == {
        "miles": "number",
        "paid": "category",
        "day": "date",
    }
    assert bundle.signature.threshold == lineage["training"]["threshold"]["at"] == 0.3
    assert (bundle.path / "saved_model" / "saved_model.pb").is_file()
    # Nothing of what it has learned, and nothing is known of the row: still an answer.
    empty = pa.table(
        {"miles": pa.array([None], pa.float64()), "paid": ["never seen"], "day": pa.array([None], pa.string())}
    )
    answers = run_graph(open_graph(bundle.model), empty, bundle.signature.inputs)
    assert 0 < predictions(bundle.signature, answers)[0]["probabilities"]["true"] < 1


def test_what_came_of_a_run_that_tfx_answers_from_its_cache_is_known(project):
    strict = project / "strict.yaml"
    strict.write_text(SPEC.replace("metric: auc, at_least: 0.8", "metric: auc, at_least: 0.9999"))
    serving = project / "home" / "tfx" / "tips" / "serving"
    refused = headrace(project, "tfx", "run", "strict.yaml", code=3)
    assert re.search(r"auc of all rows: 0\.\d+; expected value_threshold", refused)
    assert {"Transform", "Trainer"} <= cached(refused)  # a gate that was moved is no reason to train anew
    pushed = headrace(project, "tfx", "run", "spec.yaml", "--no-register")  # there is a model before it now
    assert "Evaluator" not in cached(pushed)
    again = headrace(project, "tfx", "run", "strict.yaml", code=3)  # a later one was blessed, but this one was not
    assert {"Evaluator", "Pusher"} <= cached(again)
    shutil.rmtree(serving)
    answered = headrace(project, "tfx", "run", "spec.yaml")
    assert {"Evaluator", "Pusher"} <= cached(answered)
    [restored] = serving.iterdir()
    assert (restored / "saved_model.pb").is_file()
    assert f"pushed by TFX: {restored}" in answered
    assert "registered as tips version 1" in answered


def cached(told: str) -> set[str]:
    return set(re.search(r"answered from TFX's cache: (.*)", told)[1].split(", "))


def test_the_compiled_pipeline_runs_in_our_runner_and_finds_its_last_blessed_model(project):
    headrace(project, "tfx", "compile", "spec.yaml", "-o", "tfx.json", "--serving", str(project / "pushed"))
    headrace(project, "run", "tfx.json")
    first = load_run(project / "home", "latest")
    assert first.tasks["Evaluator"].artifacts["blessing"][0].metadata["blessed"] == 1
    assert "baseline_model" not in first.tasks["Evaluator"].inputs
    [saved] = (project / "pushed").iterdir()
    assert "registered as tips version" in headrace(project, "tfx", "register", "spec.yaml", str(saved))
    headrace(project, "run", "tfx.json")
    second = load_run(project / "home", "latest")
    assert second.tasks["Evaluator"].inputs["baseline_model"] == first.tasks["Trainer"].artifacts["model"]
    assert len(list_runs(project / "home")) == 2
