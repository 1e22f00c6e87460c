"""The store in use: verified, collected, shared, and defended against tasks that write to their inputs."""

import contextlib
import fcntl
import functools
import os
import sqlite3
import time

import pytest
from click.testing import CliRunner
from kfp import dsl

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.cli import cli
from headrace.pipelines.local.record.record import Record
from headrace.pipelines.local.store import digests, gc, lock
from headrace.pipelines.local.store.entries import entries, entry_of
from headrace.pipelines.local.store.verify import verify

DAY = 86400.0


@dsl.component
def blob(size: int, seed: int, out: dsl.Output[dsl.Artifact]):
    from pathlib import Path

    Path(out.path).write_bytes(bytes([seed]) * size)


@dsl.component
def with_a_suffix(text: str, model: dsl.Output[dsl.Model]):
    with open(model.path + ".joblib", "w") as file:  # noqa: PTH123
        file.write(text)


@dsl.component
def read_with_a_suffix(model: dsl.Input[dsl.Model]) -> str:
    with open(model.path + ".joblib") as file:  # noqa: PTH123
        return file.read()


@dsl.component
def vandal(data: dsl.Input[dsl.Artifact]):
    with open(data.path, "ab") as file:  # noqa: PTH123
        file.write(b"more")


@dsl.component
def measure(data: dsl.Input[dsl.Artifact]) -> int:
    import os

    return os.path.getsize(data.path)  # noqa: PTH202


def blobs(size: int = 1000, seed: int = 1):
    made = blob(size=size, seed=seed)
    measure(data=made.outputs["out"])


def age(home, run_id: str, days: float) -> None:
    """Makes a run, and what it put into the cache, look as if it were older."""
    with contextlib.closing(sqlite3.connect(home / "runs.db")) as db, db:
        db.execute(
            "UPDATE runs SET started = started - ?, finished = finished - ? WHERE id = ?",
            (days * DAY, days * DAY, run_id),
        )
        db.execute("UPDATE cache SET created = created - ? WHERE run = ?", (days * DAY, run_id))


def entry(result, task: str = "blob"):
    return entry_of(result.home, result.tasks[task].artifacts["out"][0].path)


def collect(home, *options: str) -> str:
    outcome = CliRunner().invoke(cli, ["store", "gc", "--home", str(home), *options], catch_exceptions=False)
    assert outcome.exit_code == 0
    return outcome.output


def test_what_a_task_writes_beside_its_output_goes_with_it_and_counts(runner):
    def pipeline(text: str = "one"):
        read_with_a_suffix(model=with_a_suffix(text=text).outputs["model"])

    first = runner.run(pipeline)
    assert first.tasks["read-with-a-suffix"].outputs["Output"] == "one"
    assert runner.run(pipeline, parameters={"text": "two"}).tasks["read-with-a-suffix"].outputs["Output"] == "two"
    again = runner.run(pipeline)
    assert again.tasks["read-with-a-suffix"].cached
    [model] = again.tasks["with-a-suffix"].artifacts["model"]
    model.path.with_name("model.joblib").write_text("1ne")
    assert runner.run(pipeline).tasks["read-with-a-suffix"].outputs["Output"] == "one"
    assert runner.ran() == {"with-a-suffix"}


def test_a_task_that_writes_to_its_input_fails_and_the_input_is_made_anew(runner):
    def pipeline():
        made = blob(size=10, seed=1)
        vandal(data=made.outputs["out"])

    result = runner.run(pipeline)
    assert result.state == "FAILED"
    error = result.tasks["vandal"].error
    assert error.type == "InputChanged"
    assert "Received: a change in data" in error.message

    def good():
        measure(data=blob(size=10, seed=1).outputs["out"])

    assert runner.run(good).tasks["measure"].outputs["Output"] == 10
    assert runner.ran() == {"blob", "measure"}


