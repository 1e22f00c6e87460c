"""What a run prepares before it is needed: imports, and work of the runner's own; and what it does not."""

import functools
import time
from pathlib import Path

import pytest
from kfp import dsl

from headrace.pipelines.local import foresight
from headrace.pipelines.local.foresight import foresee
from headrace.pipelines.local.head_start import HeadStart, head_start
from headrace.pipelines.local.workers.environments import default_environments

component = functools.partial(dsl.component, base_image="registry/headrace-main:1", install_kfp_package=False)


@component
def first(imports: str, salt: int) -> int:
    """With a ledger of imports, it takes until there are two of them."""
    import time
    from pathlib import Path

    begun = time.monotonic()
    while imports and len(Path(imports).read_text().splitlines()) < 2 and time.monotonic() < begun + 60:
        time.sleep(0.01)
    return 1


@component
def second(x: int) -> int:
    import notes_its_import

    return x + notes_its_import.NUMBER


def chain(imports: str = "", salt: int = 0) -> int:
    return second(x=first(imports=imports, salt=salt).output).output


@pytest.fixture
def imports(tmp_path):
    file = tmp_path / "imports.txt"
    file.write_text("")
    return file


@pytest.fixture
def ledger(tmp_path, monkeypatch, imports):
    """A module that writes down in `imports` when it is imported."""
    folder, file = tmp_path / "code", imports
    folder.mkdir()
    (folder / "notes_its_import.py").write_text(
        f"import time\nNUMBER = 1\nwith open({str(file)!r}, 'a') as f:\n    f.write(f'{{time.time()}}\\n')\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return lambda: [float(line) for line in file.read_text().split()]


def test_after_a_short_task_that_comes_to_the_same_nothing_is_imported_in_vain(runner, ledger, monkeypatch):
    monkeypatch.setattr(foresight, "A_WHILE", 60.0)
    ir = runner.compile(chain)
    runner.run(ir)
    assert len(ledger()) == 1
    assert runner.run(ir, parameters={"salt": 1}).outputs == {"Output": 2}
    assert runner.ran() == {"first"}
    assert len(ledger()) == 1


def test_while_a_task_takes_its_time_what_follows_is_imported(runner, ledger, imports):
    ir = runner.compile(chain)
    runner.run(ir)
    result = runner.run(ir, parameters={"salt": 2, "imports": str(imports)})
    task = result.tasks["first"]
    assert len(ledger()) == 2
    assert task.started < ledger()[-1] < task.started + task.seconds


@component
def reads(file: str) -> int:
    from pathlib import Path

    return int(Path(file).read_text())


@component
def waits(x: int, imports: str) -> int:
    """With a ledger of imports, it takes until there are two of them, else a second."""
    import time
    from pathlib import Path

    begun = time.monotonic()
    while imports and len(Path(imports).read_text().splitlines()) < 2 and time.monotonic() < begun + 60:
        time.sleep(0.01)
    time.sleep(0.0 if imports else 1.0)
    return 1


def in_two_steps(file: str, imports: str = "") -> int:
    read = reads(file=file).set_caching_options(False)
    waited = waits(x=read.output, imports=imports)
    return second(x=read.output).after(waited).output


@pytest.mark.parametrize("looks_again", [True, False])
def test_where_a_task_comes_to_something_else_what_will_run_now_is_imported_at_once(
    runner, ledger, imports, monkeypatch, tmp_path, looks_again
):
    monkeypatch.setattr(foresight, "A_WHILE", 60.0)
    monkeypatch.setattr(foresight, "WORTH", 60.0 if looks_again else 0.0)
    file = tmp_path / "number.txt"
    ir = runner.compile(in_two_steps)
    file.write_text("1")
    runner.run(ir, parameters={"file": str(file)})
    runner.run(ir, parameters={"file": str(file)})
    assert runner.ran() == {"reads"} and len(ledger()) == 1
    file.write_text("2")
    result = runner.run(ir, parameters={"file": str(file), "imports": str(imports) if looks_again else ""})
    assert result.outputs == {"Output": 3} and len(ledger()) == 2
    waited = result.tasks["waits"]
    assert (ledger()[-1] < waited.started + waited.seconds) == looks_again


def test_where_nothing_ever_ran_all_that_follows_is_expected(runner, monkeypatch):
    looks = []

    def watched(*args, **options):
        looks.append(foresee(*args, **options))
        return looks[-1]

    def first(**options):
        looks.clear()
        runner.run(ir, **options)
        return list(looks[0].expected)

    monkeypatch.setattr("headrace.pipelines.local.engine.foresee", watched)
    ir = runner.compile(steps)
    assert first() == ["comp-plain", "comp-also"]
    assert first(parameters={"x": 5}) == ["comp-plain"], "what follows is supposed to come to the same as last time"
    assert first(parameters={"x": 6}, use_cache=False) == ["comp-plain", "comp-also"]


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
