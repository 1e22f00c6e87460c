import contextlib
import json
import math
import os
import sqlite3
import subprocess
import sys
import threading

import pytest

from headrace.platforms.local.tracking import sqlite
from headrace.platforms.local.tracking.names import names, short
from headrace.platforms.local.tracking.opening import check_uri
from headrace.platforms.local.tracking.sqlite import SqliteTracker
from headrace.platforms.open_tracker import open_tracker
from headrace.platforms.tracking import MOST_STEPS, Attached, Series, TrackedRun, TrackingError, one_of, thinned


def a_run(name="r-1", experiment="churn", started=100.0, **fields):
    return TrackedRun(experiment, name, started, started + 1, **fields)


@pytest.fixture
def tracker(tmp_path):
    return open_tracker("local", tmp_path / "home")


def test_a_run_comes_back(tracker, tmp_path):
    page = tmp_path / "page"
    page.write_text("text")
    saved = a_run(
        parameters={"model": "gbdt"},
        metrics={"test/auc": 0.8},
        series={"curve/eval": Series((1, 2), (0.5, math.inf)), "curve/train": Series((1,), (math.nan,))},
        tags={"headrace.run": "r-1"},
    )
    place = tracker.save(saved, Attached({"a.html": page}))
    [listed] = tracker.runs()
    assert (listed.place, listed.experiment, listed.run, listed.started, listed.ended) == (
        place,
        "churn",
        "r-1",
        100,
        101,
    )
    found = tracker.run("r-1")
    assert found.parameters == {"model": "gbdt"} and found.metrics == {"test/auc": 0.8}
    assert found.series["curve/eval"] == Series((1, 2), (0.5, sys.float_info.max))
    assert math.isnan(found.series["curve/train"].values[0])
    [copy] = (tmp_path / "home" / "mlartifacts").rglob("a.html")
    page.write_text("changed")
    assert copy.read_text() == "text"


def test_a_run_that_is_saved_again_says_what_it_says_now(tracker):
    first = tracker.save(a_run(parameters={"a": "1", "b": "2"}, metrics={"m": 1.0}), Attached())
    second = tracker.save(a_run(parameters={"a": "3"}, metrics={"n": 2.0}), Attached())
    assert first == second
    [found] = tracker.runs()
    assert (found.parameters, found.metrics) == ({"a": "3"}, {"n": 2.0})


def test_the_same_run_in_two_experiments_is_two(tracker):
    tracker.save(a_run(), Attached())
    tracker.save(a_run(experiment="other"), Attached())
    assert [run.experiment for run in tracker.runs("other")] == ["other"] and len(tracker.runs()) == 2


def test_a_run_is_there_as_a_whole_or_not_at_all(tracker, tmp_path):
    """Its last file cannot be copied, after everything else was written."""
    with pytest.raises(TrackingError, match="No such file"):
        tracker.save(a_run(metrics={"m": 1.0}), Attached({"gone.html": tmp_path / "gone"}))
    assert tracker.runs() == []
    with contextlib.closing(sqlite3.connect(tracker.file)) as connection:
        assert connection.execute("SELECT count(*) FROM metrics").fetchone() == (0,)
    assert list((tmp_path / "home" / "mlartifacts").rglob("artifacts")) == []


