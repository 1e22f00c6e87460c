"""Lineage: from any artifact to its sources and to all that came of it, in this run and in others."""

import contextlib
import json
from pathlib import Path

import pytest

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.local.record.lineage import find_lineage
from headrace.pipelines.local.record.record import Record
from headrace.pipelines.local.record.results import RunSummary
from headrace.pipelines.local.views.lineage_text import lineage_json, lineage_text
from headrace.pipelines.local.workers.processes import myself
from tests.unit.pipelines.local.graphs import record, task

DATA, CLEAN, MODEL, OTHER = (f"sha256:{digit * 64}" for digit in "abcd")


@pytest.fixture
def home(tmp_path: Path):
    with contextlib.closing(Record(tmp_path)) as opened:
        yield opened


def save(home: Record, run_id: str, *tasks, started: float = 1.0) -> None:
    home.start_run(RunSummary(run_id, "pipe", "pipe", "RUNNING", started, 0.0, {}), {}, {}, myself())
    for position, one in enumerate(tasks):
        home.save_task(run_id, position + 1, one)
    home.finish_run(run_id, "SUCCEEDED")


def steps(model: str = MODEL, cached: tuple[str, ...] = (), started: float = 1.0):
    """ingest -> clean -> train, with a group around the last that only passes on."""
    data, clean = (record(DATA, rows=3),), (record(CLEAN, "clean"),)
    out = {"model": (record(model, "model", "Model"),), "metrics": (record("absent", "metrics", "Metrics", auc=0.5),)}

    def one(path, **more):
        return task(path, key=f"k-{path}-{more.pop('key', '')}", cached=path in cached, started=started, **more)

    return [
        one("ingest", artifacts={"data": data}, parameters={"source": "a.csv", "options": {"x": 1}}),
        one("clean", inputs={"data": data}, artifacts={"clean": clean}),
        one("group", leaf=False, inputs={"inner": clean}, artifacts=out),
        one("group/train", inputs={"clean": clean}, artifacts=out, key=model),
    ]


def text(home: Record, run_id: str, subject: str, **more) -> list[str]:
    return lineage_text(find_lineage(home, run_id, subject, **more))


def test_up_to_the_sources_and_down_to_what_came_of_it(home):
    save(home, "r1", *steps())
    assert text(home, "r1", "clean/clean") == [
        "Made from:",
        "clean  Dataset  2.0 KiB  sha256:bbbbbbbbbbbb",
        "`- clean",
        "   `- data  Dataset  2.0 KiB  sha256:aaaaaaaaaaaa",
        "      `- ingest",
        "            source = a.csv",
        "Made from it:",
        "clean  Dataset  2.0 KiB  sha256:bbbbbbbbbbbb",
        "`- group/train (as clean)",
        "   `- metrics, model: not taken by any task",
    ]


@pytest.mark.parametrize("subject", ["train", "group/train"])
def test_a_task(home, subject):
    save(home, "r1", *steps())
    found = find_lineage(home, "r1", subject)
    assert found.start == ("r1 group/train",)
    assert [doing.label for doing in found.doings.values()] == ["group/train", "clean", "ingest"]


@pytest.mark.parametrize("subject", ["model", "train/model", "group/train/model", "cccc", "sha256:cccccc", MODEL])
def test_an_artifact_by_name_and_by_digest(home, subject):
    save(home, "r1", *steps())
    if subject == "train/model":
        with pytest.raises(HeadraceError, match="nor is it an artifact of r1"):
            find_lineage(home, "r1", subject)
        return
    found = find_lineage(home, "r1", subject)
    assert [content.record.digest for key, content in found.contents.items() if key in found.start] == [MODEL]


def test_what_is_not_there(home):
    save(home, "r1", *steps())
    for subject in ("trian", "ffff", "sha256:ff", "aa"):
        with pytest.raises(HeadraceError, match=r"expected one of the tasks .* Received: .*; nor is it an artifact"):
            find_lineage(home, "r1", subject)
    with pytest.raises(HeadraceError, match="did you mean group/train"):
        find_lineage(home, "r1", "group/trian")


def test_down_goes_through_other_runs_and_those_that_did_the_same_count_once(home):
    save(home, "r1", *steps())
    save(home, "r2", *steps(cached=("ingest", "clean"), model=OTHER, started=2.0), started=2.0)
    save(home, "r3", *steps(cached=("ingest", "clean", "group/train"), started=3.0), started=3.0)
    found = find_lineage(home, "r1", "data")
    told = {(doing.run, doing.label): doing.runs for doing in found.doings.values()}
    assert told == {("r1", "ingest"): 3, ("r1", "clean"): 3, ("r1", "group/train"): 2, ("r2", "group/train"): 1}
    assert "`- clean (as data), and in 2 other runs" in text(home, "r1", "data")
    assert any(line.endswith("- group/train (as clean) in run r2") for line in text(home, "r1", "data"))
    assert text(home, "r1", "train")[1] == "group/train, and in 1 other run"
    assert find_lineage(home, "r3", "model").doings.keys() == {"r3 group/train", "r3 clean", "r3 ingest"}


