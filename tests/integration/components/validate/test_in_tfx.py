"""Statistics and validation with TFDV itself, in the tfx environment, on snapshots of the main one."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.artifacts.anomalies import read_anomalies
from headrace.artifacts.dataset import SPLITS, Column, DatasetInfo, describe, write_dataset
from headrace.artifacts.schema import read_schema
from headrace.artifacts.statistics import read_statistics
from headrace.components.statistics.component import statistics
from headrace.components.validate.component import validate

TFX = Path(sys.prefix).parent / (Path(sys.prefix).name + "-tfx") / "bin" / "python"
ROWS = {"train": 700, "eval": 150, "test": 150}
DAY = datetime.date(2025, 1, 1)
PLANS = ["basic", "plus", "pro", "größer"]

Columns = dict[str, pa.Array]


def columns(rows: int, offset: int) -> Columns:
    """One split's columns: every type a snapshot has, with missing values of every kind."""
    span = range(offset, offset + rows)
    amount = [None if i % 25 == 0 else float("nan") if i % 50 == 1 else i * 0.37 for i in span]
    return {
        "id": pa.array([f"c{i:05d}" for i in span]),
        "amount": pa.array(amount, pa.float64(), from_pandas=False),
        "count": pa.array([i % 40 for i in span], pa.int64()),
        "plan": pa.array(["" if i % 100 == 0 else PLANS[i % 4] for i in span]),
        "flag": pa.array([i % 3 == 0 for i in span]),
        "day": pa.array([DAY + datetime.timedelta(days=i % 90) for i in span], pa.date32()),
        "at": pa.array([1_700_000_000_000_000 + i for i in span], pa.timestamp("us")),
        "note": pa.array([f"text number {i}" for i in span]),
        "nothing": pa.nulls(rows, pa.float64()),
        "churned": pa.array([str(i % 2) for i in span]),
    }


def snapshot(path: Path, changed: dict[str, Any] | None = None, rows: dict[str, int] | None = None) -> None:
    """A snapshot; `changed` maps a column to a function of the row's number, or to None (no such column)."""
    tables, offset = {}, 0
    for split in SPLITS:
        count = (rows or ROWS)[split]
        table = columns(count, offset)
        for name, change in (changed or {}).items():
            if change is None:
                del table[name]
            else:
                table[name] = pa.array([change(i) for i in range(offset, offset + count)])
        tables[split] = pa.table(table)
        offset += count
    kinds = {"double": "float64", "date32[day]": "date32", "list<item: int64>": "list"}
    info = DatasetInfo(
        task="classification",
        columns=[Column(f.name, kinds.get(str(f.type), str(f.type))) for f in tables["train"].schema],
        label="churned",
        rows={split: table.num_rows for split, table in tables.items()},
        classes=["0", "1"],
        positive="1",
        id="id",
    )
    with write_dataset(path) as (files, details):
        details.update(describe(info))
        for split, file in files.items():
            pq.write_table(tables[split], file, compression="zstd")


@dataclass(frozen=True)
class Job:
    """What is held against what, and what must come of it. `dataset` None: the undamaged one."""

    name: str
    changed: dict[str, Any] | None = None
    edits: list[tuple[str, str]] = field(default_factory=list)  # of the inferred schema
    says: list[str] = field(default_factory=list)  # parts of the error; none: it must pass


def adding(name: str, kind: str, text: str) -> tuple[str, str]:
    """An edit that adds a line to a feature."""
    head = f'name: "{name}"\n  type: {kind}\n'
    return head, f"{head}  {text}\n"


DRIFT = "drift_comparator { jensen_shannon_divergence { threshold: 0.2 } }"


