"""The metadata store, tensorboards and datasets, request by request."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs

import pytest

from headrace.emulator.documents import Document, Documents
from headrace.emulator.operations import Operations
from headrace.emulator.refusals import Refusal
from headrace.emulator.routing import Call, Router
from headrace.emulator.vertex import datasets, metadata, tensorboards

LOCATION = "projects/p/locations/l"
STORE = f"{LOCATION}/metadataStores/default"
ROUTER = Router((*metadata.ROUTES, *tensorboards.ROUTES, *datasets.ROUTES))

Ask = Callable[..., Document]


@pytest.fixture
def emulator(tmp_path: Path) -> Any:
    documents = Documents(tmp_path / "emulator.db")
    return SimpleNamespace(documents=documents, operations=Operations(documents))


@pytest.fixture
def ask(emulator: Any) -> Ask:
    """Answers a request; a long-running operation is done, and its response is the answer."""

    def asked(method: str, path: str, body: Document | None = None, query: str = "") -> Document:
        route, params = ROUTER.find(method, f"/v1/{path}")
        sent = json.dumps(body).encode() if body is not None else b""
        answer: Any = route.handler(emulator, Call(method, f"/v1/{path}", params, parse_qs(query), {}, sent))
        if "/operations/" in answer.get("name", ""):
            assert answer["done"] is True
            return answer["response"]
        return answer

    return asked


@pytest.fixture
def make(ask: Ask) -> Callable[..., str]:
    """Makes contexts, executions and artifacts, and says their full names."""

    def made(collection: str, id: str, **fields: Any) -> str:
        return ask("POST", f"{STORE}/{collection}", fields, f"{collection[:-1]}Id={id}")["name"]

    return made


def ids(answer: Document, field: str) -> list[str]:
    return [one["name"].rpartition("/")[2] for one in answer[field]]


def test_the_default_store_is_there_and_others_are_not(ask: Ask) -> None:
    assert ask("GET", STORE)["name"] == STORE
    other = f"{LOCATION}/metadataStores/other"
    with pytest.raises(Refusal, match="does not exist"):
        ask("POST", f"{other}/contexts", {})
    assert ask("POST", f"{LOCATION}/metadataStores", {}, "metadataStoreId=other")["name"] == other
    assert ids(ask("GET", f"{LOCATION}/metadataStores"), "metadataStores") == ["other", "default"]
    ask("POST", f"{other}/contexts", {}, "contextId=inside")
    ask("DELETE", other)
    with pytest.raises(Refusal, match="Context does not exist"):
        ask("GET", f"{other}/contexts/inside")


def test_a_resource_is_changed_by_who_saw_its_last_state(ask: Ask, make: Callable[..., str]) -> None:
    name = make("executions", "e-1", state=2, metadata={"a": 1, "b": {"c": 2}}, schemaTitle="system.Run")
    seen = ask("GET", name)
    assert seen["state"] == "RUNNING"
    after = ask("PATCH", name, {**seen, "state": "COMPLETE", "metadata": {"a": 2}, "schemaTitle": "other"})
    assert (after["state"], after["metadata"], after["schemaTitle"]) == ("COMPLETE", {"a": 2}, "system.Run")
    assert after["createTime"] == seen["createTime"] and after["etag"] > seen["etag"]
    assert len(after["etag"]) == len(seen["etag"])
    with pytest.raises(Refusal, match=f"etag`: `{seen['etag']}` does not match server `etag`: `{after['etag']}`"):
        ask("PATCH", name, {**seen, "state": "FAILED"})
    masked = ask("PATCH", name, {"displayName": "shown", "metadata": {"z": 1}}, "updateMask=display_name")
    assert (masked["displayName"], masked["metadata"]) == ("shown", {"a": 2})
    with pytest.raises(Refusal, match="schemaTitle cannot be updated"):
        ask("PATCH", name, {"schemaTitle": "x"}, "updateMask=schemaTitle")
    with pytest.raises(Refusal, match="expected one of STATE_UNSPECIFIED, NEW"):
        ask("PATCH", name, {"state": "LIVE"})
    with pytest.raises(Refusal, match="does not exist"):
        ask("PATCH", f"{STORE}/executions/e-2", {"displayName": "x"})
    assert ask("PATCH", f"{STORE}/executions/e-2", {"displayName": "x"}, "allowMissing=true")["displayName"] == "x"
    with pytest.raises(Refusal) as refused:
        ask("DELETE", name, query="etag=1")
    assert refused.value.code == "FAILED_PRECONDITION"


@pytest.mark.parametrize("id", ["my_experiment", "Upper", "-x", "x" * 129])
def test_ids_that_the_service_refuses(ask: Ask, id: str) -> None:
    with pytest.raises(Refusal, match="context_id: expected to match"):
        ask("POST", f"{STORE}/contexts", {}, f"contextId={id}")


def test_filters(ask: Ask, make: Callable[..., str]) -> None:
    parent, child = make("contexts", "parent", schemaTitle="system.Experiment"), make("contexts", "child")
    make("contexts", "c3", metadata={"field:1": 10.0, "on": True}, labels={"team": "risk"}, displayName="third")
    ask("POST", f"{parent}:addContextChildren", {"childContexts": [child]})
    one, two = make("artifacts", "a-1", uri="gs://b/1", state="LIVE"), make("artifacts", "a-2", uri="gs://b/2")
    ask("POST", f"{child}:addContextArtifactsAndExecutions", {"artifacts": [one]})

    def found(collection: str, filter: str) -> list[str]:
        return ids(ask("GET", f"{STORE}/{collection}", query=f"filter={filter}"), collection)

    assert found("contexts", f'parent_contexts:"{parent}"') == ["child"]
    assert found("contexts", f'child_contexts:"{child}"') == ["parent"]
    assert found("contexts", 'metadata."field:1".number_value = 10.0') == ["c3"]
    assert found("contexts", "metadata.on.bool_value=true AND labels.team=risk") == ["c3"]
    assert found("contexts", 'create_time > "2020-01-01T00:00:00Z" AND schema_title="system.Experiment"') == ["parent"]
    assert found("artifacts", f'in_context("{child}")') == ["a-1"]
    assert found("artifacts", f'NOT in_context("{child}")') == ["a-2"]
    assert found("artifacts", 'uri = "gs://b/2" OR state = LIVE') == ["a-2", "a-1"]
    assert found("artifacts", f'name="{two}"') == ["a-2"]
    with pytest.raises(Refusal, match="a function that there is"):
        found("contexts", 'in_context("x")')
    page = ask("GET", f"{STORE}/contexts", query="pageSize=2&orderBy=create_time")
    assert ids(page, "contexts") == ["parent", "child"]
    query = f"pageSize=2&orderBy=create_time&pageToken={page['nextPageToken']}"
    assert ids(ask("GET", f"{STORE}/contexts", query=query), "contexts") == ["c3"]


def test_children_make_no_circle_and_have_few_parents(ask: Ask, make: Callable[..., str]) -> None:
    a, b, c = (make("contexts", id) for id in ("a", "b", "c"))
    etag = ask("GET", b)["etag"]
    for _ in range(2):  # the second time nothing is left to do
        ask("POST", f"{a}:addContextChildren", {"childContexts": [b]})
    ask("POST", f"{b}:addContextChildren", {"childContexts": [c]})
    assert ask("GET", b)["parentContexts"] == [a]
    assert ask("GET", b)["etag"] == etag, "its holder could not change it any more"
    for inner in (a, c):
        with pytest.raises(Refusal, match="would create a cycle"):
            ask("POST", f"{c}:addContextChildren", {"childContexts": [inner, a]})
    many = [make("contexts", f"p{number}") for number in range(10)]
    for parent in many[:-1]:
        ask("POST", f"{parent}:addContextChildren", {"childContexts": [b]})
    with pytest.raises(Refusal, match="10 parents at most"):
        ask("POST", f"{many[-1]}:addContextChildren", {"childContexts": [b]})
    ask("POST", f"{many[0]}:removeContextChildren", {"childContexts": [b, c]})
    ask("DELETE", a)
    assert ask("GET", b)["parentContexts"] == many[1:-1]
    with pytest.raises(Refusal, match="does not exist"):
        ask("POST", f"{b}:addContextChildren", {"childContexts": [a]})


def linked(ask: Ask, make: Callable[..., str]) -> dict[str, str]:
    """raw -> clean -> table -> train -> model, and table -> check."""
    names = {id: make("artifacts", id, displayName=id) for id in ("raw", "table", "model")}
    names |= {id: make("executions", id) for id in ("clean", "train", "check")}
    for execution, inputs, outputs in (
        ("clean", ["raw"], ["table"]),
        ("train", ["table"], ["model"]),
        ("check", ["table"], []),
    ):
        events = [{"artifact": names[id], "type": 1} for id in inputs]
        events += [{"artifact": names[id], "type": "OUTPUT"} for id in outputs]
        for _ in range(2):
            ask("POST", f"{names[execution]}:addExecutionEvents", {"events": events})
    return names


def test_lineage(ask: Ask, make: Callable[..., str]) -> None:
    names = linked(ask, make)
    found = ask("GET", f"{names['train']}:queryExecutionInputsAndOutputs")
    assert [(event["artifact"], event["type"]) for event in found["events"]] == [
        (names["table"], "INPUT"),
        (names["model"], "OUTPUT"),
    ]
    for hops, artifacts, executions in (
        ("maxHops=0", {"raw"}, set()),
        ("maxHops=1", {"raw"}, {"clean"}),
        ("maxHops=2", {"raw", "table"}, {"clean"}),
        ("maxHops=3", {"raw", "table"}, {"clean", "train", "check"}),
        ("", {"raw", "table", "model"}, {"clean", "train", "check"}),
        ("filter=display_name!=table", {"raw"}, {"clean"}),
    ):
        graph = ask("GET", f"{names['raw']}:queryArtifactLineageSubgraph", query=hops)
        assert set(ids(graph, "artifacts")) == artifacts, hops
        assert set(ids(graph, "executions")) == executions, hops
        shown = {one["name"] for one in (*graph["artifacts"], *graph["executions"])}
        assert all({event["artifact"], event["execution"]} <= shown for event in graph["events"])
    with pytest.raises(Refusal, match="max_hops"):
        ask("GET", f"{names['raw']}:queryArtifactLineageSubgraph", query="maxHops=-1")

    context = make("contexts", "some")
    inside = {"artifacts": [names["table"], names["model"]], "executions": [names["train"]]}
    ask("POST", f"{context}:addContextArtifactsAndExecutions", inside)
    graph = ask("GET", f"{context}:queryContextLineageSubgraph")
    assert (ids(graph, "artifacts"), ids(graph, "executions")) == (["table", "model"], ["train"])
    assert len(graph["events"]) == 2

    ask("DELETE", names["table"])
    assert ids(ask("GET", f"{context}:queryContextLineageSubgraph"), "artifacts") == ["model"]
    assert ids(ask("GET", f"{names['raw']}:queryArtifactLineageSubgraph"), "executions") == ["clean"]
    ask("DELETE", names["train"])
    assert ask("GET", f"{context}:queryContextLineageSubgraph")["events"] == []
    ask("DELETE", context)
    assert ask("GET", names["model"])["displayName"] == "model"


def test_a_refused_link_leaves_nothing(ask: Ask, make: Callable[..., str]) -> None:
    context, there = make("contexts", "some"), make("artifacts", "there")
    with pytest.raises(Refusal, match="Artifact does not exist"):
        ask(
            "POST",
            f"{context}:addContextArtifactsAndExecutions",
            {"artifacts": [there, f"{STORE}/artifacts/none"]},
        )
    assert ask("GET", f"{context}:queryContextLineageSubgraph")["artifacts"] == []
    execution = make("executions", "run")
    with pytest.raises(Refusal, match="INPUT or OUTPUT"):
        ask("POST", f"{execution}:addExecutionEvents", {"events": [{"artifact": there}]})


def test_a_purge_tells_first_and_removes_when_it_is_forced(ask: Ask, make: Callable[..., str]) -> None:
    for number in range(3):
        make("artifacts", f"a{number}", displayName="old" if number else "new")
    with pytest.raises(Refusal, match="filter"):
        ask("POST", f"{STORE}/artifacts:purge", {"force": True})
    told = ask("POST", f"{STORE}/artifacts:purge", {"filter": 'display_name="old"'})
    assert (told["purgeCount"], len(told["purgeSample"])) == ("2", 2)
    assert len(ask("GET", f"{STORE}/artifacts")["artifacts"]) == 3
    told = ask("POST", f"{STORE}/artifacts:purge", {"filter": 'display_name="old"', "force": True})
    assert told["purgeCount"] == "2"
    assert ids(ask("GET", f"{STORE}/artifacts"), "artifacts") == ["a0"]


def test_what_a_job_records_leaves_what_clients_gave(emulator: Any, ask: Ask, make: Callable[..., str]) -> None:
    pipeline, run = ({"name": f"{STORE}/contexts/{id}", "displayName": id, "metadata": {}} for id in ("p", "r"))
    execution = {"name": f"{STORE}/executions/e", "state": "RUNNING", "metadata": {"input:a": 1}}
    artifact = {"name": f"{STORE}/artifacts/a", "uri": "gs://b/a", "metadata": {}, "state": "LIVE"}
    event = {"artifact": artifact["name"], "execution": execution["name"], "type": "OUTPUT"}

    def record() -> None:
        metadata.record(
            emulator,
            LOCATION,
            contexts=[pipeline, run],
            executions=[execution],
            artifacts=[artifact],
            events=[event],
            children=[(str(pipeline["name"]), str(run["name"]))],
        )

    record()
    experiment = make("contexts", "experiment")
    ask("POST", f"{experiment}:addContextChildren", {"childContexts": [run["name"]]})
    ask("PATCH", str(artifact["name"]), {"labels": {"kept": "yes"}, "metadata": {"mine": 1}})
    before = ask("GET", str(execution["name"]))
    record()
    assert ask("GET", str(execution["name"])) == before
    execution |= {"state": "COMPLETE", "metadata": {"input:a": 1, "output:b": 2}}
    artifact |= {"metadata": {"rows": 3}}
    record()
    assert ask("GET", str(run["name"]))["parentContexts"] == [pipeline["name"], experiment]
    after = ask("GET", str(execution["name"]))
    assert (after["state"], after["createTime"]) == ("COMPLETE", before["createTime"])
    assert after["metadata"] == {"input:a": 1, "output:b": 2}
    seen = ask("GET", str(artifact["name"]))
    assert (seen["labels"], seen["metadata"]) == ({"kept": "yes"}, {"mine": 1, "rows": 3})
    graph = ask("GET", f"{run['name']}:queryContextLineageSubgraph")
    assert (ids(graph, "executions"), ids(graph, "artifacts"), len(graph["events"])) == (["e"], ["a"], 1)


def board(ask: Ask, **fields: Any) -> str:
    return ask("POST", f"{LOCATION}/tensorboards", {"displayName": "b", **fields})["name"]


def series(ask: Ask, run: str, name: str, **fields: Any) -> str:
    return ask("POST", f"{run}/timeSeries", {"displayName": name, "valueType": 1, **fields})["name"]


@pytest.fixture
def run(ask: Ask) -> str:
    experiment = ask("POST", f"{board(ask)}/experiments", {}, "tensorboardExperimentId=ex")["name"]
    return ask("POST", f"{experiment}/runs", {"displayName": "one"}, "tensorboardRunId=one")["name"]


def test_one_tensorboard_is_the_default(ask: Ask) -> None:
    first, second = board(ask, isDefault=True), board(ask, isDefault=True)

    def default() -> list[str]:
        found = ask("GET", f"{LOCATION}/tensorboards", query="filter=is_default=true")
        return [one["name"] for one in found["tensorboards"]]

    assert default() == [second]
    ask("PATCH", first, {"isDefault": True, "name": first}, "updateMask=isDefault")
    assert default() == [first]
    assert ask("GET", second)["displayName"] == "b"


def test_names_of_runs_and_series_are_taken_once(ask: Ask, run: str) -> None:
    experiment = run.rpartition("/runs/")[0]
    series(ask, run, "loss")
    with pytest.raises(Refusal, match="already exists"):
        series(ask, run, "loss")
    with pytest.raises(Refusal, match="already exists"):
        ask("POST", f"{experiment}/runs", {"displayName": "two"}, "tensorboardRunId=one")
    with pytest.raises(Refusal, match="already exists"):
        ask("POST", f"{experiment}/runs", {"displayName": "one"}, "tensorboardRunId=two")
    with pytest.raises(Refusal, match="tensorboardRunId: expected to match"):
        ask("POST", f"{experiment}/runs", {"displayName": "two"}, "tensorboardRunId=a_b")
    with pytest.raises(Refusal, match="value_type"):
        series(ask, run, "other", valueType=0)
    requests = [{"tensorboardRun": {"displayName": id}, "tensorboardRunId": id} for id in ("three", "four", "three")]
    with pytest.raises(Refusal, match="already exists"):
        ask("POST", f"{experiment}/runs:batchCreate", {"requests": requests})
    assert ids(ask("GET", f"{experiment}/runs"), "tensorboardRuns") == ["one"]
    made = ask("POST", f"{experiment}/runs:batchCreate", {"requests": requests[:2]})
    assert ids(made, "tensorboardRuns") == ["three", "four"]
    several = [
        {"parent": one["name"], "tensorboardTimeSeries": {"displayName": "loss", "valueType": "SCALAR"}}
        for one in made["tensorboardRuns"]
    ]
    assert len(ask("POST", f"{experiment}:batchCreate", {"requests": several})["tensorboardTimeSeries"]) == 2
    assert ask("GET", experiment.rpartition("/experiments/")[0])["runCount"] == 3
    with pytest.raises(Refusal, match="already exists"):
        ask("PATCH", made["tensorboardRuns"][0]["name"], {"displayName": "one"}, "updateMask=displayName")


def points(several: list[tuple[int, float]]) -> list[Document]:
    return [
        {"step": str(step), "wallTime": f"2026-01-01T00:{step % 60:02}:00Z", "scalar": {"value": value}}
        for step, value in several
    ]


def test_points_are_read_by_their_steps(ask: Ask, run: str) -> None:
    name = series(ask, run, "loss")
    id = name.rpartition("/")[2]
    assert "metadata" not in ask("GET", name)
    data = {"tensorboardTimeSeriesId": id, "values": points([(9, 1.0), (10, 2.0), (2, 3.0)])}
    ask("POST", f"{run}:write", {"timeSeriesData": [data]})
    again = {"tensorboardTimeSeriesId": id, "values": [{"scalar": {}, "step": "9"}, {"scalar": {"value": "NaN"}}]}
    request = {"tensorboardRun": run, "timeSeriesData": [again]}
    ask("POST", f"{run.rpartition('/runs/')[0]}:write", {"writeRunDataRequests": [request]})
    tensorboard = run.rpartition("/experiments/")[0]
    [read] = ask("GET", f"{tensorboard}:batchRead", query=f"timeSeries={name}")["timeSeriesData"]
    assert read["tensorboardTimeSeriesId"] == id
    assert [(one["step"], one["scalar"].get("value", 0)) for one in read["values"]] == [
        ("0", "NaN"),
        ("2", 3.0),
        ("9", 0),
        ("10", 2.0),
    ]
    assert ask("GET", name)["metadata"]["maxStep"] == "10"
    for wrong, match in (({"step": "x", "scalar": {}}, "step"), ({"tensor": {}}, "expected a scalar")):
        with pytest.raises(Refusal, match=match):
            values = [*points([(50, 1.0)]), wrong]
            ask("POST", f"{run}:write", {"timeSeriesData": [{"tensorboardTimeSeriesId": id, "values": values}]})
    assert len(ask("GET", f"{name}:read")["timeSeriesData"]["values"]) == 4, "half of a request was kept"


def test_many_points_are_read_in_part_or_page_by_page(ask: Ask, run: str) -> None:
    name = series(ask, run, "loss")
    data = {"tensorboardTimeSeriesId": name.rpartition("/")[2], "values": points([(n, n / 2) for n in range(1500)])}
    ask("POST", f"{run}:write", {"timeSeriesData": [data]})

    def steps(query: str) -> list[int]:
        return [int(one["step"]) for one in ask("GET", f"{name}:read", query=query)["timeSeriesData"]["values"]]

    assert len(steps("")) == 1000
    for most in ("3", "1"):
        found = steps(f"maxDataPoints={most}")
        assert len(found) == int(most) and found[-1] == 1499 and found == sorted(set(found))
    assert steps("maxDataPoints=-1") == list(range(1500))
    assert steps("filter=step<3") == [0, 1, 2]
    with pytest.raises(Refusal, match="max_data_points"):
        steps("maxDataPoints=0")
    page = ask("POST", f"{name}:exportTensorboardTimeSeries", {"pageSize": 1400})
    rest = ask("POST", f"{name}:exportTensorboardTimeSeries", {"pageSize": 1400, "pageToken": page["nextPageToken"]})
    exported = [int(one["step"]) for one in (*page["timeSeriesDataPoints"], *rest["timeSeriesDataPoints"])]
    assert exported == list(range(len(exported))) and len(page["timeSeriesDataPoints"]) == 1000
    too_many = {**data, "values": points([(n, 0.0) for n in range(5001)])}
    with pytest.raises(Refusal, match="up to 5000"):
        ask("POST", f"{run}:write", {"timeSeriesData": [too_many]})


def test_a_tensorboard_goes_with_all_below(emulator: Any, ask: Ask, run: str) -> None:
    name = series(ask, run, "loss")
    data = {"tensorboardTimeSeriesId": name.rpartition("/")[2], "values": points([(1, 1.0)])}
    ask("POST", f"{run}:write", {"timeSeriesData": [data]})
    ask("DELETE", run.rpartition("/experiments/")[0])
    for kind in ("TensorboardExperiment", "TensorboardRun", "TensorboardTimeSeries", "TensorboardPoint"):
        assert emulator.documents.list(kind) == []


def test_datasets_are_tabular_and_of_files(ask: Ask) -> None:
    schema = "gs://google-cloud-aiplatform/schema/dataset/metadata/"
    tabular = {"displayName": "d", "metadataSchemaUri": f"{schema}tabular_1.0.0.yaml"}
    source = {"inputConfig": {"gcsSource": {"uri": ["gs://bucket/a.csv"]}}}
    made = ask("POST", f"{LOCATION}/datasets", {**tabular, "metadata": source})
    assert ask("GET", made["name"])["metadata"] == source
    assert ask("PATCH", made["name"], {"displayName": "e"}, "updateMask=display_name")["displayName"] == "e"
    for change, code in (
        ({"metadataSchemaUri": f"{schema}image_1.0.0.yaml"}, "UNIMPLEMENTED"),
        ({"metadata": {"inputConfig": {"bigquerySource": {"uri": "bq://p.d.t"}}}}, "UNIMPLEMENTED"),
        ({"metadata": {"inputConfig": {"gcsSource": {"uri": ["/a.csv"]}}}}, "INVALID_ARGUMENT"),
        ({"displayName": ""}, "INVALID_ARGUMENT"),
    ):
        with pytest.raises(Refusal) as refused:
            ask("POST", f"{LOCATION}/datasets", {**tabular, **change})
        assert refused.value.code == code
    with pytest.raises(Refusal, match="does not serve this call: a tabular dataset is its files"):
        ask("POST", f"{made['name']}:export", {})
    ask("DELETE", made["name"])
    assert ask("GET", f"{LOCATION}/datasets")["datasets"] == []


def test_who_reads_a_job_late_does_not_overwrite_its_end(emulator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request may have read the job before it ended, and come to write what it saw after that."""
    from headrace.emulator.vertex import pipeline_jobs

    written = []
    monkeypatch.setattr(pipeline_jobs.pipeline_runs, "result", lambda *_: SimpleNamespace(tasks={}))
    monkeypatch.setattr(pipeline_jobs, "_told", lambda *_: None)
    monkeypatch.setattr(pipeline_jobs, "task_details", lambda _: [])
    monkeypatch.setattr(pipeline_jobs, "_written", {})
    monkeypatch.setattr(pipeline_jobs, "write_metadata", lambda *_: written.append(1))
    name = f"{LOCATION}/pipelineJobs/j"
    seen = {"name": name, "state": "PIPELINE_STATE_RUNNING", "jobDetail": {}}
    emulator.documents.create("PipelineJob", name, {**seen, "state": "PIPELINE_STATE_SUCCEEDED"})
    pipeline_jobs._current(emulator, seen)
    assert written == []
    emulator.documents.change("PipelineJob", name, lambda _: seen)
    pipeline_jobs._current(emulator, seen)
    assert written == [1]


def test_a_job_shows_what_its_context_is_below(emulator: Any, make: Callable[..., str], ask: Ask) -> None:
    from headrace.emulator.vertex.pipeline_metadata import with_parents

    run, experiment = make("contexts", "run"), make("contexts", "experiment")
    job = {"jobDetail": {"pipelineRunContext": {"name": run}, "taskDetails": []}}
    ask("POST", f"{experiment}:addContextChildren", {"childContexts": [run]})
    shown = with_parents(emulator, job)["jobDetail"]
    assert shown == {"pipelineRunContext": {"name": run, "parentContexts": [experiment]}, "taskDetails": []}
    ask("DELETE", run)
    assert with_parents(emulator, job) == job
