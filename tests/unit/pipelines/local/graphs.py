"""Graphs and runs for tests, without KFP: `make_graph({"a": "", "b": "a"})` is two tasks, the second after the first."""

from collections.abc import Mapping
from typing import Any

from headrace.pipelines.local.ir import conditions
from headrace.pipelines.local.ir.graph import Artifact, Component, Dag, Executor, Graph, Loop, Parameter, Source, Task
from headrace.pipelines.local.record.results import ArtifactRecord, RunResult, TaskResult

DATA = {"schemaTitle": "system.Dataset"}


def output(task: str, key: str = "data") -> Source:
    return Source("task", name=task, key=key)


def parent(name: str) -> Source:
    return Source("parent", name=name)


def constant(value: Any) -> Source:
    return Source("constant", value=value)


class Builder:
    """Collects components on the way."""

    def __init__(self) -> None:
        self.components: dict[str, Component] = {}

    def dag(self, tasks: Mapping[str, Any], outputs: Mapping[str, tuple[Source, ...]] | None = None) -> Dag:
        return Dag({name: self.task(name, said) for name, said in tasks.items()}, {}, outputs or {})

    def task(self, name: str, said: Any) -> Task:
        """A task of `"upstream, upstream"`, or of a mapping with any of: after, parameters, artifacts, inside,
        outputs, loop, condition, component, display, image, cache."""
        said = {"after": said} if isinstance(said, str) else dict(said)
        parameters, artifacts = said.get("parameters", {}), said.get("artifacts", {})
        sources = (*parameters.values(), *artifacts.values())
        upstream = {*filter(None, said.get("after", "").split(", ")), *(s.name for s in sources if s.kind == "task")}
        component = said.get("component", f"comp-{name}")
        inside = self.dag(said["inside"], said.get("outputs")) if "inside" in said else None
        executor = None if inside else Executor("container", image=said.get("image", "registry/headrace-main:1"))
        self.components[component] = Component(component, {}, {}, {}, {"data": Artifact(DATA)}, executor, inside)
        loop = said.get("loop")
        return Task(
            name=name,
            display=said.get("display", name),
            component=component,
            parameters=parameters,
            artifacts=artifacts,
            upstream=frozenset(upstream),
            condition=conditions.parse(said["condition"]) if "condition" in said else None,
            always=False,
            cache=said.get("cache", True),
            retry=None,
            loop=Loop("item", source=loop) if isinstance(loop, str) else Loop("item", raw=loop) if loop else None,
        )


def make_graph(tasks: Mapping[str, Any], **defaults: Any) -> Graph:
    builder = Builder()
    dag = builder.dag(tasks)
    parameters = {name: Parameter("STRING", default=value, has_default=True) for name, value in defaults.items()}
    root = Component("root", parameters, {}, {}, {}, None, dag)
    return Graph("pipe", builder.components, root, ())


def task(path: str, state: str = "SUCCEEDED", **more: Any) -> TaskResult:
    name = more.pop("name", path.rpartition("/")[2])
    return TaskResult(path=path, name=name, component=f"comp-{name}", state=state, **more)


def record(digest: str | None, name: str = "data", kind: str = "Dataset", **metadata: Any) -> ArtifactRecord:
    return ArtifactRecord(name, f"system.{kind}", f"/store/{digest}", digest, metadata, 1, 2048)


def run(*tasks: TaskResult, run_id: str = "r1", state: str = "SUCCEEDED", **more: Any) -> RunResult:
    fields = {"started": 0.0, "seconds": 2.5, "labels": {}, "parameters": {}, **more}
    return RunResult(run_id, "pipe", "pipe", state, tasks={t.path: t for t in tasks}, **fields)
