"""The step as a whole, and the parts that are small."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from headrace.artifacts.dataset import Dataset
from headrace.artifacts.errors import ArtifactError
from headrace.artifacts.findings import read_findings
from headrace.components.check.associations import associations
from headrace.components.check.check import check_rows
from headrace.components.examine.images_page import image_blocks
from headrace.components.validate.spec import ValidateSpec
from tests.unit.components.check.snapshots import snapshot

ROWS = 2_000
CHANCE = np.random.default_rng(3)


def columns() -> dict[str, list[object]]:
    size = CHANCE.random(ROWS)
    return {
        "id": [f"r{i}" for i in range(ROWS)],
        "size": size.tolist(),
        "colour": CHANCE.choice(["red", "green", "blue"], ROWS).tolist(),
        "y": np.where(size + CHANCE.normal(0, 0.3, ROWS) > 0.5, "1", "0").tolist(),
    }


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    snapshot(tmp_path / "data", columns(), id="id")
    for name in ("a", "b", "c"):
        check_rows(tmp_path / "data", tmp_path / name)
    contents = {(tmp_path / name / file).read_bytes() for name in "abc" for file in ("findings.json", "profile.json")}
    assert len(contents) == 2
    findings = read_findings(tmp_path / "a")
    assert findings.found == []
    assert set(findings.profile["powers"]) == {"size", "colour"}
    assert findings.profile["powers"]["size"] > 0.8
    assert sum(findings.profile["classes"]["1"].values()) + sum(findings.profile["classes"]["0"].values()) == ROWS


def test_a_damaged_snapshot_is_refused(tmp_path: Path) -> None:
    data = snapshot(tmp_path / "data", columns(), id="id")
    data.file("eval").write_bytes(data.file("test").read_bytes())
    with pytest.raises(ArtifactError, match="changed content"):
        check_rows(tmp_path / "data", tmp_path / "out")


def test_a_rare_class_and_one_that_a_split_lacks(tmp_path: Path) -> None:
    table = columns()
    table["y"][:5] = ["rare"] * 5
    table["y"][-1] = "new"
    snapshot(tmp_path / "data", table, id="id")
    found = check_rows(tmp_path / "data", tmp_path / "out").found
    assert [finding.received for finding in found if finding.check == "rare_classes"] == [
        "none of class new in train", "none of class new in eval",
        "5 of class rare", "none of class rare in eval", "none of class rare in test",
    ]  # fmt: skip
    off = ValidateSpec.model_validate({"rare_classes": False})
    assert check_rows(tmp_path / "data", tmp_path / "off", off).found == []


def test_errors_come_first(tmp_path: Path) -> None:
    table = columns()
    table["closed"] = list(table["y"])
    snapshot(tmp_path / "data", table, id="id")
    settings = ValidateSpec.model_validate(
        {"rare_classes": {"at_least": 5_000}, "checks": [{"name": "mine", "sql": "SELECT 1"}]}
    )
    found = check_rows(tmp_path / "data", tmp_path / "out", settings).found
    assert [f.level for f in found] == ["error", "error", "warn", "warn"]
    assert [f.check for f in found] == ["leakage", "mine", "rare_classes", "rare_classes"]


def test_associations_of_every_kind() -> None:
    number = CHANCE.normal(size=ROWS)
    text = np.where(number > 0, "up", "down")
    table = pa.table(
        {
            "number": number,
            "cubed": number**3,
            "falling": -np.exp(number),
            "noise": CHANCE.normal(size=ROWS),
            "text": text,
            "same": np.char.upper(text),
            "other": CHANCE.choice(["a", "b", "c"], ROWS),
            "constant": np.ones(ROWS),
            "mail": [f"{i}@x" for i in range(ROWS)],
        }
    )
    found = associations(table, table.column_names)
    assert found["columns"] == ["number", "cubed", "falling", "noise", "text", "same", "other"]
    matrix = np.array(found["matrix"])
    place = {name: i for i, name in enumerate(found["columns"])}
    assert np.array_equal(matrix, matrix.T)
    assert matrix[place["number"], place["cubed"]] == pytest.approx(1, abs=1e-3)
    assert matrix[place["number"], place["falling"]] == pytest.approx(-1, abs=1e-3)
    assert matrix[place["text"], place["same"]] == pytest.approx(1, abs=1e-3)
    assert matrix[place["text"], place["number"]] == pytest.approx(3**0.5 / 2, abs=0.01)
    for name in ("number", "text", "other"):
        assert abs(matrix[place["noise"], place[name]]) < 0.1
    strengths = [abs(value) for _, _, value in found["pairs"]]
    assert strengths == sorted(strengths, reverse=True)
    assert {"number", "cubed", "falling", "text", "same"} == {name for a, b, _ in found["pairs"] for name in (a, b)}


def picture(shade: int, size: tuple[int, int] = (40, 30)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, (shade, 10, 10)).save(buffer, "PNG")
    return buffer.getvalue()


def test_pictures_get_tiles_and_repetitions_are_found_by_their_bytes(tmp_path: Path) -> None:
    rows = 100
    contents = [picture(i % 90, (40, 30) if i % 4 else (30, 40)) for i in range(rows)]
    contents[5] = b"no picture"
    snapshot(
        tmp_path / "data",
        {
            "path": [f"cats/{i}.png" for i in range(rows)],
            "label": ["cat" if i % 2 else "dog" for i in range(rows)],
            "image": contents,
            "width": [40 if i % 4 else 30 for i in range(rows)],
            "height": [30 if i % 4 else 40 for i in range(rows)],
            "format": ["PNG"] * rows,
            "sha256": [hashlib.sha256(content).hexdigest() for content in contents],
        },
        label="label",
        id="path",
    )
    findings = check_rows(tmp_path / "data", tmp_path / "out", ValidateSpec.model_validate({"duplicates": "error"}))
    images = findings.profile["images"]
    assert images["formats"] == {"PNG": 100}
    assert images["sizes"] == [[40, 30, 75], [30, 40, 25]]
    assert {tile["class"] for tile in images["tiles"]} == {"cat", "dog"}
    assert len(images["tiles"]) == 47  # 24 of each class, but for the one that is no picture
    assert all(tile["uri"].startswith("data:image/jpeg;base64,") for tile in images["tiles"])
    assert "cats/5.png" not in [tile["path"] for tile in images["tiles"]]
    assert images["repeated"][0] == [["cats/1.png", "cats/91.png"], 2, 2]
    assert (findings.found[0].check, findings.found[0].level) == ("duplicates", "error")
    assert findings.found[0].expected == "at most 1.00% of the rows to be the same picture as another, byte for byte"
    assert findings.found[0].examples == [f"cats/{i}.png" for i in (1, 3, 7, 9, 91)]
    assert "alike" not in images  # without a column of groups, nothing is known of near-duplicates


@pytest.mark.parametrize("label", ["label", "number"])  # a name that the queries use too
def test_near_duplicates_are_shown_by_group_those_with_different_labels_first(tmp_path: Path, label: str) -> None:
    rows = 100
    contents = [picture(i % 90) for i in range(rows)]  # the last ten are copies of the first
    groups = {3: "b", 4: "b", 95: "b", 10: "a", 11: "a", 12: "a", 13: "a", 14: "a", 0: "copy", 90: "copy"}
    snapshot(
        tmp_path / "data",
        {
            "path": [f"{i:02d}.png" for i in range(rows)],
            label: ["cat" if i < 4 else "dog" for i in range(rows)],
            "image": contents,
            "sha256": [hashlib.sha256(content).hexdigest() for content in contents],
            "group": [groups.get(i, f"alone-{i}") for i in range(rows)],
        },
        label=label,
        id="path",
    )
    findings = check_rows(tmp_path / "data", tmp_path / "out", ValidateSpec())
    images = findings.profile["images"]
    assert images["alike_in_all"] == 2  # copies of one file are no near-duplicates
    torn, others = images["alike"]
    # 3, 4 and 95: another picture in another split
    assert (torn["pictures"], torn["splits"], torn["labels"]) == (3, 2, ["cat", "dog"])
    assert [(tile["path"], tile["class"]) for tile in torn["tiles"]] == [
        ("03.png", "cat"), ("04.png", "dog"), ("95.png", "dog"),
    ]  # fmt: skip
    assert (others["pictures"], others["splits"], others["labels"]) == (5, 1, ["dog"])
    assert len(others["tiles"]) == 4
    info = Dataset.open(tmp_path / "data").info
    page = " ".join(image_blocks(images, info))
    assert "2 groups of pictures that look the same" in page
    assert "3 pictures of cat, dog" in page and "different labels" in page and page.count("across splits") >= 2
    assert page.index("3 pictures of") < page.index("5 pictures of")
