"""Statistics beside TFDV's own, in the tfx environment, on snapshots that are made in the main one."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq
import pytest

from headrace.artifacts.dataset import SPLITS, Column, DatasetInfo, describe, write_dataset

ROOT = Path(__file__).resolve().parents[4]
TFX = Path(sys.prefix).parent / (Path(sys.prefix).name + "-tfx") / "bin" / "python"
[TAXI] = TFX.parents[1].glob("lib/python*/site-packages/tfx/examples/chicago_taxi_pipeline/data/simple/data.csv")
JOBS = Path(__file__).with_name("statistics_jobs.py")
ALONE = Path(__file__).with_name("alone_job.py")
KINDS = {"double": "float64", "date32[day]": "date32"}


def write_snapshot(path: Path, table: pa.Table, label: str, id: str | None, group: int) -> None:
    """The table's first 70 % as train, then half of the rest each, in row groups of `group` rows."""
    cuts = [0, int(len(table) * 0.7), int(len(table) * 0.85), len(table)]
    parts = {split: table.slice(cuts[i], cuts[i + 1] - cuts[i]) for i, split in enumerate(SPLITS)}
    info = DatasetInfo(
        task="classification",
        columns=[Column(f.name, KINDS.get(str(f.type), str(f.type))) for f in table.schema],
        label=label,
        rows={split: len(part) for split, part in parts.items()},
        id=id,
    )
    with write_dataset(path) as (files, details):
        details.update(describe(info))
        for split, file in files.items():
            pq.write_table(parts[split], file, compression="zstd", row_group_size=group)


def small_table(rows: int) -> pa.Table:
    draw = random.Random(7)
    return pa.table(
        {
            "id": pa.array([f"c{i:05d}" for i in range(rows)]),
            "amount": pa.array(
                [None if i % 25 == 0 else float("nan") if i % 50 == 1 else draw.gauss(0, 9) for i in range(rows)],
                from_pandas=False,
            ),
            "balance": pa.array([draw.uniform(-1, 1) for _ in range(rows)]),
            "count": pa.array([i % 3 for i in range(rows)], pa.int64()),
            "plan": pa.array(
                ["" if i % 100 == 0 else ["basic", "plus", "größer"][draw.randrange(3)] for i in range(rows)]
            ),
            "flag": pa.array([draw.random() < 0.3 for _ in range(rows)]),
            "odd": pa.array(
                [float("inf") if i % 90 == 5 else -float("inf") if i % 80 == 3 else i * 0.5 for i in range(rows)]
            ),
            "at": pa.array([1_700_000_000_000_000 + 977 * i for i in range(rows)], pa.timestamp("us")),
            "nothing": pa.nulls(rows, pa.float64()),
            "weight": pa.array([draw.choice([0.0, 0.5, 1.0, 2.25]) for _ in range(rows)]),
        }
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("statistics")
    write_snapshot(path / "small", small_table(1_500), "flag", "id", 100)
    table = pc.read_csv(TAXI, convert_options=pc.ConvertOptions(strings_can_be_null=True))
    empty = [
        name for name, column in zip(table.column_names, table.columns, strict=True) if pa.types.is_null(column.type)
    ]
    for name in empty:
        table = table.set_column(table.column_names.index(name), name, pa.nulls(len(table), pa.string()))
    write_snapshot(path / "taxi", table, "tips", None, 1_000)
    return path


def run_jobs(folder: Path, *names: str, **variables: str) -> dict:
    environment = {**os.environ, "TMPDIR": str(folder), **variables}
    command = [TFX, JOBS, folder, folder / "results.json", *names]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-3_000:]
    return json.loads((folder / "results.json").read_text())


@pytest.fixture(scope="module")
def results(folder):
    return run_jobs(
        folder, "weights_and_slices", "taxi", "beam_is_the_same", "workers", "chunked", "bounded_counts", "refusals"
    )


def test_weighted_and_sliced_statistics_are_tfdvs(results):
    found = results["weights_and_slices"]
    slices = [
        "All Examples",
        "count_0",
        "count_1",
        "count_2",
        "flag_0",
        "flag_1",
        "plan_basic",
        "plan_größer",
        "plan_plus",
    ]
    assert found["theirs"] == slices
    assert {name.removeprefix("train/") for name in found["ours"] if name.startswith("train/")} == set(slices[1:])
    assert found["different"] == {name: [] for name in slices}


