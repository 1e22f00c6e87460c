from __future__ import annotations

import hashlib
import io
import itertools
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from pydantic import ValidationError

from headrace.artifacts.dataset import Dataset
from headrace.artifacts.errors import HeadraceError
from headrace.components.fingerprint.digest import fingerprint
from headrace.components.ingest.ingest import ingest
from headrace.components.ingest.opened import Opened
from headrace.components.ingest.sources.images import open_images
from headrace.components.ingest.spec import DataSpec
from tests.integration.components.ingest.fake_cloud import Cloud, GoogleStorage, serving

DIFFERENT = 30  # photographs of each class


def photo(seed: int, size: tuple[int, int] = (160, 120)) -> Image.Image:
    """A picture like no other, and smooth as photographs are."""
    pixels = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes."""
    for number, name in enumerate(("cat", "dog")):
        (tmp_path / name).mkdir()
        for i in range(DIFFERENT):
            photo(1000 * number + i).save(tmp_path / name / f"{i:02}.jpg", quality=92)
    return tmp_path


def opened(source: Path | str, rows: int | None = None, **settings: object) -> Opened:
    spec = {"source": str(source), "format": "images", "label": "label", **settings}
    return open_images(str(source), DataSpec.model_validate(spec), rows)


def rows_of(found: Opened) -> dict[str, dict[str, object]]:
    return {row["path"]: row for row in pa.Table.from_batches(found.batches()).to_pylist()}


def test_a_row_for_each_file(folder: Path) -> None:
    found = opened(folder)
    assert found.schema.field("image").metadata == {b"headrace": b"image"}
    rows = rows_of(found)
    assert list(rows) == sorted(f"{name}/{i:02}.jpg" for name in ("cat", "dog") for i in range(DIFFERENT))
    content = (folder / "cat/07.jpg").read_bytes()
    row = rows["cat/07.jpg"]
    assert (row["label"], row["image"], row["width"], row["height"]) == ("cat", content, 160, 120)
    assert (row["format"], row["mode"], row["sha256"]) == ("JPEG", "RGB", hashlib.sha256(content).hexdigest())
    assert found.notes == []
    assert len({row["group"] for row in rows.values()}) == 2 * DIFFERENT


@pytest.mark.parametrize(
    ("suffix", "mode"),
    [("png", "RGBA"), ("png", "P"), ("png", "I;16"), ("png", "1"), ("bmp", "RGB"), ("gif", "P"), ("webp", "RGB"), ("jpg", "L"), ("jpg", "CMYK")],
)  # fmt: skip
def test_formats_and_modes(tmp_path: Path, suffix: str, mode: str) -> None:
    (tmp_path / "a").mkdir()
    image = photo(1).convert("L").convert(mode) if mode == "I;16" else photo(1).convert(mode)
    image.save(tmp_path / "a" / f"x.{suffix}")
    [row] = rows_of(opened(tmp_path)).values()
    assert row["format"] == {"jpg": "JPEG"}.get(suffix, suffix.upper())
    assert row["mode"] == mode
    assert (row["width"], row["height"]) == (160, 120)


def test_what_cannot_be_read_is_rejected_with_the_reason(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 160 * 120)
    whole = (folder / "cat/00.jpg").read_bytes()
    (folder / "cat/short.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "cat/text.png").write_text("no image")
    (folder / "dog/empty.gif").write_bytes(b"")
    (folder / "dog/tiff.jpg").write_bytes(_tiff())
    photo(5, (200, 120)).save(folder / "dog/large.png")
    photo(6, (1_000, 1_000)).save(folder / "dog/bomb.png")
    found = opened(folder)
    assert len(rows_of(found)) == 2 * DIFFERENT
    rejected = found.rejected()
    assert rejected.count == 6
    why = {Path(one.place).name: one.why.removeprefix("expected an image. Received: ") for one in rejected.first}
    short = why.pop("short.jpg")
    assert short.startswith("damaged data (image file is truncated")
    assert {name: text[:40] for name, text in why.items()} == {
        "text.png": "a file of another kind",
        "empty.gif": "an empty file",
        "tiff.jpg": "a file of another kind",
        "large.png": "200 x 120 pixels, more than Pillow's lim",
        "bomb.png": "Image size (1000000 pixels) exceeds limi",
    }


def test_every_truncation_of_every_format_is_found(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    photo(0).save(tmp_path / "a" / "whole.png")
    for suffix in ("jpg", "png", "bmp", "gif", "webp"):
        out = io.BytesIO()
        photo(3).save(out, {"jpg": "JPEG"}.get(suffix, suffix.upper()))
        for share in (0.1, 0.5, 0.9):
            (tmp_path / "a" / f"{share}.{suffix}").write_bytes(out.getvalue()[: int(len(out.getvalue()) * share)])
    found = opened(tmp_path)
    assert (found.rejected().count, list(rows_of(found))) == (15, ["a/whole.png"])


def test_copies_and_near_duplicates_share_a_group(folder: Path) -> None:
    original = Image.open(folder / "cat/03.jpg")
    shutil.copy(folder / "cat/03.jpg", folder / "dog/copy.jpg")
    original.resize((80, 60)).save(folder / "cat/small.jpg", quality=60)
    original.save(folder / "cat/same.png")
    original.save(folder / "dog/other.webp", quality=50)
    found = opened(folder)
    groups = {path: row["group"] for path, row in rows_of(found).items()}
    alike = {path for path, group in groups.items() if group == groups["cat/03.jpg"]}
    assert alike == {"cat/03.jpg", "cat/same.png", "cat/small.jpg", "dog/copy.jpg", "dog/other.webp"}
    assert max(Counter(groups.values()).values()) == 5
    assert len(set(groups.values())) == 2 * DIFFERENT
    notes = {note.partition(":")[0]: note for note in found.notes}
    assert notes["copies of other images"].endswith("1, such as dog/copy.jpg of cat/03.jpg")
    assert ": 3, such as cat/same.png of cat/03.jpg" in notes["near-duplicates of other images"]
    assert notes["groups of copies and near-duplicates with different labels"].endswith(
        "1, such as cat/03.jpg (cat) and dog/copy.jpg (dog)"
    )


def test_what_a_person_should_know(folder: Path) -> None:
    photo(5007, (4, 40)).save(folder / "cat/tiny.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    photo(5008, (60, 90)).save(folder / "cat/turned.jpg", exif=exif)
    photo(5009).save(folder / "cat/moving.gif", save_all=True, append_images=[photo(10), photo(11)])
    (folder / "cat/Thumbs.db").write_bytes(b"x")
    (folder / "cat/.hidden.jpg").write_bytes(b"x")
    found = opened(folder)
    assert found.notes == [
        "images with a side of fewer than 8 pixels: 1, such as cat/tiny.png",
        "images turned by their EXIF orientation: 1, such as cat/turned.jpg",
        "images that move, of which the first frame counts: 1, such as cat/moving.gif",
        "files that are no images by their names: 1, such as cat/Thumbs.db",
    ]
    turned = rows_of(found)["cat/turned.jpg"]
    assert (turned["width"], turned["height"]) == (90, 60)


def test_a_list_of_paths_and_labels(folder: Path) -> None:
    (folder / "list.csv").write_text(
        "file,species,note\ncat/00.jpg,felis,a\ndog/01.jpg,canis,b\ncat/gone.jpg,felis,c\ncat/02.jpg,,d\n"
    )
    found = opened(folder / "list.csv", label="species", images={"path": "file"})
    rows = rows_of(found)
    assert {path: row["species"] for path, row in rows.items()} == {
        "cat/00.jpg": "felis", "dog/01.jpg": "canis", "cat/02.jpg": None,
    }  # fmt: skip
    assert {path: row["note"] for path, row in rows.items()} == {
        "cat/00.jpg": "a",
        "dog/01.jpg": "b",
        "cat/02.jpg": "d",
    }
    assert found.left_out == {}
    [gone] = found.rejected().first
    assert (gone.place, gone.why) == ("cat/gone.jpg", "expected an image. Received: no such file")


def test_further_columns_have_the_types_of_all_their_values(folder: Path) -> None:
    lines = [f"cat/{i:02}.jpg,x,{i},{i / 2},line-{i % 3},2026-01-{i + 1:02},,9" for i in range(DIFFERENT)]
    lines[7] = "cat/07.jpg,x,NA,3.5,,2026-01-08,,9"
    (folder / "list.csv").write_text("path,label,shift,speed,camera,day,nothing,width\n" + "\n".join(lines) + "\n")
    found = opened(folder / "list.csv")
    types = {field.name: str(field.type) for field in found.schema}
    assert {name: types[name] for name in ("shift", "speed", "camera", "day", "nothing")} == {
        "shift": "int64", "speed": "double", "camera": "string", "day": "date32[day]", "nothing": "double",
    }  # fmt: skip
    row = rows_of(found)["cat/07.jpg"]
    assert (row["shift"], row["speed"], row["camera"], row["nothing"], row["width"]) == (None, 3.5, None, None, 160)
    assert found.left_out == {"width": "a name that ingestion gives"}
    assert found.notes == ["`width` is left out: ingestion gives a column of this name itself"]
    declared = opened(folder / "list.csv", types={"shift": "string"})
    assert declared.schema.field("shift").type == pa.string()


def test_a_column_of_the_list_holds_images_together(folder: Path) -> None:
    shutil.copy(folder / "cat/00.jpg", folder / "cat/copy.jpg")
    rows = ["cat/00.jpg,x,A", "cat/copy.jpg,x,B", "cat/01.jpg,x,B", "cat/02.jpg,x,C", "cat/03.jpg,x,", "cat/04.jpg,x,"]
    (folder / "list.csv").write_text("path,label,thing\n" + "\n".join(rows) + "\n")
    found = opened(folder / "list.csv", split={"by": "group", "column": "thing"})
    groups = {path: row["group"] for path, row in rows_of(found).items()}
    # One chain: 00 looks like copy, which shows the same thing as 01. What has no thing is alone.
    assert groups["cat/00.jpg"] == groups["cat/copy.jpg"] == groups["cat/01.jpg"]
    assert len(set(groups.values())) == 4
    assert [note for note in found.notes if "copies of" in note] == [
        "copies of other images: 1, such as cat/copy.jpg of cat/00.jpg"
    ]
    with pytest.raises(HeadraceError, match="as data.split.column. Received: `thin`; did you mean `thing`"):
        opened(folder / "list.csv", split={"by": "group", "column": "thin"})


@pytest.mark.parametrize("split", [{}, {"by": "group", "column": "thing"}])
def test_what_belongs_together_is_in_one_split(folder: Path, tmp_path: Path, split: dict[str, str]) -> None:
    rows = []
    for name, number in itertools.product(("cat", "dog"), range(DIFFERENT)):
        shutil.copy(folder / name / f"{number:02}.jpg", folder / name / f"copy{number:02}.jpg")
        rows += [f"{name}/{file}{number:02}.jpg,{name},{number // 3}" for file in ("", "copy")]
    (folder / "list.csv").write_text("path,label,thing\n" + "\n".join(rows) + "\n")
    source = str(folder / "list.csv")
    data = DataSpec.model_validate({"source": source, "format": "images", "split": split})
    assert (data.id, data.label.name) == ("path", "label")
    digest = fingerprint(source, data.model_dump(mode="json"))
    ingest(source, digest, "classification", data, tmp_path / "snapshot")
    key = "thing" if split else "group"
    splits: dict[object, set[str]] = {}
    for name in ("train", "eval", "test"):
        for row in pq.read_table(tmp_path / "snapshot" / name / "data.parquet", columns=[key, "path"]).to_pylist():
            splits.setdefault(row[key], set()).add(name)
    assert len(splits) == (10 if split else 60)
    assert all(len(several) == 1 for several in splits.values())


def test_what_is_joined_stands_beside_the_pictures(folder: Path, tmp_path: Path) -> None:
    truth = tmp_path / "truth.csv"
    truth.write_text("path,truth\n" + "".join(f"cat/{i:02}.jpg,tiger\n" for i in range(DIFFERENT)))
    join = [{"source": str(truth), "on": "path"}]
    source = str(folder)
    data = DataSpec.model_validate({"source": source, "format": "images", "join": join})
    ingest(source, fingerprint(source, data.model_dump(mode="json")), "classification", data, tmp_path / "snapshot")
    columns = ["path", "image", "truth"]
    splits = [pq.read_table(tmp_path / "snapshot" / name / "data.parquet") for name in ("train", "eval", "test")]
    rows = pa.concat_tables(splits).select(columns).to_pylist()
    assert len(rows) == 2 * DIFFERENT
    for row in rows:
        assert row["image"] == (folder / row["path"]).read_bytes()
        assert row["truth"] == ("tiger" if row["path"].startswith("cat/") else None)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"watermark": {"column": "day"}}, "watermark: expected none of images"),
        ({"source": ["a", "b"]}, "expected one folder or CSV of images.*Received: a list"),
        ({"split": {"by": "stratified"}}, "expected `group`, `time` or `column` of images. Received: stratified"),
        ({"label": {"name": "x", "expression": "a > 1"}}, "expected the name of the classes' column"),
    ],
)
def test_settings_that_do_not_go_with_images(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        DataSpec.model_validate({"source": "photos", "format": "images", **settings})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "pth,label\na.jpg,x\n",
            "expected the column `path`, which data.images.path names. Received: did you mean `pth`",
        ),
        (
            "path,lable\na.jpg,x\n",
            "expected the column `label`, which data.label names. Received: did you mean `lable`",
        ),
        ("path,label\n", "expected rows below the header. Received: only a header"),
        (
            "path,label\na.jpg,x\na.jpg,y\n",
            "list.csv, line 3: expected every image once. Received: 'a.jpg' again, as in .*line 2",
        ),
        ("path,label\na.jpg,x,y\n", "line 2: expected 2 fields with a path. Received: 3 fields"),
        ("path,label,a,a\na.jpg,x,1,2\n", "expected each column name once. Received: a twice"),
        ("path,label\n,x\n", "line 2: expected 2 fields with a path. Received: no `path`"),
        ("path,label\na.jpg,x\n", "expected images that can be read. Received: none; a.jpg: .*no such file"),
    ],
)
def test_a_list_that_cannot_be_read(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(HeadraceError, match=message):
        opened(tmp_path / "list.csv")


def test_a_folder_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(HeadraceError, match="expected a folder of images, or a CSV.*Received: no such folder"):
        opened(tmp_path / "gone")
    with pytest.raises(HeadraceError, match=r"expected images .*Received: no files"):
        opened(tmp_path)
    (tmp_path / "readme.txt").write_text("x")
    with pytest.raises(HeadraceError, match=r"expected images .*Received: 1 other files"):
        opened(tmp_path)
    photo(1).save(tmp_path / "x.jpg")
    with pytest.raises(HeadraceError, match="expected a folder for each class.*Received: x.jpg beside them"):
        opened(tmp_path)


def test_a_file_that_changes_meanwhile_is_told_of(folder: Path) -> None:
    found = opened(folder)
    photo(99).save(folder / "dog/05.jpg")
    with pytest.raises(HeadraceError, match="dog/05.jpg: expected a file at rest. Received: one that changed"):
        list(found.batches())


def test_a_look_decodes_no_more_than_it_gives(folder: Path) -> None:
    (folder / "dog/zz.jpg").write_text("no image")
    found = opened(folder, rows=5)
    assert (len(rows_of(found)), found.rejected().count) == (5, 0)


def test_batches_are_bounded_by_their_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.components.ingest.sources.images._BATCH_BYTES", 20_000)
    (tmp_path / "a").mkdir()
    for i in range(20):
        photo(i).save(tmp_path / "a" / f"{i}.jpg")
    largest = max(file.stat().st_size for file in (tmp_path / "a").iterdir())
    batches = list(opened(tmp_path).batches())
    assert len(batches) > 3
    assert all(sum(map(len, batch.column("image").to_pylist())) < 20_000 + largest for batch in batches)


def test_beam_gives_the_same_version(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.components.ingest.sources.scan_beam._PART", 7)
    (folder / "cat/torn.jpg").write_bytes((folder / "cat/00.jpg").read_bytes()[:900])
    shutil.copy(folder / "cat/03.jpg", folder / "dog/copy.jpg")
    names = sorted(file.relative_to(folder).as_posix() for file in folder.glob("*/*.jpg"))
    lines = [f"{name},{name[:3]},{number % 20}" for number, name in enumerate(names)]
    source = folder / "list.csv"
    source.write_text("path,label,thing\n" + "\n".join(lines) + "\n")
    found = []
    for beam in (None, {"runner": "DirectRunner"}):
        settings = {"source": str(source), "format": "images", "images": {"beam": beam}, "rejects": {"at_most": 1}}
        data = DataSpec.model_validate({**settings, "split": {"by": "group", "column": "thing"}})
        digest = fingerprint(str(source), data.model_dump(mode="json"))
        output = tmp_path / ("beam" if beam else "process")
        notes = ingest(str(source), digest, "classification", data, output).notes
        snapshot = Dataset.open(output)
        assert snapshot.info.rejected["first"][0]["place"] == "cat/torn.jpg"
        found.append((snapshot.digest, notes))
    assert found[0] == found[1]


def test_images_in_a_bucket(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gcsfs import GCSFileSystem

    cloud = Cloud()
    for file in folder.glob("*/*.jpg"):
        cloud.put(f"bucket/photos/{file.relative_to(folder)}", file.read_bytes())
    with serving(GoogleStorage, cloud):
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", cloud.url)
        GCSFileSystem.clear_instance_cache()
        assert rows_of(opened("gs://bucket/photos")) == rows_of(opened(folder))
        cloud.put("bucket/list.csv", b"path,label\nphotos/cat/00.jpg,cat\nphotos/dog/00.jpg,dog\n")
        assert [row["label"] for row in rows_of(opened("gs://bucket/list.csv")).values()] == ["cat", "dog"]
        data = {"format": "images"}
        cloud.sent = 0
        first = fingerprint("gs://bucket/photos", data)
        assert cloud.sent == 0
        cloud.put("bucket/photos/cat/00.jpg", cloud.objects["bucket/photos/cat/01.jpg"])
        assert fingerprint("gs://bucket/photos", data) != first
        GCSFileSystem.clear_instance_cache()


def test_the_fingerprint_follows_files_and_labels(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    data = {"format": "images", "label": {"name": "label"}}
    first = fingerprint(str(folder), data)
    copy = shutil.copytree(folder, tmp_path_factory.mktemp("copy") / "elsewhere")
    assert fingerprint(str(copy), data) == first
    (folder / "cat/00.jpg").rename(folder / "dog/99.jpg")
    assert fingerprint(str(folder), data) != first
    (folder / "list.csv").write_text("path,label\ncat/01.jpg,cat\n")
    listed = fingerprint(str(folder / "list.csv"), data)
    shutil.copy(folder / "cat/02.jpg", folder / "cat/01.jpg")
    second = fingerprint(str(folder / "list.csv"), data)
    (folder / "list.csv").write_text("path,label\ncat/01.jpg,dog\n")
    third = fingerprint(str(folder / "list.csv"), data)
    (folder / "list.csv").write_text("path,label,camera\ncat/01.jpg,dog,1\n")
    fourth = fingerprint(str(folder / "list.csv"), data)
    (folder / "list.csv").write_text("path,label,camera\ncat/01.jpg,dog,2\n")
    assert len({listed, second, third, fourth, fingerprint(str(folder / "list.csv"), data)}) == 5


def _tiff() -> bytes:
    out = io.BytesIO()
    photo(1).save(out, "TIFF")
    return out.getvalue()