def test_many_at_once_all_get_there(tmp_path):
    """Also the file itself is made by one of them, while the others want it."""
    failures = []

    def save(number):
        try:
            open_tracker("local", tmp_path).save(a_run(f"r-{number}", metrics={"m": 1.0 * number}), Attached())
        except Exception as error:  # noqa: BLE001  (told below)
            failures.append(error)

    threads = [threading.Thread(target=save, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sorted(run.run for run in open_tracker("local", tmp_path).runs()) == [f"r-{n}" for n in range(8)]
    assert [file.name for file in tmp_path.iterdir() if "partial" in file.name] == []


def test_mlflow_is_not_imported(tmp_path):
    """It takes longer than a run of which nothing changed."""
    code = (
        "import sys; from headrace.platforms.open_tracker import open_tracker; "
        "from headrace.platforms.tracking import Attached, TrackedRun\n"
        "t = open_tracker('local', sys.argv[1]); t.save(TrackedRun('e', 'r', 1, 2, metrics={'m': 1.0}), Attached())\n"
        "import headrace.components.track.track\n"
        "heavy = {'mlflow', 'sqlalchemy', 'numpy', 'pydantic', 'requests', 'pyarrow'}\n"
        "print(t.run('r').metrics, sorted(heavy & {name.split('.')[0] for name in sys.modules}))"
    )
    run = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert run.stdout == "{'m': 1.0} []\n"


def test_an_experiment_that_was_deleted_in_mlflow(tracker):
    tracker.save(a_run(), Attached())
    with contextlib.closing(sqlite3.connect(tracker.file)) as connection, connection:
        connection.execute("UPDATE experiments SET lifecycle_stage = 'deleted' WHERE name = 'churn'")
    with pytest.raises(
        TrackingError, match=r"Received: one that was deleted in MLflow. `mlflow experiments restore -x 1`"
    ):
        tracker.save(a_run("r-2"), Attached())
    assert tracker.runs() == []


def test_a_home_that_was_moved(tmp_path):
    (tmp_path / "old").mkdir()
    file = tmp_path / "page"
    file.write_text("text")
    open_tracker("local", tmp_path / "old").save(a_run(), Attached({"a.html": file}))
    (tmp_path / "old").rename(tmp_path / "new")
    open_tracker("local", tmp_path / "new").save(a_run("r-2"), Attached({"a.html": file}))
    assert not (tmp_path / "old").exists()
    assert len(list((tmp_path / "new").rglob("a.html"))) == 2


@pytest.mark.parametrize("content", [b"no database at all, but a text of some length" * 10, None])
def test_a_file_that_is_not_mlflows(tmp_path, content):
    if content is None:
        with contextlib.closing(sqlite3.connect(tmp_path / "mlflow.db")) as connection, connection:
            connection.execute("CREATE TABLE mine (a)")
    else:
        (tmp_path / "mlflow.db").write_bytes(content)
    with pytest.raises(TrackingError, match="expected a store of MLflow. Received: another file"):
        open_tracker("local", tmp_path).save(a_run(), Attached())


def test_nothing_tracked_yet(tracker):
    with pytest.raises(TrackingError, match="expected tracked runs. Received: none there yet"):
        tracker.runs()


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "home").write_text("a file where the folder should be")
    with pytest.raises(TrackingError, match="expected MLflow's file to be usable"):
        SqliteTracker(tmp_path / "home" / "mlflow.db", "local").save(a_run(), Attached())


def test_an_experiment_that_is_not_there(tracker):
    tracker.save(a_run(), Attached())
    with pytest.raises(TrackingError, match=r"expected an experiment \(churn\). Received: 'chrun'"):
        tracker.runs("chrun")


def test_sqlite_uris(tmp_path):
    tracker = open_tracker(f"sqlite:///{tmp_path}/a%20b.db")
    assert tracker.file == tmp_path / "a b.db"
    with pytest.raises(TrackingError, match="expected sqlite:///FILE"):
        open_tracker("sqlite://relative.db")


def test_local_without_a_home(monkeypatch):
    monkeypatch.delenv("HEADRACE_HOME", raising=False)
    with pytest.raises(TrackingError, match="`track.mlflow` names a server"):
        open_tracker("local")


@pytest.mark.parametrize(
    "uri", ["local", "https://mlflow.example.com/a", "sqlite:////tmp/x.db", "databricks", "postgresql://h/d"]
)
def test_uris(uri):
    check_uri(uri)


@pytest.mark.parametrize("uri", ["locale", "mlflow.example.com", "", "ftp://x", "/tmp/mlruns"])
def test_uris_that_are_none(uri):
    with pytest.raises(TrackingError, match="expected `local`, `none`, or the URL"):
        check_uri(uri)


def test_a_password_is_refused_and_not_repeated():
    with pytest.raises(TrackingError, match="MLFLOW_TRACKING_PASSWORD") as caught:
        check_uri("https://me:geheim@mlflow.example.com")
    assert "geheim" not in str(caught.value)


def test_names():
    given = ["a/b", "a#b", "a_b", "/lead//ing/", "..", "é", "x" * 300]
    clean = names(dict.fromkeys(given))
    assert [clean[name] for name in given[:2]] == ["a/b", "a_b"]
    assert clean["a_b"].startswith("a_b_") and clean["/lead//ing/"] == "lead/ing"
    assert clean[".."] == "_" and clean["é"] == "é" and len(clean["x" * 300]) == 250
    assert len(set(clean.values())) == len(given)


def test_values_are_cut():
    assert short("x" * 6_000) == "x" * 6_000 and short("x" * 6_001).endswith("...") and len(short("x" * 9_999)) == 6_000


@pytest.mark.parametrize("length", [1, 2, 999, 1_000, 1_001, 20_000])
def test_thinned(length):
    series = thinned([float(i) for i in range(1, length + 1)])
    assert len(series.steps) == min(length, MOST_STEPS) == len(set(series.steps))
    assert series.steps[0] == 1 and series.steps[-1] == length
    assert list(series.values) == [float(step) for step in series.steps]


def test_one_of():
    runs = [a_run("ab-1"), a_run("ab-12"), a_run("c")]
    assert one_of(runs, "ab-1", "here").run == "ab-1"  # exactly, although another one begins with it
    assert one_of(runs, "c", "here").run == "c" and one_of(runs, "latest", "here").run == "ab-1"
    with pytest.raises(TrackingError, match="'ab', which 2 begin with: ab-1, ab-12"):
        one_of(runs, "ab", "here")
    with pytest.raises(TrackingError, match=r"expected a tracked run \(ab-1, ab-12, c\). Received: 'x'"):
        one_of(runs, "x", "here")


def test_a_file_being_made_is_never_seen_half(tmp_path, monkeypatch):
    """Whoever looks while it is made, looks at the name: it is not there before it is whole."""
    seen = []
    link = os.link
    monkeypatch.setattr(os, "link", lambda a, b: (seen.append((b.exists(), sqlite.revision(a))), link(a, b)))
    sqlite.make(tmp_path / "mlflow.db")
    assert seen == [(False, sqlite.own_revision())]
    left, new = tmp_path / ".mlflow.db.partial-1-a", tmp_path / ".mlflow.db.partial-2-b"
    left.touch()
    os.utime(left, (1, 1))  # of a process that was killed long ago
    new.touch()
    sqlite.make(tmp_path / "mlflow.db")
    assert not left.exists() and new.exists()
    new.unlink()
    assert json.dumps(sorted(f.name for f in tmp_path.iterdir())) == '["mlflow.db"]'