def test_the_taxi_trips_statistics_are_tfdvs_field_by_field(results):
    found = results["taxi"]
    assert min(found["compared"].values()) > 400
    assert found["different"] == {"memory": [], "beam": []}


def test_quantiles_are_as_near_to_the_truth_as_tfdvs(results):
    errors = results["taxi"]["quantiles"]
    assert len(errors) >= 9
    for name, (median, deciles, histogram) in errors.items():
        assert median <= 0.01 and deciles <= 0.01, name  # TFDV's epsilon
        if name.endswith("ours"):
            theirs = errors[name.removesuffix("ours") + "memory"]
            assert histogram <= max(0.01, theirs[2] * 1.1), name


def test_beam_gives_the_same_bytes(results):
    for name, found in results["beam_is_the_same"].items():
        assert found["stretches"] > 9, name  # merged in three levels
        assert len(set(found["digests"])) == 1, name


def test_one_process_gives_the_same_bytes_as_two(results):
    assert len(set(results["workers"])) == 1


def test_how_rows_are_cut_changes_nothing(results):
    assert results["chunked"] == []


def test_counts_are_bounded_and_keep_what_is_frequent(results):
    found = results["bounded_counts"]
    for weighted in ("False", "True"):
        counted = found[weighted]
        assert counted["top"] == ["often-0000", "often-0999"]
        assert counted["least"] == 50
        assert abs(counted["distinct"] - 51_000) < 0.03 * 51_000
        assert counted["most_rows"] < 15_000
    assert found["heavy"] == 1_000


@pytest.mark.parametrize(
    ("case", "said"),
    [
        (
            "no such weight",
            "statistics.weight: expected a column of numbers. Received: `wieght`; did you mean `weight`?",
        ),
        ("a weight of text", "statistics.weight: expected a column of numbers. Received: `plan`, which is string"),
        ("a missing weight", "statistics.weight: expected a weight in every row. Received: "),
        ("a missing weight, by Beam", "statistics.weight: expected a weight in every row. Received: "),
        ("a negative weight", "statistics.weight: expected finite weights of 0 or more in `balance`. Received: -0."),
        ("no such slice", "did you mean `plan`?"),
        (
            "a slice of floats",
            "expected columns of text, whole numbers or booleans. Received: `amount`, which is float64",
        ),
        ("a slice of ids", "statistics.slices: expected columns with values that repeat. Received: the id, `id`"),
        ("an option that Beam has not", "Received: `temp_loction`; did you mean `temp_location`?"),
        ("Dataflow without a project", "expected project, temp_location for DataflowRunner. Received: nothing"),
        ("Flink without a shared folder", "expected temp_location, a folder that workers and this machine share"),
    ],
)
def test_what_does_not_fit_is_refused(results, case, said):
    message = results["refusals"][case]
    assert said in message
    assert message.startswith("statistics."), "no crash, and no traceback of Beam around it"


@pytest.mark.slow
def test_a_worker_with_the_package_of_setup_py_gives_the_same_bytes(folder):
    """What Dataflow does with `--setup_file`: Beam builds the package, a worker's pip installs it, the worker runs it."""
    source = folder / "source"
    listed = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if os.path.lexists(ROOT / name):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, source / name, follow_symlinks=False)
    # The worker's environment is the tfx one without our package, as in an image that has only the lock.
    subprocess.run([TFX, "-m", "venv", "--without-pip", folder / "worker"], check=True)
    (packages,) = (folder / "worker").glob("lib/python*/site-packages")
    (tfx,) = TFX.parents[1].glob("lib/python*/site-packages")
    (packages / "tfx.pth").write_text(f"{tfx}\n")
    found = run_jobs(folder, "installed", SETUP_FILE=str(source / "setup.py"))["installed"]
    assert found["module"].startswith(str(packages))
    assert found["started"]
    assert len(set(found["digests"])) == 1


def test_tfdvs_classes_alone_give_the_same_bytes_as_the_whole_of_it(folder, tmp_path):
    command = [TFX, ALONE, folder / "small", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3_000:]
    said = json.loads(done.stdout)
    assert said["heavy"] == [], "neither TensorFlow nor Beam, nor anything that has seen a stand-in for them"
    assert said["refused"].endswith("Received: _Nothing wants io")
    assert said["whole"] == ["StatsOptions", ["apache_beam", "tensorflow", "tensorflow_data_validation"]]
    alone, whole = (sorted((tmp_path / name).rglob("*.pb")) for name in ("alone", "whole"))
    assert alone
    assert [file.read_bytes() for file in alone] == [file.read_bytes() for file in whole]
