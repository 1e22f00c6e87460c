"""Every way to fail is reported as what it is, leaves nothing behind, and never looks like success."""

# What stands in components is what users write.
# ruff: noqa: PTH110, PTH123, SIM115

import functools
import os
import signal
import sqlite3
import time

import pytest
from kfp import dsl

from headrace.pipelines.local.ir.conditions import ConditionError
from headrace.pipelines.local.ir.graph import UnsupportedPipeline
from headrace.pipelines.local.ir.values import ValueMismatch
from headrace.pipelines.local.record.record import list_runs, load_run
from headrace.pipelines.local.run import Cancelled
from headrace.pipelines.local.store import attempts
from headrace.pipelines.local.views import view
from headrace.pipelines.local.workers.environments import UnknownEnvironment

component = functools.partial(dsl.component, base_image="registry/headrace-main:1", install_kfp_package=False)


@component
def invert(x: int) -> float:
    print("about to divide")

    def deeper(n):
        return 1 / n

    return deeper(x)


@component
def twice(x: float) -> float:
    return 2 * x


@component
def nap(seconds: float, mark: str = "") -> str:
    import subprocess
    import time

    subprocess.Popen(["sleep", "60"])  # a grandchild that nobody waits for
    if mark:
        open(mark, "w").close()
    time.sleep(seconds)
    return "rested"


@component
def refuse():
    from headrace.artifacts.errors import HeadraceError

    raise HeadraceError("expected a label. Received: none")


@component
def say(text: str) -> str:
    return text


def test_a_failing_task_its_dependents_and_the_others(runner):
    def fails():
        twice(x=invert(x=0).output)
        twice(x=invert(x=4).output)

    result = runner.run(fails)
    assert result.state == "FAILED"
    states = {path: task.state for path, task in result.tasks.items()}
    assert states == {"invert": "FAILED", "twice": "SKIPPED", "invert-2": "SUCCEEDED", "twice-2": "SUCCEEDED"}
    assert result.tasks["twice"].reason == "invert failed"
    assert result.tasks["twice-2"].outputs == {"Output": 0.5}
    error = result.tasks["invert"].error
    assert (error.type, error.message) == ("ZeroDivisionError", "division by zero")
    assert "return 1 / n" in error.trace
    assert "executor_main" not in error.trace
    assert "worker.py" not in error.trace
    assert "about to divide" in result.tasks["invert"].log.read_text()
    text = view.failure_text(result)
    assert text.startswith("Traceback (most recent call last):")
    assert text.index("division by zero") < text.index("invert failed")
    recorded = load_run(runner.home, result.id)
    assert dict(recorded.tasks) == dict(result.tasks)
    assert (recorded.state, recorded.parameters, recorded.labels) == ("FAILED", {}, {})


def test_a_users_error_is_one_line(runner):
    def refuses():
        refuse()

    result = runner.run(refuses)
    assert view.failure_text(result) == "refuse: expected a label. Received: none"
    assert "Traceback" in view.failure_text(result, debug=True)


def test_an_odd_output_fails_its_own_task_and_no_other(runner):
    @component
    def odd_name() -> str:
        import os

        return os.fsdecode(b"caf\xe9.csv")

    @component
    def odd_metadata(out: dsl.Output[dsl.Dataset]):
        import os

        out.metadata["file"] = os.fsdecode(b"caf\xe9.csv")

    @dsl.container_component
    def odd_file(text: dsl.OutputPath(str)):
        return dsl.ContainerSpec("registry/headrace-main:1", ["sh", "-c", 'printf "caf\\351" > "$0"'], [text])

    @dsl.container_component
    def odd_word(text: dsl.OutputPath(str)):
        program = 'printf good > "$0"; printf \'{"parameterValues": null, "artifacts": null}\' > "$1"'
        file = dsl.PIPELINE_TASK_EXECUTOR_OUTPUT_PATH_PLACEHOLDER
        return dsl.ContainerSpec("registry/headrace-main:1", ["sh", "-c", program], [text, file])

    def odd():
        say(text=odd_name().output)
        odd_metadata()
        odd_file()
        odd_word()
        say(text="well")

    result = runner.run(odd)
    assert result.state == "FAILED"
    assert {path: task.state for path, task in result.tasks.items()} == {
        "odd-name": "FAILED", "say": "SKIPPED", "odd-metadata": "FAILED", "odd-file": "FAILED",
        "odd-word": "SUCCEEDED", "say-2": "SUCCEEDED",
    }  # fmt: skip
    errors = {path: result.tasks[path].error for path in ("odd-name", "odd-metadata", "odd-file")}
    assert {error.type for error in errors.values()} == {"OutputError"}
    assert "odd-name: output `Output`: expected Unicode text" in errors["odd-name"].message
    assert r"Received: 'caf\udce9.csv'" in errors["odd-name"].message
    assert "odd-metadata: output `out`: expected Unicode text" in errors["odd-metadata"].message
    assert "odd-file: output `text`: expected UTF-8 text in its file" in errors["odd-file"].message
    assert dict(load_run(runner.home, result.id).tasks) == dict(result.tasks)


