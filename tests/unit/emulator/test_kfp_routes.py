"""What the generated client of Kubeflow Pipelines can ask for has a route."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from headrace.emulator.kfp.task_details import task_details
from headrace.emulator.routing import Router
from headrace.emulator.server import routes
from headrace.pipelines.local.record.results import (
    FAILED,
    RUNNING,
    SUCCEEDED,
    ArtifactRecord,
    RunResult,
    TaskError,
    TaskResult,
)


def asked() -> list[tuple[str, str]]:
    """Method and path of each function of the generated client."""
    spec = find_spec("kfp_server_api")
    assert spec is not None and spec.origin is not None
    files = sorted((Path(spec.origin).parent / "api").glob("*_api.py"))
    return [
        (found[2], re.sub(r"\{[\w.]+\}", "x-1", found[1]))
        for file in files
        for found in re.finditer(r"'(/apis/[^']+)', '([A-Z]+)',", file.read_text())
    ]


def test_each_has_one() -> None:
    router = Router(routes())
    found = {(method, path): router.find(method, path)[0] for method, path in asked()}
    assert len(found) >= 37
    assert {route.call.rpartition(".")[2] for route in found.values() if route.why_not} == {
        "visualization_service_create_visualization_v1",
        "report_service_report_workflow",
        "report_service_report_scheduled_workflow",
        "dummy_filter_service_get_filter",
    }


def run(*tasks: TaskResult, state: str = RUNNING) -> RunResult:
    return RunResult("1", "n", "p", state, 100.0, 50.0, {}, {}, {task.path: task for task in tasks})


def task(path: str, state: str = SUCCEEDED, **more: object) -> TaskResult:
    name = path.rpartition("/")[2]
    return TaskResult(path=path, name=name, component="c", state=state, started=110.0, seconds=5.0, **more)  # type: ignore[arg-type]


def shown(*tasks: TaskResult, state: str = RUNNING) -> dict[str, tuple[str, str]]:
    """By the names of the nodes above each and its own: its state, and when it ended."""
    nodes = {one["task_id"]: one for one in task_details("id", run(*tasks, state=state))}
    for one in nodes.values():
        for child in one["child_tasks"]:
            assert nodes[child["task_id"]]["parent_task_id"] == one["task_id"]

    def path(node: dict[str, str]) -> str:
        above = node.get("parent_task_id")
        return (path(nodes[above]) + "/" if above else "") + node["display_name"]

    return {path(one): (one["state"], one.get("end_time", "")[17:19]) for one in nodes.values()}


def test_nodes_of_a_run_that_goes_on() -> None:
    found = shown(task("a", cached=True), task("loop[3]/b", RUNNING), task("loop[3]/if/c", FAILED))
    helpers = {name for name in found if name.endswith("-driver")}
    assert {name: one for name, one in found.items() if name not in helpers} == {
        "root": ("RUNNING", ""),
        "root/a": ("SUCCEEDED", "55"),
        "root/a/executor": ("SKIPPED", "55"),
        "root/loop": ("RUNNING", ""),
        "root/loop/iteration-item(3)": ("RUNNING", ""),
        "root/loop/iteration-item(3)/b": ("RUNNING", ""),
        "root/loop/iteration-item(3)/b/executor": ("RUNNING", ""),
        "root/loop/iteration-item(3)/if": ("RUNNING", ""),
        "root/loop/iteration-item(3)/if/c": ("FAILED", "55"),
        "root/loop/iteration-item(3)/if/c/executor": ("FAILED", "55"),
    }
    assert "root/loop/iteration-item(3)/b-driver" in helpers and len(helpers) == 4


def test_nodes_of_a_run_that_has_ended() -> None:
    error = TaskError("ValueError", "no", "")
    failed = task("loop[0]/b", FAILED, error=error, log=Path("/l"))
    found = shown(failed, task("loop", FAILED, leaf=False), task("skipped", "SKIPPED"), state="CANCELLED")
    assert found["root"] == ("CANCELED", "30") and found["root/loop/iteration-item(0)"][0] == "FAILED"
    assert found["root/skipped"] == ("SKIPPED", "55") and "root/skipped/executor" not in found
    told = {one["display_name"]: one for one in task_details("id", run(failed))}
    assert told["b"]["error"] == told["executor"]["error"] == {"code": 2, "message": "ValueError: no Its log: /l"}


def test_an_artifact_has_the_same_number_in_every_run() -> None:
    one = ArtifactRecord("out", "system.Dataset", "/x", "sha256:1")
    made, used = task("a", artifacts={"out": (one,)}), task("b", inputs={"data": (one,)})
    nodes = {node["display_name"]: node for node in task_details("id", run(made, used))}
    assert nodes["a"]["outputs"]["out"] == nodes["b"]["inputs"]["data"]
    assert int(nodes["a"]["outputs"]["out"]["artifact_ids"][0]) < 2**63


@pytest.mark.parametrize("path", ["a", "loop[1]/a", "g/loop[1]/h/a"])
def test_identities_are_one_each_and_stay(path: str) -> None:
    first, second = (task_details("id", run(task(path))) for _ in range(2))
    assert first == second and len({one["task_id"] for one in first}) == len(first)