JOBS = [
    Job("unchanged"),
    Job(
        "missing-column",
        {"amount": None},
        says=["amount: expected a number", "completely missing", "Bring the"],
    ),
    Job("new-column", {"extra": lambda i: i}, says=["extra: expected no column of this name", "not in schema"]),
    Job(
        "fraction-for-whole-number",
        {"count": lambda i: i * 0.5},
        says=["count: expected a whole number", "got FLOAT"],
    ),
    Job(
        "text-for-number",
        {"amount": lambda i: f"EUR {i}"},
        says=["amount: expected a number", "FLOAT but got STRING"],
    ),
    Job("number-for-text", {"plan": lambda i: i % 4}, says=["plan: expected text", "BYTES but got INT"]),
    Job("whole-numbers-for-number", {"amount": lambda i: i}),
    Job(
        "timestamp-for-date",
        {"day": lambda i: datetime.datetime(2025, 1, 1)},
        says=["day: expected a date", "timestamp[us]"],
    ),
    Job("text-for-date", {"day": lambda i: "1.1.2025"}, says=["day: expected a date", "INT but got STRING"]),
    Job(
        "number-for-boolean",
        {"flag": lambda i: i % 6},
        says=["flag: expected true or false", "not in {0, 1}"],
    ),
    Job(
        "unseen-values",
        {"plan": lambda i: "gold" if i % 10 == 0 else "pro"},
        says=[
            "plan: expected text",
            "one of basic, größer, plus, pro",
            "gold (~10%)",
            "add them to the string_domain",
        ],
    ),
    Job(
        "unseen-class",
        {"churned": lambda i: "yes" if i == 3 else str(i % 2)},
        says=["churned:", "one of 0, 1", "train: ", "yes"],
    ),
    Job(
        "label-missing-once",
        {"churned": lambda i: None if i == 3 else str(i % 2)},
        says=["churned:", "in every row", "actual = 0.99"],
    ),
    Job(
        "too-many-missing",
        {"amount": lambda i: i * 0.5 if i % 2 else None},
        says=["amount: expected a number, in at least", "actual = 0.5", "lower presence.min_fraction"],
    ),
    Job("a-few-more-missing", {"amount": lambda i: None if i % 12 == 0 else i * 0.37}),
    Job("all-missing", {"plan": lambda i: None}, says=["plan:", "not present in any examples"]),
    Job("all-missing-but-allowed", {"nothing": lambda i: None}),
    Job(
        "out-of-range",
        edits=[adding("count", "INT", "int_domain { min: 1 max: 30 }")],
        says=[
            "count: expected a whole number",
            "from 1 up to 30",
            "small value: 0",
            "large value: 39",
            "widen the int_domain",
        ],
    ),
    Job(
        "out-of-real-range",
        edits=[adding("amount", "FLOAT", "float_domain { max: 100 }")],
        says=["amount:", "up to 100", "widen the float_domain"],
    ),
    Job(
        "drift",
        edits=[adding("amount", "FLOAT", DRIFT)],
        says=["amount:", "eval, test: ", "divergence between it and train", "comparator's threshold"],
    ),
    Job("drift-within-threshold", edits=[adding("count", "INT", DRIFT)]),
    Job("deprecated", {"note": None}, edits=[adding("note", "BYTES", "lifecycle_stage: DEPRECATED")]),
    Job("two-at-once", {"amount": None, "extra": lambda i: i}, says=["2 departures", "- amount:", "- extra:"]),
    Job(
        "damaged-schema",
        edits=[("type: FLOAT", "typ: FLOAT")],
        says=["schema.pbtxt:", 'no field named "typ"'],
    ),
    Job("newer-schema", edits=[("format 1", "format 2")], says=["schema.pbtxt:1:", "Upgrade headrace"]),
]


