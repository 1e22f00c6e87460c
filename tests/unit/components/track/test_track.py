import json
from pathlib import Path

import pytest
import yaml
from kfp import compiler

from headrace.artifacts import bundle as files
from headrace.artifacts.bundle import Bundle, write_bundle
from headrace.artifacts.errors import ArtifactError
from headrace.artifacts.evaluation import Curve, Evaluation, write_evaluation
from headrace.artifacts.fairness_found import Fairness
from headrace.artifacts.folder import write_json
from headrace.artifacts.signature import Input, Signature
from headrace.components.track.component import track as component
from headrace.components.track.describe import spec_digest
from headrace.components.track.spec import TrackSpec
from headrace.components.track.track import seconds, track_run, with_mlflow
from headrace.platforms.open_tracker import open_tracker
from headrace.platforms.tracking import TrackingError

LINEAGE = {
    "data": {"digest": "sha256:da", "source": {"name": "a.csv"}, "rows": {"train": 70, "eval": 15, "test": 15}},
    "transform": {"digest": "sha256:7f", "construct": {"c": "a / b"}, "features": {"a": ["a"], "c": ["a", "b"]}},
    "training": {
        "model": "gbdt",
        "parameters": {"learning_rate": 0.05, "monotone": {"a": -1}, "num_leaves": 7},
        "seed": 3,
        "rounds": 2,
        "metric": "log_loss",
        "log_loss": {"train": 0.3, "eval": 0.4},
        "importance": {"a": 1.0},
        "baseline": {"kind": "constant"},
    },
    "origin": {"commit": "c0ffee-dirty", "environment": "sha256:e5", "headrace": "0.1.0"},
}
SPEC = {
    "name": "churn",
    "features": {"drop": ["email"], "keep": [], "auto": False},
    "data": {"split": {"by": "hash", "eval": 0.15}},
}


@pytest.fixture
def evidence(tmp_path):
    """A bundle, its evaluation and their reports; no model is loaded, so none is there."""
    with write_bundle(tmp_path / "model", {"name": "churn"}) as folder:
        for name in (files.MODEL, files.MATRIX, files.SAMPLES):
            (folder / name).write_text("{}")
        Signature("classification", "y", (Input("a", "number", min=0, max=1),), ("0", "1"), "1", 0.5).write(
            folder / files.SIGNATURE
        )
        write_json(folder / files.LINEAGE, LINEAGE)
        write_json(folder / files.CURVE, {"train": [0.5, 0.3, 0.2], "eval": [0.6, 0.4, 0.45]})
        (folder / files.CARD_HTML).write_text("<p>card</p>")
    write_found(tmp_path / "evaluation", Bundle.open(tmp_path / "model").digest)
    (tmp_path / "report").write_text("<p>report</p>")
    return tmp_path


def write_found(path, digest):
    evaluation = Evaluation(
        present=True,
        task="classification",
        label="y",
        split="test",
        rows=15,
        dataset_digest="sha256:da",
        model_digest=digest,
        classes=("0", "1"),
        positive="1",
        metrics={"auc": 0.85, "f1": 0.5},
        intervals={"auc": (0.8, 0.9)},
        baseline={"auc": 0.5},
        confusion=((8, 1), (2, 4)),
        curves=(Curve("roc", ((0.0, 0.0, 1.0), (1.0, 1.0, 0.0)), "1"),),
        fairness=(Fairness("gender", (), {"demographic_parity_difference": 0.02}),),
    )
    write_evaluation(path, evaluation)


def tracked(at: Path, *trackers: str, required: bool = False, run: str = "20261121-101112-abcdef"):
    return track_run(
        list(trackers),
        model=at / "model",
        evaluation=at / "evaluation",
        reports={"evaluation": at / "report"},
        uris={},
        experiment="churn",
        spec=SPEC,
        run=run,
        started="2026-11-21T10:11:12Z",
        output=at / "tracked.json",
        tags={"idea": "trees"},
        required=required,
    )


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HEADRACE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_what_goes_on_record(evidence, home):
    said = tracked(evidence, "local")
    run = open_tracker("local", home).run("latest")
    assert said == {"places": {"local": run.place}}
    assert run.parameters == {
        "model": "gbdt",
        "seed": "3",
        "learning_rate": "0.05",
        "monotone.a": "-1",
        "num_leaves": "7",
        "features.drop": '["email"]',
        "split.by": "hash",
        "split.eval": "0.15",
        "feature_count": "2",
        "rows.train": "70",
        "rows.eval": "15",
        "rows.test": "15",
    }
    assert run.metrics == {
        "test/auc": 0.85,
        "test/auc_low": 0.8,
        "test/auc_high": 0.9,
        "test/f1": 0.5,
        "baseline/auc": 0.5,
        "fairness/gender/demographic_parity_difference": 0.02,
        "training/eval_log_loss": 0.4,
        "training/train_log_loss": 0.3,
        "training/rounds": 2.0,
    }
    assert {name: series.values for name, series in run.series.items()} == {
        "curve/train_log_loss": (0.5, 0.3, 0.2),
        "curve/eval_log_loss": (0.6, 0.4, 0.45),
    }


