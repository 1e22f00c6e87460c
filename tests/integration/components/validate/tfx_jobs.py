"""Runs in the tfx environment: `python tfx_jobs.py JOBS.json RESULTS.json`.

One process for all jobs, as TFDV takes seconds to import.
Each job is a snapshot, a schema and settings; the result says what `validate` returned or raised.
"""

import json
import os
import shutil
import sys
import time
import traceback
from pathlib import Path

os.environ["_KFP_RUNTIME"] = "true"  # as in a component's container: KFP's compiler does not import here

import pyarrow as pa
import tensorflow_data_validation as tfdv
from tensorflow_data_validation.statistics import stats_impl
from tfx_bsl.arrow import table_util

from headrace.artifacts.dataset import Dataset
from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.folder import read_manifest
from headrace.artifacts.statistics import read_statistics
from headrace.components.statistics.compute import compute_statistics
from headrace.components.statistics.generate import generate
from headrace.components.statistics.top_values import ValueCounts, most_frequent
from headrace.components.validate.spec import ValidateSpec
from headrace.components.validate.validate import DataAnomalies, validate


def statistics_of(folder: Path, dataset: str) -> Path:
    output = folder / "statistics" / dataset
    if not output.exists():
        compute_statistics(folder / dataset, output, folder / f"{dataset}.html")
    return output


def run(folder: Path, job: dict) -> dict:
    out = folder / "jobs" / job["name"]
    schema = job["schema"]
    if schema == "inferred":
        schema = (folder / "jobs" / "first" / "schema" / "schema.pbtxt").read_text(encoding="utf-8")
    for old, new in job["edits"]:
        assert old in schema, f"{job['name']}: {old!r} is not in the schema"
        schema = schema.replace(old, new, 1)
    statistics = statistics_of(folder, job["statistics"])
    settings = ValidateSpec(on_anomaly=job["on_anomaly"])
    paths = [str(out / name) for name in ("schema", "anomalies", "report.html")]
    out.mkdir(parents=True)
    try:
        found = validate(statistics, folder / job["dataset"], schema, *paths, settings)
        return {"ok": True, "found": [vars(finding) for finding in found]}
    except DataAnomalies as error:
        return {"ok": False, "message": str(error), "found": [vars(finding) for finding in error.findings]}
    except HeadraceError as error:
        return {"ok": False, "message": str(error), "found": []}


def checks(folder: Path, sources: dict[str, str]) -> dict:
    return {
        "digests": digests(folder),
        "agrees": agreement(folder),
        "chunked": chunked(folder),
        "tfdv_reads": tfdv_reads(folder),
        "bounded_counts": bounded_counts(),
        "components": components(folder, sources),
    }


def digests(folder: Path) -> list[str]:
    """Of the statistics of one snapshot by one process and by two."""
    result = []
    for workers in (1, 2):
        output = folder / f"workers-{workers}"
        shutil.rmtree(output, ignore_errors=True)
        compute_statistics(folder / "base", output, folder / "workers.html", workers=workers)
        result.append(read_manifest(output, "headrace/statistics", 1).digest)
    return result


def agreement(folder: Path) -> list[str]:
    """Features of which TFDV itself says something else, given the same values at once."""
    table = Dataset.open(folder / "base").table("train").select(["amount", "count", "plan", "flag"]).to_pydict()
    table["amount"] = [None if value is None or value != value else value for value in table["amount"]]
    table["plan"] = [value or None for value in table["plan"]]
    plain = pa.RecordBatch.from_pydict(table)
    theirs = stats_impl.generate_statistics_in_memory(table_util.CanonicalizeRecordBatch(plain), tfdv.StatsOptions())
    ours = {f.path.step[0]: f for f in read_statistics(statistics_of(folder, "base")).split("train").features}
    return [f.path.step[0] for f in theirs.datasets[0].features if f != ours[f.path.step[0]]]


