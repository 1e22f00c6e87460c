"""The examination with TFDV itself, in the tfx environment, on snapshots of the main one."""

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
from headrace.artifacts.dataset import SPLITS, Column, Dataset, DatasetInfo, describe, write_dataset
from headrace.artifacts.findings import Finding, Findings, write_findings
from headrace.artifacts.schema import read_schema
from headrace.components.examine.component import examine
from tests.unit.serving.tiny_bundle import write_tiny_bundle

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


NOT_LOOKED_AT = "the rows were not looked at: no findings of `check` were given"
FRESH = {"column": "day", "max_age": "7d"}
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
        says=["churned:", "in every row", "a value in only 99.9% of the rows"],
    ),
    Job(
        "too-many-missing",
        {"amount": lambda i: i * 0.5 if i % 2 else None},
        says=[
            "amount: expected a number, in at least",
            "a value in only 50.0% of the rows",
            "lower presence.min_fraction",
        ],
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
    Job("two-at-once", {"amount": None, "extra": lambda i: i}, says=["2 faults", "- amount:", "- extra:"]),
    Job(
        "damaged-schema",
        edits=[("type: FLOAT", "typ: FLOAT")],
        says=["schema.pbtxt:", 'no field named "typ"'],
    ),
    Job("newer-schema", edits=[("format 1", "format 2")], says=["schema.pbtxt:1:", "Upgrade headrace"]),
]


SHIFTED = {"amount": lambda i: i * 37.0, "plan": lambda i: "pro" if i % 2 else "basic"}
SPECIAL: list[dict[str, Any]] = [
    {"name": "first", "schema": "\n"},
    {"name": "empty-split", "dataset": "hollow"},
    {"name": "rare-value", "dataset": "rare"},
    {"name": "of-another", "statistics": "rare", "schema": ""},
    {"name": "warn", "dataset": "unseen-values", "settings": {"on_anomaly": "warn"}},
    {"name": "champion-alike", "champion": "base"},
    {"name": "champion-absent", "champion": "absent"},
    {"name": "champion-old", "champion": "old"},
    {"name": "shifted", "dataset": "shifted", "champion": "base"},
    {"name": "shifted-error", "dataset": "shifted", "champion": "base", "settings": {"drift": {"level": "error"}}},
    {"name": "shifted-off", "dataset": "shifted", "champion": "base", "settings": {"drift": "off"}},
    {
        "name": "shifted-own",  # the schema's comparator comes first, and is an error
        "dataset": "shifted",
        "champion": "base",
        "settings": {"drift": "off"},
        "edits": [adding("plan", "BYTES", "drift_comparator { infinity_norm { threshold: 0.2 } }")],
    },
    {"name": "fewer-rows", "dataset": "fewer", "champion": "base"},
    {"name": "more-rows", "champion": "fewer"},
    {"name": "more-of-a-class", "dataset": "relabelled", "champion": "base"},
    {"name": "fresh", "now": "2025-04-05T00:00:00+00:00", "settings": {"freshness": FRESH}},
    {"name": "stale", "now": "2025-06-01T00:00:00+00:00", "settings": {"freshness": FRESH}},
    {"name": "ahead", "now": "2025-03-01T00:00:00+00:00", "settings": {"freshness": FRESH}},
    {"name": "no-time", "settings": {"freshness": {"column": "plan", "max_age": "1d"}}},
    {"name": "no-column", "settings": {"freshness": {"column": "dya", "max_age": "1d"}}},
    {"name": "still", "dataset": "still", "schema": "", "dropped": ["note"]},
    {"name": "requests-alike", "requests": "requests-alike"},
    {"name": "requests-other", "requests": "requests-other"},
    {"name": "requests-none", "requests": "no-requests"},
    {"name": "requests-none-error", "requests": "no-requests", "settings": {"skew": "error"}},
    {"name": "requests-wrong", "requests": "requests-wrong"},
    {"name": "requests-wrong-error", "requests": "requests-wrong", "settings": {"skew": "error"}},
    {"name": "requests-wrong-dropped", "requests": "requests-wrong", "dropped": ["note", "nothing", "amount"]},
    {"name": "requests-wrong-once", "requests": "requests-wrong-once"},
    {"name": "requests-fraction", "requests": "requests-fraction"},
    {
        "name": "requests-whole",  # where the schema lets the column have fractions
        "requests": "requests-alike",
        "edits": [('name: "count"\n  type: INT', 'name: "count"\n  type: FLOAT')],
    },
    {"name": "requests-first-without", "requests": "requests-first-without"},
    {"name": "requests-broken", "requests": "requests-broken"},
    {"name": "sliced", "describe": {"weight": "count", "slices": ["plan", "flag"]}},
    {"name": "with-checks", "checks": "checks", "champion": "base"},
    {"name": "checks-of-another", "checks": "checks-of-another"},
]