def test_where_a_run_comes_from(evidence, home):
    tracked(evidence, "local")
    tags = open_tracker("local", home).run("latest").tags
    assert tags["headrace.data"] == "sha256:da" and tags["headrace.transform"] == "sha256:7f"
    assert tags["headrace.model"] == Bundle.open(evidence / "model").digest
    assert tags["headrace.spec"] == spec_digest(SPEC) != spec_digest({**SPEC, "name": "other"})
    assert tags["headrace.commit"] == "c0ffee-dirty" and tags["mlflow.source.git.commit"] == "c0ffee"
    assert tags["headrace.environment"] == "sha256:e5" and tags["headrace.run"] == "20261121-101112-abcdef"
    assert tags["idea"] == "trees"


def test_the_files_beside_it(evidence, home):
    tracked(evidence, "local")
    [folder] = (home / "mlartifacts").glob("*/*/artifacts")
    assert sorted(file.name for file in folder.iterdir()) == [
        "card.html",
        "evaluation.html",
        "evaluation.json",
        "lineage.json",
        "spec.json",
    ]
    assert json.loads((folder / "spec.json").read_text()) == SPEC


def test_a_bundle_without_a_curve(evidence, home):
    """As those are that were made before there was one."""
    with write_bundle(evidence / "older", {"name": "churn"}) as folder:
        for file in (evidence / "model").iterdir():
            if file.name not in (files.CURVE, "manifest.json"):
                (folder / file.name).write_bytes(file.read_bytes())
    (evidence / "model").rename(evidence / "newer")
    (evidence / "older").rename(evidence / "model")
    (evidence / "evaluation").rename(evidence / "evaluation of another")
    write_found(evidence / "evaluation", Bundle.open(evidence / "model").digest)
    tracked(evidence, "local")
    assert open_tracker("local", home).run("latest").series == {}


def test_an_evaluation_of_another_model_is_refused(evidence, home, tmp_path):
    (evidence / "evaluation").rename(evidence / "own")
    write_found(evidence / "evaluation", "sha256:another")
    with pytest.raises(ArtifactError, match="expected an evaluation of sha256:"):
        tracked(evidence, "local")
    assert not home.exists()


def test_a_tracker_that_cannot_be_reached_is_noted_and_the_others_have_the_run(evidence, home):
    said = tracked(evidence, f"sqlite:///{evidence}/report", "local")
    [note] = said["notes"]
    assert note.startswith("not on record in sqlite:///") and "Received: another file" in note
    assert list(said["places"]) == ["local"] and open_tracker("local", home).run("latest")
    record = json.loads((evidence / "tracked.json").read_text())
    assert [bool(entry["error"]) for entry in record["trackers"]] == [True, False]
    assert record["metrics"]["test/auc"] == 0.85


def test_where_it_is_required_it_fails_after_the_others(evidence, home):
    with pytest.raises(TrackingError, match="track: .*Received: another file"):
        tracked(evidence, f"sqlite:///{evidence}/report", "local", required=True)
    assert open_tracker("local", home).run("latest")


def test_a_bug_is_no_unreachable_tracker(evidence, home, monkeypatch):
    """Only what a tracker says of itself is forgiven."""
    monkeypatch.setattr("headrace.platforms.local.tracking.sqlite.SqliteTracker.save", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        tracked(evidence, "local")


def test_the_compiled_interface(tmp_path):
    compiler.Compiler().compile(component, str(tmp_path / "component.yaml"))
    ir = yaml.safe_load((tmp_path / "component.yaml").read_text())
    inputs = ir["components"]["comp-track"]["inputDefinitions"]
    assert set(inputs["artifacts"]) == {"model", "training_report", "evaluation", "evaluation_report"}
    assert inputs["parameters"]["trackers"]["parameterType"] == "LIST"
    assert "pip install" not in " ".join(ir["deploymentSpec"]["executors"]["exec-track"]["container"]["command"])


def test_the_section():
    assert TrackSpec().trackers == ["local"]
    assert TrackSpec(mlflow="none").trackers == [] == TrackSpec(mlflow=False).trackers
    both = TrackSpec(mlflow="https://mlflow.example.com", vertex={"project": "p"})
    assert both.trackers == ["https://mlflow.example.com", "vertex://p/us-central1"]
    assert with_mlflow(both.trackers, "local") == ["local", "vertex://p/us-central1"]
    assert with_mlflow(["local"], "") == ["local"]


@pytest.mark.parametrize(
    ("section", "message"), [({"mlflow": "here"}, "the URL of an MLflow server"), ({"vertex": {}}, "project")]
)
def test_sections_with_mistakes(section, message):
    with pytest.raises(ValueError, match=message):
        TrackSpec(**section)


def test_seconds():
    assert seconds("2026-11-21T00:00:00Z") == seconds("2026-11-21T00:00:00") == 1_795_219_200
    assert seconds("") > 1_700_000_000  # a platform that does not say when: now
