"""A model of a child table's past: trained, asked, and trained again when the child table has changed."""

import json
import shutil
import subprocess
import sys

import pyarrow.parquet as pq
import pytest

from tests.e2e.projects import ROOT, Project

EXAMPLE = ROOT / "examples" / "sessions"


@pytest.mark.slow
def test_the_sessions_example(tmp_path):
    project = Project(tmp_path / "sessions")
    project.folder.mkdir()
    shutil.copy(EXAMPLE / "spec.yaml", project.folder)
    generate = [sys.executable, str(EXAMPLE / "generate.py"), "--output", str(project.folder / "data")]
    subprocess.run([*generate, "--subscribers", "4000"], check=True, capture_output=True)
    project.edit("at_least: 0.66", "at_least: 0.6")
    assert "from 17 other columns" in project.headrace("validate", "spec.yaml").ok().out
    said = project.headrace("run", "spec.yaml").ok()
    assert "Pushed: version 1 of sessions is the champion now." in said.out

    [bundle] = project.home.glob("models/*/1")
    signature = json.loads((bundle / "signature.json").read_text())
    inputs = [item["name"] for item in signature["inputs"]]
    assert "sessions_visits_7d" in inputs and "sessions_last_device_all" in inputs and "asked_on" not in inputs
    lineage = json.loads((bundle / "lineage.json").read_text())
    assert lineage["data"]["query"]["aggregate"]["sessions"]["source"] == "sessions.parquet"

    lines = (project.folder / "data" / "subscribers.csv").read_text().splitlines()[:50]
    (project.folder / "today.csv").write_text("\n".join(line.rpartition(",")[0] for line in lines) + "\n")
    project.headrace("data", "complete", "spec.yaml", "today.csv", "complete.csv").ok()
    assert (project.folder / "complete.csv").read_text().count("\n") == 50

    project.headrace("run", "spec.yaml").ok()
    assert "ingest" in project.cached()
    file = project.folder / "data" / "sessions.parquet"
    pq.write_table(pq.read_table(file).slice(1_000), file)
    project.headrace("run", "spec.yaml").ok()
    assert "ingest" not in project.cached()

    file.unlink()
    failed = project.headrace("run", "spec.yaml")
    assert failed.code != 0
    assert "sessions.parquet: expected a file" in failed.out + failed.err
