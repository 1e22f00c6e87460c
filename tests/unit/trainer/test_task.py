"""Training as a job of its own: the same bundle that the pipeline's step writes, with what Vertex AI says by variables."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from headrace.artifacts.bundle import Bundle
from headrace.artifacts.dataset import DatasetInfo, describe, write_dataset
from headrace.artifacts.folder import read_json
from headrace.artifacts.schema import parse_schema, write_schema
from headrace.components.train.spec import TrainSpec
from headrace.components.train.train import train_model
from headrace.components.transform.fit import fit
from headrace.components.transform.spec import FeaturesSpec

SCHEMA = 'feature { name: "x" type: FLOAT }'


def rows() -> pa.Table:
    return pa.table({"x": [float(i % 50) for i in range(300)], "y": [str(int(i % 50 > 20)) for i in range(300)]})


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("artifacts")
    info = DatasetInfo("classification", [], "y", {"train": 300, "eval": 300, "test": 300}, ["0", "1"], "1")
    with write_dataset(folder / "dataset") as (files, details):
        for file in files.values():
            pq.write_table(rows(), file)
        details.update(
            describe(DatasetInfo(**{**vars(info), "query": {"split": {"by": "hash", "eval": 0.15, "test": 0.15}}}))
        )
    fit(folder / "dataset", FeaturesSpec(), folder / "transform")
    write_schema(folder / "schema", parse_schema(SCHEMA))
    return folder


def command(artifacts: Path, *more: str, dataset: bool = True) -> list[str]:
    names = [*(["dataset"] if dataset else []), "transform", "schema"]
    inputs = [f"--{name}={artifacts / name}" for name in names]
    return [sys.executable, "-m", "headrace.trainer.task", *inputs, "--name", "tiny", *more]


def job(artifacts: Path, *more: str, dataset: bool = True, **env: str) -> subprocess.CompletedProcess[str]:
    wanted = command(artifacts, *more, dataset=dataset)
    return subprocess.run(wanted, capture_output=True, text=True, env={**os.environ, **env}, check=False)


def test_the_job_writes_the_bundle_that_the_step_writes(artifacts, tmp_path):
    done = job(artifacts, "--parameters", json.dumps({"n_estimators": 20}), AIP_MODEL_DIR=str(tmp_path / "job"))
    assert done.returncode == 0, done.stderr
    settings = TrainSpec.model_validate({"gbdt": {"n_estimators": 20}})
    inputs = [artifacts / name for name in ("dataset", "transform", "schema")]
    logged = train_model(*inputs, "tiny", settings, tmp_path / "step", tmp_path / "report.html", tmp_path / "card.html")
    job_bundle, step_bundle = Bundle.open(tmp_path / "job"), Bundle.open(tmp_path / "step")
    assert job_bundle.matrix.read_bytes() == step_bundle.matrix.read_bytes()
    assert job_bundle.signature == step_bundle.signature
    assert logged["rounds"] >= 1
    assert "tiny" in (tmp_path / "card.html").read_text()


def test_rows_of_a_managed_dataset(artifacts, tmp_path):
    """In shards, by wildcards, as Vertex exports them."""
    for split, part in (("training", rows()), ("validation", rows().slice(0, 100))):
        for shard in range(2):
            half = part.slice(shard * part.num_rows // 2, part.num_rows // 2)
            pyarrow.csv.write_csv(half, tmp_path / f"{split}-0000{shard}-of-00002.csv")
    env = {
        "AIP_DATA_FORMAT": "csv",
        "AIP_TRAINING_DATA_URI": f"{tmp_path}/training-*",
        "AIP_VALIDATION_DATA_URI": f"{tmp_path}/validation-*",
    }
    model = ("--model", "linear", "--class-weight", "balanced", "--output", str(tmp_path / "bundle"))
    done = job(artifacts, *model, "--label", "y", dataset=False, **env)
    assert done.returncode == 0, done.stderr
    lineage = read_json(Bundle.open(tmp_path / "bundle").lineage)
    assert lineage["data"]["rows"] == {"train": 300, "eval": 100, "test": 0}
    assert lineage["training"]["model"] == "linear"
    again = job(artifacts, *model, "--label", "y", dataset=False, **env)
    assert again.returncode == 1 and "expected a place that is still free" in again.stderr
    wrong = job(artifacts, "--output", str(tmp_path / "b"), "--label", "z", dataset=False, **env)
    assert wrong.returncode == 1 and "expected a column `z`. Received: x, y" in wrong.stderr
    other = ("--output", str(tmp_path / "b"), "--label", "y", "--positive", "true")
    odd = job(artifacts, *other, dataset=False, **env)
    assert odd.returncode == 1 and "--positive: expected one of the classes of `y`" in odd.stderr
    lacking = job(artifacts, "--output", str(tmp_path / "b"), "--label", "y", dataset=False,
                  **{**env, "AIP_VALIDATION_DATA_URI": ""})  # fmt: skip
    assert lacking.returncode == 1 and "AIP_VALIDATION_DATA_URI: expected where the rows of eval are" in lacking.stderr


@pytest.mark.slow
def test_a_preempted_network_goes_on_and_becomes_the_same(artifacts, tmp_path):
    settings = {"hidden_units": [8], "epochs": 400, "early_stopping_epochs": 400, "batch_size": 4, "numeric_bins": 4}
    asked = ("--model", "mlp", "--parameters", json.dumps(settings), "--saved-model", "--tflite", "int8")
    env = {"AIP_CHECKPOINT_DIR": str(tmp_path / "checkpoints"), "TF_NUM_INTRAOP_THREADS": "1"}
    wanted = command(artifacts, *asked, "--output", str(tmp_path / "resumed"))
    first = subprocess.Popen(wanted, env={**os.environ, **env}, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("checkpoints/*/network.npz")):
        assert first.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    first.send_signal(signal.SIGTERM)
    _, errors = first.communicate(timeout=60)
    assert first.returncode == 143, errors
    assert "goes on from its checkpoint" in errors
    assert not (tmp_path / "resumed").exists()
    logs = ("--logs", str(tmp_path / "logs"))
    resumed = job(artifacts, *asked, *logs, "--output", str(tmp_path / "resumed"), **env)
    assert resumed.returncode == 0, resumed.stderr
    whole = job(artifacts, *asked, "--output", str(tmp_path / "whole"), TF_NUM_INTRAOP_THREADS="1")
    assert whole.returncode == 0, whole.stderr
    assert Bundle.open(tmp_path / "resumed").digest == Bundle.open(tmp_path / "whole").digest
    assert not list(tmp_path.glob("checkpoints/*"))
    assert curve_of(next(tmp_path.glob("logs/eval/events.out.tfevents*"))) == pytest.approx(
        read_json(tmp_path / "resumed" / "curve.json")["eval"], rel=1e-6
    )


def curve_of(file: Path) -> list[float]:
    import tensorflow as tf

    events = list(tf.compat.v1.train.summary_iterator(str(file)))
    assert [event.step for event in events[1:]] == list(range(1, len(events)))
    return [event.summary.value[0].simple_value for event in events[1:]]


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
    assert "expected those of gbdt by name" in done.stderr
