"""What differed between two runs, and what was the first cause of it."""

import dataclasses
import json
import math

import pytest

from headrace.pipelines.local.record.changes import Change, mapping_changes, pipeline_changes, value_changes
from headrace.pipelines.local.record.diff import DataChange, diff_runs, rows
from headrace.pipelines.local.views.diff_text import diff_json, diff_text
from headrace.pipelines.local.views.json_view import dumps
from tests.unit.pipelines.local.graphs import constant, make_graph, output, parent, record, run, task

MADE = {"environment": "main sha256:e1", "code": "sha256:c1", "command": "sha256:x", "env": "sha256:v"}


def steps(**train):
    """read -> ingest -> transform -> train -> gate, and statistics aside."""
    return make_graph(
        {
            "read": {"parameters": {"source": parent("source")}, "cache": False},
            "ingest": {"parameters": {"digest": output("read", "digest")}},
            "statistics": {"artifacts": {"data": output("ingest")}},
            "transform": {"artifacts": {"data": output("ingest")}},
            "train": {
                "artifacts": {"data": output("transform")},
                "parameters": {"train": constant({"rounds": 3.0})},
                **train,
            },
            "gate": {"artifacts": {"model": output("train")}},
        },
        source="a.csv",
    )


def tasks(digest="d1", prefix="1", cached=(), made=None, rounds=3, **more):
    """The tasks of one run of `steps`; each artifact's digest begins with the prefix of what made it."""
    made = made or {}

    def one(name, inputs, out, **fields):
        return task(
            name, key=f"k-{name}-{out}-{made.get(name)}", cached=name in cached, inputs=inputs, parameters=fields.get("parameters", {}),
            artifacts={"data": (record(f"sha256:{out}", **fields.get("metadata", {})),)} if out else {},
            outputs=fields.get("outputs", {}), made_of={**MADE, **made.get(name, {})}, seconds=1.0,
        )  # fmt: skip

    data, clean, model = f"data-{prefix}", f"clean-{prefix}", more.get("model", f"model-{prefix}-{rounds}")
    return [
        one("read", {}, "", outputs={"digest": digest}, parameters={"source": "a.csv"}),
        one(
            "ingest", {}, data, parameters={"digest": digest}, metadata={"train_rows": 10 * int(prefix), "eval_rows": 1}
        ),
        one("statistics", {"data": (record(f"sha256:{data}"),)}, f"stats-{prefix}"),
        one("transform", {"data": (record(f"sha256:{data}"),)}, clean),
        one("train", {"data": (record(f"sha256:{clean}"),)}, model, parameters={"train": {"rounds": rounds}}),
        one("gate", {"model": (record(f"sha256:{model}"),)}, f"verdict-{model}"),
    ]


ALL = ("ingest", "statistics", "transform", "train", "gate")
FIRST = run(*tasks(), run_id="first")


def why(after, graph=None, before=FIRST):
    graph = graph or steps()
    return {t: r.causes for r in diff_runs(before, after, graph, graph).reruns for t in r.tasks}


def test_nothing_differs():
    again = run(*tasks(cached=ALL), run_id="second", started=5.0, seconds=0.5)
    found = diff_runs(FIRST, again, steps(), steps())
    assert found.nothing
    assert diff_text(found) == [
        "From first to second:",
        "Nothing differs.",
        "",
        "Ran again:",
        "  read: because it is never cached",
        "",
        "Time:",
        "  2.5 s -> 0.50 s",
    ]
    assert diff_runs(FIRST, FIRST, steps(), steps()).reruns == ()


def test_other_data_is_the_first_cause_of_all_that_follows():
    found = diff_runs(FIRST, run(*tasks("d2", "2"), run_id="second"), steps(), steps())
    assert not found.nothing
    causes = {t: r.causes for r in found.reruns for t in r.tasks}
    assert causes.pop("read") == ("what it reads changed (digest)",)
    assert causes == dict.fromkeys(ALL, ("what read reads changed (digest)",))
    assert found.data == (DataChange("ingest/data", "sha256:data-1", "sha256:data-2", 11, 21),)
    assert "  ingest/data: sha256:data-1, 11 rows -> sha256:data-2, 21 rows" in diff_text(found)


