"""Logged requests: which files there are, what their digest goes by, and how they come into one folder."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.artifacts.errors import HeadraceError
from headrace.components.fingerprint.digest import fingerprint
from headrace.components.fingerprint.logs import log_files
from headrace.components.logged_requests.collect import collect_requests

LOGS = {"format": "logs"}
LINE = json.dumps({"instance": {"plan": "pro"}}) + "\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Logs of three days in all formats, and what is none."""
    folder = tmp_path / "logs"
    (folder / "2026" / "11").mkdir(parents=True)
    (folder / "2026" / "11" / "20.jsonl").write_text(LINE * 2)
    (folder / "2026" / "11" / "21.jsonl.gz").write_bytes(gzip.compress(LINE.encode() * 3))
    pq.write_table(pa.table({"plan": ["pro"]}), folder / "22.parquet")
    (folder / "notes.txt").write_text("nothing")
    (folder / ".tmp").mkdir()
    (folder / ".tmp" / "23.jsonl").write_text(LINE)
    return folder


def test_all_logs_below_a_folder_come_decompressed_into_one(folder: Path, tmp_path: Path) -> None:
    assert [file.path for file in log_files(str(folder))] == ["2026/11/20.jsonl", "2026/11/21.jsonl.gz", "22.parquet"]
    out = tmp_path / "out"
    assert collect_requests(str(folder), out) == 3
    assert (out / "2026/11/20.jsonl").read_text() == LINE * 2
    assert (out / "2026/11/21.jsonl.gz.jsonl").read_text() == LINE * 3
    assert (out / "22.parquet").read_bytes() == (folder / "22.parquet").read_bytes()
    assert len([path for path in out.rglob("*") if path.is_file()]) == 3


def test_a_file_and_a_glob_will_do(folder: Path, tmp_path: Path) -> None:
    assert collect_requests(str(folder / "2026/11/20.jsonl"), tmp_path / "one") == 1
    assert collect_requests(str(folder / "2026" / "*" / "2?.jsonl*"), tmp_path / "some") == 2
    (folder / "2026" / "12").mkdir()
    (folder / "2026" / "12" / "20.jsonl").write_text(LINE)
    with pytest.raises(HeadraceError, match=r"expected files of different names. Received: the name of .*name their"):
        collect_requests(str(folder / "2026" / "*" / "20.jsonl"), tmp_path / "twice")


@pytest.mark.parametrize(
    ("end", "kept"),
    [
        (LINE.encode(), LINE),
        (LINE.rstrip("\n").encode(), LINE),
        (LINE[:9].encode(), ""),
        (b'{"plan": "gr\xc3', ""),
        (b"", ""),
    ],
    ids=["whole", "without its line break", "half a line", "half a letter", "nothing"],
)
def test_a_line_that_is_being_written_is_left_out(end: bytes, kept: str, tmp_path: Path) -> None:
    file = tmp_path / "now.jsonl"
    file.write_bytes((LINE * 100_000).encode() + end)  # several blocks
    collect_requests(str(file), tmp_path / "out")
    assert (tmp_path / "out" / "now.jsonl").read_text() == LINE * 100_000 + kept


def test_an_empty_folder_is_well_and_none_is_not(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    assert collect_requests(str(tmp_path / "logs"), tmp_path / "out") == 0
    assert list((tmp_path / "out").iterdir()) == []
    with pytest.raises(HeadraceError, match=r"lgos: expected a file. Received: no such file; did you mean `.*logs`"):
        collect_requests(str(tmp_path / "lgos"), tmp_path / "out")


def test_damaged_logs_are_told(tmp_path: Path) -> None:
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(LINE.encode() * 100)[:-10])
    with pytest.raises(HeadraceError, match=r"cut.jsonl.gz: expected logged requests. Received: .*end"):
        collect_requests(str(tmp_path), tmp_path / "out")


def test_the_digest_follows_names_and_contents_alone(folder: Path, tmp_path: Path) -> None:
    first = fingerprint(str(folder), LOGS)
    (folder / "notes.txt").write_text("something")
    (folder / "22.parquet").touch()
    moved = folder.rename(tmp_path / "elsewhere")
    assert fingerprint(str(moved), LOGS) == first
    with (moved / "2026/11/20.jsonl").open("a") as stream:
        stream.write(LINE)
    second = fingerprint(str(moved), LOGS)
    assert second != first
    (moved / "2026/11/20.jsonl").rename(moved / "20.jsonl")
    assert fingerprint(str(moved), LOGS) not in (first, second)
    (tmp_path / "empty").mkdir()
    assert fingerprint(str(tmp_path / "empty"), LOGS).startswith("sha256:")


def test_a_folder_by_url_is_listed_and_may_be_empty(tmp_path: Path) -> None:
    import fsspec

    files = fsspec.filesystem("memory")
    files.pipe("/headrace-logs/a/1.jsonl", LINE.encode())
    files.pipe("/headrace-logs/a/2.txt", b"nothing")
    assert [file.path for file in log_files("memory://headrace-logs")] == ["a/1.jsonl"]
    before = fingerprint("memory://headrace-logs", LOGS)
    assert collect_requests("memory://headrace-logs", tmp_path / "out") == 1
    assert (tmp_path / "out/a/1.jsonl").read_text() == LINE
    files.pipe("/headrace-logs/a/1.jsonl", LINE.encode() * 2)
    assert fingerprint("memory://headrace-logs", LOGS) != before
    files.rm("/headrace-logs", recursive=True)
    files.mkdir("/headrace-logs")
    assert log_files("memory://headrace-logs") == []
