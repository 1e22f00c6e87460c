"""Statistics on disk: what is kept, and what is refused."""

from pathlib import Path

import pytest
from tensorflow_metadata.proto.v0 import statistics_pb2

from headrace.artifacts.errors import ArtifactError
from headrace.artifacts.folder import read_manifest, seal
from headrace.artifacts.statistics import DescribedColumn, Statistics, read_statistics, write_statistics


def some_statistics() -> Statistics:
    proto = statistics_pb2.DatasetFeatureStatisticsList()
    for name, rows in (("train", 7), ("eval", 2), ("test", 1)):
        feature = proto.datasets.add(name=name, num_examples=rows).features.add()
        feature.path.step.append("fare")
    columns = [DescribedColumn("fare", "float64"), DescribedColumn("tip", "bool", "label", described=False)]
    return Statistics(proto, "sha256:abc", columns)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_statistics(tmp_path / "statistics", some_statistics())
    found = read_statistics(tmp_path / "statistics")
    assert found == some_statistics()
    assert [found.split(name).num_examples for name in ("train", "eval", "test")] == [7, 2, 1]


def test_equal_statistics_have_equal_digests(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_statistics(tmp_path / name, some_statistics())
    digests = {read_manifest(tmp_path / name, "headrace/statistics", 1).digest for name in ("one", "two")}
    assert len(digests) == 1


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(ArtifactError, match=r"one of the splits train, eval, test\. Received: dev"):
        some_statistics().split("dev")


def test_damaged_statistics_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "statistics"
    write_statistics(folder, some_statistics())
    manifest = read_manifest(folder, "headrace/statistics", 1)
    (folder / "statistics.pb").write_bytes(b"\xff\xff\xff")
    with pytest.raises(ArtifactError, match="changed content"):
        read_statistics(folder)
    seal(folder, "headrace/statistics", 1, manifest.details)  # sealed again: only the content tells
    with pytest.raises(ArtifactError, match="expected serialized statistics"):
        read_statistics(folder)


def test_a_seal_without_the_file_or_the_details_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "statistics"
    write_statistics(folder, some_statistics())
    seal(folder, "headrace/statistics", 1, {})
    with pytest.raises(ArtifactError, match="expected details of dataset and columns"):
        read_statistics(folder)
    (folder / "statistics.pb").unlink()
    seal(folder, "headrace/statistics", 1, {})
    with pytest.raises(ArtifactError, match="no such file"):
        read_statistics(folder)


def test_newer_statistics_and_other_artifacts_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "statistics"
    write_statistics(folder, some_statistics())
    seal(folder, "headrace/statistics", 2, {})
    with pytest.raises(ArtifactError, match=r"version 2\. Upgrade headrace"):
        read_statistics(folder)
    seal(folder, "headrace/schema", 1, {})
    with pytest.raises(ArtifactError, match=r"expected a headrace/statistics\. Received: a headrace/schema"):
        read_statistics(folder)
