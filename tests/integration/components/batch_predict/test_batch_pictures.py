"""Images from a folder, a list, or a column of bytes: the server's answers, and the reasons where there are none."""

import csv
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.artifacts.bundle import Bundle
from headrace.components.batch_predict.batch_predict import batch_predict
from headrace.components.batch_predict.job import Job, Reading
from headrace.components.batch_predict.report import render
from headrace.serving.image_scorer import ImageScorer
from tests.unit.serving.picture_bundle import b64, encoded, picture, write_picture_bundle

NAMES = ["red", "green", "blue"]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return Bundle.open(write_picture_bundle(tmp_path_factory.mktemp("pictures") / "colours"))


@pytest.fixture(scope="module")
def files():
    """name -> a file's bytes: of several sizes, flat and in folders, and one that is damaged."""
    found = {
        f"{colour}-{seed}.png": encoded(picture(colour, 20 + 7 * seed, 30, seed))
        for colour in range(3)
        for seed in (0, 1)
    }
    return {**found, "deeper/9.jpg": encoded(picture(2), "JPEG"), "bad.png": found["0-0.png"][:60]}


@pytest.fixture(scope="module")
def online(bundle, files):
    score = ImageScorer(bundle).score
    answers = {}
    for name, content in files.items():
        if name != "bad.png":
            (answers[name],) = json.loads(score(json.dumps({"instances": [{"b64": b64(content)}]}).encode()).body)[
                "predictions"
            ]
    return answers


def write(folder, files):
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def check(rows, online, name="path"):
    for row in rows:
        wanted = online[row[name]]
        assert row["label"] == wanted["label"]
        assert [row[f"probability_{one}"] for one in NAMES] == pytest.approx(
            list(wanted["probabilities"].values()), abs=1e-6
        )


def test_a_folder(tmp_path, bundle, files, online):
    write(tmp_path / "images", files)
    job = Job(
        (str(tmp_path / "images"),),
        tmp_path / "out.parquet",
        key="path",
        max_rejects=1,
        reading=Reading(format="images"),
    )
    found = batch_predict(job, bundle)
    rows = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert [row["path"] for row in rows] == sorted(online)
    check(rows, online)
    (reject,) = pq.read_table(found.files.rejects).to_pylist()
    assert reject["key"] == "bad.png" and "expected a whole image file" in reject["reason"]
    assert "bad.png" in render(found, bundle)


def test_a_list(tmp_path, bundle, files, online):
    write(tmp_path, files)
    names = [*sorted(online, reverse=True), "missing.png"]
    with (tmp_path / "list.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([["path", "shop"], *([name, "a"] for name in names)])
    job = Job(
        (str(tmp_path / "list.csv"),),
        tmp_path / "out.parquet",
        keep=("path", "shop"),
        max_rejects=1,
        reading=Reading(format="images"),
    )
    found = batch_predict(job, bundle)
    rows = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert [row["path"] for row in rows] == names[:-1] and {row["shop"] for row in rows} == {"a"}
    check(rows, online)
    assert pq.read_table(found.files.rejects)["row"].to_pylist() == [len(names)]


def test_a_column_of_bytes(tmp_path, bundle, files, online):
    table = pa.table({"id": list(online), "image": [files[name] for name in online]})
    pq.write_table(table, tmp_path / "images.parquet")
    batch_predict(Job((str(tmp_path / "images.parquet"),), tmp_path / "out.parquet", key="id"), bundle)
    check(pq.read_table(tmp_path / "out.parquet").to_pylist(), online, "id")
