"""Our own statements on MLflow's file, and MLflow's client: both leave the same, and each reads what the other wrote."""

from __future__ import annotations

import contextlib
import math
import sqlite3
import subprocess
import sys
import time
import urllib.request

import pytest

from headrace.platforms.local.tracking import sqlite
from headrace.platforms.local.tracking.client import MlflowTracker
from headrace.platforms.local.tracking.sqlite import SqliteTracker
from headrace.platforms.open_tracker import open_tracker
from headrace.platforms.tracking import Attached, Series, TrackedRun, TrackingError
from tests.ports import free_port
from tools import mlflow_schema

RUN = TrackedRun(
    experiment="churn",
    run="20261121-101112-abcdef",
    started=1_795_000_000.5,
    ended=1_795_000_012.0,
    parameters={"model": "gbdt", "features.construct.spend (€/month)": "a / b", "long": "x" * 7_000, "..hidden": "1"},
    metrics={"test/auc": 0.85, "test/auc_low": 0.83, "fairness/plan #1/ratio": 0.5},
    series={
        "curve/eval_log_loss": Series((1, 2, 3), (0.5, 0.4, 0.45)),
        "curve/train_log_loss": Series((1, 2, 3), (math.nan, math.inf, 0.3)),
    },
    tags={"headrace.run": "20261121-101112-abcdef", "headrace.data": "sha256:" + "12" * 32, "headrace.source": "a.csv"},
)


@pytest.fixture
def report(tmp_path):
    file = tmp_path / "stored" / "report"
    file.parent.mkdir()
    file.write_text("<p>a report</p>")
    return Attached({"evaluation.html": file, "more/card.html": file})


def by_client(home, report):
    """What MLflow's own client tells of a file."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{home / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("churn")
    [run] = client.search_runs([experiment.experiment_id])
    history = {key: client.get_metric_history(run.info.run_id, key) for key in run.data.metrics}
    [data] = run.inputs.dataset_inputs
    return {
        "experiment": (experiment.name, experiment.lifecycle_stage, experiment.tags),
        "run": (run.info.run_name, run.info.status, run.info.start_time, run.info.end_time, run.info.lifecycle_stage),
        "parameters": run.data.params,
        "tags": run.data.tags,
        "last": {key: repr(value) for key, value in run.data.metrics.items()},
        "history": {k: [(m.step, m.timestamp, repr(m.value)) for m in found] for k, found in history.items()},
        "data": (data.dataset.to_dictionary(), [(tag.key, tag.value) for tag in data.tags]),
        "files": sorted(f.path for where in (None, "more") for f in client.list_artifacts(run.info.run_id, where)),
        "report": client.download_artifacts(run.info.run_id, "more/card.html", str(home)) and "there",
    }


@pytest.fixture
def two_homes(tmp_path):
    """One for our statements, and one whose file is made by MLflow."""
    ours, theirs = tmp_path / "ours", tmp_path / "theirs with space"
    ours.mkdir()
    theirs.mkdir()
    uri = (theirs / "mlartifacts").as_uri()
    return ours, theirs, SqliteTracker(ours / "mlflow.db", "local"), MlflowTracker(f"sqlite:///{theirs}/mlflow.db", uri)


def test_both_ways_leave_the_same(two_homes, report):
    ours, theirs, by_statements, by_mlflow = two_homes
    by_statements.save(RUN, report)
    by_mlflow.save(RUN, report)
    assert by_client(ours, report) == by_client(theirs, report)

    # and the other way round: both files by our statements, and by the client
    for tracker in (SqliteTracker(theirs / "mlflow.db", "local"), MlflowTracker(f"sqlite:///{ours}/mlflow.db")):
        found = tracker.run(RUN.run)
        assert found.series["curve/eval_log_loss"] == RUN.series["curve/eval_log_loss"]
        assert found.metrics == {"test/auc": 0.85, "test/auc_low": 0.83, "fairness/plan _1/ratio": 0.5}
        assert found.parameters["long"] == "x" * 5_997 + "..."
        assert (found.started, found.ended) == (RUN.started, RUN.ended)


def test_a_run_that_is_saved_again_is_one_run(two_homes, report):
    for home, tracker in zip(two_homes[:2], two_homes[2:], strict=True):
        assert tracker.save(RUN, report) == tracker.save(RUN, report)
        found = by_client(home, report)
        assert [step for step, *_ in found["history"]["curve/eval_log_loss"]] == [1, 2, 3]


def test_mlflow_goes_on_in_a_file_of_ours(tmp_path):
    """Someone's notebook logs into the same file, also without naming an experiment."""
    from mlflow import MlflowClient

    tracker = open_tracker("local", tmp_path)
    tracker.save(RUN, Attached())
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    notebook = client.create_run("0", run_name="by hand")
    client.log_metric(notebook.info.run_id, "rmse", 2.5, step=4)
    assert {run.run: run.experiment for run in tracker.runs()} == {"by hand": "Default", RUN.run: "churn"}
    assert tracker.run("by hand").series == {"rmse": Series((4,), (2.5,))}


