"""What is said of a run that has little to tell, and the page of its reports."""

from dataclasses import replace
from pathlib import Path

import pytest

from headrace.artifacts.evaluation import Evaluation, write_evaluation
from headrace.pipelines.local.record.results import (
    CANCELLED,
    FAILED,
    INTERRUPTED,
    SKIPPED,
    SUCCEEDED,
    ArtifactRecord,
    RunResult,
    TaskError,
    TaskResult,
)
from headrace.pipelines.outcome import outcome, outcome_text
from headrace.pipelines.reports import INDEX, index_page, publish_reports


def run(home: Path, *tasks: TaskResult, state: str = SUCCEEDED) -> RunResult:
    return RunResult("20260101-000000-abcdef", "m", "m", state, 0.0, 1.5, {}, {}, {t.path: t for t in tasks}, home=home)


def task(path: str, state: str = SUCCEEDED, **more: object) -> TaskResult:
    return TaskResult(path, path.rpartition("/")[2], f"comp-{path}", state, **more)  # type: ignore[arg-type]


def test_a_run_that_ended_early(tmp_path):
    error = TaskError("E", "expected rows. Received: none", user=True)
    found = outcome(run(tmp_path, task("ingest", FAILED, error=error), task("gate", SKIPPED), state=FAILED))
    assert (found.passed, found.pushed, found.version, found.evaluation, found.verdict) == (
        None,
        False,
        None,
        None,
        None,
    )
    assert outcome_text(found, "m") == ""
    assert found.as_json()["evaluation"] is None
    assert found.as_json()["gates"] == []


def test_passed_and_pushed_come_from_the_tasks():
    home = Path()
    pushed = outcome(
        run(home, task("gate", outputs={"passed": True}), task("c/register", outputs={"version": "3"}), task("c/push"))
    )
    assert (pushed.passed, pushed.version, pushed.pushed) == (True, "3", True)
    assert "Pushed: version 3 of m is the champion now." in outcome_text(pushed, "m")
    failed = outcome(run(home, task("gate", outputs={"passed": False}), task("c/push", SKIPPED)))
    assert (failed.passed, failed.pushed) == (False, False)
    assert outcome_text(failed, "m") == "Not every gate passed: nothing was registered, nothing was pushed."


def test_a_model_that_waits_for_approval_is_told_with_what_to_do(tmp_path):
    gate, register = task("gate", outputs={"passed": True}), task("c/register", outputs={"version": "3"})
    found = outcome(run(tmp_path, gate, register, task("c/push", outputs={"state": "waits for approval"})))
    assert (found.passed, found.pushed, found.waits) == (True, False, True)
    assert (found.as_json()["pushed"], found.as_json()["waits_for_approval"]) == (False, True)
    text = outcome_text(found, "m")
    assert text.startswith("Waits for approval: version 3 of m passed its gates, and does not serve yet.\n")
    assert "headrace models approve m:3 --reason ..." in text
    assert "waits for approval</span>" in index_page(run(tmp_path), found, {})


def test_a_model_with_one_answer_is_told(tmp_path):
    counts = ((990, 0), (10, 0))
    found = Evaluation(
        True, "classification", "y", "test", 1000, "sha256:d", "sha256:m", ("0", "1"), "1", 0.5, confusion=counts
    )
    write_evaluation(tmp_path / "found", found)
    record = ArtifactRecord("evaluation", "system.Artifact", str(tmp_path / "found"), "sha256:0")
    said = outcome(run(tmp_path, task("evaluate", artifacts={"evaluation": (record,)})))
    assert said.notes == (
        "evaluate: every row of the test split is predicted to be `0`, as no probability of `1` reaches the threshold "
        "of 0.5; train.threshold can choose another, such as `f1`",
    )
    assert outcome_text(said, "m").startswith("note: evaluate: every row of the test split")


def test_the_page_of_a_failed_run_says_why(tmp_path):
    wanted = TaskError("E", "data: expected `x` > 0. Received:\nnone", user=True)
    raised = TaskError("ValueError", "only <one> class", trace="Traceback:\nValueError: only <one> class\n")
    result = run(
        tmp_path, task("ingest", FAILED, error=wanted), task("train", FAILED, error=raised), task("gate", SKIPPED),
        state=FAILED,
    )  # fmt: skip
    text = publish_reports(result, outcome(result)).read_text()
    assert '</h1><span class="badge bad">failed</span>' in text
    assert '<span class="badge bad">FAILED in 0.00 s</span>' in text
    assert '<span class="badge neutral">skipped</span>' in text
    assert "ingest: data: expected <code>x</code> &gt; 0. Received:<br>none</div>" in text
    assert "train: only &lt;one&gt; class</div>" in text
    assert "<pre><code>Traceback:\nValueError: only &lt;one&gt; class</code></pre>" in text
    assert "What went wrong" not in index_page(run(tmp_path, task("ingest")), outcome(run(tmp_path)), {})