def test_other_code_of_one_task():
    after = run(*tasks(cached=("ingest", "statistics", "transform"), made={"train": {"code": "sha256:c2"}}, model="m2"))
    assert why(after) == {
        "read": ("it is never cached",),
        "train": ("its code changed",),
        "gate": ("the code of train changed",),
    }
    parts = diff_runs(FIRST, after, steps(), steps()).parts
    assert [(part.part, part.tasks) for part in parts] == [("code", ("train",))]


def test_another_environment_is_one_cause_for_all():
    new = {"environment": "main sha256:e2"}
    after = run(*tasks(prefix="1", made=dict.fromkeys(("read", *ALL), new)))
    found = diff_runs(FIRST, after, steps(), steps())
    assert [r.causes for r in found.reruns] == [("the environment main changed",)]
    assert [(p.before, p.after, len(p.tasks)) for p in found.parts] == [("main sha256:e1", "main sha256:e2", 6)]


def test_a_constant_and_data_on_two_ways():
    after = run(*tasks("d2", "2", rounds=5))
    assert why(after)["gate"] == ("the parameter train.rounds of train changed", "what read reads changed (digest)")
    assert why(after)["statistics"] == ("what read reads changed (digest)",)


def test_the_other_reasons():
    cached = ("ingest", "statistics", "transform", "gate")
    assert why(run(*tasks(cached=cached)))["train"] == ("the cache was not used, or had lost what it put out",)
    assert why(run(*tasks(cached=cached, model="luck")))["train"] == ("it gave another data from the same inputs",)
    assert why(run(*tasks(), task("new")))["new"] == ("it is new",)
    failed = [dataclasses.replace(t, state="FAILED") if t.name == "train" else t for t in tasks()]
    assert why(run(*tasks(cached=cached)), before=run(*failed, run_id="first"))["train"] == (
        "it had not succeeded before",
    )
    skipped = [dataclasses.replace(t, state="SKIPPED", reason="x {y}") if t.name == "train" else t for t in tasks()]
    assert why(run(*tasks(cached=cached)), before=run(*skipped, run_id="first"))["train"] == (
        "it was skipped before (x {y})",
    )
    unknown = [dataclasses.replace(t, key="") for t in tasks(cached=cached)]
    assert why(run(*unknown))["train"] == ("an input of it has content that is not known",)
    old = run(*(dataclasses.replace(t, made_of={}, key="other") for t in tasks()), run_id="first")
    assert "was not recorded" in why(run(*tasks(cached=cached)), before=old)["train"][0]


def test_the_runs_own_id_is_no_difference():
    before = run(task("a", parameters={"run": "first"}, key="k"), run_id="first")
    after = run(task("a", parameters={"run": "second"}, key="k"), run_id="second")
    assert why(after, make_graph({"a": {"cache": False}}), before)["a"] == ("it is never cached",)


def test_causes_through_groups_and_iterations():
    graph = make_graph(
        {
            "read": "",
            "loop": {
                "loop": [1, 2],
                "artifacts": {"outer": output("read")},
                "inside": {
                    "prepare": {"artifacts": {"data": parent("outer")}},
                    "train": {"artifacts": {"x": output("prepare")}},
                },
                "outputs": {"all": (output("train"),)},
            },
            "pick": {"artifacts": {"models": output("loop", "all")}},
        }
    )

    def made(changed):
        found = [task("read", artifacts={"data": (record("r"),)}, key="r")]
        for n in (0, 1):
            new = "2" if changed and n == 1 else "1"
            found += [
                task(f"loop[{n}]/prepare", inputs={"data": (record("r"),)}, artifacts={"data": (record(f"p{n}{new}"),)},
                     key=f"p{n}{new}", made_of={"code": new}),
                task(f"loop[{n}]/train", inputs={"x": (record(f"p{n}{new}"),)}, artifacts={"data": (record(f"t{n}{new}"),)},
                     key=f"t{n}{new}", made_of={"code": "t"}),
            ]  # fmt: skip
        picked = (record("t01"), record("t12" if changed else "t11"))
        return run(*found, task("pick", inputs={"models": picked}, key=f"pick{changed}"), run_id=str(changed))

    found = diff_runs(made(False), made(True), graph, graph)
    causes = {t: r.causes for r in found.reruns for t in r.tasks}
    assert causes["loop[1]/train"] == ("the code of loop[1]/prepare changed",)
    assert causes["pick"] == ("the code of loop[1]/prepare changed",)
    assert causes["loop[0]/train"] == ("the cache was not used, or had lost what it put out",)


