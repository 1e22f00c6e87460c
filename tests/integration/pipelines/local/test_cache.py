"""The cache is proven by content: what changed runs again, and nothing else does."""

# What stands in components is what users write.
# ruff: noqa: PTH103, PTH118, PTH123, PTH208

import functools
import shutil
import sys
from pathlib import Path

import pytest
from kfp import dsl

component = functools.partial(dsl.component, base_image="registry/headrace-main:1", install_kfp_package=False)


@component
def produce(text: str, data: dsl.Output[dsl.Dataset]):
    with open(data.path, "w") as file:
        file.write(text.strip())


@component
def measure(data: dsl.Input[dsl.Dataset], bonus: int = 0) -> int:
    with open(data.path) as file:
        return len(file.read()) + bonus


@component
def double(x: int) -> int:
    return 2 * x


def steps(text: str = "abc", bonus: int = 0) -> int:
    size = measure(data=produce(text=text).outputs["data"], bonus=bonus)
    return double(x=size.output).output


def test_nothing_changed_nothing_runs(runner):
    ir = runner.compile(steps)
    first = runner.run(ir)
    assert runner.ran() == {"produce", "measure", "double"}
    second = runner.run(ir)
    assert runner.ran() == set()
    assert all(task.cached for task in second.tasks.values())
    assert second.outputs == first.outputs == {"Output": 6}
    assert second.tasks["produce"].artifacts == first.tasks["produce"].artifacts
    assert not (runner.home / "logs" / second.id).exists(), "a run of which nothing changed starts no worker"


def test_a_changed_parameter_runs_what_depends_on_it(runner):
    ir = runner.compile(steps)
    runner.run(ir)
    assert runner.run(ir, parameters={"bonus": 1}).outputs == {"Output": 8}
    assert runner.ran() == {"measure", "double"}


def test_the_same_content_stops_the_wave(runner):
    ir = runner.compile(steps)
    runner.run(ir)
    assert runner.run(ir, parameters={"text": " abc "}).outputs == {"Output": 6}
    assert runner.ran() == {"produce"}
    runner.run(ir, parameters={"text": "xyz"})
    assert runner.ran() == {"produce", "measure"}, "other content of the same length, so `double` has what it had"


def test_without_cache_everything_runs_and_is_stored(runner):
    ir = runner.compile(steps)
    runner.run(ir)
    runner.run(ir, use_cache=False)
    assert runner.ran() == {"produce", "measure", "double"}
    runner.run(ir)
    assert runner.ran() == set()


def test_a_task_with_caching_off_always_runs(runner):
    def fresh() -> int:
        size = measure(data=produce(text="abc").outputs["data"]).set_caching_options(False)
        return double(x=size.output).output

    ir = runner.compile(fresh)
    runner.run(ir)
    result = runner.run(ir)
    assert runner.ran() == {"measure"}
    assert result.tasks["double"].cached


@pytest.mark.parametrize("damage", ["gone", "shorter"])
def test_outputs_that_are_gone_are_made_again(runner, damage):
    ir = runner.compile(steps)
    path = runner.run(ir).tasks["produce"].artifacts["data"][0].path
    if damage == "gone":
        shutil.rmtree(path.parent)
    else:
        path.write_text("a")
    assert runner.run(ir).outputs == {"Output": 6}
    assert runner.ran() == {"produce"}


def test_two_runs_at_the_same_time_share_the_store(runner):
    ir = runner.compile(steps)
    runs = [runner.spawn(ir) for _ in range(3)]
    assert [run.communicate(timeout=60)[0].strip() for run in runs] == ["SUCCEEDED"] * 3
    assert runner.run(ir).outputs == {"Output": 6}
    assert runner.ran() == set()


def test_a_failure_is_not_cached(runner, tmp_path):
    @component
    def flaky(file: str) -> str:
        with open(file) as stream:
            return stream.read()

    def reads(file: str):
        flaky(file=file)

    ir = runner.compile(reads)
    file = tmp_path / "late.txt"
    assert runner.run(ir, parameters={"file": str(file)}).state == "FAILED"
    file.write_text("now")
    assert runner.run(ir, parameters={"file": str(file)}).tasks["flaky"].outputs == {"Output": "now"}


def test_code_that_a_task_imports_is_part_of_its_key(runner, tmp_path, monkeypatch):
    package = tmp_path / "lib" / "houselib"
    (package / "rooms").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "rooms" / "__init__.py").write_text("")
    (package / "rooms" / "used.py").write_text("def name():\n    from houselib import deep\n    return deep.NAME\n")
    (package / "rooms" / "unused.py").write_text("NAME = 'unused'\n")
    (package / "deep.py").write_text("NAME = 'one'\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "lib"))

    @component
    def uses() -> str:
        from houselib.rooms.used import name

        return name()

    def house() -> str:
        return uses().output

    ir = runner.compile(house)
    assert runner.run(ir).outputs == {"Output": "one"}
    (package / "rooms" / "unused.py").write_text("NAME = 'changed'\n")
    runner.run(ir)
    assert runner.ran() == set()
    (package / "deep.py").write_text("NAME = 'three'\n")
    assert runner.run(ir).outputs == {"Output": "three"}


def test_folders_are_compared_by_their_content(runner):
    @component
    def folder(n: int, data: dsl.Output[dsl.Dataset]):
        import os

        os.makedirs(os.path.join(data.path, "part"))
        with open(os.path.join(data.path, "part", "a.txt"), "w") as file:
            file.write("same")

    @component
    def look(data: dsl.Input[dsl.Dataset]) -> list:
        import os

        return sorted(os.listdir(data.path))

    def tree(n: int = 1):
        look(data=folder(n=n).outputs["data"])

    ir = runner.compile(tree)
    assert runner.run(ir).tasks["look"].outputs == {"Output": ["part"]}
    runner.run(ir, parameters={"n": 2})
    assert runner.ran() == {"folder"}


def test_another_environment_is_another_key(runner, tmp_path, monkeypatch):
    from headrace.pipelines.local.workers import environments

    ir = runner.compile(steps)
    runner.run(ir)
    prefix = tmp_path / "env"
    (prefix / "bin").mkdir(parents=True)
    (prefix / "bin" / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (prefix / "bin" / "python").chmod(0o755)
    (prefix / "headrace-env").write_text("project x\nmain.lock 123\n")
    runner.run(ir, environments=environments.Environments({"main": Path(prefix)}))
    assert runner.ran() == {"produce", "measure", "double"}