def chunked(folder: Path) -> dict:
    """Exact figures over batches of 70 rows against one batch."""
    snapshot = Dataset.open(folder / "base")
    whole, _ = generate(snapshot)
    parts, _ = generate(snapshot, batch_rows=70)
    figures = []
    for proto in (whole, parts):
        features = {f.path.step[0]: f for f in proto.datasets[0].features}
        plan, amount = features["plan"].string_stats, features["amount"].num_stats
        figures.append(
            [
                [(v.value, v.frequency) for v in plan.top_values],
                [plan.unique, plan.common_stats.num_missing, round(plan.avg_length, 4)],
                [
                    amount.common_stats.num_missing,
                    amount.min,
                    amount.max,
                    round(amount.mean, 9),
                    round(amount.std_dev, 6),
                ],
                proto.datasets[0].num_examples,
            ]
        )
    return {"whole": figures[0], "parts": figures[1]}


def tfdv_reads(folder: Path) -> list[str]:
    first = folder / "jobs" / "first"
    statistics = tfdv.load_stats_binary(str(statistics_of(folder, "base") / "statistics.pb"))
    schema = tfdv.load_schema_text(str(first / "schema" / "schema.pbtxt"))
    tfdv.load_anomalies_text(str(first / "anomalies" / "anomalies.pbtxt"))
    return [dataset.name for dataset in statistics.datasets] + [feature.name for feature in schema.feature]


def bounded_counts() -> dict:
    """A thousand frequent values among 50,000 rare ones, counted with room for 4,000."""
    counts = ValueCounts(most=4_000)
    most_rows = 0
    for part in range(50):
        values = [f"often-{i:04d}" for i in range(1_000)] + [f"rare-{part}-{i}" for i in range(1_000)]
        counts.add(pa.array([value.encode() for value in values], pa.large_binary()))
        most_rows = max(most_rows, sum(table.num_rows for table in counts.tables))
    top = most_frequent(counts.total(), 1_000)
    return {
        "top": sorted(value.decode() for value in top["value"].to_pylist())[::999],
        "least": min(top["count"].to_pylist()),
        "distinct": counts.number(),
        "most_rows": most_rows,
    }


def components(folder: Path, sources: dict[str, str]) -> list[str]:
    """The compiled components, each started by KFP's executor as in its container."""
    from kfp.dsl.executor_main import executor_main

    out = folder / "components"
    out.mkdir()

    def artifact(path: Path, kind: str) -> dict:
        return {
            "artifacts": [
                {
                    "name": path.name,
                    "uri": str(path),
                    "type": {"schemaTitle": f"system.{kind}"},
                    "metadata": {},
                }
            ]
        }

    dataset, statistics = artifact(folder / "base", "Dataset"), artifact(out / "statistics", "Artifact")
    page, report = artifact(out / "page.html", "HTML"), artifact(out / "report.html", "HTML")
    schema, anomalies = artifact(out / "schema", "Artifact"), artifact(out / "anomalies", "Artifact")
    calls = {
        "statistics": ({"artifacts": {"dataset": dataset}}, {"statistics": statistics, "report": page}),
        "validate": (
            {
                "artifacts": {"dataset": dataset, "statistics": statistics},
                "parameterValues": {"schema_text": "", "validate": {}},
            },
            {"schema": schema, "anomalies": anomalies, "report": report},
        ),
    }
    for name, (inputs, outputs) in calls.items():
        module = folder / f"ephemeral_{name}.py"
        module.write_text(sources[name], encoding="utf-8")
        executor_input = {
            "inputs": inputs,
            "outputs": {"artifacts": outputs, "outputFile": str(folder / f"{name}.json")},
        }
        sys.argv = ["executor", "--component_module_path", str(module), "--function_to_execute", name]
        sys.argv += ["--executor_input", json.dumps(executor_input)]
        executor_main()
    return sorted(path.name for path in out.iterdir())


def main() -> None:
    source, target = map(Path, sys.argv[1:])
    request = json.loads(source.read_text())
    folder = Path(request["folder"])
    results = {}
    for job in request["jobs"]:
        started = time.perf_counter()
        try:
            results[job["name"]] = run(folder, job)
        except Exception:  # noqa: BLE001  one job's crash is that job's failure, not every test's
            results[job["name"]] = {"ok": None, "message": traceback.format_exc(), "found": []}
        results[job["name"]]["seconds"] = time.perf_counter() - started
    if request["sources"]:
        results["checks"] = checks(folder, request["sources"])
    else:
        results["checks"] = {"digests": digests(folder)}
    target.write_text(json.dumps(results))


if __name__ == "__main__":
    main()
