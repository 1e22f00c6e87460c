"""Two bundles compared: the same, the same model in another bundle, another model."""

import pytest

from headrace.artifacts.bundle import LINEAGE, MATRIX, MODEL, SAMPLES, SIGNATURE, write_bundle
from headrace.artifacts.errors import ArtifactError
from headrace.artifacts.folder import write_json
from headrace.artifacts.signature import Input, Signature
from headrace.pipelines.reproduction.bundles import compare_bundles
from headrace.pipelines.reproduction.reproduce import PartChange, Reproduction
from headrace.pipelines.reproduction.text import reproduction_json, reproduction_text


def bundle(path, model=b"trees", commit="1", extra=None):
    with write_bundle(path, {"name": "homes"}) as folder:
        (folder / MODEL).write_bytes(model)
        (folder / MATRIX).write_bytes(b"matrix")
        Signature("regression", "price", (Input("rooms", "number"),)).write(folder / SIGNATURE)
        write_json(folder / SAMPLES, {"instances": [{"rooms": 3}], "predictions": [{"value": 1.0}]})
        write_json(folder / LINEAGE, {"training": {"seed": 0}, "origin": {"commit": commit}})
        if extra:
            (folder / extra).write_text("x")
    return path


def said(before, after, parts=()):
    diff = compare_bundles(before, after)
    found = Reproduction("homes:1", "sha256:data", "run", after, diff, tuple(parts))
    return diff, "\n".join(reproduction_text(found)), reproduction_json(found)


def test_the_same_bytes_are_the_same_model(tmp_path):
    diff, text, as_json = said(bundle(tmp_path / "a"), bundle(tmp_path / "b"))
    assert diff.identical and diff.same_model
    assert text.splitlines() == [
        "homes:1, trained again from sha256:data:",
        f"bit for bit the same: {diff.after}",
    ]
    assert as_json["diff"]["identical"] is True


def test_another_commit_in_the_lineage_is_the_same_model_and_said(tmp_path):
    diff, text, as_json = said(bundle(tmp_path / "a"), bundle(tmp_path / "b", commit="2", extra="card.md"))
    assert (diff.identical, diff.same_model) == (False, True)
    assert (diff.differing, diff.new, diff.missing) == ((LINEAGE,), ("card.md",), ())
    for line in (
        "the same model: model.onnx, matrix.onnx",
        "  differ: lineage.json",
        "  new: card.md",
        "  origin.commit: 1 -> 2",
    ):
        assert line in text
    assert as_json["diff"]["same_model"] is True


def test_other_trees_are_another_model_whatever_else_is_equal(tmp_path):
    part = PartChange("train", "code", "sha256:1", "sha256:2")
    diff, text, _ = said(bundle(tmp_path / "a"), bundle(tmp_path / "b", model=b"other"), [part])
    assert not diff.same_model
    assert text.splitlines()[1].startswith("ANOTHER model: sha256:")
    assert "  differ: model.onnx" in text
    assert "  train: code sha256:1 -> sha256:2" in text
    _, text, _ = said(tmp_path / "a", tmp_path / "b")
    assert "Code, environments and commands of the tasks are what they were." in text


def test_a_damaged_bundle_is_no_proof(tmp_path):
    before, after = bundle(tmp_path / "a"), bundle(tmp_path / "b")
    (after / MODEL).write_bytes(b"other")
    with pytest.raises(ArtifactError, match="changed content"):
        compare_bundles(before, after)