def test_verify_names_what_is_damaged_and_repair_has_it_made_anew(runner):
    result = runner.run(blobs)
    home = str(runner.home)
    good = CliRunner().invoke(cli, ["store", "verify", "--home", home])
    assert (good.exit_code, good.output.splitlines()[-1]) == (0, "all of it is what its digests say")
    result.tasks["blob"].artifacts["out"][0].path.write_bytes(bytes([2]) * 1000)
    bad = CliRunner().invoke(cli, ["store", "verify", "--home", home])
    assert isinstance(bad.exception, HeadraceError)
    assert f"{entry(result)}: was changed; put out by {result.id} blob" in bad.output
    assert CliRunner().invoke(cli, ["store", "verify", "--repair", "--home", home]).exit_code == 0
    assert not entry(result).exists()
    assert CliRunner().invoke(cli, ["store", "verify", "--home", home]).exit_code == 0
    assert runner.run(blobs).tasks["blob"].cached is False
    assert runner.run(blobs).tasks["blob"].cached is True


def test_verify_reads_every_entry_once(runner, monkeypatch):
    runner.run(blobs)
    read = []
    contents = digests.contents
    monkeypatch.setattr(digests, "contents", lambda folder: read.append(folder) or contents(folder))
    with contextlib.closing(Record(runner.home)) as record:
        assert verify(runner.home, record).damages == ()
    assert sorted(read) == sorted(entries(runner.home))


def test_verify_notices_what_the_cache_believes_and_is_gone(runner):
    result = runner.run(blobs)
    entry(result).rename(runner.folder / "taken")
    bad = CliRunner().invoke(cli, ["store", "verify", "--home", str(runner.home)])
    assert "is gone" in bad.output


def test_garbage_is_shown_first_and_removed_only_with_yes(runner):
    old = runner.run(blobs, parameters={"seed": 1})
    new = runner.run(blobs, parameters={"seed": 2})
    age(runner.home, old.id, 40)
    assert "nothing to remove" in collect(runner.home)
    assert "nothing to remove" in collect(runner.home, "--older-than", "50d")
    assert "1000 B" in collect(runner.home, "--older-than", "30d")
    assert entry(old).exists()
    text = collect(runner.home, "--older-than", "30d", "--yes")
    assert "2 removed" in text  # the entry, and the run's logs
    assert not entry(old).exists()
    assert entry(new).exists()
    assert not (runner.home / "logs" / old.id).exists()
    assert runner.run(blobs, parameters={"seed": 1}).tasks["blob"].cached is False
    assert runner.run(blobs, parameters={"seed": 2}).tasks["blob"].cached is True


def test_a_size_removes_the_least_recently_used_first(runner):
    runs = [runner.run(blobs, parameters={"seed": seed, "size": 100_000}) for seed in range(4)]
    for days, run in zip((9, 1, 5, 0), runs, strict=True):
        age(runner.home, run.id, days)
    collect(runner.home, "--max-size", "200K", "--yes")
    assert [entry(run).exists() for run in runs] == [False, True, False, True]
    assert collect(runner.home, "--max-size", "100K", "--keep-last", "2", "--yes").startswith("nothing to remove")


def test_what_a_hit_has_used_is_not_old(runner):
    old = runner.run(blobs)
    age(runner.home, old.id, 40)
    runner.run(blobs)
    assert "store/" not in collect(runner.home, "--older-than", "30d", "--keep-last", "0")


def test_what_nothing_refers_to_goes_and_so_do_leftovers(runner):
    runner.run(blobs)
    stray = next(entries(runner.home)).parent.parent / "ab" / ("ab" + "0" * 62)
    stray.mkdir(parents=True)
    (stray / "x").write_text("1")
    leftover = runner.home / "compiled" / ".x.json.partial-1"
    leftover.parent.mkdir(exist_ok=True)
    leftover.write_text("{")
    os.utime(leftover, (time.time() - 3600,) * 2)
    text = collect(runner.home, "--yes")
    assert gc.UNREACHABLE in text
    assert gc.LEFTOVER in text
    assert not stray.exists()
    assert not leftover.exists()
    assert runner.run(blobs).tasks["blob"].cached


