"""`headrace batch-predict` on a trained project, beside the real server: the same answers, row by row."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.serving.client import Client
from headrace.serving.local import running_server
from tests.e2e.projects import Project, churn


def test_split(project: Project) -> Path:
    """The test split of the run's snapshot."""
    (found,) = {file.resolve() for file in project.home.glob("store/**/test/data.parquet")}
    return found


test_split.__test__ = False


def instances_of(table: pa.Table, inputs: list[dict]) -> list[dict]:
    """Rows as a client of the server writes them."""
    columns = {
        item["name"]: table[item["name"]].cast(pa.string()) if item["type"] == "date" else table[item["name"]]
        for item in inputs
    }
    return pa.table(columns).to_pylist()


def compare(project: Project, tmp_path: Path) -> int:
    """Scores the test split both ways; how many rows it has."""
    source = test_split(project)
    said = project.headrace(
        "batch-predict", "churn", source, "-o", tmp_path / "out.parquet", "--key", "subscriber_id"
    ).ok()
    assert "rows by churn:1" in said.out
    rows = pq.read_table(tmp_path / "out.parquet").to_pylist()
    table = pq.read_table(source)
    assert [row["subscriber_id"] for row in rows] == table["subscriber_id"].to_pylist()
    (bundle,) = project.home.glob("models/churn/1")
    with running_server(bundle) as url, Client(url) as client:
        instances = instances_of(table, client.describe()["inputs"])
        for row, instance in zip(rows, instances, strict=True):
            (answer,) = client.predict([instance])
            probabilities = {"0": row["probability_0"], "1": row["probability_1"]}
            assert answer == {"label": row["label"], "probabilities": probabilities}
    return len(rows)


def test_batch_equals_online(own: Project, tmp_path: Path) -> None:
    assert compare(own, tmp_path) > 100


@pytest.mark.slow
def test_batch_equals_online_over_the_whole_churn_example(tmp_path: Path) -> None:
    project = churn(tmp_path / "churn", rows=50_000)
    project.headrace("run", "spec.yaml").ok()
    assert compare(project, tmp_path) > 7_000


@pytest.mark.slow
def test_the_prediction_pipeline(own: Project, tmp_path: Path) -> None:
    pipeline = tmp_path / "prediction.yaml"
    own.headrace("compile", "spec.yaml", "--pipeline", "prediction", "-o", pipeline).ok()
    source = test_split(own)
    own.headrace("run", pipeline, "-p", f"source={source}", "-p", "key=subscriber_id").ok()
    task = own.show()["tasks"]["batch-predict"]
    assert task["state"] == "SUCCEEDED"
    (folder,) = {file.parent for file in own.home.glob("**/_manifest.json")}
    manifest = json.loads((folder / "_manifest.json").read_text())
    rows = pq.ParquetFile(source).metadata.num_rows
    assert manifest["rows"] == {"read": rows, "predicted": rows, "rejected": 0}
    assert manifest["model"]["version"] == "1"
    own.headrace("run", pipeline, "-p", f"source={source}", "-p", "key=subscriber_id").ok()
    assert own.cached() == {"batch-predict"}


def test_what_does_not_fit_is_one_message(own: Project, tmp_path: Path) -> None:
    table = pq.read_table(test_split(own)).drop_columns(["plan"])
    pq.write_table(table, tmp_path / "rows.parquet")
    said = own.headrace("batch-predict", "churn", tmp_path / "rows.parquet", "-o", tmp_path / "out.parquet")
    assert said.code == 1 and "expected the columns plan of churn:1" in said.err and "Traceback" not in said.err