def test_what_nobody_has_thought_of_ends_the_task_that_left_it_behind(runner, monkeypatch):
    def publish(home, path, *rest, **options):
        if path == "say":
            raise LookupError("no such thing")
        return real(home, path, *rest, **options)

    real = attempts.publish
    monkeypatch.setattr(attempts, "publish", publish)

    def two():
        say(text="bad")
        say(text="well")

    result = runner.run(two)
    assert {path: task.state for path, task in result.tasks.items()} == {"say": "FAILED", "say-2": "SUCCEEDED"}
    error = result.tasks["say"].error
    assert (error.type, error.message) == ("LookupError", "its outputs cannot be read: no such thing")
    assert "raise LookupError" in error.trace


def test_a_parameter_that_is_no_unicode_is_refused_before_anything_runs(runner):
    def named(text: str):
        say(text=text)

    with pytest.raises(ValueMismatch, match=r"`text`: expected Unicode text.*Received: 'caf.udce9'"):
        runner.run(named, parameters={"text": os.fsdecode(b"caf\xe9")})
    assert runner.events == []


def test_a_leaving_task_is_not_a_success(runner):
    @component
    def leave(code: int) -> str:
        import sys

        sys.exit(code)

    def leaves(code: int):
        say(text=leave(code=code).output)

    ir = runner.compile(leaves)
    assert runner.run(ir, parameters={"code": 3}).tasks["leave"].error.message == "the task left with sys.exit(3)"
    result = runner.run(ir, parameters={"code": 0})
    assert result.state == "FAILED"
    assert "expected the output `Output` of leave" in result.tasks["say"].error.message


def test_a_timeout_ends_the_task_and_what_it_started(runner):
    def naps():
        nap(seconds=60.0)

    started = time.monotonic()
    result = runner.run(naps, timeouts={"nap": 0.5})
    assert time.monotonic() - started < 15
    assert result.tasks["nap"].error.message == "took longer than its timeout of 0.5 s and was ended"
    assert runner.processes() == []


def test_retries(runner, tmp_path):
    @component
    def third_time(file: str) -> int:
        with open(file, "a") as stream:
            stream.write("x")
        count = len(open(file).read())
        if count < 3:
            raise RuntimeError(f"attempt {count}")
        return count

    def retries(file: str):
        third_time(file=file).set_retry(num_retries=2, backoff_duration="0s")

    ir = runner.compile(retries)
    result = runner.run(ir, parameters={"file": str(tmp_path / "count")})
    assert result.tasks["third-time"].outputs == {"Output": 3}
    assert result.tasks["third-time"].attempts == 3
    assert [e.message for e in runner.events if e.kind == "task_retried"] == ["attempt 1", "attempt 2"]

    def too_few(file: str):
        third_time(file=file).set_retry(num_retries=1, backoff_duration="0s")

    failed = runner.run(too_few, parameters={"file": str(tmp_path / "other")})
    assert failed.tasks["third-time"].error.message == "attempt 2"


def test_an_exit_handler_runs_and_knows(runner):
    @component
    def report(status: dsl.PipelineTaskFinalStatus) -> str:
        return f"{status.state} {status.error_message}"

    def handled(x: int):
        with dsl.ExitHandler(report()):
            invert(x=x)

    ir = runner.compile(handled)
    failed = runner.run(ir, parameters={"x": 0})
    assert failed.state == "FAILED"
    assert failed.tasks["report"].outputs["Output"].startswith("FAILED")
    assert runner.run(ir, parameters={"x": 1}).tasks["report"].outputs == {"Output": "SUCCEEDED None"}


def test_a_condition_without_an_answer_fails_the_run(runner):
    def gated(score: float):
        with dsl.If(score > 0.5):
            say(text="pushed")

    ir = runner.compile(gated)
    assert runner.run(ir, parameters={"score": 0.4}).tasks["condition-1/say"].state == "SKIPPED"
    assert runner.run(ir, parameters={"score": 0.6}).tasks["condition-1/say"].state == "SUCCEEDED"
    result = runner.run(ir, parameters={"score": float("nan")})
    assert result.state == "FAILED"
    message = result.failed()[0].error.message
    assert "inputs.parameter_values['pipelinechannel--score'] > 0.5" in message
    assert "NaN" in message


def test_what_cannot_run_is_refused_before_anything_does(runner):
    @dsl.component(base_image="alpine:3", install_kfp_package=False)
    def elsewhere():
        pass

    def unknown_image():
        say(text="x")
        elsewhere()

    with pytest.raises(UnknownEnvironment, match=r"elsewhere: expected an image .*Received: alpine:3"):
        runner.run(unknown_image)

    def quoted(count: int):
        with dsl.If(count == "5"):
            say(text="x")

    with pytest.raises(ConditionError, match="condition-1: expected a condition in CEL.* compare like with like"):
        runner.run(quoted, parameters={"count": 5})

    def plain():
        say(text="x")

    ir = runner.compile(plain)
    container = ir["deploymentSpec"]["executors"]["exec-say"]["container"]
    ir["deploymentSpec"]["executors"]["exec-say"] = {"container": {"image": container["image"], "args": ["a"]}}
    with pytest.raises(UnsupportedPipeline, match="say: expected a command. Received: none, and what registry/"):
        runner.run(ir)
    ir["deploymentSpec"]["executors"]["exec-say"] = {"customJob": {}}
    with pytest.raises(UnsupportedPipeline, match="customJob, which cannot run on this machine"):
        runner.run(ir)
    assert runner.events == []
    assert list_runs(runner.home) == []


