"""Anomalies on disk: what is kept, and what is refused."""

from pathlib import Path

import pytest
from tensorflow_metadata.proto.v0 import anomalies_pb2

from headrace.artifacts.anomalies import read_anomalies, write_anomalies
from headrace.artifacts.errors import ArtifactError
from headrace.artifacts.folder import seal


def some_anomalies() -> anomalies_pb2.Anomalies:
    anomalies = anomalies_pb2.Anomalies()
    for name in ("tarif", "fare"):
        anomalies.anomaly_info[name].severity = anomalies_pb2.AnomalyInfo.ERROR
        anomalies.anomaly_info[name].description = "gemäß (~10 %)"
    return anomalies


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_anomalies(tmp_path / "anomalies", some_anomalies())
    assert read_anomalies(tmp_path / "anomalies") == some_anomalies()


def test_no_anomalies_are_kept_too(tmp_path: Path) -> None:
    write_anomalies(tmp_path / "anomalies", anomalies_pb2.Anomalies())
    assert not read_anomalies(tmp_path / "anomalies").anomaly_info


def test_damaged_anomalies_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "anomalies"
    write_anomalies(folder, some_anomalies())
    (folder / "anomalies.pbtxt").write_text("anomaly_info { ke", encoding="utf-8")
    with pytest.raises(ArtifactError, match="changed content"):
        read_anomalies(folder)
    seal(folder, "headrace/anomalies", 1, {})
    with pytest.raises(ArtifactError, match="expected anomalies in text format"):
        read_anomalies(folder)
    (folder / "anomalies.pbtxt").unlink()
    seal(folder, "headrace/anomalies", 1, {})
    with pytest.raises(ArtifactError, match="no such file"):
        read_anomalies(folder)


def test_newer_anomalies_are_refused(tmp_path: Path) -> None:
    write_anomalies(tmp_path / "anomalies", some_anomalies())
    seal(tmp_path / "anomalies", "headrace/anomalies", 2, {})
    with pytest.raises(ArtifactError, match="Upgrade headrace"):
        read_anomalies(tmp_path / "anomalies")