def test_what_was_only_fetched_comes_from_whoever_made_it(home):
    save(home, "r1", *steps())
    fetched = task(
        "fetch", artifacts={"artifact": (record(MODEL, "artifact", "Model"),)}, parameters={"uri": "/m"}, started=2.0
    )
    save(home, "r2", fetched, task("use", inputs={"model": (record(MODEL, "artifact", "Model"),)}), started=2.0)
    found = find_lineage(home, "r2", "use")
    assert [(doing.run, doing.path) for doing in found.doings.values()] == [
        ("r2", "use"),
        ("r2", "fetch"),
        ("r1", "group/train"),
        ("r1", "clean"),
        ("r1", "ingest"),
    ]


def test_contents_that_are_not_known_are_each_themselves(home):
    def remote(n):
        return record(None, "data", uri_number=n)

    save(home, "r1", task("a", artifacts={"x": (remote(1),)}), task("b", inputs={"x": (remote(1),)}))
    save(home, "r2", task("a", artifacts={"x": (remote(2),)}), task("b", inputs={"x": (remote(2),)}), started=2.0)
    assert [doing.run for doing in find_lineage(home, "r2", "x").doings.values()] == ["r2", "r2"]
    save(home, "r3", *steps(), started=3.0)
    assert set(find_lineage(home, "r3", "metrics").doings) == {"r3 group/train", "r3 clean", "r3 ingest"}


def test_many_of_a_kind_are_folded_and_nothing_is_lost(home):
    data = (record(DATA),)
    outs = [record(f"sha256:{n:064x}", "out") for n in range(50)]
    loop = [task(f"loop[{n}]/t", inputs={"data": data}, artifacts={"out": (outs[n],)}, key=f"k{n}") for n in range(50)]
    pick = task("pick", inputs={"all": tuple(outs)}, artifacts={"best": (record(OTHER, "best"),)})
    save(home, "r1", task("ingest", artifacts={"data": data}), *loop, pick)
    down = text(home, "r1", "data")
    assert sum("loop[" in line for line in down) == 5
    assert any(line.endswith("45 more like these") for line in down)
    found = find_lineage(home, "r1", "data")
    assert len(found.doings) == 52
    assert sum("loop[" in line for line in lineage_text(found, whole=True)) == 50
    told = json.loads(json.dumps(lineage_json(found)))
    assert len(told["down"]) == 50 * 3 + 1
    assert set(told["artifacts"]) >= {to for _, _, to in told["down"] if to not in told["tasks"]}
    bounded = find_lineage(home, "r1", "data", limit=10)
    assert not bounded.complete
    assert lineage_text(bounded)[-1] == "There is more, which was not followed; --all follows everything."


def test_models_say_where_they_are_registered(home, tmp_path, monkeypatch):
    class Version:
        name, version, digest, run, aliases = "churn", "3", MODEL, "r1", ("champion",)

    class Deployed:
        model, version = "churn", "3"

    class Endpoint:
        name, deployed = "churn", (Deployed,)

    class Event:
        action, subject, detail = "deploy", "churn", {"model": "churn", "version": 3}

    class Platform:
        class registry:
            history, models = staticmethod(lambda: [Event]), staticmethod(lambda: ["churn"])
            versions = staticmethod(lambda name: [Version])

        class endpoints:
            list = staticmethod(lambda: [Endpoint])

    save(home, "r1", *steps())
    assert "registered" not in "".join(text(home, "r1", "model")), "where there is no registry none is made"
    (tmp_path / "registry.db").touch()
    monkeypatch.setattr("headrace.platforms.open.open_platform", lambda uri, home: Platform)
    assert text(home, "r1", "train")[-4:] == [
        "|- model  Model  2.0 KiB  sha256:cccccccccccc",
        "|     registered as churn version 3 (champion), run r1",
        "|     pushed to the endpoint churn",
        "`- metrics: not taken by any task",
    ]


def test_the_queries_use_indices(home):
    queries = []
    home._db.set_trace_callback(queries.append)
    save(home, "r1", *steps())
    queries.clear()
    find_lineage(home, "r1", "train")
    plans = [row["detail"] for q in queries if q.startswith("SELECT") for row in home.rows(f"EXPLAIN QUERY PLAN {q}")]
    assert plans
    assert {plan for plan in plans if plan.startswith("SCAN")} <= {"SCAN runs"}, "runs are few"