def request(job: Job) -> dict[str, Any]:
    dataset = job.name if job.changed else "base"
    return {
        "name": job.name, "dataset": dataset, "statistics": dataset, "schema": "inferred",
        "edits": job.edits, "on_anomaly": "fail",
    }  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The snapshots."""
    folder = tmp_path_factory.mktemp("snapshots")
    snapshot(folder / "base")
    snapshot(folder / "rare", {"plan": lambda i: "gold" if i == 3 else PLANS[i % 4]})
    snapshot(folder / "foreign", {"tags": lambda i: [i]})
    snapshot(folder / "hollow", rows={"train": 700, "eval": 0, "test": 150})
    for job in JOBS:
        if job.changed:
            snapshot(folder / job.name, job.changed)
    return folder


@pytest.fixture(scope="module")
def results(folder: Path) -> dict[str, Any]:
    """What the tfx environment made of the jobs; a second process repeats the statistics of one snapshot."""
    special = [
        {"name": "first", "dataset": "base", "statistics": "base", "schema": "\n"},
        {"name": "foreign-type", "dataset": "foreign", "statistics": "foreign", "schema": ""},
        {"name": "empty-split", "dataset": "hollow", "statistics": "hollow", "schema": "inferred"},
        {"name": "rare-value", "dataset": "rare", "statistics": "rare", "schema": "inferred"},
        {"name": "of-another", "dataset": "base", "statistics": "rare", "schema": ""},
        {
            "name": "warn",
            "dataset": "unseen-values",
            "statistics": "unseen-values",
            "schema": "inferred",
            "on_anomaly": "warn",
        },
    ]
    jobs = [{"edits": [], "on_anomaly": "fail", **job} for job in special] + [request(job) for job in JOBS]
    again = folder / "again"
    again.mkdir()
    (again / "base").symlink_to(folder / "base")
    running = [
        run_in_tfx(folder, {"folder": str(folder), "jobs": jobs, "sources": sources()}),
        run_in_tfx(again, {"folder": str(again), "jobs": [], "sources": {}}),
    ]
    for process, _ in running:
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output[-4000:]
    first, second = (json.loads(result.read_text()) for _, result in running)
    first["checks"]["digests"] += second["checks"]["digests"]
    return dict(first)


def sources() -> dict[str, str]:
    """The components' code as the compiler ships it, by the function's name."""
    executors = {c.name: c.component_spec.implementation.container for c in (statistics, validate)}
    return {name: container.command[-1] for name, container in executors.items()}


def run_in_tfx(folder: Path, request: dict[str, Any]) -> tuple[subprocess.Popen[str], Path]:
    (folder / "request.json").write_text(json.dumps(request))
    command = [TFX, Path(__file__).with_name("tfx_jobs.py"), folder / "request.json", folder / "results.json"]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONWARNINGS": "ignore"}
    process = subprocess.Popen(
        [str(part) for part in command],
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    return process, folder / "results.json"


@pytest.mark.parametrize("job", JOBS, ids=[job.name for job in JOBS])
def test_a_departure_stops_the_step_and_is_told_in_full(job: Job, results: dict[str, Any]) -> None:
    result = results[job.name]
    assert result["ok"] is (not job.says), result
    for part in job.says:
        assert part in result["message"]
    if not job.says:
        assert not result["found"]


def test_without_a_committed_schema_one_is_inferred_that_fits(folder: Path, results: dict[str, Any]) -> None:
    assert results["first"]["ok"] is True and results["first"]["found"] == [], results["first"]
    schema = read_schema(folder / "jobs" / "first" / "schema")
    assert [f.name for f in schema.feature] == list(columns(1, 0))
    assert not read_anomalies(folder / "jobs" / "first" / "anomalies").anomaly_info
    assert "No schema is committed yet" in (folder / "jobs" / "first" / "report.html").read_text()


def test_a_failing_step_has_written_all_its_outputs(folder: Path, results: dict[str, Any]) -> None:
    assert results["missing-column"]["ok"] is False
    out = folder / "jobs" / "missing-column"
    assert list(read_anomalies(out / "anomalies").anomaly_info) == ["amount"]
    assert "completely missing" in (out / "report.html").read_text()


def test_a_run_never_widens_the_schema(folder: Path, results: dict[str, Any]) -> None:
    assert results["unseen-values"]["ok"] is False
    used = (folder / "jobs" / "unseen-values" / "schema" / "schema.pbtxt").read_text()
    assert used == (folder / "jobs" / "first" / "schema" / "schema.pbtxt").read_text()


def test_warn_goes_on_with_the_same_findings(results: dict[str, Any]) -> None:
    assert results["warn"]["ok"] is True
    assert results["warn"]["found"] == results["unseen-values"]["found"]


def test_a_value_rare_enough_to_be_tolerated_is_a_warning(folder: Path, results: dict[str, Any]) -> None:
    result = results["rare-value"]
    assert result["ok"] is True
    assert [(f["feature"], f["level"]) for f in result["found"]] == [("plan", "warning")]
    assert "gold (<1%)" in result["found"][0]["found"][0]


def test_a_split_without_rows_does_not_pass(results: dict[str, Any]) -> None:
    assert results["empty-split"]["ok"] is False
    assert "eval: The split has no rows" in results["empty-split"]["message"]


def test_statistics_of_another_snapshot_are_refused(results: dict[str, Any]) -> None:
    assert "expected statistics of the data version" in results["of-another"]["message"]


def test_a_column_that_tfdv_cannot_take_is_left_out_and_said_so(folder: Path, results: dict[str, Any]) -> None:
    assert results["foreign-type"]["ok"] is True, results["foreign-type"]
    described = {c.name: c.described for c in read_statistics(folder / "statistics" / "foreign").columns}
    assert described["tags"] is False and all(described[name] for name in columns(1, 0))
    assert "Not described" in (folder / "foreign.html").read_text()


def test_statistics_tell_types_roles_and_missing_values(folder: Path, results: dict[str, Any]) -> None:
    assert results["first"]["ok"] is True
    described = read_statistics(folder / "statistics" / "base")
    roles = {column.name: column.role for column in described.columns}
    assert roles["id"] == "id" and roles["churned"] == "label" and roles["plan"] == "feature"
    train = {f.path.step[0]: f for f in described.split("train").features}
    assert described.split("train").num_examples == 700
    assert train["amount"].num_stats.common_stats.num_missing == 28 + 14  # null and NaN
    assert train["plan"].string_stats.common_stats.num_missing == 7  # the empty string
    assert train["nothing"].num_stats.common_stats.num_missing == 700
    assert train["day"].num_stats.min == (DAY - datetime.date(1970, 1, 1)).days
    assert train["at"].num_stats.min == 1_700_000_000_000_000
    assert train["flag"].num_stats.mean == pytest.approx(234 / 700)
    assert train["note"].string_stats.unique == 700
    assert {v.value: v.frequency for v in train["plan"].string_stats.top_values} == {
        "plus": 175, "pro": 175, "größer": 175, "basic": 168,
    }  # fmt: skip


def test_the_page_shows_each_column_split_against_split(folder: Path, results: dict[str, Any]) -> None:
    assert results["first"]["ok"] is True
    page = (folder / "base.html").read_text()
    for text in ("amount", "größer", "2025-01-01", "days since 2025-01-01", "train", "eval", "test", "<svg"):
        assert text in page
    assert "nothing" in page and "has no value in any row" in page
    assert "http://" not in page and "https://" not in page


def test_the_same_snapshot_gives_the_same_digest_in_any_process(results: dict[str, Any]) -> None:
    digests = results["checks"]["digests"]
    assert len(digests) == 4 and len(set(digests)) == 1


def test_the_figures_are_those_of_tfdv_itself(results: dict[str, Any]) -> None:
    assert results["checks"]["agrees"] == []


def test_batches_do_not_change_exact_figures(results: dict[str, Any]) -> None:
    assert results["checks"]["chunked"]["parts"] == results["checks"]["chunked"]["whole"]


def test_tfdv_reads_the_artifacts(results: dict[str, Any]) -> None:
    assert results["checks"]["tfdv_reads"] == [*SPLITS, *columns(1, 0)]


def test_counts_stay_bounded_and_keep_the_frequent(results: dict[str, Any]) -> None:
    counts = results["checks"]["bounded_counts"]
    assert counts["top"] == ["often-0000", "often-0999"]
    assert counts["least"] == 50
    assert counts["distinct"] == pytest.approx(51_000, rel=0.03)
    assert counts["most_rows"] <= 2 * 4_000


def test_the_compiled_components_run_under_the_executor_of_kfp(results: dict[str, Any]) -> None:
    assert results["checks"]["components"] == [
        "anomalies",
        "page.html",
        "report.html",
        "schema",
        "statistics",
    ]
