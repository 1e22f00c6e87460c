"""Logs of served requests beside a spec: skew is told, the caches follow the logs."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.e2e.projects import Project


def log(project: Project, name: str, factor: float = 1.0) -> None:
    """Logs the subscribers of train, as the server would see them, with another price."""
    [snapshot] = project.show()["tasks"]["ingest"]["artifacts"]
    rows = pq.read_table(Path(snapshot["uri"]) / "train" / "data.parquet").to_pylist()
    lines = []
    for row in rows:
        instance = {name: value for name, value in row.items() if name not in ("subscriber_id", "email", "churned")}
        instance["monthly_price"] = None if row["monthly_price"] is None else row["monthly_price"] * factor
        lines.append(json.dumps({"time": "2026-11-21T10:00:00Z", "instance": instance}, default=str) + "\n")
    (project.folder / "logs").mkdir(exist_ok=True)
    (project.folder / "logs" / f"{name}.jsonl").write_text("".join(lines))


def skew(project: Project) -> list[tuple[str, str]]:
    [found] = [a for a in project.show()["tasks"]["examine"]["artifacts"] if a["name"] == "findings"]
    findings = json.loads((Path(found["uri"]) / "findings.json").read_text())["findings"]
    return [(finding["where"], finding["level"]) for finding in findings if finding["check"] == "skew"]


@pytest.fixture
def project(own: Project) -> Project:
    own.spec.write_text(own.spec.read_text() + "\nvalidate: {requests: logs}\n")
    return own


@pytest.mark.slow
def test_skew_is_told_and_the_caches_follow_the_logs(project: Project) -> None:
    log(project, "monday")
    log(project, "tuesday", factor=3)
    project.headrace("run", "spec.yaml").ok()
    assert skew(project) == [("monthly_price", "warn")]
    assert {"transform", "train"} <= project.cached()  # what is only a warning changes no model

    project.headrace("run", "spec.yaml").ok()
    assert {"logged-requests", "examine"} <= project.cached()

    log(project, "wednesday", factor=9)
    project.edit("{requests: logs}", "{requests: logs, skew: error}")
    said = project.headrace("run", "spec.yaml")
    assert said.code == 1
    assert "monthly_price: expected a distribution like that of the logged requests" in said.err
    assert not {"logged-requests", "examine"} & project.cached()
    assert project.show()["tasks"]["transform"]["state"] != "SUCCEEDED"
    assert project.versions() == [1]


@pytest.mark.slow
def test_before_anything_is_logged(project: Project) -> None:
    said = project.headrace("run", "spec.yaml")
    assert (said.code, f"{project.folder / 'logs'}: expected a file. Received: no such file" in said.err) == (1, True)
    assert project.show()["tasks"]["fingerprint-2"]["state"] == "FAILED"

    (project.folder / "logs").mkdir()
    project.headrace("run", "spec.yaml").ok()
    assert skew(project) == [("(all rows)", "warn")]

    log(project, "monday")
    project.headrace("run", "spec.yaml").ok()
    assert {"ingest", "check", "statistics"} <= project.cached()
    assert not {"logged-requests", "examine"} & project.cached()
    assert skew(project) == []
