"""Every artifact that is read refuses a damaged folder and one of a newer format."""

import json

import pytest

from headrace.artifacts import anomalies, bundle, dataset, evaluation, schema, statistics, transform
from headrace.artifacts.errors import ArtifactError
from headrace.artifacts.folder import write_folder
from headrace.artifacts.signature import Input

READERS = {
    "headrace/dataset": dataset.Dataset.open,
    "headrace/schema": schema.read_schema,
    "headrace/statistics": statistics.read_statistics,
    "headrace/anomalies": anomalies.read_anomalies,
    "headrace/transform": transform.open_transform,
    "headrace/bundle": bundle.Bundle.open,
    "headrace/evaluation": evaluation.read_evaluation,
}


@pytest.mark.parametrize("format", READERS)
def test_a_newer_format_is_refused(tmp_path, format):
    with write_folder(tmp_path / "artifact", format, 99, {}) as folder:
        (folder / "something").write_text("from the future")
    with pytest.raises(ArtifactError, match="Received: version 99. Upgrade headrace"):
        READERS[format](tmp_path / "artifact")


@pytest.mark.parametrize("format", READERS)
def test_changed_content_is_refused(tmp_path, format):
    with write_folder(tmp_path / "artifact", format, 1, {}) as folder:
        (folder / "something").write_text("sealed")
    (tmp_path / "artifact" / "something").write_text("edited")
    with pytest.raises(ArtifactError, match="Received: changed content"):
        READERS[format](tmp_path / "artifact")


@pytest.mark.parametrize("format", READERS)
def test_another_kind_is_refused(tmp_path, format):
    with write_folder(tmp_path / "artifact", "headrace/other", 1, {}):
        pass
    with pytest.raises(ArtifactError, match=f"expected a {format}. Received: a headrace/other"):
        READERS[format](tmp_path / "artifact")


def test_transform_reads_back(tmp_path):
    written = transform.Transform(
        (Input("a", "number", offset=2.0, min=2.0, max=3.0), Input("b", "category", vocabulary=("x", "y"))),
        (
            transform.Feature("a", ("a",), "as it is", raw="a"),
            transform.Feature("b", ("b",), "its code", "code", 2),
            transform.Feature("c", ("a",), "a * 2"),
        ),
        {"d": "the id"},
        {"c": "a * 2"},
        ("`d` names the row",),
        {"mean": [1.5]},
    )
    with transform.write_transform(tmp_path / "t", written) as folder:
        (folder / transform.GRAPH).write_bytes(b"raw")
        (folder / transform.FEATURES).write_bytes(b"encoded")
    read = transform.open_transform(tmp_path / "t")
    assert (read.recipe, read.graph.read_bytes(), read.features.read_bytes()) == (written, b"raw", b"encoded")
    assert read.out_of_fold is None
    assert read.recipe.features == ["a", "b", "c"]
    assert read.digest.startswith("sha256:")


def test_a_transform_without_its_fields_is_refused(tmp_path):
    with write_folder(tmp_path / "t", transform.FORMAT, transform.VERSION, {}) as folder:
        (folder / transform.RECIPE).write_text(json.dumps({"inputs": []}))
    with pytest.raises(ArtifactError, match="expected inputs, outputs, excluded, construct, notes and fitted"):
        transform.open_transform(tmp_path / "t")


def test_a_transform_of_an_older_format_is_refused(tmp_path):
    with write_folder(tmp_path / "t", transform.FORMAT, 1, {}) as folder:
        (folder / transform.RECIPE).write_text(json.dumps({"inputs": []}))
    with pytest.raises(ArtifactError, match="run the pipeline again. Received: 1"):
        transform.open_transform(tmp_path / "t")


def test_an_unknown_split_is_refused(tmp_path):
    info = dataset.DatasetInfo("regression", [], "y", {"train": 0, "eval": 0, "test": 0})
    with dataset.write_dataset(tmp_path / "d") as (files, details):
        for file in files.values():
            file.write_bytes(b"")
        details.update(dataset.describe(info))
    with pytest.raises(ArtifactError, match="expected one of the splits train, eval, test. Received: validation"):
        dataset.Dataset.open(tmp_path / "d").table("validation")


def test_a_snapshot_of_version_1_is_still_read(tmp_path):
    fields = ("task", "columns", "label", "rows", "classes", "positive", "id", "leaks", "source", "query")
    info = dataset.describe(dataset.DatasetInfo("regression", [dataset.Column("y", "float64")], "y", {"train": 0}))
    details = {name: info[name] for name in fields}
    with write_folder(tmp_path / "d", dataset.FORMAT, 1, details) as folder:
        (folder / "train").mkdir()
        (folder / "train" / "data.parquet").write_bytes(b"")
    old = dataset.Dataset.open(tmp_path / "d").info
    assert (old.columns[0].name, old.rejected, old.coerced, old.extends) == ("y", {}, {}, None)
