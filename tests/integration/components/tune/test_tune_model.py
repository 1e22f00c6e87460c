"""Tuning of real models on a real snapshot: what it finds, what training makes of it, and what it must not look at."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.artifacts.dataset import Column, Dataset, DatasetInfo, describe, write_dataset
from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.transform import open_transform
from headrace.artifacts.tuning import Tuning, read_tuning
from headrace.components.train.spec import TrainSpec
from headrace.components.transform.fit import fit as fit_transform
from headrace.components.transform.spec import FeaturesSpec
from headrace.components.tune.tune import choose, tune_model
from headrace.trainer.model import Job
from headrace.trainer.models import fit
from headrace.trainer.rows import ready
from headrace.trainer.tuning import tune as search
from tests.e2e.projects import CHURN

ROOT = Path(__file__).resolve().parents[4]
NO_PARQUET = b"the test split: whoever reads this as a table looks at what nobody may see"


def table(rows: int, seed: int) -> pa.Table:
    """A number that matters, one that matters in some plans, and noise; a tenth of the labels is turned over."""
    random = np.random.default_rng(seed)
    a, b, noise = random.normal(size=(3, rows))
    plan = random.choice(["free", "basic", "pro"], rows)
    y = (a + np.where(plan == "pro", 2 * b, 0) + 0.3 * random.normal(size=rows) > 0) ^ (random.random(rows) < 0.1)
    label = np.where(y, "yes", "no")
    ids = [f"s{seed}-{i}" for i in range(rows)]
    return pa.table({"id": ids, "a": a, "b": b, "noise": noise, "plan": plan, "y": label})


def write_snapshot(folder: Path, train_rows: int, test: bytes | None = None, seed: int = 0) -> Path:
    """A sealed snapshot; `test` are the bytes of its test split, by default a table."""
    splits = {"train": table(train_rows, seed), "eval": table(400, seed + 1), "test": table(400, seed + 2)}
    columns = [Column(name, "string" if name in ("id", "plan", "y") else "float64") for name in splits["train"].column_names]  # fmt: skip
    rows = {name: part.num_rows for name, part in splits.items()}
    info = DatasetInfo("classification", columns, "y", rows, ["no", "yes"], "yes", "id")
    with write_dataset(folder) as (files, details):
        details.update(describe(info))
        for name, part in splits.items():
            pq.write_table(part, files[name])
        if test is not None:
            files["test"].write_bytes(test)
    return folder


def transformed(folder: Path, **snapshot) -> tuple[Path, Path]:
    dataset = write_snapshot(folder / "dataset", **snapshot)
    fit_transform(dataset, FeaturesSpec(), folder / "transform")
    return dataset, folder / "transform"


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> tuple[Path, Path]:
    return transformed(tmp_path_factory.mktemp("tuned"), train_rows=2_500)


@pytest.fixture(autouse=True)
def surroundings(monkeypatch):
    monkeypatch.setenv("HEADRACE_THREADS", "2")
    for name in ("HEADRACE_CHECKPOINTS", "AIP_CHECKPOINT_DIR"):
        monkeypatch.delenv(name, raising=False)


def spec(**tune) -> TrainSpec:
    return TrainSpec.model_validate({"gbdt": {"n_estimators": 120, "early_stopping_rounds": 20}, "tune": {"trials": 6, **tune}})  # fmt: skip


def loss_in_training(data: tuple[Path, Path], train: TrainSpec, found: Tuning) -> float:
    """The eval split's metric when training takes what was found; in a process of its own, for OpenMP's sake.

    On one thread: where another test of this process has used OpenMP, a child waits for threads that it has not.
    """
    training = train.training(found.chosen)
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        os.environ["OMP_NUM_THREADS"] = "1"
        try:
            opened = open_transform(data[1])
            rows = ready(Dataset.open(data[0]), opened, training)
            job = Job(rows.train, rows.evaluation, opened.recipe.outputs, rows.classes, training.parameters, training.seed)  # fmt: skip
            model = fit(training.kind, job)
            os.write(writer, repr(float(model.curve["eval"][model.rounds - 1])).encode())
        finally:
            os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    return float(os.read(reader, 100))


def test_it_is_at_least_as_good_as_the_defaults_and_training_reaches_the_same(data, tmp_path, capfd):
    train = spec()
    found, logged = tune_model(*data, train, tmp_path / "tuning", tmp_path / "report.html")
    assert found.winner.value <= found.defaults.value and found.judged == "eval"
    assert loss_in_training(data, train, found) == pytest.approx(found.winner.value, rel=1e-8)
    assert read_tuning(tmp_path / "tuning") == found
    assert logged["best_eval_log_loss"] == found.winner.value and logged["trials"] == 6
    out = capfd.readouterr().out
    assert out.count("trial ") == 6 and "trial 0 complete" in out and "the parameters as they stand" in out
    page = (tmp_path / "report.html").read_text()
    for word in ("Best log_loss", "As it stood", "num_leaves", "Best so far", "What tuning tried"):
        assert word in page


def test_folds_judge_where_train_is_small(tmp_path):
    data = transformed(tmp_path, train_rows=300)
    found, logged = tune_model(*data, spec(trials=5), tmp_path / "tuning", tmp_path / "report.html")
    assert found.judged == "folds" and len(found.winner.folds) == 5
    assert found.winner.value == pytest.approx(np.mean(found.winner.folds), rel=1e-9)
    assert "best_cv_log_loss" in logged and "on folds of train" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize("train_rows", [300, 2_500])
def test_the_test_split_is_never_read(tmp_path, train_rows, monkeypatch):
    """Its bytes are no table, and sealed: reading them as one is an error, as the last lines prove."""
    data = transformed(tmp_path, train_rows=train_rows, test=NO_PARQUET)
    found, _ = tune_model(*data, spec(trials=2), tmp_path / "tuning", tmp_path / "report.html")
    assert len(found.trials) == 2

    def leaky(snapshot, transform, training):
        snapshot.table("test", ["a"])
        return ready(snapshot, transform, training)

    monkeypatch.setattr(search, "ready", leaky)
    with pytest.raises(pa.ArrowInvalid, match="magic bytes"):
        tune_model(*data, spec(trials=2), tmp_path / "other", tmp_path / "other.html")


def test_the_search_of_linear_models(data, tmp_path):
    train = TrainSpec.model_validate({"model": "linear", "tune": {"trials": 5, "space": {"l1_ratio": [0, 0.5]}}})
    found, _ = tune_model(*data, train, tmp_path / "tuning", tmp_path / "report.html")
    assert set(found.space) == {"alpha", "l1_ratio"} and found.winner.value <= found.defaults.value
    assert loss_in_training(data, train, found) == pytest.approx(found.winner.value, rel=1e-8)


def test_searches_beside_each_other_come_to_one(data, tmp_path):
    train = spec(shards=2)
    for shard in (0, 1):
        tune_model(*data, train, tmp_path / f"t{shard}", tmp_path / f"r{shard}.html", shard)
    parts = [read_tuning(tmp_path / f"t{shard}") for shard in (0, 1)]
    assert [len(one.trials) for one in parts] == [3, 3]
    found, logged = choose([tmp_path / "t1", tmp_path / "t0"], tmp_path / "tuning", tmp_path / "report.html")
    assert found.winner.value == min(one.winner.value for one in parts) and logged["trials"] == 6
    assert found.defaults == parts[0].defaults and "of shard 1" in (tmp_path / "report.html").read_text()
    assert read_tuning(tmp_path / "tuning") == found


def test_searches_of_different_data_are_not_compared(data, tmp_path):
    from headrace.artifacts.tuning import write_tuning

    tune_model(*data, spec(trials=1), tmp_path / "a", tmp_path / "a.html")
    write_tuning(tmp_path / "b", replace(read_tuning(tmp_path / "a"), dataset="sha256:other"))
    with pytest.raises(
        HeadraceError, match="expected searches of one model on one data version. Received: 2 different"
    ):
        choose([tmp_path / "a", tmp_path / "b"], tmp_path / "tuning", tmp_path / "report.html")


PROGRAM = """
import json, sys
from pathlib import Path
from headrace.components.train.spec import TrainSpec
from headrace.components.tune.tune import tune_model
folder = Path(sys.argv[1])
tune_model(folder / "dataset", folder / "transform", TrainSpec(**json.loads(sys.argv[2])), Path(sys.argv[3]), Path(sys.argv[3] + ".html"))
"""  # fmt: skip


def in_a_process(folder: Path, train: TrainSpec, output: Path, checkpoints: Path) -> subprocess.Popen[str]:
    arguments = [str(folder), json.dumps(train.model_dump(mode="json", exclude_none=True)), str(output)]
    env = {**os.environ, "HEADRACE_CHECKPOINTS": str(checkpoints), "OMP_NUM_THREADS": "2"}
    command = [sys.executable, "-c", PROGRAM, *arguments]
    return subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True)


def killed_after(lines: int, process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    for _ in range(lines):
        assert process.stdout.readline().startswith("trial ")
    process.kill()
    process.wait()


@pytest.mark.slow
def test_churn_killed_and_resumed_beats_the_defaults_on_eval_and_holds_on_test(tmp_path):
    """20 trials, killed after the 3rd and the 11th. Figures of the whole table are in docs/tuning.md."""
    import shutil

    from headrace.components.fingerprint.digest import fingerprint
    from headrace.components.ingest.ingest import ingest
    from headrace.pipelines.spec import load_spec

    example = tmp_path / "churn"
    shutil.copytree(CHURN, example)
    subprocess.run([sys.executable, "generate.py"], cwd=example, check=True, capture_output=True)
    churn = load_spec(example / "spec.yaml")
    source = str(example / "data" / "subscribers.csv")
    digest = fingerprint(source, churn.data.model_dump(mode="json", by_alias=True))
    ingest(source, digest, churn.task, churn.data, tmp_path / "dataset")
    fit_transform(tmp_path / "dataset", churn.features, tmp_path / "transform")
    train = TrainSpec.model_validate({"tune": {"trials": 20}})
    for lines in (3, 8):
        killed_after(lines, in_a_process(tmp_path, train, tmp_path / "tuning", tmp_path / "checkpoints"))
    begun = time.monotonic()
    last = in_a_process(tmp_path, train, tmp_path / "tuning", tmp_path / "checkpoints")
    out, _ = last.communicate(timeout=600)
    assert last.returncode == 0 and out.count("trial ") < 20 - 8, "what was done was not done again"
    found = read_tuning(tmp_path / "tuning")
    assert len(found.trials) == 20 and time.monotonic() - begun < found.seconds
    assert not list((tmp_path / "checkpoints").iterdir())
    assert found.winner.value < found.defaults.value - 0.001
    losses = {name: loss_on_test(tmp_path, train, chosen) for name, chosen in (("tuned", found.chosen), ("stood", {}))}
    print(found.winner, found.defaults, losses)
    assert losses["tuned"] < losses["stood"] + 0.001


def loss_on_test(folder: Path, train: TrainSpec, chosen: dict) -> float:
    """The log loss on the test split of a model that is trained with what was found."""
    from headrace.trainer.matrix import feature_matrix
    from headrace.trainer.rows import labels

    training = train.training(chosen)
    snapshot, opened = Dataset.open(folder / "dataset"), open_transform(folder / "transform")
    rows = ready(snapshot, opened, training)
    job = Job(rows.train, rows.evaluation, opened.recipe.outputs, rows.classes, training.parameters, training.seed)
    held = snapshot.table("test", [*opened.recipe.columns, snapshot.info.label])
    y = labels(held[snapshot.info.label], snapshot.info)
    answers = fit(training.kind, job).predict(feature_matrix(opened, held, "test"))
    return float(-np.log(answers[np.arange(len(y)), y]).mean())
