"""A spec with `for_each`: its graph, what `headrace validate` says of it, and how a run of it is told."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from headrace.artifacts.folder import write_text
from headrace.artifacts.segment_results import SegmentResult, SegmentResults, State, write_segment_results
from headrace.pipelines.check import check_spec
from headrace.pipelines.compile import training_ir
from headrace.pipelines.local import events
from headrace.pipelines.local.ir.reading import read_graph
from headrace.pipelines.local.record.results import (
    CANCELLED,
    FAILED,
    RUNNING,
    SKIPPED,
    SUCCEEDED,
    ArtifactRecord,
    RunResult,
    TaskError,
    TaskResult,
)
from headrace.pipelines.local.views.view import PlainView
from headrace.pipelines.outcome import outcome, outcome_text
from headrace.pipelines.reports import INDEX, publish_reports
from headrace.pipelines.segments import exit_code, with_errors
from headrace.pipelines.spec import Spec, SpecError, load_spec

SPEC: dict[str, Any] = {
    "name": "churn",
    "task": "classification",
    "data": {"source": "data.csv", "label": "churned"},
    "features": {"drop": ["email"]},
    "deploy": {"endpoint": "calls"},
    "for_each": {"segment": "region", "parallel": 7},
}


def ir(**more: Any) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(training_ir(Spec.model_validate({**SPEC, **more}), ""))
    return found


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield str(key)
            yield from texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner)
    else:
        yield str(value)


@pytest.fixture(scope="module")
def compiled() -> dict[str, Any]:
    return ir()


def constant(task: dict[str, Any], name: str) -> Any:
    return task["inputs"]["parameters"][name]["runtimeValue"]["constant"]


def test_the_data_is_brought_and_judged_once_and_each_segment_has_its_own_steps(compiled: dict[str, Any]) -> None:
    root = compiled["root"]["dag"]["tasks"]
    loop = compiled["components"]["comp-for-loop-1"]["dag"]["tasks"]
    assert {"ingest", "check", "examine", "validate", "split-segments", "for-loop-1"} <= set(root)
    assert {"segment", "champion", "train", "evaluate", "gate", "infra-validate"} <= set(loop)
    assert not {"train", "gate", "champion"} & set(root)
    assert root["for-loop-1"]["iteratorPolicy"] == {"parallelismLimit": 7}
    assert "validate" in root["split-segments"]["dependentTasks"]  # nothing is learned from data that did not pass


def test_names_come_from_the_segment_and_not_from_the_spec(compiled: dict[str, Any]) -> None:
    root, loop = (compiled[name] for name in ("root", "components"))
    split = root["dag"]["tasks"]["split-segments"]
    assert (constant(split, "model_name"), constant(split, "endpoint")) == ("churn", "calls")
    assert "parallel" not in constant(split, "for_each")  # how many at a time changes no part
    tasks = loop["comp-for-loop-1"]["dag"]["tasks"]
    for name in ("train", "champion"):
        assert "parameterExpressionSelector" in tasks[name]["inputs"]["parameters"]["model_name"]
    (passed,) = (
        group["dag"]["tasks"] for name, group in loop.items() if "push" in group.get("dag", {}).get("tasks", ())
    )
    assert "endpoint" not in constant(passed["push"], "deploy")  # all models would be pushed to that one


def test_the_segments_column_is_no_feature(compiled: dict[str, Any]) -> None:
    transform = compiled["components"]["comp-for-loop-1"]["dag"]["tasks"]["transform"]
    assert constant(transform, "features")["drop"] == ["email", "region"]


def test_the_report_over_all_comes_whatever_became_of_each(compiled: dict[str, Any]) -> None:
    task = compiled["root"]["dag"]["tasks"]["summarize-segments"]
    assert task["triggerPolicy"] == {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"}
    collected = {
        name: source["taskOutputArtifact"]["producerTask"] for name, source in task["inputs"]["artifacts"].items()
    }
    assert collected == {
        "parts": "split-segments",
        **dict.fromkeys(["datasets", "evaluations", "champions", "decisions"], "for-loop-1"),
    }


@pytest.mark.parametrize("tune", [None, {"trials": 4}, {"trials": 4, "shards": 2}])
def test_nothing_is_asked_for_where_it_does_not_exist(tune: Any) -> None:
    """KFP's compiler does that to a loop's item in a text, and its backend then fails."""
    found = ir(train={"tune": tune} if tune else {})
    assert not [notice for notice in read_graph(found).notices if "does not exist" in notice]


def test_without_it_the_graph_is_of_one_model() -> None:
    found = yaml.safe_load(training_ir(Spec.model_validate({n: v for n, v in SPEC.items() if n != "for_each"}), ""))
    assert "for-loop" not in " ".join(texts(found["root"]["dag"]["tasks"]))
    assert "region" not in set(texts(found))


def project(folder: Path, for_each: str, more: str = "") -> Path:
    write_text(
        folder / "data.csv",
        "id,region,when,size,churned\n"
        + "".join(f"{n},{'ab'[n % 2]},2026-01-0{n + 1}T10:00:00,{n}.5,{n // 2 % 2}\n" for n in range(8)),
    )
    text = (
        f"name: churn\ntask: classification\ndata: {{source: data.csv, label: churned, id: id}}\nfor_each: {for_each}\n"
    )
    write_text(folder / "spec.yaml", text + more)
    return folder / "spec.yaml"


def test_a_spec_that_is_fine(tmp_path: Path) -> None:
    check_spec(project(tmp_path, "{segment: region}"))


@pytest.mark.parametrize(
    ("for_each", "message"),
    [
        (
            "{segment: regoin}",
            "spec.yaml:4: for_each.segment: expected a column of the source. Received: `regoin`; did you",
        ),
        ("{segment: churned}", "spec.yaml:4: for_each.segment: expected another column than the label"),
        ("{segment: when}", "for_each.segment: expected texts, whole numbers, truth values or dates. Received: `when`"),
        ("{segment: size}", "for_each.segment: expected texts, whole numbers, truth values or dates. Received: `size`"),
        ("{segment: id}", "for_each.segment: expected a column that rows share. Received: `id`, which names each row"),
        ("{segmnt: region}", "unknown field `segmnt`; did you mean `segment`?"),
    ],
)
def test_what_a_spec_gets_wrong(tmp_path: Path, for_each: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        check_spec(project(tmp_path, for_each))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("features", "place"),
    [
        ("keep: [size, region]", "keep.1"),
        ("text: [region]", "text.region"),
        ("keep: []\n  encode: {region: one_hot}", "encode.region"),
        ("missing_indicators: [region]", "missing_indicators.0"),
    ],
)
def test_what_no_model_sees_cannot_be_learned_from(tmp_path: Path, features: str, place: str) -> None:
    file = project(tmp_path, "{segment: region}", f"features:\n  {features}\n")
    with pytest.raises(SpecError) as caught:
        check_spec(file)
    line = 6 + features.count("\n")
    expected = (
        f"spec.yaml:{line}: features.{place}: expected a column that may be learned from. Received: `region`, which"
    )
    assert expected in str(caught.value)
    assert "for_each.segment names" in str(caught.value)


def test_dropping_the_segments_column_is_no_mistake(tmp_path: Path) -> None:
    check_spec(project(tmp_path, "{segment: region}", "features: {drop: [region], encode: {size: standardize}}\n"))


def test_a_country_that_yaml_takes_for_a_truth_value(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        load_spec(project(tmp_path, "\n  segment: region\n  values:\n  - SE\n  - NO"))
    assert "spec.yaml:8: for_each.values.1: expected a text" in str(caught.value)
    assert "quote it" in str(caught.value)
    assert load_spec(project(tmp_path, '{segment: region, values: [SE, "NO", "true"]}')).for_each is not None


def test_pictures_have_no_segments(tmp_path: Path) -> None:
    file = tmp_path / "spec.yaml"
    text = "name: m\ntask: image_classification\ndata: {source: photos, label: label}\nfor_each: {segment: label}\n"
    write_text(file, text)
    with pytest.raises(SpecError, match=r"spec.yaml:4: for_each: expected none with task: image_classification"):
        load_spec(file)


def task(path: str, state: str = SUCCEEDED, **more: Any) -> TaskResult:
    return TaskResult(path, path.rpartition("/")[2], f"comp-{path}", state, **more)


def test_a_push_that_failed_is_told_and_is_no_success(tmp_path: Path) -> None:
    one = SegmentResult("a", "failed", 9, "m-0", "m-0", "1", why="registered, and not pushed: the page says why")
    results = SegmentResults("m", "region", "test", (one, replace(one, value="b", state="live", model="m-1", why="")))
    error = TaskError("HeadraceError", "the champion changed", "")
    failed = task("for-loop-1[0]/condition-2/push", FAILED, error=error)
    found = run(tmp_path / "home", results, failed, state=FAILED)
    told = with_errors(results, found)
    assert told is not None and told.results[0].why.endswith("push: the champion changed")
    assert exit_code(found, told, None) == 3


def run(home: Path, results: SegmentResults | None, *tasks: TaskResult, state: str = SUCCEEDED) -> RunResult:
    """A run with these results, and a loop whose iterations are the models `m-0`, `m-1`, ..."""
    items = [{"model": f"m-{number}", "part": f"{number:04}"} for number in range(500)]
    found = [task("split-segments", outputs={"segments": items}), *tasks]
    if results is not None:
        write_segment_results(home / "summary", results)
        summary = ArtifactRecord("summary", "system.Artifact", str(home / "summary"), "sha256:0")
        found.append(task("summarize-segments", artifacts={"summary": (summary,)}))
    by_path = {one.path: one for one in found}
    return RunResult("20260101-000000-abcdef", "m", "m", state, 0.0, 1.5, {}, {}, by_path, home=home)


def one(number: int, state: State = "live", **more: Any) -> SegmentResult:
    return SegmentResult(f"Region {number:03}", state, 1000, f"m-{number}", f"m-{number}", **more)


def of(*results: SegmentResult) -> SegmentResults:
    return SegmentResults("m", "region", "test", results)


ERROR = TaskError("ValueError", "only one class", trace="...")


@pytest.mark.parametrize(
    ("results", "tasks", "state", "code"),
    [
        (of(one(0), one(1)), [], SUCCEEDED, 0),
        (of(one(0), one(1, "waiting")), [], SUCCEEDED, 0),
        (of(one(0), one(1, "left out")), [], SUCCEEDED, 0),
        (of(one(0), one(1, "left out", asked=True)), [], SUCCEEDED, 3),
        (of(one(0), one(1, "not passed")), [], SUCCEEDED, 3),
        (of(one(0), one(1, "failed")), [task("for-loop-1[1]/train", FAILED, error=ERROR)], FAILED, 3),
        (of(one(0, "failed"), one(1, "failed")), [task("for-loop-1[1]/train", FAILED, error=ERROR)], FAILED, 1),
        (of(one(0)), [task("track", FAILED, error=ERROR)], FAILED, 1),
        (of(one(0)), [task("for-loop-1[1]/train", CANCELLED)], CANCELLED, 1),
        (None, [task("validate", FAILED, error=ERROR)], FAILED, 1),
    ],
)
def test_exit_codes(tmp_path: Path, results: SegmentResults | None, tasks: Any, state: str, code: int) -> None:
    found = run(tmp_path, results, *tasks, state=state)
    assert exit_code(found, outcome(found).segments, outcome(found).passed) == code


def test_few_segments_are_all_listed(tmp_path: Path) -> None:
    results = of(
        one(0, version="2", metrics={"auc": 0.81}), one(1, "failed"), one(2, "not passed", metrics={"auc": 0.6})
    )
    failed = task("for-loop-1[1]/train", FAILED, error=ERROR)
    text = outcome_text(outcome(run(tmp_path, results, failed, state=FAILED)), "m")
    assert text.splitlines() == [
        "3 segments by region: 1 failed, 1 not passed, 1 live",
        "ROC AUC: from 0.6 over 0.705 in the middle to 0.81",
        "  Segment     State       ROC AUC   Rows  Why",
        "  Region 001  failed               1,000  for-loop-1[1]/train: only one class",
        "  Region 002  not passed      0.6  1,000",
        "  Region 000  live           0.81  1,000  m-0 version 2",
    ]


def test_one_row_without_a_segment_is_told_as_one(tmp_path: Path) -> None:
    lines = outcome_text(outcome(run(tmp_path, replace(of(one(0)), without_value=1))), "m").splitlines()
    assert lines[0] == "1 segment by region: 1 live"
    assert lines[-1] == "1 row has no region, and belongs to no segment."


def test_of_hundreds_only_those_that_need_somebody(tmp_path: Path) -> None:
    results = of(*(one(n, "not passed" if n % 10 == 0 else "live", metrics={"auc": n / 500}) for n in range(500)))
    lines = outcome_text(outcome(run(tmp_path, results)), "m").splitlines()
    assert lines[0] == "500 segments by region: 50 not passed, 450 live"
    assert len(lines) == 2 + 1 + 20 + 1
    assert lines[-1] == "  ... 30 more to look at, on the page `summarize-segments`"
    assert max(map(len, lines)) < 240


def test_for_machines_it_is_complete(tmp_path: Path) -> None:
    said = outcome(run(tmp_path, of(*(one(n) for n in range(30))))).as_json()["segments"]
    assert len(said["results"]) == 30 and said["states"] == {"live": 30}
    assert said["results"][3]["model"] == "m-3"


def test_notes_of_segments_are_counted_and_not_repeated(tmp_path: Path) -> None:
    def noted(path: str) -> TaskResult:
        record = ArtifactRecord("t", "system.Artifact", str(tmp_path), None, {"notes": ["`x` is no feature: constant"]})
        return task(path, artifacts={"t": (record,)})

    tasks = [noted("ingest"), *(noted(f"for-loop-1[{n}]/transform") for n in range(1200))]
    assert outcome(run(tmp_path, of(one(0)), *tasks)).notes == (
        "ingest: `x` is no feature: constant",
        "transform: 1,200 notes, each on its own page",
    )


def test_the_runs_page_leads_to_each_segments_pages(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<p>evaluated</p>")
    page = ArtifactRecord("report", "system.HTML", str(tmp_path / "page.html"), "sha256:0")
    tasks = [task(f"for-loop-1[{n}]/evaluate", artifacts={"report": (page,)}) for n in range(300)]
    found = run(tmp_path, of(*(one(n) for n in range(300))), *tasks)
    index = publish_reports(found, outcome(found))
    text = index.read_text()
    assert index.name == INDEX
    assert (index.parent / "segments" / "m-299" / "evaluate.html").read_text() == "<p>evaluated</p>"
    assert 'href="segments/m-299/evaluate.html"' in text
    assert "evaluate × 300" in text
    assert text.count("<tr>") < 20  # no line for each task of each segment


def test_the_runs_page_tells_a_failed_run_from_segments_to_look_at(tmp_path: Path) -> None:
    in_one = task("for-loop-1[1]/train", FAILED, error=ERROR)
    found = run(tmp_path, of(one(0), one(1, "failed")), in_one, state=FAILED)
    text = publish_reports(found, outcome(found)).read_text()
    assert '<span class="badge bad">1 to look at</span>' in text
    assert '<span class="badge bad">1 FAILED</span>' in text
    assert "What went wrong" not in text  # the segment says it
    found = run(tmp_path / "whole", of(one(0)), task("track", FAILED, error=ERROR), state=FAILED)
    text = publish_reports(found, outcome(found)).read_text()
    assert '<span class="badge bad">failed</span>' in text and "all as it should be" not in text
    assert "track: only one class" in text


def told(*happened: events.Event) -> list[str]:
    stream = io.StringIO()
    view = PlainView(stream)
    for event in happened:
        view(event)
    return stream.getvalue().splitlines()


def happening(number: int, state: str, time: float = 0.0) -> events.Event:
    kind = events.TASK_STARTED if state == RUNNING else events.TASK_FINISHED
    error = ERROR if state == FAILED else None
    return events.Event(kind, "r", time, task=task(f"for-loop-1[{number}]/train", state, attempts=1, error=error))


def test_of_a_long_loop_the_first_iterations_are_told_and_then_how_far_it_is() -> None:
    lines = told(
        *(happening(n, state, 1.0) for n in range(500) for state in (RUNNING, SUCCEEDED)),
        happening(500, FAILED, 2.0),
        events.Event(events.RUN_FINISHED, "r", 3.0, state=FAILED),
        events.Event(events.RUN_FINISHED, "r", 3.0, state=FAILED),
    )
    assert lines[:2] == ["for-loop-1[0]/train: started", "for-loop-1[0]/train: done in 0.00 s"]
    assert lines[-2:] == [
        "for-loop-1[500]/train: FAILED in 0.00 s",
        "for-loop-1: 498 more iterations begun; of their tasks 497 done, 1 FAILED",
    ]
    assert len(lines) == 6 + 2


def test_now_and_then_it_is_said_how_far_a_loop_is() -> None:
    lines = told(*(happening(n, SKIPPED, 100.0 + n) for n in range(3, 34)))
    assert [line for line in lines if "more iterations" in line] == [
        f"for-loop-1: {n} more iterations begun; of their tasks {n} skipped" for n in (1, 11, 21, 31)
    ]