def test_the_tables_are_those_of_this_mlflow():
    assert mlflow_schema.same(sqlite.SCHEMA.read_text(), mlflow_schema.schema())


def test_tables_of_another_mlflow_are_left_to_mlflow(tmp_path):
    sqlite.make(tmp_path / "mlflow.db")
    with contextlib.closing(sqlite3.connect(tmp_path / "mlflow.db")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '451aebb31d03'")
    tracker = open_tracker("local", tmp_path)
    assert isinstance(tracker, MlflowTracker)
    with pytest.raises(TrackingError, match="out-of-date database schema"):
        tracker.save(RUN, Attached())


def test_mlflow_tells_nobody():
    """In a process of its own: what the tests have set must not count."""
    code = (
        "import headrace, os; os.environ.pop('CI', None)\n"
        "import mlflow.telemetry.utils as t; t._IS_IN_CI_ENV_OR_TESTING = False\n"
        "print(t.is_telemetry_disabled()); del os.environ['MLFLOW_DISABLE_TELEMETRY']; print(t.is_telemetry_disabled())"
    )
    bare = {"PATH": "/usr/bin:/bin"}
    run = subprocess.run([sys.executable, "-c", code], env=bare, check=True, capture_output=True, text=True)
    assert run.stdout.split() == ["True", "False"]  # the second shows that the first is the switch's doing


@pytest.mark.slow
def test_a_server(tmp_path, report):
    port = free_port()
    words = [
        "server",
        "--backend-store-uri",
        f"sqlite:///{tmp_path}/s.db",
        "--artifacts-destination",
        str(tmp_path / "a"),
    ]
    server = subprocess.Popen(
        [sys.executable, "-m", "mlflow", *words, "--port", str(port), "--workers", "1"],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(f"http://127.0.0.1:{port}/health")
        tracker = open_tracker(f"http://127.0.0.1:{port}")
        tracker.save(RUN, report)
        tracker.save(RUN, report)
        [found] = tracker.runs("churn")
        assert found.run == RUN.run and found.metrics["test/auc"] == 0.85
        assert tracker.run("latest").series["curve/eval_log_loss"] == RUN.series["curve/eval_log_loss"]
        with pytest.raises(TrackingError, match=r"expected an experiment \(churn\). Received: 'chrun'"):
            tracker.runs("chrun")
        assert sorted(file.name for file in (tmp_path / "a").rglob("*.html")) == ["card.html", "evaluation.html"]
    finally:
        subprocess.run(["kill", "--", f"-{server.pid}"], check=False)
        server.wait(20)


def wait_for(url):
    give_up = time.monotonic() + 120
    while time.monotonic() < give_up:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5):
            return
        time.sleep(0.2)
    raise AssertionError(f"nothing answers at {url}")
