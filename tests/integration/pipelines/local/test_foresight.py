"""What a run prepares before it is needed: imports, and work of the runner's own; and what it does not."""

import functools
import time
from pathlib import Path

import pytest
from kfp import dsl

from headrace.pipelines.local.head_start import HeadStart, head_start
from headrace.pipelines.local.store.cache import foresee
from headrace.pipelines.local.workers.environments import default_environments

component = functools.partial(dsl.component, base_image="registry/headrace-main:1", install_kfp_package=False)


@component
def first(seconds: float, salt: int) -> int:
    import time

    time.sleep(seconds)
    return 1


@component
def second(x: int) -> int:
    import notes_its_import

    return x + notes_its_import.NUMBER


def chain(seconds: float = 0.0, salt: int = 0) -> int:
    return second(x=first(seconds=seconds, salt=salt).output).output


@pytest.fixture
def ledger(tmp_path, monkeypatch):
    """A module that writes down when it is imported."""
    folder, file = tmp_path / "code", tmp_path / "imports.txt"
    folder.mkdir()
    (folder / "notes_its_import.py").write_text(
        f"import time\nNUMBER = 1\nwith open({str(file)!r}, 'a') as f:\n    f.write(f'{{time.time()}}\\n')\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(folder))
    file.write_text("")
    return lambda: [float(line) for line in file.read_text().split()]


def test_after_a_short_task_that_comes_to_the_same_nothing_is_imported_in_vain(runner, ledger):
    ir = runner.compile(chain)
    runner.run(ir)
    assert len(ledger()) == 1
    assert runner.run(ir, parameters={"salt": 1}).outputs == {"Output": 2}
    assert runner.ran() == {"first"}
    assert len(ledger()) == 1


def test_while_a_task_takes_its_time_what_follows_is_imported(runner, ledger):
    ir = runner.compile(chain)
    runner.run(ir)
    result = runner.run(ir, parameters={"salt": 2, "seconds": 1.5})
    task = result.tasks["first"]
    assert len(ledger()) == 2
    assert task.started < ledger()[-1] < task.started + task.seconds


def test_where_nothing_ever_ran_all_that_follows_is_expected(runner, monkeypatch):
    found = {}

    def watched(*args, **options):
        found["expected"] = [one.name for one in foresee(*args, **options)]
        return foresee(*args, **options)

    monkeypatch.setattr("headrace.pipelines.local.engine.foresee", watched)
    ir = runner.compile(steps)
    runner.run(ir)
    assert found["expected"] == ["comp-plain", "comp-also"]
    runner.run(ir, parameters={"x": 5})
    assert found["expected"] == ["comp-plain"], "what follows is supposed to come to the same as last time"
    runner.run(ir, parameters={"x": 6}, use_cache=False)
    assert found["expected"] == ["comp-plain", "comp-also"]


@component
def plain(x: int) -> int:
    return x // 10


@component
def also(x: int) -> int:
    return x


def steps(x: int = 1) -> int:
    return also(x=plain(x=x).output).output


def test_the_runners_own_work_is_done_in_order_while_tasks_run(runner):
    done = []
    result = runner.run(steps, meanwhile=[lambda: done.append("a"), lambda: done.append("b")])
    assert result.succeeded
    assert done == ["a", "b"]


def test_a_head_start_for_nothing_leaves_nothing_behind(tmp_path):
    home = tmp_path / "home"
    with head_start(home, default_environments(), 2) as early:
        early.start("main")
        process = early.zygotes["main"].process
        assert process.poll() is None
    assert process.poll() is not None
    assert not list((home / "logs").iterdir())


def test_a_run_takes_the_head_start_over(runner):
    early = HeadStart(runner.home, default_environments(), 2)
    try:
        early.start("main")
        pid = early.zygotes["main"].process.pid
        runner.wait_for(lambda: Path(f"/proc/{pid}/stat").exists())
        began = time.time()
        result = runner.run(steps, early=early)
        assert result.succeeded
        assert result.id == early.run_id
        assert result.tasks["plain"].started >= began
    finally:
        early.close()
    assert (runner.home / "logs" / early.run_id / "_environment-main.log").exists()
