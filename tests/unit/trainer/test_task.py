"""Training as a job of its own: the same bundle that the pipeline's step writes."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.artifacts.bundle import Bundle
from headrace.artifacts.dataset import DatasetInfo, describe, write_dataset
from headrace.artifacts.schema import parse_schema, write_schema
from headrace.components.train.spec import TrainSpec
from headrace.components.train.train import train_model
from headrace.components.transform.fit import fit
from headrace.components.transform.spec import FeaturesSpec

SCHEMA = 'feature { name: "x" type: FLOAT }'


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("artifacts")
    rows = pa.table({"x": [float(i % 50) for i in range(300)], "y": [str(int(i % 50 > 20)) for i in range(300)]})
    info = DatasetInfo("classification", [], "y", {"train": 300, "eval": 300, "test": 300}, ["0", "1"], "1")
    with write_dataset(folder / "dataset") as (files, details):
        for file in files.values():
            pq.write_table(rows, file)
        details.update(
            describe(DatasetInfo(**{**vars(info), "query": {"split": {"by": "hash", "eval": 0.15, "test": 0.15}}}))
        )
    fit(folder / "dataset", FeaturesSpec(), folder / "transform")
    write_schema(folder / "schema", parse_schema(SCHEMA))
    return folder


def job(artifacts: Path, *more: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    inputs = [f"--{name}={artifacts / name}" for name in ("dataset", "transform", "schema")]
    command = [sys.executable, "-m", "headrace.trainer.task", *inputs, "--name", "tiny", *more]
    return subprocess.run(command, capture_output=True, text=True, env=env)


def test_the_job_writes_the_bundle_that_the_step_writes(artifacts, tmp_path):
    done = job(
        artifacts, "--parameters", json.dumps({"n_estimators": 20}), env={"AIP_MODEL_DIR": str(tmp_path / "job")}
    )
    assert done.returncode == 0, done.stderr
    settings = TrainSpec.model_validate({"gbdt": {"n_estimators": 20}})
    inputs = [artifacts / name for name in ("dataset", "transform", "schema")]
    logged = train_model(*inputs, "tiny", settings, tmp_path / "step", tmp_path / "card.html")
    job_bundle, step_bundle = Bundle.open(tmp_path / "job"), Bundle.open(tmp_path / "step")
    assert job_bundle.matrix.read_bytes() == step_bundle.matrix.read_bytes()
    assert job_bundle.signature == step_bundle.signature
    assert logged["rounds"] >= 1
    assert "tiny" in (tmp_path / "card.html").read_text()


def test_a_damaged_input_is_one_line(artifacts, tmp_path):
    shutil.copytree(artifacts, tmp_path / "copy")
    (tmp_path / "copy" / "transform" / "transform.onnx").write_bytes(b"no")
    done = job(tmp_path / "copy", "--output", str(tmp_path / "bundle"))
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and "Received: changed content" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "bundle").exists()


def test_unknown_parameters_are_refused(artifacts, tmp_path):
    done = job(artifacts, "--output", str(tmp_path / "b"), "--parameters", '{"depth": 3}')
    assert done.returncode == 2
    assert "expected LightGBM's parameters by name" in done.stderr
