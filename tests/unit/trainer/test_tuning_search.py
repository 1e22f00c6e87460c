"""The search: reproducible on any number of processes and after any kill, never worse than what stood, in its budget."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import optuna
import pytest
from hypothesis import given
from hypothesis import settings as trying
from hypothesis import strategies as st

from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.tuning import Tuning
from headrace.trainer import models
from headrace.trainer.tuning.checkpoint import checkpoint_root, key_of, open_checkpoint
from headrace.trainer.tuning.space import Choice, Range
from headrace.trainer.tuning.trial import worse_than_most
from headrace.trainer.tuning.tune import Settings
from headrace.trainer.tuning.workers import budget, free_memory
from tests.unit.trainer.toy_kind import NAME, SAFE, SPACE, Toy, searched

ROOT = Path(__file__).resolve().parents[3]


def settings(**more) -> Settings:
    return Settings(**{"trials": 12, "space": SAFE, **more})


def facts(tuning: Tuning) -> list[dict]:
    """All of the trials but how long they took."""
    return [asdict(replace(trial, seconds=0.0)) for trial in tuning.trials]


@pytest.fixture(autouse=True)
def two_threads(monkeypatch):
    monkeypatch.setenv("HEADRACE_THREADS", "2")


@pytest.fixture(autouse=True)
def a_toy_kind(monkeypatch):
    """Known to these tests alone."""
    monkeypatch.setitem(models.KINDS, NAME, "tests.unit.trainer.toy_kind")


def test_the_same_seed_finds_the_same_with_any_number_of_processes(monkeypatch, tmp_path):
    found = []
    for workers, root in (("1", None), ("8", tmp_path)):  # in memory, and on disk
        monkeypatch.setenv("HEADRACE_THREADS", workers)
        found.append(searched(root, settings(trials=18)))
    assert facts(found[0]) == facts(found[1])
    assert {trial.state for trial in found[0].trials} == {"complete", "pruned"}
    other = searched(None, settings(trials=3), seed=1)
    assert facts(other)[1:] != facts(found[0])[1:3]


def test_it_learns_from_its_trials():
    found = searched(None, settings(trials=40, prune=False))
    assert found.winner.value < 0.25 < found.defaults.value
    assert found.chosen == found.winner.parameters and found.chosen["c"] == "good"
    late = [trial.value for trial in found.trials[-10:]]
    early = [trial.value for trial in found.trials[:10]]
    assert sorted(late)[5] < sorted(early)[5]
    assert set(found.importance) == {"x", "k", "c"} and abs(sum(found.importance.values()) - 1) < 1e-9


def test_never_worse_than_what_stood():
    best = Toy(1.0, 8, "good")
    found = searched(None, settings(), base=best)
    assert found.chosen == {} and found.winner.defaults and found.best == 0
    assert found.winner.parameters == {"x": 1.0, "k": 8, "c": "good"}
    assert min(trial.value for trial in found.trials if trial.value is not None) == found.winner.value
    assert found.winner.value == pytest.approx(0.105)


def start(root: Path, log: Path, **variables: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "tests.unit.trainer.toy_kind", str(root), str(log)]
    env = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    return subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True)


def trained(log: Path) -> list[dict]:
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def outcome(process: subprocess.Popen) -> list[dict]:
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    return [{**trial, "seconds": 0.0} for trial in json.loads(out.splitlines()[-1])]


def kill_after(process: subprocess.Popen, log: Path, count: int) -> None:
    deadline = time.monotonic() + 60
    while len(trained(log)) < count and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    process.kill()
    process.wait()


@pytest.mark.slow
def test_a_killed_search_goes_on_and_finds_what_it_would_have_found(tmp_path, monkeypatch):
    monkeypatch.setenv("TOY_LOG", str(tmp_path / "a.log"))
    whole = json.loads(json.dumps(facts(searched(None, settings(trials=14)))))
    chance = random.Random(0)
    log = tmp_path / "b.log"
    done = 0
    for _ in range(2):
        done += chance.randint(1, 6)
        process = start(tmp_path / "b", log, TOY_SLEEP="0.01")
        kill_after(process, log, done)
        assert process.returncode == -signal.SIGKILL
        done = len(trained(log))
    resumed = outcome(start(tmp_path / "b", log))
    assert resumed == whole
    again = len(trained(log)) - len(trained(tmp_path / "a.log"))
    assert 0 < again <= 2 * 2, "only what ran when it was killed is trained again: two processes at each kill"


def test_trials_end_when_their_search_was_killed(tmp_path):
    log = tmp_path / "log"
    process = start(tmp_path / "a", log, TOY_SLEEP="0.2")
    kill_after(process, log, 2)
    pids = {entry["pid"] for entry in trained(log)}
    deadline = time.monotonic() + 10
    while alive(pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(pids) == 2 and not alive(pids)


def alive(pids: set[int]) -> set[int]:
    states = {pid: Path(f"/proc/{pid}/stat") for pid in pids}
    return {
        pid for pid, stat in states.items() if stat.exists() and stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"
    }


def test_what_fails_or_dies_is_one_trial_and_not_the_search(capfd):
    found = searched(None, settings(trials=16, space=SPACE, sampler="random"))
    states = {trial.parameters["c"]: trial for trial in found.trials}
    assert states["die"].error == "the trial's process was killed by signal 9"
    assert states["raise"].error == "ValueError: these parameters make no sense"
    assert {states["die"].state, states["raise"].state} == {"failed"} and states["die"].value is None
    assert found.winner.state == "complete" and len(found.trials) == 16
    assert "these parameters make no sense" in capfd.readouterr().err


def test_what_stands_must_train():
    with pytest.raises(
        HeadraceError, match="expected the parameters as they are to train.*ValueError: these parameters"
    ):
        searched(None, settings(), base=Toy(c="raise"))


def test_minutes_end_it_but_not_before_what_stands_is_judged(monkeypatch):
    monkeypatch.setenv("TOY_SLEEP", "0.05")  # a second a trial
    begun = time.monotonic()
    found = searched(None, settings(trials=None, minutes=0.3 / 60, parallel=2))
    assert time.monotonic() - begun < 8
    assert [trial.state for trial in found.trials] == ["complete", "late"] and found.chosen == {}


def test_seconds_before_a_kill_count(tmp_path, monkeypatch):
    searched(tmp_path, settings(trials=None, minutes=1 / 60))
    more = []
    searched(tmp_path, settings(trials=None, minutes=1 / 60), told=more.append)
    assert more == []


def test_a_trial_without_rounds_is_killed_when_the_time_is_over(monkeypatch):
    from headrace.trainer.tuning import workers

    monkeypatch.setattr(workers, "GRACE", 0.2)
    slow = tuple(
        workers.run_tasks(_sleeping(), [workers.Task(1, {"x": 1.0}, deadline=time.monotonic())], workers.Budget(1, 1))
    )
    assert [result.state for _, result in slow] == ["late"]


def _sleeping():
    from tests.unit.trainer.toy_kind import problem

    class Stubborn:
        def __getattr__(self, name):
            time.sleep(60)

    return replace(problem(), train=Stubborn())


def test_the_same_values_are_trained_once(tmp_path, monkeypatch):
    monkeypatch.setenv("TOY_LOG", str(tmp_path / "log"))
    found = searched(None, settings(trials=12, space={"k": Choice((4, 8))}, prune=False, parallel=1))
    assert len(found.trials) == 12 and len(trained(tmp_path / "log")) == 3
    assert len({trial.value for trial in found.trials}) == 3


def test_a_grid_is_every_combination_once():
    space = {"x": Range(-1.0, 1.0, step=1.0), "k": Choice((4, 8)), "c": Choice(("good", "bad"))}
    found = searched(None, settings(trials=100, sampler="grid", space=space, prune=False))
    tried = [tuple(trial.parameters.values()) for trial in found.trials[1:]]
    assert sorted(tried) == sorted((x, k, c) for x in (-1.0, 0.0, 1.0) for k in (4, 8) for c in ("good", "bad"))
    assert found.chosen == {"x": 1.0, "k": 8, "c": "good"} and found.winner.value == pytest.approx(0.105)


def test_shards_share_the_work_and_the_first_has_what_stands():
    space = {"k": Range(1, 9, whole=True)}
    found = [searched(None, settings(trials=12, sampler="grid", space=space, shard=n, shards=3)) for n in range(3)]
    assert [one.defaults is not None for one in found] == [True, False, False]
    tried = [trial.parameters["k"] for one in found for trial in one.trials if not trial.defaults]
    assert sorted(tried) == list(range(1, 10))
    idle = searched(None, settings(trials=2, sampler="grid", space={"k": Choice((4,))}, shard=2, shards=3))
    assert [trial.defaults for trial in idle.trials] == [True] and idle.chosen == {}, "nothing was left for it to try"
    random_ones = [searched(None, settings(trials=7, sampler="random", shard=n, shards=3)) for n in range(3)]
    assert [len(one.trials) for one in random_ones] == [3, 2, 2]
    assert len({json.dumps(trial.parameters) for one in random_ones for trial in one.trials}) == 7


def test_another_process_at_the_same_search_is_left_alone(tmp_path, capsys):
    with open_checkpoint(tmp_path, "k") as first, open_checkpoint(tmp_path, "k") as second:
        assert first.folder == tmp_path / "tune-k" and second.folder != first.folder
    assert "another process" in capsys.readouterr().out


def test_a_damaged_checkpoint_is_begun_anew(tmp_path, capsys):
    (tmp_path / "tune-toy").mkdir()
    (tmp_path / "tune-toy" / "study.db").write_bytes(b"half a file")
    assert len(searched(tmp_path, settings(trials=2)).trials) == 2
    assert "expected a study. Received: a damaged file" in capsys.readouterr().out


def test_where_checkpoints_lie(monkeypatch):
    for name in ("HEADRACE_CHECKPOINTS", "AIP_CHECKPOINT_DIR"):
        monkeypatch.delenv(name, raising=False)
    assert checkpoint_root() is None
    monkeypatch.setenv("AIP_CHECKPOINT_DIR", "gs://bucket/run/checkpoints")
    assert checkpoint_root() == Path("/gcs/bucket/run/checkpoints")
    monkeypatch.setenv("HEADRACE_CHECKPOINTS", "/home/checkpoints")
    assert checkpoint_root() == Path("/home/checkpoints")
    assert key_of({"a": 1, "b": Range(0, 1)}) != key_of({"a": 1, "b": Range(0, 2)})


def test_workers_keep_to_threads_and_memory(monkeypatch, tmp_path):
    monkeypatch.setenv("HEADRACE_THREADS", "8")
    assert budget(4, 1).workers == 4 and budget(4, 1).threads == 2
    assert budget(16, 1).workers == 8 and budget(16, 1).threads == 1
    assert budget(4, free_memory()).workers == 1 and budget(4, free_memory()).threads == 8
    (tmp_path / "meminfo").write_text("MemTotal: 99 kB\nMemAvailable:   50 kB\n")
    (tmp_path / "memory.max").write_text("30000\n")
    (tmp_path / "memory.current").write_text("10000\n")
    assert free_memory(tmp_path, tmp_path) == 20_000
    (tmp_path / "memory.max").write_text("max\n")
    assert free_memory(tmp_path, tmp_path) == 50 * 1024


CURVES = st.lists(st.lists(st.floats(0, 1), min_size=6, max_size=6), min_size=4, max_size=9)


@trying(deadline=None, max_examples=30)
@given(CURVES, st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_who_is_given_up_is_optunas_rule(curves, own):
    """Where all curves are as long as the step, the rule over best values so far is PercentilePruner's."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    best = [[min(curve[: place + 1]) for place in range(6)] for curve in curves]
    study = optuna.create_study(pruner=optuna.pruners.PercentilePruner(75, n_startup_trials=4))
    for curve in best:
        values = dict(enumerate(curve, 1))
        study.add_trial(optuna.trial.create_trial(value=curve[-1], intermediate_values=values))
    trial = study.ask()
    for step, number in enumerate(own, 1):
        trial.report(number, step)
    history = tuple(tuple(enumerate(curve, 1)) for curve in best)
    assert worse_than_most(len(own), min(own), history) == trial.should_prune()


def test_one_that_ended_early_keeps_its_last_value():
    history = tuple(((1, 0.5), (2, last)) for last in (0.1, 0.2, 0.3, 0.4))
    assert worse_than_most(9, 0.45, history) and not worse_than_most(9, 0.2, history)
    assert not worse_than_most(9, 0.45, history[:3]), "three tell too little"
