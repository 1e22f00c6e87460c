"""The graph in plain text: every task after those it waits for, and readable however many there are."""

import random

import pytest

from headrace.pipelines.local.views import live, run_text
from headrace.pipelines.local.views.drawing import ASCII_GLYPHS, draw
from tests.unit.pipelines.local.graphs import make_graph, record, run, task

SIGNS = live._SIGNS


def drawn(graph, *tasks, **more):
    return [f"{line.lead}{line.label}" for line in draw(graph, run(*tasks, **more))]


def test_a_chain_stays_in_its_column_and_branches_stand_to_the_right():
    graph = make_graph({"a": "", "b": "a", "side": "b", "c": "b", "d": "c", "e": "d, side", "f": "a, e"})
    assert drawn(graph) == ["a", "b", "├─side", "c", "d", "e (after side)", "f"]


def test_several_beginnings():
    graph = make_graph({"a": "", "b": "", "c": "", "long": "c", "longer": "long", "end": "a, b, longer"})
    assert drawn(graph) == ["┌─a", "├─b", "c", "long", "longer", "end (after a, b)"]


def test_what_is_reached_anyway_is_not_named():
    graph = make_graph({"a": "", "b": "a", "c": "a, b", "d": "a, b, c"})
    assert drawn(graph) == ["a", "b", "c", "d"]


def test_groups_are_dotted_and_say_their_condition():
    condition = "inputs.parameter_values['pipelinechannel--gate-passed'] == true"
    graph = make_graph(
        {
            "gate": "",
            "condition-1": {"after": "gate", "condition": condition, "inside": {"register": "", "push": "register"}},
            "last": "condition-1",
        }
    )
    tasks = [task("gate", seconds=0.25), task("condition-1", "SKIPPED", leaf=False, reason="the condition is false")]
    lines = draw(graph, run(*tasks, task("condition-1/register", "SKIPPED", reason="x")), ASCII_GLYPHS)
    assert [f"{line.lead}{line.label}: {line.text}" for line in lines] == [
        "gate: done in 0.25 s",
        "if gate-passed == true: skipped (the condition is false)",
        ": register: skipped (x)",
        ": push: not reached",
        "last: not reached",
    ]


def test_iterations_share_a_line():
    graph = make_graph({"loop": {"loop": [1], "inside": {"prepare": "", "train": "prepare"}}, "end": "loop"})
    tasks = [task("loop", "FAILED", leaf=False, seconds=9.0)]
    for n in range(1_000):
        state = "FAILED" if n in (3, 5) else "SUCCEEDED"
        tasks += [task(f"loop[{n}]/prepare", cached=True), task(f"loop[{n}]/train", state, seconds=1 + n / 1_000)]
    lines = draw(graph, run(*tasks, state="RUNNING"))
    assert [f"{line.lead}{line.label}: {line.text}" for line in lines] == [
        "loop x 1000: FAILED in 9.0 s",
        "┊ prepare x 1000: 1000 done (1000 cached)",
        "┊ train x 1000: 998 done, 2 FAILED: [3] [5]; 1.0 s to 2.0 s each, 25 min 00 s in all",
        "end: waiting",
    ]


def test_tasks_that_differ_in_their_number_share_a_line():
    tasks = {f"train-{n}": {"after": "ingest", "component": "comp-train", "display": "train"} for n in range(100)}
    graph = make_graph({"ingest": "", **tasks, "pick": ", ".join(tasks)})
    assert drawn(graph, task("ingest"), task("train-7", name="train")) == ["ingest", "train x 100", "pick"]
    few = {f"train-{n}": {"after": "ingest", "component": "comp-train", "display": "train"} for n in range(3)}
    assert drawn(make_graph({"ingest": "", **few})) == ["ingest", "├─train", "├─train", "train"]


def test_without_a_pipeline_the_recorded_order():
    lines = draw(None, run(task("a"), task("g", leaf=False), task("g/b", "FAILED", seconds=1.0)))
    assert [(line.label, line.text) for line in lines] == [("a", "done in 0.00 s"), ("g/b", "FAILED in 1.0 s")]


@pytest.mark.parametrize("seed", range(20))
def test_any_graph_is_drawn_whole_and_in_order(seed):
    chance = random.Random(seed)
    names = [f"t{n}" for n in range(40)]
    graph = make_graph(
        {name: ", ".join(chance.sample(names[:n], min(n, chance.randrange(3)))) for n, name in enumerate(names)}
    )
    shown = [line.partition(" (")[0].lstrip("┌├─│ ") for line in drawn(graph)]
    assert sorted(shown) == sorted(names)
    place = {name: n for n, name in enumerate(shown)}
    for name, item in graph.root.dag.tasks.items():
        assert all(place[upstream] < place[name] for upstream in item.upstream)


def test_a_chain_of_thousands_neither_recurses_nor_fills_the_screen():
    names = [f"step-{n}" for n in range(3_000)]
    graph = make_graph({name: names[n - 1] if n else "" for n, name in enumerate(names)})
    tasks = [task(name, "FAILED" if name == "step-1500" else "SUCCEEDED") for name in names]
    lines = run_text.graph_text(graph, run(*tasks), SIGNS)
    assert len(lines) == run_text.LINES + 3
    assert lines[0].startswith("✓ step-0 ")
    assert lines[40] == "... 1460 more lines; --all shows them"
    assert lines[41].startswith("✗ step-1500 ")
    assert lines[-1].startswith("✓ step-2999 ")
    assert len(run_text.graph_text(graph, run(*tasks), SIGNS, whole=True)) == 3_000


def test_signs_and_columns():
    graph = make_graph({"ingest": "", "side": "ingest", "train": "ingest"})
    found = run(task("ingest", seconds=1.0), task("side", cached=True), state="RUNNING")
    assert run_text.graph_text(graph, found, SIGNS) == [
        "✓ ingest  done in 1.0 s",
        "├─✓ side  done (cached)",
        "· train   waiting",
    ]
    assert run_text.graph_text(graph, found, live._ASCII)[1:] == ["|-+ side  done (cached)", ". train   waiting"]


def test_tables_of_metrics_and_artifacts():
    metrics = record("absent", "metrics", "Metrics", auc=0.123456, rounds=3)
    data = record("sha256:" + "ab" * 32, rows=10, notes=["x"])
    found = run(task("a", artifacts={"data": (data,), "metrics": (metrics,)}), task("b", artifacts={"data": (data,)}))
    assert run_text.metrics_text(found) == ["a  auc=0.1235 rounds=3"]
    assert run_text.metrics_text(found, beside=["a"]) == []
    assert run_text.artifacts_text(found)[0] == "a/data     Dataset  2.0 KiB  sha256:abababababab  rows=10"
    many = run(*(task(f"t{n}", artifacts={"data": (data,)}) for n in range(1_000)))
    assert run_text.artifacts_text(many)[-1] == "... 940 more; --all shows them"
    assert len(run_text.artifacts_text(many, whole=True)) == 1_000


@pytest.mark.parametrize(
    ("files", "size", "text"), [(0, 0, "empty"), (1, 17, "17 B"), (2, 2_048, "2.0 KiB"), (3, 5 * 2**40, "5.0 TiB")]
)
def test_sizes(files, size, text):
    from dataclasses import replace

    assert run_text.size_text(replace(record("sha256:ab"), files=files, bytes=size)) == text
    assert run_text.size_text(replace(record(None), files=0)) == ""