def test_of_many_that_failed_the_page_tells_the_first_at_length(tmp_path):
    error = TaskError("E", "no rows", user=True)
    result = run(tmp_path, *(task(f"t{n}", FAILED, error=error) for n in range(12)), state=FAILED)
    text = index_page(result, outcome(result), {})
    assert text.count("no rows</div>") == 5
    assert "7 more failed: t5, t6, t7, t8, t9, ...</p>" in text


@pytest.mark.parametrize(
    ("state", "error", "words"),
    [
        (CANCELLED, "cancelled by SIGINT", "Cancelled by SIGINT"),
        (CANCELLED, "", "Cancelled"),
        (INTERRUPTED, "", "The process that ran it died"),
    ],
)
def test_the_page_of_a_run_that_was_ended_says_in_the_midst_of_what(state, error, words, tmp_path):
    tasks = task("ingest"), task("tune", state, attempts=1), task("train", state)
    text = index_page(replace(run(tmp_path, *tasks, state=state), error=error), outcome(run(tmp_path)), {})
    assert f'</h1><span class="badge warn">{state.lower()}</span>' in text
    assert f'<div class="callout warn">{words} in the midst of tune.</div>' in text and "callout bad" not in text


def test_a_failed_run_that_has_pushed_shows_both(tmp_path):
    error = TaskError("E", "no server", user=True)
    tasks = task("gate", outputs={"passed": True}), task("push"), task("track", FAILED, error=error)
    result = run(tmp_path, *tasks, state=FAILED)
    text = index_page(result, outcome(result), {})
    assert '<span class="badge bad">failed</span> <span class="badge good">pushed</span>' in text


def test_an_emptied_store_leaves_nothing_to_show(tmp_path):
    gone = ArtifactRecord("evaluation", "system.Artifact", str(tmp_path / "gone"), "sha256:0")
    found = outcome(run(tmp_path, task("evaluate", artifacts={"evaluation": (gone,)})))
    assert found.evaluation is None


def test_reports_are_laid_beside_an_index(tmp_path):
    (tmp_path / "store").mkdir()
    report = tmp_path / "store" / "report"
    report.write_text("<!doctype html>the report of train")
    card = tmp_path / "store" / "card"
    card.write_text("<!doctype html>the card")
    record = ArtifactRecord("report", "system.HTML", str(report), "sha256:0")
    second = ArtifactRecord("card", "system.HTML", str(card), "sha256:1")
    artifacts = {"card": (second,), "report": (record,)}
    result = run(tmp_path, task("train", artifacts=artifacts), task("ingest <b>", FAILED))
    for _ in range(2):  # a second time replaces the first
        page = publish_reports(result, outcome(result))
    assert page == tmp_path / "reports" / result.id / INDEX
    assert (page.parent / "train.html").read_text() == report.read_text()
    assert (page.parent / "train-card.html").read_text() == card.read_text()
    text = page.read_text()
    assert 'href="train.html"' in text
    assert text.index('href="train.html"') < text.index('href="train-card.html"')  # the report first
    assert "ingest &lt;b&gt;" in text
    assert "ingest <b>" not in text


@pytest.mark.parametrize(
    ("markdown", "shown"),
    [
        ("The data is as it has to be.\n", "<p>The data is as it has to be.</p>"),
        ("- \\<img src=x onerror=y\\> of a\\_b\n- two\n", "<li>&lt;img src=x onerror=y&gt; of a_b</li><li>two</li>"),
        ("# A title\n\n<script>\n", "<pre><code># A title\n\n&lt;script&gt;\n</code></pre>"),
    ],
)
def test_what_is_said_in_markdown_gets_a_page(markdown, shown, tmp_path):
    said = tmp_path / "said"
    said.write_text(markdown)
    record = ArtifactRecord("warnings", "system.Markdown", str(said), "sha256:0")
    result = run(tmp_path, task("validate", artifacts={"warnings": (record,)}))
    page = publish_reports(result, outcome(result))
    text = (page.parent / "validate.html").read_text()
    assert text.lower().startswith("<!doctype html>")
    assert shown in text
    assert 'href="validate.html"' in page.read_text()
    assert said.read_text() == markdown