def test_kill_the_runner_then_run_again(runner, tmp_path):
    mark = tmp_path / "mark"

    def long(mark: str = str(mark)):
        first = say(text="first")
        nap(seconds=3.0, mark=mark).after(first)

    ir = runner.compile(long)
    process = runner.spawn(ir)
    runner.wait_for(mark.exists)
    runner.wait_for(lambda: "nap" in load_run(runner.home, "latest").tasks)  # which is written after it was started
    process.kill()
    process.wait()
    process.stdout.close()
    runner.wait_for(lambda: runner.processes() == [])
    [dead] = list_runs(runner.home)
    assert dead.state == "INTERRUPTED"
    begun = load_run(runner.home, "latest").tasks["nap"].started
    assert dead.seconds == pytest.approx(begun - dead.started), "until it was last heard of, whenever it is asked for"
    assert load_run(runner.home, "latest").tasks["nap"].state == "INTERRUPTED"
    leftovers = list((runner.home / "tmp").iterdir())
    assert leftovers
    result = runner.run(ir)
    assert result.succeeded
    assert runner.ran() == {"nap"}
    assert list((runner.home / "tmp").iterdir()) == []
    assert [run.state for run in list_runs(runner.home)] == ["SUCCEEDED", "INTERRUPTED"]
    assert list_runs(runner.home)[1].seconds == dead.seconds


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_cancels(runner, tmp_path, number, code):
    mark = tmp_path / "mark"

    def long(mark: str = str(mark)):
        say(text="after").after(nap(seconds=30.0, mark=mark))

    process = runner.spawn(runner.compile(long))
    runner.wait_for(mark.exists)
    process.send_signal(number)
    output, _ = process.communicate(timeout=20)
    assert (process.returncode, output.strip()) == (code, "CANCELLED")
    run = load_run(runner.home, "latest")
    assert run.state == "CANCELLED"
    assert {task.state for task in run.tasks.values()} == {"CANCELLED"}
    assert runner.processes() == []
    assert list((runner.home / "tmp").iterdir()) == []


def test_a_second_signal_kills_at_once(runner, tmp_path):
    mark = tmp_path / "mark"

    @component
    def stubborn(mark: str):
        import signal
        import time

        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        open(mark, "w").close()
        time.sleep(60)

    def long(mark: str = str(mark)):
        stubborn(mark=mark)

    process = runner.spawn(runner.compile(long), grace=60.0)
    runner.wait_for(mark.exists)
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert runner.processes() == []


def test_ctrl_c_in_this_process_raises_keyboard_interrupt(runner):
    def long():
        nap(seconds=30.0)

    ir = runner.compile(long)

    def interrupt(event):
        if event.kind == "task_started":
            os.kill(os.getpid(), signal.SIGINT)

    from headrace.pipelines.local.run import run_pipeline
    from headrace.pipelines.local.workers.environments import default_environments

    with pytest.raises(KeyboardInterrupt) as caught:
        run_pipeline(ir, home=runner.home, environments=default_environments(), on_event=interrupt)
    assert isinstance(caught.value, Cancelled)
    assert caught.value.exit_code == 130


def test_tasks_run_side_by_side(runner):
    @component
    def meet(mine: str, theirs: str):
        import os
        import time

        open(mine, "w").close()
        for _ in range(1000):
            if os.path.exists(theirs):
                return
            time.sleep(0.01)
        raise RuntimeError("alone")

    def pair(a: str = str(runner.folder / "a"), b: str = str(runner.folder / "b")):
        meet(mine=a, theirs=b)
        meet(mine=b, theirs=a)

    assert runner.run(pair, max_parallel=2).succeeded


def test_no_room_on_the_disk(runner):
    @component
    def fill(data: dsl.Output[dsl.Dataset]):
        import errno

        raise OSError(errno.ENOSPC, "No space left on device", data.path)

    def fills():
        fill()

    result = runner.run(fills)
    assert "expected room on the disk" in view.failure_text(result)
    assert "Traceback" not in view.failure_text(result)


def test_a_newer_record_is_refused(runner):
    def plain():
        say(text="x")

    ir = runner.compile(plain)
    runner.run(ir)
    with sqlite3.connect(runner.home / "runs.db") as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    from headrace.pipelines.local.record.record import RecordError

    with pytest.raises(RecordError, match=r"format version 2 or older\. Received: version 99"):
        runner.run(ir)
