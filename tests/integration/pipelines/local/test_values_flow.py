"""What flows along the arrows is what KFP says: parameters, artifacts, metadata, groups, loops."""

# What stands in components is what users write.
# ruff: noqa: PTH123

import functools
from typing import NamedTuple, Optional

import pytest
from kfp import dsl

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.local.inputs import InputError

component = functools.partial(dsl.component, base_image="registry/headrace-main:1", install_kfp_package=False)


@component
def describe(i: int = 0, f: float = 0.5, s: str = "", b: bool = False, l: list = [], d: dict = {},  # noqa: B006, E741
             o: Optional[int] = None) -> str:  # noqa: UP045  # fmt: skip
    return repr((i, f, s, b, l, d, o))


@component
def increment(x: int) -> int:
    return x + 1


@component
def write(text: str, out: dsl.Output[dsl.Dataset], metrics: dsl.Output[dsl.Metrics]):
    with open(out.path, "w") as file:
        file.write(text)
    out.metadata["length"] = len(text)
    metrics.log_metric("length", float(len(text)))


@component
def read(data: dsl.Input[dsl.Dataset]) -> str:
    with open(data.path) as file:
        return f"{file.read()} {data.metadata['length']}"


@component
def two() -> NamedTuple("Two", [("yes", bool), ("why", str)]):
    return (True, "because")


@component
def join(texts: list) -> str:
    return "+".join(str(text) for text in texts)


@component
def read_all(data: dsl.Input[list[dsl.Dataset]]) -> str:
    return "+".join(open(item.path).read() for item in data)


def test_parameters_keep_their_types(runner):
    def types(i: int = 7, none: Optional[int] = None):  # noqa: UP045
        describe(i=i, f=2.0, s="a 'b' {{c}}", b=True, l=[1, "x", 0.5], d={"k": [1.5, {}]}, o=none)
        describe()

    result = runner.run(types, parameters={"i": 9})
    assert result.succeeded
    assert result.tasks["describe"].outputs["Output"] == repr(
        (9, 2.0, "a 'b' {{c}}", True, [1, "x", 0.5], {"k": [1.5, {}]}, None)
    )
    assert result.tasks["describe-2"].outputs["Output"] == repr((0, 0.5, "", False, [], {}, None))


def test_falsy_values_are_values(runner):
    def falsy(i: int = 5, s: str = "x", b: bool = True):
        describe(i=i, s=s, b=b)

    result = runner.run(falsy, parameters={"i": 0, "s": "", "b": False})
    assert result.tasks["describe"].outputs["Output"] == repr((0, 0.5, "", False, [], {}, None))


def test_wrong_parameters_are_refused_before_anything_runs(runner):
    def needs(x: int):
        increment(x=x)

    ir = runner.compile(needs)
    with pytest.raises(InputError, match=r"expected a value for the parameter `x`"):
        runner.run(ir)
    with pytest.raises(HeadraceError, match=r"`x`: expected an integer .*Received: 'many'"):
        runner.run(ir, parameters={"x": "many"})
    with pytest.raises(InputError, match=r"expected parameters of needs among x\. Received: y"):
        runner.run(ir, parameters={"x": 1, "y": 2})
    assert runner.events == []


def test_artifacts_and_their_metadata_travel(runner):
    def flow() -> str:
        written = write(text="hello")
        return read(data=written.outputs["out"]).output

    result = runner.run(flow)
    assert result.outputs == {"Output": "hello 5"}
    assert result.metrics() == {"write": {"length": 5.0}}
    (record,) = result.tasks["write"].artifacts["out"]
    assert record.path.read_text() == "hello"
    assert record.path.is_relative_to(runner.home / "store")
    assert record.type == "system.Dataset"
    assert result.tasks["read"].inputs["data"] == (record,)


@pytest.mark.parametrize(("x", "branch"), [("a", "increment-2"), ("b", "increment-3"), ("c", "increment-4")])
def test_branches_and_oneof(runner, x, branch):
    def branches(x: str = "a") -> int:
        n = increment(x=1)
        with dsl.If(x == "a"):
            first = increment(x=10)
        with dsl.Elif(x == "b"):
            second = increment(x=20)
        with dsl.Else():
            third = increment(x=30)
        chosen = dsl.OneOf(first.output, second.output, third.output)
        return increment(x=chosen).after(n).output

    result = runner.run(branches, parameters={"x": x})
    assert result.outputs == {"Output": {"a": 12, "b": 22, "c": 32}[x]}
    states = {path.split("/")[-1]: t.state for path, t in result.tasks.items() if "condition-branches-1/" in path}
    assert [name for name in ("increment-2", "increment-3", "increment-4") if states[name] == "SUCCEEDED"] == [branch]


