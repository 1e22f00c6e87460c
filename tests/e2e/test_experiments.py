"""A run is on record, and what cannot be reached is said without spoiling the run."""

from __future__ import annotations

import json

import yaml

from tests.e2e.projects import Project


def tracked(project: Project) -> list[dict]:
    return [json.loads(line) for line in project.headrace("experiments", "list", "--json").ok().out.splitlines()]


def test_a_run_is_on_record(trained: Project) -> None:
    shown, [record] = trained.show(), tracked(trained)
    assert (record["run"], record["experiment"]) == (shown["run"], "churn")
    metrics = shown["evaluation"]["metrics"]
    assert {name: record["metrics"][f"test/{name}"] for name in metrics} == metrics
    assert [record["metrics"][f"test/auc_{end}"] for end in ("low", "high")] == shown["evaluation"]["intervals"]["auc"]
    assert record["tags"]["headrace.model"] == trained.digest()
    [whole] = [json.loads(line) for line in trained.headrace("experiments", "show", "--json").ok().out.splitlines()]
    steps = whole["series"]["curve/eval_log_loss"]["steps"]
    assert steps[0] == 1 and len(steps) >= record["metrics"]["training/rounds"]
    files = {file.name for file in (trained.home / "mlartifacts").rglob("*") if file.is_file()}
    assert files == {"card.html", "training.html", "evaluation.html", "evaluation.json", "lineage.json", "spec.json"}


def test_a_server_that_is_not_there(own: Project) -> None:
    """The run succeeds and says so; where the record is required it fails, after what was good was pushed."""
    nowhere = f"sqlite:///{own.folder}/spec.yaml/mlflow.db"  # no folder can be made there, by root neither
    done = own.headrace("run", "spec.yaml", "-p", f"mlflow={nowhere}").ok()
    assert f"note: track: not on record in {nowhere}: " in done.out
    spec = yaml.safe_load((own.folder / "spec.yaml").read_text())
    spec["track"] = {"mlflow": nowhere, "required": True}
    (own.folder / "spec.yaml").write_text(yaml.safe_dump(spec))
    failed = own.headrace("run", "spec.yaml")
    assert failed.code == 1 and "spec.yaml/mlflow.db: expected MLflow's file to be usable" in failed.err
    assert tracked(own)[1:] == []  # the first run's alone