def test_pipelines_differ_in_tasks_constants_and_wires():
    assert pipeline_changes(steps(), steps()) == ()
    after = make_graph(
        {
            "read": {"parameters": {"source": parent("source")}, "cache": True},
            "ingest": {"parameters": {"digest": output("read", "other")}},
            "transform": {"artifacts": {"data": output("ingest")}, "image": "registry/headrace-tfx:2"},
            "train": {
                "artifacts": {"data": output("transform")},
                "parameters": {"train": constant({"rounds": 5.0, "seed": 1.0})},
            },
            "gate": {"artifacts": {"model": output("train")}, "condition": "1 == 1"},
            "push": "gate",
        },
        source="b.csv",
    )
    found = {change.what: (change.kind, change.before, change.after) for change in pipeline_changes(steps(), after)}
    assert found == {
        "pipeline parameter source.default": ("changed", "a.csv", "b.csv"),
        "read: cache": ("changed", False, True),
        "ingest: digest": ("changed", "<- read.digest", "<- read.other"),
        "statistics": ("removed", "comp-statistics", None),
        "transform: image": ("changed", "registry/headrace-main:1", "registry/headrace-tfx:2"),
        "train: train.rounds": ("changed", 3.0, 5.0),
        "train: train.seed": ("added", None, 1.0),
        "gate: condition": ("changed", None, "1 == 1"),
        "push": ("added", None, "comp-push"),
    }


def test_the_rest_is_compared_too():
    def one(run_id, auc, state, **labels):
        metrics = record("absent", "metrics", "Metrics", auc=auc, words="x", broken=math.nan)
        return run(
            task("evaluate", state, artifacts={"metrics": (metrics,)}, seconds=1.0 if run_id == "a" else 9.0),
            run_id=run_id, labels=labels, parameters={"source": run_id + ".csv"},
        )  # fmt: skip

    gates = [("auc at least 0.8", True, "0.85"), ("gone", True, "")], [("auc at least 0.8", False, "0.75")]
    before, after = one("a", 0.85, "SUCCEEDED", commit="c1"), one("b", 0.75, "FAILED", commit="c2")
    found = diff_runs(before, after, None, None, *gates)
    assert found.run == (Change("label commit", "changed", "c1", "c2"),)
    (metric,) = found.metrics
    assert (metric.task, metric.name, metric.difference) == ("evaluate", "auc", pytest.approx(-0.1))
    text = "\n".join(diff_text(found))
    for line in (
        "The pipeline of one of them is not recorded, so pipelines are not compared.",
        "label commit: c1 -> c2",
        "source: a.csv -> b.csv",
        "evaluate: SUCCEEDED -> FAILED",
        "evaluate auc: 0.85 -> 0.75  (-0.1)",
        "auc at least 0.8: passed -> FAILED (0.75)",
        "gone: passed -> not there ()",
        "evaluate: 1.0 s -> 9.0 s",
    ):
        assert line in text
    told = json.loads(dumps(diff_json(found)))
    assert told["nothing_differs"] is False
    assert told["metrics"][0]["before"] == 0.85


def test_values_in_depth():
    found = list(value_changes("a", {"b": [1, {"c": 2}], "n": math.nan}, {"b": [1, {"c": 3}], "n": math.nan}))
    assert found == [Change("a.b[1].c", "changed", 2, 3)]
    assert list(value_changes("a", [1], [1, 2])) == [Change("a", "changed", [1], [1, 2])]
    assert list(value_changes("a", 1, True)) == [Change("a", "changed", 1, True)]
    assert list(value_changes("a", 1, 1)) == []
    assert [c.kind for c in mapping_changes("", {"x": 1}, {"y": 1})] == ["removed", "added"]


def test_long_texts_are_told_by_their_first_difference_and_many_lines_cut():
    before, after = (
        run(run_id=i, parameters={f"p{n}": f"def f():\n    return {n + v}\n" for n in range(50)})
        for i, v in (("a", 0), ("b", 1))
    )
    lines = diff_text(diff_runs(before, after, None, None))
    assert "  p0: (line 2) return 0 -> return 1" in lines
    assert "  ... 20 more; --all shows them" in lines
    assert len(diff_text(diff_runs(before, after, None, None), whole=True)) > 50


def test_row_counts():
    assert rows(record("x", rows=3, train_rows=9)) == 3
    assert rows(record("x", train_rows=2, test_rows=1.0)) == 3
    assert rows(record("x", features=2)) is None