def test_checkpoints_that_nothing_went_on_with_go_and_fresh_ones_stay(runner):
    runner.run(blobs)
    folders = {name: runner.home / "checkpoints" / name for name in ("forgotten", "resumed")}
    for folder in folders.values():
        (folder / "trial-0").mkdir(parents=True)
        (folder / "trial-0" / "weights.npz").write_bytes(b"x" * 100)
        for part in (folder / "trial-0" / "weights.npz", folder / "trial-0", folder):
            os.utime(part, (time.time() - 8 * DAY,) * 2)
    (folders["resumed"] / "trial-0" / "weights.npz").write_bytes(b"y")
    text = collect(runner.home, "--yes")
    assert gc.ABANDONED in text
    assert not folders["forgotten"].exists() and folders["resumed"].exists()
    assert collect(runner.home, "--older-than", "1h", "--yes") and folders["resumed"].exists()


def test_a_home_that_was_moved_is_no_garbage(runner):
    result = runner.run(blobs)
    moved = runner.home.rename(runner.folder / "moved")
    assert "nothing to remove" in collect(moved)
    age(moved, result.id, 40)
    assert "store/" in collect(moved, "--older-than", "30d", "--keep-last", "0")


def test_nothing_is_removed_under_a_living_run_and_no_run_begins_meanwhile(runner):
    runner.run(blobs)
    with lock.shared(runner.home), contextlib.closing(Record(runner.home)) as record, pytest.raises(lock.StoreInUse):
        what = gc.plan(runner.home, record, max_bytes=0, keep_last=0)
        gc.carry_out(runner.home, record, what, lambda: what)
    with lock.alone(runner.home), (runner.home / "store.lock").open() as file, pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)


def test_what_a_run_uses_between_the_plan_and_the_removal_stays(runner, monkeypatch):
    used, unused = (runner.run(blobs, parameters={"seed": seed}) for seed in (1, 2))
    for run in (used, unused):
        age(runner.home, run.id, 40)
    real, plans = gc.plan, []

    def plan(*arguments, **options):
        plans.append(real(*arguments, **options))
        if len(plans) == 1:
            assert runner.run(blobs, parameters={"seed": 1}).tasks["blob"].cached
        return plans[-1]

    monkeypatch.setattr(gc, "plan", plan)
    text = collect(runner.home, "--older-than", "30d", "--keep-last", "0", "--yes")
    assert {entry(used), entry(unused)} <= {removal.path for removal in plans[0].removals}
    assert "1 of these not removed: used, or gone, since they were looked at" in text
    assert f"{len(plans[0].removals) - 1} removed" in text and "1 entry stays (1000 B)" in text
    assert entry(used).exists() and not entry(unused).exists()
    assert runner.run(blobs, parameters={"seed": 1}).tasks["blob"].cached


def test_what_nobody_was_shown_is_not_removed(runner):
    old = runner.run(blobs)
    age(runner.home, old.id, 40)
    with contextlib.closing(Record(runner.home)) as record:
        again = functools.partial(gc.plan, runner.home, record, older_than=30 * DAY, keep_last=0)
        done = gc.carry_out(runner.home, record, gc.plan(runner.home, record), again)
    assert done == gc.Plan((), 1, 1000) and entry(old).exists()


def test_a_record_of_the_first_format_is_taken_on(runner):
    result = runner.run(blobs)
    with contextlib.closing(sqlite3.connect(runner.home / "runs.db")) as db, db:
        db.execute("ALTER TABLE runs DROP COLUMN options")
        db.execute("ALTER TABLE tasks DROP COLUMN made_of")
        db.execute("DROP TABLE pipelines")
        db.execute("PRAGMA user_version = 1")
    with contextlib.closing(Record(runner.home)) as record:
        assert record.run(result.id).tasks["blob"].made_of == {}
        with pytest.raises(HeadraceError, match="too old"):
            record.ir(result.id)
    assert runner.run(blobs).tasks["blob"].cached


@pytest.mark.parametrize("options", [["--older-than", "soon"], ["--max-size", "big"], ["--older-than", "-3d"]])
def test_ages_and_sizes_that_are_none(runner, options):
    outcome = CliRunner().invoke(cli, ["store", "gc", "--home", str(runner.home), *options])
    assert outcome.exit_code == 2
    assert "expected" in outcome.output and "Received: " in outcome.output
