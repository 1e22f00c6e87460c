"""What is seen of runs on the command line: events, logs while it runs, the graph, lineage, differences."""

# What stands in components is what users write.
# ruff: noqa: PTH110, PTH123

import functools
import json
import subprocess

import pytest
from kfp import dsl

from tests.e2e.projects import HEADRACE, environment, headrace

component = functools.partial(dsl.component, base_image="registry/headrace-main:1", install_kfp_package=False)


@component
def produce(text: str, data: dsl.Output[dsl.Dataset]):
    with open(data.path, "w") as file:
        file.write(text)
    data.metadata["rows"] = len(text)


@component
def flaky(mark: str) -> str:
    import os

    print("trying")
    if not os.path.exists(mark):
        open(mark, "w").close()
        raise ValueError("not yet")
    return "fine"


@component
def measure(data: dsl.Input[dsl.Dataset], factor: int, metrics: dsl.Output[dsl.Metrics], gate: str = "") -> int:
    import os
    import time

    print("measuring")
    until = time.monotonic() + 60
    while gate and not os.path.exists(gate) and time.monotonic() < until:
        time.sleep(0.05)
    with open(data.path) as file:
        size = len(file.read()) * factor
    metrics.log_metric("size", size)
    print("measured")
    return size


@component
def fail(size: int):
    raise ValueError(f"cannot use {size}")


def seen(text: str = "abc", gate: str = "", mark: str = "", bad: bool = False):
    tried = flaky(mark=mark).set_retry(2)
    made = produce(text=text).after(tried)
    size = measure(data=made.outputs["data"], factor=1, gate=gate)
    with dsl.ParallelFor([1, 2, 3]) as factor:
        measure(data=made.outputs["data"], factor=factor).set_display_name("scaled")
    with dsl.If(bad == True, name="bad"):  # noqa: E712  (KFP's way)
        fail(size=size.outputs["Output"])


def call(runner, *arguments, **variables):
    return headrace(*arguments, cwd=runner.folder, **variables)


