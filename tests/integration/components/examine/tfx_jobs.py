"""Runs in the tfx environment: `python tfx_jobs.py JOBS.json RESULTS.json`.

One process for all jobs, as TFDV takes seconds to import.
Each job is a snapshot, a schema and settings; the result says what `examine` found, and what `validate` said of it.
"""

import json
import os
import shutil
import sys
import time
import traceback
from datetime import datetime
from pathlib import Path

os.environ["_KFP_RUNTIME"] = "true"  # as in a component's container: KFP's compiler does not import here

import tensorflow_data_validation as tfdv

from headrace.artifacts.absent import write_absent
from headrace.artifacts.bundle import FORMAT, FORMAT_VERSION
from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.folder import MANIFEST, seal
from headrace.components.examine import anomalies, drift, serving, validator
from headrace.components.examine.examine import Inputs, Outputs, examine
from headrace.components.statistics.compute import compute_statistics
from headrace.components.statistics.spec import StatisticsSpec
from headrace.components.validate.spec import ValidateSpec
from headrace.components.validate.validate import DataFindings, validate


def statistics_of(folder: Path, dataset: str, settings: dict | None = None) -> Path:
    output = folder / "statistics" / (dataset + "-with-settings" * bool(settings))
    if not output.exists():
        compute_statistics(folder / dataset, output, StatisticsSpec(**settings) if settings else None)
    return output


def champion_of(folder: Path, dataset: str | None) -> Path | None:
    """A champion that was trained on a snapshot: `absent` for none, `old` for one without statistics."""
    if dataset is None:
        return None
    path = folder / "champions" / dataset
    if path.exists():
        return path
    if dataset == "absent":
        write_absent(path, "no version of churn has the alias champion")
        return path
    shutil.copytree(folder / "bundle", path)
    (path / MANIFEST).unlink()
    if dataset != "old":
        shutil.copytree(statistics_of(folder, dataset), path / "statistics")
    seal(path, FORMAT, FORMAT_VERSION, {"name": "churn"})
    return path


def run(folder: Path, job: dict) -> dict:
    out = folder / "jobs" / job["name"]
    schema = job["schema"]
    if schema == "inferred":
        schema = (folder / "jobs" / "first" / "schema" / "schema.pbtxt").read_text(encoding="utf-8")
    for old, new in job["edits"]:
        assert old in schema, f"{job['name']}: {old!r} is not in the schema"
        schema = schema.replace(old, new, 1)
    out.mkdir(parents=True)
    requests = folder / job["requests"] if job.get("requests") else None
    checks = folder / job["checks"] if job.get("checks") else None
    try:
        inputs = Inputs(
            folder / job["dataset"],
            statistics_of(folder, job["statistics"], job.get("describe")),
            checks,
            champion_of(folder, job.get("champion")),
            requests,
        )
        outputs = Outputs(*(out / name for name in ("schema", "anomalies", "findings", "report.html")))
        settings = ValidateSpec(**job.get("settings", {}))
        now = datetime.fromisoformat(job["now"]) if job.get("now") else None
        found = examine(inputs, schema, outputs, settings, job.get("dropped", []), now)
        result = {"found": [vars(finding) for finding in found.found], "notes": found.notes}
        validate(out / "findings")
        return {"ok": True, "message": "", **result}
    except DataFindings as error:
        return {"ok": False, "message": str(error), **result}
    except HeadraceError as error:
        return {"ok": False, "message": str(error), "found": [], "notes": []}


class Compared:
    """Our way to TFDV's validator, each call held against TFDV's own."""

    def __init__(self) -> None:
        self.calls = 0
        self.others: list[str] = []

    def __call__(self, *arguments: object, **more: object) -> object:
        ours = validator.validate_statistics(*arguments, **more)
        theirs = tfdv.validate_statistics(*arguments, **more)
        self.calls += 1
        if ours.SerializeToString(deterministic=True) != theirs.SerializeToString(deterministic=True):
            self.others.append(f"{ours}\n{theirs}")
        return ours


def tfdv_reads(folder: Path) -> list[str]:
    first = folder / "jobs" / "first"
    schema = tfdv.load_schema_text(str(first / "schema" / "schema.pbtxt"))
    tfdv.load_anomalies_text(str(first / "anomalies" / "anomalies.pbtxt"))
    return [feature.name for feature in schema.feature]


def component(folder: Path, source: str) -> list[str]:
    """The compiled component, started by KFP's executor as in its container, without its optional inputs."""
    from kfp.dsl.executor_main import executor_main

    out = folder / "component"
    out.mkdir()

    def artifact(path: Path, kind: str) -> dict:
        entry = {"name": path.name, "uri": str(path), "type": {"schemaTitle": f"system.{kind}"}, "metadata": {}}
        return {"artifacts": [entry]}

    kinds = {"schema": "Artifact", "anomalies": "Artifact", "findings": "Artifact", "report": "HTML"}
    executor_input = {
        "inputs": {
            "artifacts": {
                "dataset": artifact(folder / "base", "Dataset"),
                "statistics": artifact(statistics_of(folder, "base"), "Artifact"),
            },
            "parameterValues": {"schema_text": "", "validate": {}, "features": {}},
        },
        "outputs": {
            "artifacts": {name: artifact(out / name, kind) for name, kind in kinds.items()},
            "outputFile": str(folder / "examine.json"),
        },
    }
    module = folder / "ephemeral_examine.py"
    module.write_text(source, encoding="utf-8")
    sys.argv = ["executor", "--component_module_path", str(module), "--function_to_execute", "examine"]
    sys.argv += ["--executor_input", json.dumps(executor_input)]
    executor_main()
    return sorted(path.name for path in out.iterdir())


def main() -> None:
    source, target = map(Path, sys.argv[1:])
    request = json.loads(source.read_text())
    folder = Path(request["folder"])
    results = {}
    compared = Compared()
    for module in (anomalies, drift, serving):
        module.validate_statistics = compared
    for job in request["jobs"]:
        started = time.perf_counter()
        try:
            results[job["name"]] = run(folder, job)
        except Exception:  # noqa: BLE001  one job's crash is that job's failure, not every test's
            results[job["name"]] = {"ok": None, "message": traceback.format_exc(), "found": [], "notes": []}
        results[job["name"]]["seconds"] = time.perf_counter() - started
    results["compared"] = {"calls": compared.calls, "others": compared.others}
    results["reads"] = tfdv_reads(folder)
    results["component"] = component(folder, request["source"])
    target.write_text(json.dumps(results))


if __name__ == "__main__":
    main()
