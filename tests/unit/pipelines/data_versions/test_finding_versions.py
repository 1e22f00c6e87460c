"""Which data version a text means, and what is said when it means none or several."""

import pyarrow as pa
import pytest

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.commands.store import data_of_models
from headrace.pipelines.data_versions.finding import _latest, find_version
from headrace.pipelines.data_versions.inventory import DataVersion, placed
from headrace.pipelines.data_versions.of_models import Trained, data_of
from headrace.pipelines.local.record.results import ArtifactRecord, RunSummary
from headrace.platforms.interface import ModelVersion
from tests.unit.pipelines.data_versions.small_snapshots import schema, snapshot

ONE, TWO, NEAR = "a" * 64, "b" * 64, "a" * 10 + "c" * 54
VERSIONS = [DataVersion(f"sha256:{digits}") for digits in (ONE, TWO, NEAR)]


def trained(number, *data, aliases=()):
    model = ModelVersion("churn", number, "sha256:0", "/nowhere", "", "run", aliases=aliases)
    return Trained(model, tuple(f"sha256:{digits}" for digits in data))


MODELS = [trained("1", ONE), trained("2", TWO, aliases=("champion",)), trained("3"), trained("4", ONE, TWO)]


def find(text):
    return find_version(text, VERSIONS, None, MODELS).digest.removeprefix("sha256:")


@pytest.mark.parametrize(
    ("text", "digits"),
    [
        (f"sha256:{ONE}", ONE),
        (ONE, ONE),
        ("a" * 11, ONE),
        ("b" * 8, TWO),
        ("sha256:bbbbbbbb", TWO),
        ("churn:1", ONE),
        ("churn:champion", TWO),
    ],
)
def test_digests_and_models(text, digits):
    assert find(text) == digits


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a" * 8, r"expected the beginning of one digest. Received: a{8}, which begins sha256:a{64}, sha256:a{10}c"),
        (
            "bbbbbbba",
            r"expected a data version: .*\(did you mean bbbbbbbb\?\)\. Received: bbbbbbba; `headrace data list`",
        ),
        ("b" * 7, "a digest of 8 digits or more"),
        ("chrun:1", r"expected a registered version \(did you mean churn:1\?\)"),
        ("churn:9", "Received: churn:9"),
        ("churn:3", "expected one snapshot that it was trained from. Received: none"),
        ("churn:4", "Received: different ones: sha256:a"),
        ("", "expected a data version"),
    ],
)
def test_what_means_no_version_or_several(text, said):
    with pytest.raises(HeadraceError, match=said):
        find(text)


def test_a_folder_of_a_snapshot_is_a_version(tmp_path):
    data = snapshot(tmp_path / "out", schema(id=pa.string(), label=pa.string()), {"train": [("1", "0")]})
    found = find_version(str(tmp_path / "out"), [], None)
    assert (found.digest, found.rows["train"], found.open().digest) == (data.digest, 1, data.digest)


def test_a_collected_version_says_so():
    with pytest.raises(HeadraceError, match="is not there any more; a run on the same source and spec makes the same"):
        VERSIONS[0].open()


def test_of_copies_the_whole_one_is_opened(tmp_path):
    kinds = schema(id=pa.string(), label=pa.string())
    one, other = (snapshot(tmp_path / name, kinds, {"train": [("1", "0")]}) for name in ("a", "b"))
    assert one.digest == other.digest
    one.file("train").write_bytes(b"")
    version = DataVersion(one.digest, paths=(one.path, other.path))
    assert version.open().path == other.path


def test_the_data_of_a_model_is_what_its_lineage_or_its_label_says(tmp_path):
    def version(**labels):
        return ModelVersion("m", "1", "sha256:0", str(tmp_path), "", "run", labels=labels)

    assert data_of(version()) == ()
    assert data_of(version(dataset="sha256:1")) == ("sha256:1",)
    (tmp_path / "lineage.json").write_text('{"data": {"digest": "sha256:1"}}')
    assert data_of(version(dataset="sha256:1")) == ("sha256:1",)
    assert data_of(version(dataset="sha256:2")) == ("sha256:1", "sha256:2"), "both are kept"
    (tmp_path / "lineage.json").write_text("{")
    assert data_of(version(dataset="sha256:2")) == ("sha256:2",)


def test_nothing_is_collected_when_a_model_does_not_say_what_must_stay(tmp_path, monkeypatch):
    (tmp_path / "registry.db").touch()
    monkeypatch.setattr("headrace.platforms.open.open_platform", lambda uri, home: None)
    monkeypatch.setattr("headrace.pipelines.data_versions.of_models.trained_models", lambda platform: MODELS)
    with pytest.raises(HeadraceError, match="expected churn:3 to name its snapshot, which has to stay. Received: none"):
        data_of_models(tmp_path)
    known = [model for model in MODELS if model.data]
    monkeypatch.setattr("headrace.pipelines.data_versions.of_models.trained_models", lambda platform: known)
    assert data_of_models(tmp_path) == {f"sha256:{ONE}", f"sha256:{TWO}"}
    assert data_of_models(tmp_path / "elsewhere") == set()


def test_the_latest_run_is_not_one_that_reproduced_a_model():
    class Runs:
        def runs(self):
            said = [("three", {"reproduces": "churn:1"}), ("two", {}), ("one", {})]
            return [RunSummary(id, "churn", "churn", "SUCCEEDED", 0.0, 0.0, labels) for id, labels in said]

    assert _latest(Runs()) == "two"


def test_an_artifact_is_found_in_a_home_that_was_moved(tmp_path):
    place = tmp_path / "store" / "ab" / ("ab" + "0" * 62) / "dataset"
    old = ArtifactRecord(
        "dataset", "system.Dataset", f"/gone/.headrace/store/ab/{place.parent.name}/dataset", "sha256:1"
    )
    assert placed(tmp_path, old).path == place
    elsewhere = ArtifactRecord("dataset", "system.Dataset", "gs://bucket/store/x", "sha256:1")
    assert placed(tmp_path, elsewhere) == elsewhere
