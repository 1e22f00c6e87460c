"""The signature and the bundle's format: what is written is read, and what is wrong is refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tiny_bundle import signature_of, write_tiny_bundle

from headrace.artifacts import folder
from headrace.artifacts.bundle import FORMAT, Bundle, write_bundle
from headrace.artifacts.errors import ArtifactError
from headrace.artifacts.signature import Input, Signature


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_a_signature_is_read_as_it_was_written(kind: str, tmp_path: Path) -> None:
    signature = signature_of(kind)
    signature.write(tmp_path / "signature.json")
    assert Signature.read(tmp_path / "signature.json") == signature


def test_only_the_keys_of_a_type_are_written() -> None:
    assert Input("b", "boolean").to_dict() == {"name": "b", "type": "boolean"}
    assert Input("c", "category", vocabulary=("x",)).to_dict()["vocabulary"] == ["x"]
    assert Input("n", "number", offset=1.5).to_dict() == {
        "name": "n", "type": "number", "offset": 1.5, "min": None, "max": None,
    }  # fmt: skip


def changed(**changes: Any) -> dict[str, Any]:
    return {**signature_of("binary").to_dict(), **changes}


def with_input(**entry: Any) -> dict[str, Any]:
    return changed(inputs=[entry])


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "signature: expected a JSON object. Received: list"),
        (changed(task="ranking"), "task: expected classification or regression. Received: ranking"),
        (changed(extra=1), "signature: expected only known keys. Received: extra"),
        (
            {"task": "regression"},
            "signature: expected the keys task, label and inputs. Received: none for label, inputs",
        ),
        (changed(inputs=[]), "inputs: expected at least one input. Received: none"),
        (
            changed(inputs=[{"name": "a", "type": "boolean"}] * 2),
            "inputs: expected distinct names. Received: a",
        ),
        (
            changed(inputs=[{"name": "churned", "type": "boolean"}]),
            "inputs: expected features only. Received: the label 'churned' among them",
        ),
        (changed(classes=["0"]), "classes: expected two or more distinct strings. Received: ('0',)"),
        (changed(classes=[0, 1]), "classes: expected two or more distinct strings. Received: (0, 1)"),
        (changed(positive="yes"), "positive: expected one of ('0', '1'). Received: yes"),
        (changed(threshold=1.5), "threshold: expected a number from 0 to 1. Received: 1.5"),
        (changed(threshold=None), "threshold: expected a number from 0 to 1. Received: None"),
        (
            changed(classes=["a", "b", "c"]),
            "positive, threshold: expected none with more than two classes. Received: ('1', 0.4)",
        ),
        (changed(task="regression"), "regression: expected no classes, positive or threshold. "),
        (with_input(name="", type="number"), "inputs: name: expected a non-empty string. Received: ''"),
        (
            with_input(name="a", type="prose"),
            "inputs['a'].type: expected one of number, boolean, category, date, text, image. ",
        ),
        (with_input(name="a", type="boolean", offset=1), "inputs['a']: expected only the keys name, type. "),
        (
            with_input(name="a", type="number", offset="1"),
            "inputs['a'].offset: expected a finite number. Received: 1",
        ),
        (
            with_input(name="a", type="category", vocabulary="xy"),
            "inputs['a'].vocabulary: expected a list of strings",
        ),
        (
            with_input(name="a", type="category", vocabulary=["x", ""]),
            "expected non-empty strings (an empty one",
        ),
        (with_input(name="a", type="category", vocabulary=["x", "x"]), "expected distinct values"),
    ],
)
def test_a_wrong_signature_is_refused_by_name(value: Any, message: str, tmp_path: Path) -> None:
    file = tmp_path / "signature.json"
    file.write_text(json.dumps(value))
    with pytest.raises(ArtifactError) as refused:
        Signature.read(file)
    assert str(refused.value).startswith(f"{file}: ")
    assert message in str(refused.value)


def test_a_bundle_knows_itself(binary: Bundle) -> None:
    assert (binary.name, binary.version) == ("tiny", "3")
    assert binary.digest.startswith("sha256:")
    instances, predictions = binary.samples()
    assert len(instances) == len(predictions) == 20


def test_a_bundle_without_a_name_has_its_folders(tmp_path: Path) -> None:
    bundle = Bundle.open(write_tiny_bundle(tmp_path / "churn", details={}))
    assert (bundle.name, bundle.version) == ("churn", None)


def test_a_bundle_with_a_changed_file_is_refused(tmp_path: Path) -> None:
    path = write_tiny_bundle(tmp_path / "model")
    graph = path / "matrix.onnx"
    graph.write_bytes(graph.read_bytes()[:-1] + b"\0")
    with pytest.raises(ArtifactError, match=r"matrix\.onnx: expected content with sha256 .* Received: changed content"):
        Bundle.open(path)
    assert Bundle.open(path, verify=False).name == "tiny"


def test_a_newer_bundle_and_another_artifact_are_refused(tmp_path: Path) -> None:
    for name, format, version in (("newer", FORMAT, 2), ("other", "headrace/dataset", 1)):
        with folder.write_folder(tmp_path / name, format, version, {}) as path:
            (path / "file").write_text("x")
    with pytest.raises(ArtifactError, match=r"version 1 or older\. Received: version 2. Upgrade headrace"):
        Bundle.open(tmp_path / "newer")
    with pytest.raises(ArtifactError, match=r"expected a headrace/bundle\. Received: a headrace/dataset"):
        Bundle.open(tmp_path / "other")
    with pytest.raises(ArtifactError, match=r"expected a headrace/bundle folder with a manifest\.json. Received: none"):
        Bundle.open(tmp_path)


def test_an_incomplete_bundle_is_not_written(tmp_path: Path) -> None:
    with (
        pytest.raises(ArtifactError, match=r"Received: none named model\.onnx, matrix\.onnx, samples\.json"),
        write_bundle(tmp_path / "model", {}) as path,
    ):
        signature_of("binary").write(path / "signature.json")
    assert list(tmp_path.iterdir()) == []


def test_samples_must_come_in_pairs(tmp_path: Path) -> None:
    path = write_tiny_bundle(tmp_path / "model")
    for text, received in (
        ('{"instances": [{}], "predictions": []}', "1 instances, 0 predictions"),
        ("[]", "another form"),
    ):
        (path / "samples.json").write_text(text)
        with pytest.raises(ArtifactError, match=received):
            Bundle.open(path, verify=False).samples()