def test_loops_and_collected(runner):
    def loops(items: list = [{"n": 1}, {"n": 5}]) -> str:  # noqa: B006
        with dsl.ParallelFor(items, parallelism=1) as item:
            plus = increment(x=item.n)
        with dsl.ParallelFor(["p", "q", "r"]) as text:
            written = write(text=text)
        read_all(data=dsl.Collected(written.outputs["out"]))
        return join(texts=dsl.Collected(plus.output)).output

    result = runner.run(loops)
    assert result.outputs == {"Output": "2+6"}
    assert result.tasks["read-all"].outputs["Output"] == "p+q+r"


def test_nested_pipelines(runner):
    @dsl.pipeline
    def inner(x: int = 1, text: str = "deep") -> NamedTuple("Out", [("y", int), ("data", dsl.Dataset)]):
        out = NamedTuple("Out", [("y", int), ("data", dsl.Dataset)])  # noqa: UP014
        return out(increment(x=x).output, write(text=text).outputs["out"])

    def outer() -> str:
        first = inner(x=increment(x=1).output)
        increment(x=first.outputs["y"])
        return read(data=first.outputs["data"]).output

    result = runner.run(outer)
    assert result.outputs == {"Output": "deep 4"}
    assert result.tasks["increment-2"].outputs["Output"] == 4
    assert result.tasks["inner/increment"].outputs["Output"] == 3


def test_importer(runner, tmp_path):
    (tmp_path / "given.txt").write_text("given")

    def imports(uri: str):
        got = dsl.importer(artifact_uri=uri, artifact_class=dsl.Dataset, metadata={"length": 5})
        read(data=got.output)

    ir = runner.compile(imports)
    result = runner.run(ir, parameters={"uri": str(tmp_path / "given.txt")})
    assert result.tasks["read"].outputs["Output"] == "given 5"
    (tmp_path / "given.txt").write_text("other")
    assert runner.run(ir, parameters={"uri": str(tmp_path / "given.txt")}).tasks["read"].outputs["Output"] == "other 5"
    missing = runner.run(ir, parameters={"uri": str(tmp_path / "absent")})
    assert missing.state == "FAILED"
    assert "expected an artifact to import" in missing.failed()[0].error.message


def test_container_component(runner):
    @dsl.container_component
    def shell(x: str, text: dsl.OutputPath(str), data: dsl.Output[dsl.Dataset], extra: Optional[str] = None):  # noqa: UP045
        return dsl.ContainerSpec(
            image="registry/headrace-main:1",
            command=["sh", "-ec", 'printf "%s|" "$@" > "$0"; command -v python > "$1"'],
            args=[text, data.path, dsl.ConcatPlaceholder(["x=", x]),
                  dsl.IfPresentPlaceholder("extra", then=["--extra", extra], else_=["none"])],
        )  # fmt: skip

    def programs():
        shell(x="1; rm -rf $HOME")
        shell(x="2", extra="e")

    result = runner.run(programs)
    assert result.succeeded
    first, second = (result.tasks[name] for name in ("shell", "shell-2"))
    assert first.outputs["text"].split("|")[1:] == ["x=1; rm -rf $HOME", "none", ""]
    assert second.outputs["text"].split("|")[1:] == ["x=2", "--extra", "e", ""]
    import sys

    assert first.artifacts["data"][0].path.read_text().strip().startswith(sys.prefix)


def test_two_environments_exchange_files(runner):
    @dsl.component(base_image="registry/headrace-tfx:1", install_kfp_package=False)
    def other(data: dsl.Input[dsl.Dataset], out: dsl.Output[dsl.Dataset]) -> str:
        import sys

        import pyarrow

        with open(data.path) as source, open(out.path, "w") as file:
            file.write(source.read().upper())
        out.metadata["length"] = 0
        return f"{sys.prefix} pyarrow {pyarrow.__version__.split('.')[0]}"

    def both() -> str:
        changed = other(data=write(text="hello").outputs["out"])
        return read(data=changed.outputs["out"]).output

    result = runner.run(both)
    assert result.outputs == {"Output": "HELLO 0"}
    assert result.tasks["other"].outputs["Output"].endswith("-tfx pyarrow 10")


def test_plain_python_image_is_said_once_and_nothing_is_installed(runner):
    @dsl.component(base_image="python:3.11", packages_to_install=["left-pad==9"])
    def plain() -> str:
        return "ran"

    def lightweight():
        plain()

    result = runner.run(lightweight)
    assert result.tasks["plain"].outputs["Output"] == "ran"
    notices = [event.message for event in runner.events if event.kind == "notice"]
    assert notices == [
        "components on python:3.11 run in the environment `main`",
        "nothing is installed at run time; the environment must have left-pad==9",
    ]


def test_joblib_workers_find_a_proper_main(runner):
    @component
    def pooled() -> int:
        from joblib import Parallel, delayed

        return sum(Parallel(n_jobs=2)(delayed(abs)(-n) for n in range(4)))

    def pools():
        pooled()

    assert runner.run(pools).tasks["pooled"].outputs["Output"] == 6