def request(job: dict[str, Any]) -> dict[str, Any]:
    dataset = job.get("dataset", "base")
    return {
        "dataset": dataset,
        "statistics": dataset,
        "schema": "inferred",
        "edits": [],
        "dropped": ["note", "nothing"],
        **job,
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The snapshots, a bundle, logs of requests, findings about rows."""
    folder = tmp_path_factory.mktemp("snapshots")
    snapshot(folder / "base")
    snapshot(folder / "rare", {"plan": lambda i: "gold" if i == 3 else PLANS[i % 4]})
    snapshot(folder / "hollow", rows={"train": 700, "eval": 0, "test": 150})
    snapshot(folder / "shifted", SHIFTED)
    snapshot(folder / "fewer", rows={"train": 300, "eval": 60, "test": 60})
    snapshot(folder / "relabelled", {"churned": lambda i: str(int(i % 4 == 0))})
    snapshot(folder / "still", {"plan": lambda i: "pro", "count": lambda i: 7})
    for job in JOBS:
        if job.changed:
            snapshot(folder / job.name, job.changed)
    write_tiny_bundle(folder / "bundle")
    requests(folder)
    digest = Dataset.open(folder / "base").digest
    leak = Finding("leakage", "warn", "amount", "no leak", "an AUC of 1", "Drop it", ["amount"], None, ["c00001"])
    profile = {
        "sample_rows": 700, "powers": {"amount": 0.9, "plan": 0.6}, "measure": "AUC", "classes": {},
        "associations": {"columns": ["amount", "plan"], "matrix": [[1, 0.5], [0.5, 1]], "pairs": [["amount", "plan", 0.5]]},
    }  # fmt: skip
    write_findings(folder / "checks", Findings(digest, [leak], ["the sample is small"], profile))
    write_findings(folder / "checks-of-another", Findings("sha256:other", []))
    return folder


def requests(folder: Path) -> None:
    """Logged requests: alike, of another distribution, with a value of another type, no objects; one a line.

    The model does not ask for `note`. Texts that look like dates are texts all the same.
    """
    base = pq.read_table(folder / "base" / "train" / "data.parquet").drop_columns(["churned", "id", "note"])
    plain = [{k: str(v) if k in ("day", "at") else v for k, v in row.items() if v == v} for row in base.to_pylist()]
    kinds = {
        "alike": [{"instance": row, "time": "2025-04-01"} for row in plain],
        "other": [{**row, "plan": "gold", "amount": (row.get("amount") or 1) * 50} for row in plain],
        "wrong": [{**row, "amount": "much", "plan": "pro"} for row in plain],
        "wrong-once": [*({**row, "plan": "pro"} for row in plain), {**plain[1], "amount": "much"}],
        "fraction": [*({**row, "plan": "pro"} for row in plain), {**plain[1], "count": 2.5}],
        "broken": [plain[0], None],
        "first-without": [{"count": 1}, *({**row, "plan": f"2024-0{i % 4 + 1}-05"} for i, row in enumerate(plain))],
    }
    for kind, lines in kinds.items():
        (folder / f"requests-{kind}").mkdir()
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        (folder / f"requests-{kind}" / "log.jsonl").write_text(text, encoding="utf-8")
    (folder / "no-requests").mkdir()


@pytest.fixture(scope="module")
def results(folder: Path) -> dict[str, Any]:
    """What the tfx environment made of the jobs."""
    own = [{"name": job.name, "dataset": job.name if job.changed else "base", "edits": job.edits} for job in JOBS]
    jobs = [request(job) for job in [*SPECIAL, *own]]
    source = examine.component_spec.implementation.container.command[-1]  # as the compiler ships it
    (folder / "request.json").write_text(json.dumps({"folder": str(folder), "jobs": jobs, "source": source}))
    command = [TFX, Path(__file__).with_name("tfx_jobs.py"), folder / "request.json", folder / "results.json"]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [str(part) for part in command], env=environment, text=True, capture_output=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return dict(json.loads((folder / "results.json").read_text()))


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
    as_warnings = [{**finding, "level": "warn"} for finding in results["unseen-values"]["found"]]
    assert results["warn"]["found"] == as_warnings != []


def test_a_value_rare_enough_to_be_tolerated_is_a_warning(folder: Path, results: dict[str, Any]) -> None:
    result = results["rare-value"]
    assert result["ok"] is True
    assert [(f["where"], f["level"]) for f in result["found"]] == [("plan", "warn")]
    assert "gold (<1%)" in result["found"][0]["received"]


def test_a_split_without_rows_does_not_pass(results: dict[str, Any]) -> None:
    assert results["empty-split"]["ok"] is False
    assert "eval: The split has no rows" in results["empty-split"]["message"]


def test_statistics_of_another_snapshot_are_refused(results: dict[str, Any]) -> None:
    assert "expected statistics of the data version" in results["of-another"]["message"]


def checks_of(result: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(finding["check"], finding["level"], finding["where"]) for finding in result["found"]]


def told(result: dict[str, Any], check: str) -> str:
    (finding,) = [finding for finding in result["found"] if finding["check"] == check]
    return str(finding["received"])


def test_the_same_data_as_the_champions_has_not_drifted(results: dict[str, Any]) -> None:
    assert results["champion-alike"]["ok"] is True, results["champion-alike"]
    assert checks_of(results["champion-alike"]) == []
    assert results["champion-alike"]["notes"] == [NOT_LOOKED_AT]


@pytest.mark.parametrize(
    ("job", "why"),
    [
        ("first", "no champion was given"),
        ("champion-absent", "there is no champion yet"),
        ("champion-old", "was made before bundles had statistics"),
    ],
)
def test_without_earlier_data_a_note_says_so(job: str, why: str, results: dict[str, Any]) -> None:
    assert results[job]["ok"] is True, results[job]
    assert any("not held against earlier data" in note and why in note for note in results[job]["notes"])


def test_drift_is_a_warning_unless_the_spec_says_otherwise(results: dict[str, Any]) -> None:
    expected = [("drift", "warn", "amount"), ("drift", "warn", "plan")]
    assert [entry for entry in checks_of(results["shifted"]) if entry[0] == "drift"] == expected
    assert "Most different is pro" in results["shifted"]["found"][-1]["received"] or "basic" in str(results["shifted"])
    assert results["shifted"]["ok"] is True
    assert results["shifted-error"]["ok"] is False
    assert "amount: expected a distribution like that of the champion's" in results["shifted-error"]["message"]
    assert [c for c, _, _ in checks_of(results["shifted-off"])] == []


def test_a_comparator_of_the_schema_comes_before_the_spec_and_is_an_error(results: dict[str, Any]) -> None:
    assert checks_of(results["shifted-own"]) == [("drift", "error", "plan")]
    assert "its comparator in the schema" in results["shifted-own"]["message"]


def test_volume_and_label_against_the_champion(results: dict[str, Any]) -> None:
    assert ("volume", "warn", "(all rows)") in checks_of(results["fewer-rows"])
    assert told(results["fewer-rows"], "volume") == "420 rows (-58%)"
    assert told(results["more-rows"], "volume") == "1,000 rows (+138%)"
    assert told(results["more-of-a-class"], "label_change") == "1 in 25.0% of the rows, and in 50.0% then"


def test_freshness(results: dict[str, Any]) -> None:
    assert checks_of(results["fresh"]) == []
    assert checks_of(results["stale"]) == [("freshness", "error", "day")]
    assert told(results["stale"], "freshness") == "2025-03-31, 62 days ago"
    assert results["stale"]["ok"] is False
    assert told(results["ahead"], "freshness") == "a newest row of 2025-03-31, 30 days ahead"
    assert results["ahead"]["found"][0]["examples"][0] == "c00061"  # the 3rd of March
    assert told(results["no-time"], "freshness") == "`plan` of type string"
    assert "did you mean `day`?" in told(results["no-column"], "freshness")


def test_constant_columns_and_columns_that_name_their_row(results: dict[str, Any]) -> None:
    assert checks_of(results["still"]) == [
        ("constant", "warn", "count"), ("constant", "warn", "plan"), ("constant", "warn", "nothing"),
    ]  # fmt: skip
    assert [f["received"] for f in results["still"]["found"]] == [
        "7 in every row", "'pro' in every row", "no value in every row",
    ]  # fmt: skip


def test_examples_name_the_rows(results: dict[str, Any]) -> None:
    (finding,) = results["unseen-values"]["found"]
    assert finding["examples"] == [f"c{i:05d}" for i in (0, 10, 20, 30, 40)]
    assert "such as c00000, c00010" in results["unseen-values"]["message"]
    (finding,) = results["out-of-range"]["found"]
    assert finding["examples"] == ["c00000", "c00031", "c00032", "c00033", "c00034"]
    (finding,) = results["too-many-missing"]["found"]
    assert finding["examples"][:2] == ["c00000", "c00002"]


def test_requests_like_the_training_data_show_no_skew(results: dict[str, Any]) -> None:
    assert results["requests-alike"]["ok"] is True, results["requests-alike"]
    assert checks_of(results["requests-alike"]) == []
    assert not any("logged" in note for note in results["requests-alike"]["notes"])  # `note` is dropped


def test_without_requests_that_can_be_read_there_is_a_report_and_a_finding(
    folder: Path, results: dict[str, Any]
) -> None:
    for job, why in {
        "requests-none": "none in .jsonl or .parquet files",
        "requests-broken": "log.jsonl, which is no log of requests: expected an object a line, not null",
    }.items():
        assert results[job]["ok"] is True
        assert checks_of(results[job]) == [("skew", "warn", "(all rows)")]
        assert told(results[job], "skew").startswith(why)
        assert "Name a folder of logged requests" in (folder / "jobs" / job / "report.html").read_text()
    assert results["requests-none-error"]["ok"] is False


def test_a_column_of_another_type_in_requests_is_told_and_the_others_are_held_against_them(
    results: dict[str, Any],
) -> None:
    for job, level in {
        "requests-wrong": "warn",
        "requests-wrong-once": "warn",
        "requests-wrong-error": "error",
    }.items():
        assert checks_of(results[job]) == [("skew", level, "plan"), ("skew", level, "amount")], results[job]
        told_of = results[job]["found"][1]["received"]
        assert told_of.startswith(
            "log.jsonl with `amount` of another type than float64: Failed to parse string: 'much'"
        )
    assert results["requests-wrong-error"]["ok"] is False
    assert checks_of(results["requests-wrong-dropped"]) == [("skew", "warn", "plan")]


def test_a_fraction_in_requests_is_a_number_and_a_departure_from_the_schema(results: dict[str, Any]) -> None:
    assert checks_of(results["requests-fraction"]) == [("skew", "warn", "plan"), ("schema", "warn", "count")]
    assert "got FLOAT" in told(results["requests-fraction"], "schema")
    assert checks_of(results["requests-whole"]) == []  # nor are whole numbers one, where fractions may be


def test_a_request_without_a_text_leaves_those_of_the_others_as_they_are(results: dict[str, Any]) -> None:
    said = told(results["requests-first-without"], "schema")
    assert "2024-01-05 (" in said and "00:00" not in said


def test_the_report_shows_logged_requests_beside_the_splits(folder: Path, results: dict[str, Any]) -> None:
    page = (folder / "jobs" / "requests-other" / "report.html").read_text()
    assert "<span>Skew</span>" in page or ">Skew<" in page
    assert ">logged<" in page
    assert ">logged<" not in (folder / "jobs" / "first" / "report.html").read_text()


def test_the_report_shows_slices_and_weights(folder: Path, results: dict[str, Any]) -> None:
    assert results["sliced"]["ok"] is True
    page = (folder / "jobs" / "sliced" / "report.html").read_text()
    assert "Rows by plan" in page and "Rows by flag" in page
    # i % 100 == 0 has no plan; i % 4 == 1 is plus: 175 of the 700 rows of train, all of them of class 1
    assert "175 · 25.0 %" in page and "1 · 100 %" in page and "1 · 0 %" in page
    assert "plan = plus" in page and "flag = true" in page
    assert "Weight of train" in page and "train, weighted" in page
    first = (folder / "jobs" / "first" / "report.html").read_text()
    assert "Rows by" not in first and "weighted" not in first.lower()


def test_requests_of_another_distribution_do(folder: Path, results: dict[str, Any]) -> None:
    found = checks_of(results["requests-other"])
    assert ("skew", "warn", "amount") in found and ("skew", "warn", "plan") in found
    assert ("schema", "warn", "plan") in found  # `gold` is not listed
    assert results["requests-other"]["ok"] is True


def test_findings_about_rows_are_taken_over(folder: Path, results: dict[str, Any]) -> None:
    assert checks_of(results["with-checks"]) == [("leakage", "warn", "amount")]
    assert "the sample is small" in results["with-checks"]["notes"]
    page = (folder / "jobs" / "with-checks" / "report.html").read_text()
    for text in ("1 warning", "an AUC of 1", "c00001", "How well a feature alone predicts churned", "champion&#x27;s"):
        assert text in page, text
    assert "expected findings of the data version" in results["checks-of-another"]["message"]


def test_the_report_shows_each_column_and_fetches_nothing(folder: Path, results: dict[str, Any]) -> None:
    page = (folder / "jobs" / "champion-alike" / "report.html").read_text()
    for text in ("amount", "größer", "2025-01-01", "days since 2025-01-01", "train", "eval", "<svg", "no value"):
        assert text in page, text
    assert "http://" not in page and "https://" not in page
    assert len(page) < 200_000


def test_the_validator_loaded_by_itself_answers_as_tfdv(results: dict[str, Any]) -> None:
    assert results["compared"]["calls"] > 100
    assert results["compared"]["others"] == []


def test_examining_imports_neither_tensorflow_nor_beam() -> None:
    source = """
import sys, types
import headrace.components.examine.examine
from headrace.components.examine.validator import validate_statistics, DatasetList, schema_pb2
given = DatasetList(); given.datasets.add(num_examples=1)
assert not validate_statistics(given, schema_pb2.Schema()).anomaly_info
assert not {"tensorflow", "apache_beam", "tensorflow_data_validation"} & set(sys.modules)
import tensorflow_data_validation as tfdv
from tensorflow_data_validation.api import validation_api
from headrace.components.examine.validator import _validator
assert validation_api.pywrap_tensorflow_data_validation is _validator()
"""
    subprocess.run([str(TFX), "-c", source], check=True, timeout=120)


def test_tfdv_reads_the_artifacts(results: dict[str, Any]) -> None:
    assert results["reads"] == list(columns(1, 0))


def test_the_compiled_component_runs_under_the_executor_of_kfp(results: dict[str, Any]) -> None:
    assert results["component"] == ["anomalies", "findings", "report", "schema"]