def begin(runner, *arguments):
    command = [str(HEADRACE), *map(str, arguments)]
    return subprocess.Popen(
        command, cwd=runner.folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_events_and_logs_while_it_runs(runner):
    runner.compile(seen)
    gate, mark = runner.folder / "gate", runner.folder / "mark"
    parameters = ("-p", f"gate={gate}", "-p", f"mark={mark}", "--max-parallel", 2)
    run = begin(runner, "run", "pipeline.yaml", "--json", *parameters)
    begun, followed = [run], {}
    try:
        runner.wait_for(lambda: (runner.home / "runs.db").exists() and "RUNNING" in call(runner, "runs").out)
        for name in ("measure", "flaky", "for-loop-2/scaled", ""):
            followed[name] = begin(runner, "logs", "latest", *name.split(), "-f")
        begun += followed.values()
        runner.wait_for(lambda: call(runner, "logs", "latest", "measure").out == "measuring\n", 60)
        assert followed["measure"].poll() is None, "it goes on while the task does"
        waiting = begin(runner, "logs", "latest", "fail", "-f")
        begun.append(waiting)
        assert waiting.stderr.readline() == "headrace: fail: it has not begun; waiting for it\n"
        waiting.send_signal(2)
        gate.touch()
        out, err = run.communicate(timeout=60)
        said = {name: one.communicate(timeout=60) for name, one in followed.items()}
        waiting.communicate(timeout=60)
    finally:
        for one in begun:
            one.kill()
            one.wait()
    assert {name: one.returncode for name, one in followed.items()} == dict.fromkeys(followed, 0)
    assert said["measure"][0] == "measuring\nmeasured\n"
    assert said["measure"][1].startswith("headrace: measure: done in ")
    assert said["flaky"][0].count("trying\n") == 2
    assert "ValueError: not yet" in said["flaky"][0]
    assert "headrace: flaky: done in " in said["flaky"][1]
    assert said["flaky"][1].endswith(", attempt 2\n")
    scaled = sorted(said["for-loop-2/scaled"][0].splitlines())
    assert scaled == [f"for-loop-2[{n}]/scaled | {word}" for n in range(3) for word in ("measured", "measuring")]
    assert set(scaled) | {"measure | measured", "flaky | trying"} <= set(said[""][0].splitlines())
    assert waiting.returncode == 130
    _check_events([json.loads(line) for line in out.splitlines()])
    assert "SUCCEEDED in" in err
    assert "Reports: " in err


def _check_events(events):
    assert [events[0]["event"], *(one["event"] for one in events[-2:])] == ["run_started", "run_finished", "outcome"]
    assert len({one["run"] for one in events}) == 1
    assert [one["time"] for one in events[:-1]] == sorted(one["time"] for one in events[:-1])
    (retried,) = [one for one in events if one["event"] == "task_retried"]
    assert (retried["task"], retried["attempt"], retried["error"]["type"]) == ("flaky", 1, "ValueError")
    assert "not yet" in retried["error"]["trace"]
    finished = {one["task"]: one for one in events if one["event"] == "task_finished"}
    assert finished["flaky"]["attempt"] == 2
    assert finished["flaky"]["outputs"] == {"Output": "fine"}
    assert finished["measure"]["metrics"] == {"size": 3}
    (data,) = finished["produce"]["artifacts"]
    assert (data["type"], data["metadata"], data["bytes"]) == ("system.Dataset", {"rows": 3}, 3)
    (skipped,) = [one for one in finished.values() if one["name"] == "fail"]
    assert (skipped["state"], skipped["reason"][:22]) == ("SKIPPED", "the condition is false")
    assert finished["for-loop-2"]["group"] is True
    assert (events[-1]["state"], events[-1]["exit_code"]) == ("SUCCEEDED", 0)


@pytest.fixture
def runs(runner):
    """Two runs: the second on other data, failing at its end."""
    ir = runner.compile(seen)
    mark = str(runner.folder / "mark")
    first = runner.run(ir, parameters={"mark": mark}, name="first", labels={"commit": "c1"})
    second = runner.run(ir, parameters={"mark": mark, "text": "abcdef", "bad": True}, name="second")
    assert (first.state, second.state) == ("SUCCEEDED", "FAILED")
    return runner, first.id, second.id


def test_show_diff_lineage_and_runs(runs):
    runner, first, second = runs
    shown = call(runner, "show", first).ok().out
    for line in (
        "✓ produce",
        "✓ for-loop-2 x 3",
        "┊ ✓ scaled x 3",
        "size=3",
        "produce/data",
        f"first {first}: SUCCEEDED in",
    ):
        assert line in shown, shown
    plain = call(runner, "show", first, PYTHONIOENCODING="ascii").ok().out
    assert "+ produce" in plain
    assert plain.isascii()
    told = json.loads(call(runner, "show", second, "--json").ok().out)
    assert told["tasks"]["measure"]["after"] == ["produce"]
    assert told["tasks"]["measure"]["inputs"][0]["metadata"] == {"rows": 6}
    assert told["tasks"]["measure"]["made_of"]["code"].startswith("sha256:")
    assert [t["error"]["message"] for t in told["tasks"].values() if t["name"] == "fail"] == ["cannot use 6"]
    assert told["groups"]["for-loop-2"]["state"] == "SUCCEEDED"
    failed = call(runner, "show").ok().out
    assert failed.index("ValueError: cannot use 6") < failed.index("fail failed")

    lineage = call(runner, "show", first, "--lineage", "produce/data").ok().out
    assert "text = abc" in lineage
    assert "measure (as data)" in lineage
    refused = call(runner, "show", first, "--lineage", "prodce")
    assert (refused.code, refused.out) == (1, "")
    assert "did you mean produce?" in refused.err

    differences = call(runner, "diff", "first", "second").ok().out
    for line in (
        "text: abc -> abcdef",
        ", 3 rows -> sha256:",
        "produce: because its parameter text changed",
        "measure size: 3 -> 6  (+3)",
        "label commit: removed (c1)",
        "fail: SKIPPED -> FAILED",
    ):
        assert line in differences, differences
    assert json.loads(call(runner, "diff", "--json").ok().out)["before"] == first
    assert "Nothing differs." in call(runner, "diff", "latest", "latest").ok().out

    header, *lines = call(runner, "runs").ok().out.splitlines()
    assert header.split() == ["RUN", "STATE", "STARTED", "TOOK", "NAME"]
    assert [line.split()[:2] for line in lines] == [[second, "FAILED"], [first, "SUCCEEDED"]]
    assert [
        json.loads(line)["run"] for line in call(runner, "runs", "--state", "failed", "--json").ok().out.splitlines()
    ] == [second]
    assert [line.split()[0] for line in call(runner, "runs", "--name", "first").ok().out.splitlines()[1:]] == [first]
    assert call(runner, "runs", "--name", "frist").err.endswith(
        "expected the name of a run (first, second). Received: frist\n"
    )


def test_logs_of_a_run_that_is_over(runs):
    runner, first, second = runs
    assert call(runner, "logs", first, "measure").ok().out == "measuring\nmeasured\n"
    assert call(runner, "logs", first, "measure", "--tail", 1).ok().out == "measured\n"
    every = call(runner, "logs", first, "-f").ok().out.splitlines()
    assert {line.partition(" | ")[0] for line in every} == {
        "flaky",
        "measure",
        *(f"for-loop-2[{n}]/scaled" for n in range(3)),
    }
    cached = call(runner, "logs", second, "flaky")
    assert cached.code == 1
    assert f"it was cached; `headrace logs {first} flaky` has that of the run which made it" in cached.err
    skipped = call(runner, "logs", first, "fail")
    assert (skipped.code, skipped.err) == (1, "headrace: fail: expected a log. Received: none; it was skipped\n")
    unknown = call(runner, "logs", first, "mesure")
    assert "(did you mean measure?). Received: mesure" in unknown.err


def test_events_of_a_run_that_cannot_begin(runner):
    runner.compile(seen)
    refused = call(runner, "run", "pipeline.yaml", "--json", "-p", "nosuch=1")
    assert refused.code == 1
    (line,) = refused.out.splitlines()
    told = json.loads(line)
    assert (told["event"], told["run"], told["version"]) == ("error", None, 1)
    assert "nosuch" in told["message"]
    assert refused.err.startswith("headrace: ")
