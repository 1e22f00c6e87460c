"""Tuning within a run: what is found is what is trained, beside each other too, and a killed run goes on with it."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

import pytest

from headrace.artifacts.tuning import read_tuning
from tests.e2e.projects import HEADRACE, Project, churn, environment, wait_for

PLAIN = "train: {model: gbdt, threshold: value}"


def lineage(project: Project) -> dict[str, Any]:
    (file,) = project.home.glob("models/*/1/lineage.json")
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def searches(project: Project) -> list[Path]:
    """The tunings in the store, the one with most trials last."""
    found = [file.parent for file in project.home.glob("store/*/*/*/tuning.json")]
    return sorted(found, key=lambda path: len(read_tuning(path).trials))


@pytest.mark.slow
def test_searches_beside_each_other_give_training_the_best_of_all(tmp_path):
    project = churn(tmp_path / "churn", rows=3_000)
    project.edit(PLAIN, "train: {gbdt: {n_estimators: 60}, tune: {trials: 4, shards: 2, folds: 0}} ")
    project.headrace("run", "spec.yaml").ok()
    tasks = project.show()["tasks"]
    assert sum(path.split("/")[-1].startswith("tune") for path in tasks) == 2 and "choose-tuned" in tasks
    *parts, whole = searches(project)
    found = read_tuning(whole)
    assert len(parts) == 2 and len(found.trials) == 4
    assert found.winner.value == min(read_tuning(part).winner.value for part in parts)
    trained = lineage(project)["training"]["parameters"]
    expected = found.chosen or found.defaults.parameters
    assert {name: trained[name] for name in expected} == expected and trained["n_estimators"] == 60


@pytest.mark.slow
def test_a_killed_run_goes_on_with_the_trials_that_it_had(tmp_path):
    project = churn(tmp_path / "churn", rows=3_000)
    project.edit(PLAIN, "train: {gbdt: {n_estimators: 60}, tune: {trials: 12, folds: 0, prune: false}} ")
    process = subprocess.Popen(
        [str(HEADRACE), "run", "spec.yaml"], cwd=project.folder, env=environment(), start_new_session=True
    )
    try:
        folder = wait_for(lambda: next(project.home.glob("checkpoints/tune-*"), None), 90)
        wait_for(lambda: told(folder / "study.db") >= 4, 60)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    before = told(folder / "study.db")
    assert 4 <= before < 12
    wait_for(lambda: not project.processes(), 30)
    project.headrace("run", "spec.yaml").ok()
    (log,) = [file for file in project.home.glob("logs/*/tune.log") if "Wrote executor output" in file.read_text()]
    assert log.read_text().count("\ntrial ") <= 12 - before
    (tuning,) = searches(project)
    assert len(read_tuning(tuning).trials) == 12
    assert not list((project.home / "checkpoints").iterdir())


def told(database: Path) -> int:
    """How many trials of a checkpoint have ended."""
    if not database.exists():
        return 0
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        (count,) = connection.execute("SELECT count(*) FROM trials WHERE state = 'COMPLETE'").fetchone()
    return int(count)
