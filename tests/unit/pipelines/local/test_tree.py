"""A run ends, whatever goes wrong while its tasks are written down."""

import pytest

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.local.ir.reading import read_graph
from headrace.pipelines.local.tree import Tree

LEAF = {"executorLabel": "exec"}


def graph():
    """a -> b."""
    tasks = {
        "a": {"taskInfo": {"name": "a"}, "componentRef": {"name": "comp-a"}},
        "b": {"taskInfo": {"name": "b"}, "componentRef": {"name": "comp-b"}, "dependentTasks": ["a"]},
    }
    return read_graph(
        {
            "schemaVersion": "2.1.0",
            "sdkVersion": "kfp-2.16.1",
            "pipelineInfo": {"name": "p"},
            "root": {"dag": {"tasks": tasks}},
            "components": {"comp-a": LEAF, "comp-b": LEAF},
            "deploymentSpec": {"executors": {"exec": {"container": {"image": "python:3.11", "command": ["true"]}}}},
        }
    )


def test_a_record_that_cannot_be_written_ends_the_run():
    """As on a full disk: the error goes up; a skipped task must not be waited for."""

    def on_final(node):
        if node.path == "b":
            raise HeadraceError("expected room on the disk. Received: none")

    tree = Tree(graph(), {}, {}, lambda node: tree.finish(node, "FAILED"), on_final)
    with pytest.raises(HeadraceError, match="expected room on the disk"):
        tree.work()


def test_an_error_before_a_task_begins_is_the_tasks_own():
    def on_leaf(node):
        raise HeadraceError("expected an input. Received: none")

    found = {}
    tree = Tree(graph(), {}, {}, on_leaf, lambda node: found.update({node.path: node.state}))
    tree.work()
    assert tree.done
    assert found == {"a": "FAILED", "b": "SKIPPED"}
