"""Local sources are sent by their content: once, and to an address that everybody can open."""

import json

import pytest

from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.folder import file_digest
from headrace.pipelines import sending
from headrace.pipelines.sending import Sender, beside


@pytest.fixture
def said():
    return []


@pytest.fixture
def sender(tmp_path, said):
    return Sender(str(tmp_path / "store"), said.append)


def test_a_file_is_sent_once_and_named_by_its_content(tmp_path, sender, said):
    file = tmp_path / "rows.csv"
    file.write_text("a,b\n1,2\n")
    place = sender.source(str(file))
    assert place == f"{tmp_path}/store/{file_digest(file)}/rows.csv"
    assert (tmp_path / "store" / file_digest(file) / "rows.csv").read_text() == "a,b\n1,2\n"
    assert sender.source(f"file://{file}") == place
    assert [line.rpartition(":")[2].split(",")[0] for line in said] == [
        " sending 1 file",
        f" is in {tmp_path}/store already",
    ]
    file.write_text("a,b\n1,3\n")
    assert sender.source(str(file)) != place


def test_of_several_files_only_what_is_new_is_sent(tmp_path, sender, said):
    for name in ("1.csv", "2.csv"):
        (tmp_path / name).write_text(name)
    first = json.loads(sender.source(str(tmp_path / "*.csv")))
    (tmp_path / "3.csv").write_text("3.csv")
    second = json.loads(sender.source(str(tmp_path / "*.csv")))
    assert second[:2] == first and len(second) == 3
    assert "sending 1 file" in said[-1]


def test_very_many_files_are_a_glob_in_one_folder(tmp_path, sender, monkeypatch):
    monkeypatch.setattr(sending, "MOST_FILES", 2)
    for day in ("mon", "tue", "wed"):
        (tmp_path / "in" / day).mkdir(parents=True)
        (tmp_path / "in" / day / "rows.csv").write_text(day)
    place = sender.source(str(tmp_path / "in/*/rows.csv"))
    assert place.endswith("/*/rows.csv") and "[" not in place
    import glob

    assert len(glob.glob(place)) == 3


def test_a_name_that_would_be_read_as_a_pattern_is_sent_under_a_plain_one(tmp_path, sender):
    from headrace.components.fingerprint.files import source_files

    file = tmp_path / "rows [2026] #2 é.csv"
    file.write_text("a\n1\n")
    place = sender.source(str(tmp_path / "rows*.csv"))
    assert place == f"{tmp_path}/store/{file_digest(file)}/rows _2026_ _2 é.csv"
    assert [one.read_text() for one in source_files(place)] == ["a\n1\n"]


def test_two_files_with_the_same_rows_stay_two(tmp_path, sender):
    for day in ("mon", "tue"):
        (tmp_path / day).mkdir()
        (tmp_path / day / "rows.csv").write_text("a\n1\n")
    found = json.loads(sender.source(str(tmp_path / "*/rows.csv")))
    assert len(found) == 2 and len(set(found)) == 1


def test_ten_thousand_files_are_looked_for_by_one_list(tmp_path, monkeypatch):
    from fsspec.implementations.memory import MemoryFileSystem

    asked = []
    monkeypatch.setattr(MemoryFileSystem, "info", lambda self, path, **more: asked.append(path) or 1 / 0)
    monkeypatch.setattr(MemoryFileSystem, "store", {})
    monkeypatch.setattr(MemoryFileSystem, "pseudo_dirs", [""])
    usual, put = MemoryFileSystem.find, []
    monkeypatch.setattr(
        MemoryFileSystem, "find", lambda self, *given, **more: asked.append("list") or usual(self, *given, **more)
    )
    monkeypatch.setattr(MemoryFileSystem, "put", lambda self, files, places: put.append(len(places)))
    monkeypatch.setattr(sending, "file_digest", lambda path: "0")
    files = {f"{number:05}.png": tmp_path / "one.png" for number in range(10_000)}
    (tmp_path / "one.png").write_bytes(b"x")
    Sender("memory://bucket/sources").tree(files, "photos")
    assert put == [10_000] and asked == ["list"]


def test_a_folder_of_images_keeps_its_folders(tmp_path, sender):
    (tmp_path / "images" / "cat").mkdir(parents=True)
    (tmp_path / "images" / "cat" / "1.png").write_bytes(b"1")
    (tmp_path / "images" / ".DS_Store").write_bytes(b"x")
    from pathlib import Path

    place = Path(sender.source(str(tmp_path / "images")))
    assert [path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()] == ["cat/1.png"]


def test_a_list_of_images_is_sent_with_them(tmp_path, sender):
    (tmp_path / "img").mkdir()
    (tmp_path / "img" / "1.png").write_bytes(b"1")
    listing = tmp_path / "all.csv"
    listing.write_text("path,label\nimg/1.png,cat\n")
    from pathlib import Path

    place = Path(sender.source(str(listing), ["img/1.png"]))
    assert place.name == "all.csv" and (place.parent / "img" / "1.png").read_bytes() == b"1"
    with pytest.raises(HeadraceError, match="expected images beside their list"):
        sender.source(str(listing), ["../1.png"])


def test_urls_stay_as_they_are(sender):
    mixed = json.dumps(["gs://b/a.csv", "postgresql://app:${PASSWORD}@h/db"])
    assert sender.source(mixed) == mixed
    assert sender.source("bigquery://p/d/t") == "bigquery://p/d/t"


def test_nothing_is_sent_dry(tmp_path, said):
    (tmp_path / "rows.csv").write_text("a\n")
    place = Sender("gs://bucket/sources", said.append, dry=True).source(str(tmp_path / "rows.csv"))
    assert place == f"gs://bucket/sources/{file_digest(tmp_path / 'rows.csv')}/rows.csv"
    assert said == []


@pytest.mark.parametrize(
    ("source", "folder", "words"),
    [
        ("rows.csv", "", "expected a source that can be reached from where the pipeline runs"),
        ("none.csv", "x", "expected a file. Received: no such file"),
        ("sqlite:///a.db", "x", "Received: sqlite:// on this machine"),
    ],
)
def test_what_cannot_be_sent_is_said(tmp_path, monkeypatch, source, folder, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.csv").write_text("a\n")
    with pytest.raises(HeadraceError, match=words):
        Sender(folder).source(source)


def test_what_is_joined_has_to_lie_beside_the_spec(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "plans.csv").write_text("a\n")
    assert beside(tmp_path, ["data/plans.csv", "gs://b/x.csv"]) == {"data/plans.csv": tmp_path / "data" / "plans.csv"}
    for other in ("/etc/passwd", "../x.csv"):
        with pytest.raises(HeadraceError, match="to lie beside the spec"):
            beside(tmp_path, [other])
