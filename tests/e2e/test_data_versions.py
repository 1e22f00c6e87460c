"""Data versions in use: listed, compared, taken out, verified, protected; and models trained again from them."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import zlib
from pathlib import Path

import pyarrow as pa
import pytest

from headrace.artifacts.dataset import Dataset
from tests.e2e.projects import Project
from tests.unit.pipelines.data_versions.small_snapshots import schema, snapshot


def stored(project: Project) -> Path:
    """The one snapshot in a project's store."""
    (found,) = project.home.glob("store/*/*/dataset")
    return found


def test_a_version_is_listed_shown_and_found_by_its_run_model_and_digest(trained: Project) -> None:
    digest = Dataset.open(stored(trained)).digest
    (listed,) = [json.loads(line) for line in trained.headrace("data", "list", "--json").ok().out.splitlines()]
    assert (listed["digest"], listed["models"], listed["in_store"]) == (digest, ["churn:1"], True)
    (run,) = listed["runs"]
    assert listed["source"] == "subscribers.csv" and sum(listed["rows"].values()) == 2_000
    header, line = trained.headrace("data", "list").ok().out.splitlines()
    assert header.split()[:5] == ["VERSION", "MADE", "TRAIN", "EVAL", "TEST"]
    assert digest.removeprefix("sha256:").startswith(line.split()[0]) and line.endswith("churn:1, 1 run")
    shown = {
        trained.headrace("data", "show", name).ok().out for name in (run, "latest", "churn:1", digest[7:15], digest)
    }
    (text,) = shown
    assert text.startswith(digest)
    for words in ("rows        2,000 (", "split       by hash, eval 0.15, test 0.15", "classes     0, 1 (positive: 1)"):
        assert words in text
    assert "  churned               string         label\n" in text


def test_a_version_is_taken_out_and_verified(own: Project) -> None:
    digest = Dataset.open(stored(own)).digest
    own.headrace("data", "checkout", "churn:1", "out").ok()
    assert Dataset.open(own.folder / "out").digest == digest
    own.headrace("data", "checkout", "latest", "tables", "--format", "csv").ok()
    assert sorted(file.name for file in (own.folder / "tables").iterdir()) == ["eval.csv", "test.csv", "train.csv"]
    refused = own.headrace("data", "checkout", "latest", "out")
    assert (refused.code, "still free" in refused.err) == (1, True)
    assert own.headrace("data", "verify").ok().out.startswith("1 of 1 whole")
    file = stored(own) / "train" / "data.parquet"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    bad = own.headrace("data", "verify")
    assert (bad.code, "train/data.parquet: expected content with sha256" in bad.err) == (1, True)
    assert "1 damaged" in bad.err
    assert own.headrace("data", "diff", "latest", "out").code == 1, "what is damaged is not compared"


def test_garbage_collection_keeps_the_data_of_registered_models(own: Project) -> None:
    kept = own.headrace("store", "gc", "--max-size", "1K", "--keep-last", "0", "--yes").ok().out
    assert "1 entry stays" in kept
    Dataset.open(stored(own))
    own.headrace("store", "gc", "--max-size", "1K", "--keep-last", "0", "--yes", "--include-data-of-models").ok()
    assert "(collected)" in own.headrace("data", "list").ok().out
    assert "churn:1 cannot be trained again" in own.headrace("data", "verify").ok().err
    gone = own.headrace("reproduce", "churn")
    assert (gone.code, "is not there any more" in gone.err) == (1, True)


def test_a_model_is_trained_again_bit_for_bit_without_its_source(own: Project) -> None:
    shutil.rmtree(own.folder / "data")
    own.spec.unlink()
    before = own.digest()
    own.headrace(
        "store", "gc", "--max-size", "1K", "--keep-last", "0", "--yes"
    ).ok()  # but for its data, nothing is left
    variables = {"TZ": "Asia/Kolkata", "LC_ALL": "C", "OMP_NUM_THREADS": "3"}
    done = own.headrace("reproduce", "churn", "--max-parallel", "1", "--json", **variables).ok()
    found = json.loads(done.out)
    assert found["diff"]["lineage"] == [] and found["diff"]["differing"] == []
    assert (found["diff"]["identical"], found["diff"]["after"], found["model"]) == (True, before, "churn:1")
    assert "note: examine without champion, which is not in the store any more" in done.err
    assert own.versions() == [1], "nothing is registered"
    run = own.show()
    assert run["name"] == "reproduce-churn" and not own.cached()
    assert not {"fingerprint", "ingest", "gate"} & set(run["tasks"])


@pytest.mark.slow
def test_another_seed_is_said_to_make_another_model_also_from_a_checked_out_snapshot(own: Project) -> None:
    own.headrace("data", "checkout", "churn:1", "out").ok()
    shutil.rmtree(stored(own))
    assert "is not there any more" in own.headrace("reproduce", "churn:1").err
    with contextlib.closing(sqlite3.connect(own.home / "runs.db")) as db, db:
        ((digest, ir),) = db.execute("SELECT digest, ir FROM pipelines").fetchall()
        pipeline = json.loads(zlib.decompress(ir))
        tasks = pipeline["root"]["dag"]["tasks"]
        tasks["train"]["inputs"]["parameters"]["train"]["runtimeValue"]["constant"]["seed"] = 1.0
        changed = zlib.compress(json.dumps(pipeline).encode())
        db.execute("UPDATE pipelines SET ir = ? WHERE digest = ?", (changed, digest))
    done = own.headrace("reproduce", "churn:1", "--data", "out")
    assert done.code == 1
    assert "ANOTHER model: " in done.out and "  training.seed: 0 -> 1\n" in done.out
    assert "differ: " in done.out and "model.onnx" in done.out
    assert done.err.endswith("headrace: churn:1: expected the same model. Received: another one\n")


def test_no_such_model_and_not_its_data(trained: Project, tmp_path: Path) -> None:
    near = trained.headrace("reproduce", "chrun")
    assert (near.code, "did you mean churn?" in near.err) == (1, True)
    assert trained.headrace("reproduce", "churn:9").code == 1
    snapshot(tmp_path / "other", schema(id=pa.string(), label=pa.string()), {"train": [("1", "0")]})
    other = trained.headrace("reproduce", "churn", "--data", tmp_path / "other")
    assert (other.code, "expected the snapshot sha256:" in other.err) == (1, True)


def test_a_comparison_says_what_differs_and_nothing_else(trained: Project, tmp_path: Path) -> None:
    """What libraries complain of at a process's end looks like a crash."""
    kinds = schema(id=pa.string(), size=pa.float64(), label=pa.string())
    snapshot(tmp_path / "a", kinds, {"train": [("a", 1.0, "0"), ("b", 2.0, "1")]})
    snapshot(tmp_path / "b", kinds, {"train": [("a", 1.0, "0"), ("b", 3.0, "1")]})
    done = trained.headrace("data", "diff", str(tmp_path / "a"), str(tmp_path / "b"))
    assert "1 changed" in done.out
    assert done.err == ""
