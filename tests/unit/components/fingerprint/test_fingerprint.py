from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from headrace.artifacts.errors import HeadraceError
from headrace.components.fingerprint import digest
from headrace.components.fingerprint.digest import BLOCK_BYTES, fingerprint


def test_it_follows_the_content_and_not_the_place_or_the_time(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    for folder in ("a", "b"):
        (tmp_path / folder / "rows.csv").write_text("x,y\n1,2\n")
    os.utime(tmp_path / "b" / "rows.csv", (0, 0))
    first = fingerprint(str(tmp_path / "a" / "rows.csv"))
    assert re.fullmatch("sha256:[0-9a-f]{64}", first)
    assert fingerprint(str(tmp_path / "b" / "rows.csv")) == first
    (tmp_path / "b" / "rows.csv").write_text("x,y\n1,3\n")
    assert fingerprint(str(tmp_path / "b" / "rows.csv")) != first


def test_the_format_counts(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("x\n1\n")
    (tmp_path / "rows.tsv").write_text("x\n1\n")
    assert fingerprint(str(tmp_path / "rows.csv")) != fingerprint(str(tmp_path / "rows.tsv"))


def test_relative_and_absolute_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rows.csv").write_text("x\n1\n")
    absolute = fingerprint(str(tmp_path / "rows.csv"))
    monkeypatch.chdir(tmp_path)
    assert fingerprint("rows.csv") == fingerprint("./rows.csv") == fingerprint("*.csv") == absolute


def test_a_glob_covers_each_files_name_and_content(tmp_path: Path) -> None:
    pattern = str(tmp_path / "*.csv")
    (tmp_path / "a.csv").write_text("1")
    (tmp_path / "b.csv").write_text("2")
    (tmp_path / "notes.txt").write_text("not matched")
    both = fingerprint(pattern)
    (tmp_path / "notes.txt").write_text("still not matched")
    assert fingerprint(pattern) == both
    (tmp_path / "a.csv").write_text("2")
    (tmp_path / "b.csv").write_text("1")
    assert fingerprint(pattern) != both  # exchanged contents
    (tmp_path / "a.csv").write_text("1")
    (tmp_path / "b.csv").write_text("2")
    assert fingerprint(pattern) == both
    (tmp_path / "b.csv").rename(tmp_path / "c.csv")
    assert fingerprint(pattern) != both


def test_files_of_several_folders_keep_apart(tmp_path: Path) -> None:
    for day in ("1", "2"):
        (tmp_path / day).mkdir()
        (tmp_path / day / "rows.csv").write_text(day)
    first = fingerprint(str(tmp_path / "*" / "rows.csv"))
    (tmp_path / "1" / "rows.csv").write_text("2")
    (tmp_path / "2" / "rows.csv").write_text("1")
    assert fingerprint(str(tmp_path / "*" / "rows.csv")) != first


@pytest.mark.parametrize("size", [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES])
def test_every_byte_counts(tmp_path: Path, size: int) -> None:
    file = tmp_path / "rows.csv"
    file.write_bytes(b"x" * size)
    first = fingerprint(str(file))
    if size:
        file.write_bytes(b"x" * (size - 1) + b"y")
        assert fingerprint(str(file)) != first
    file.write_bytes(b"x" * (size + 1))
    assert fingerprint(str(file)) != first


def test_a_missing_file_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    (tmp_path / "subscribers.csv").write_text("x")
    with pytest.raises(HeadraceError) as caught:
        fingerprint(str(tmp_path / "subscriber.csv"))
    assert str(caught.value) == (
        f"{tmp_path}/subscriber.csv: expected a file. "
        f"Received: no such file; did you mean `{tmp_path}/subscribers.csv`?"
    )


def test_a_relative_path_is_told_with_where_it_was_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(HeadraceError) as caught:
        fingerprint("no/x.csv")
    assert str(caught.value) == (
        f"no/x.csv: expected a file. Received: no such file; there is no folder `no` in {tmp_path}, where this runs"
    )


@pytest.mark.parametrize(
    ("source", "received"),
    [
        ("{}/nothing-like-it.csv", "no such file$"),
        ("{}/no/folder/x.csv", "no such file; there is no folder `.*/no/folder`"),
        ("{}/rows.csv/x.csv", "no such file; there is no folder `.*/rows.csv`"),
        ("{}/folder", r"a folder; name its files, e\.g\. `.*/folder/\*\.csv`"),
        ("{}/*.parquet", "none$"),
        ("{}/f*", "a folder; name its files"),
        ("{}/pipe", "a pipe, socket or device"),
        ("{}/loop", "Too many levels of symbolic links"),
        ("{}/dangling", "no such file"),
        ("{}/" + "x" * 300, "File name too long"),
        ("{}/null\0byte", "a null byte in its name"),
        ("", "an empty text"),
    ],
)
def test_what_is_no_readable_file_is_refused(tmp_path: Path, source: str, received: str) -> None:
    (tmp_path / "rows.csv").write_text("x")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "dangling").symlink_to(tmp_path / "gone")
    with pytest.raises(HeadraceError, match=f"expected .*Received: {received}"):
        fingerprint(source.format(tmp_path))


def test_a_file_without_permission_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("x")
    file.chmod(0)
    tmp_path.chmod(0o755)
    code = (
        "import os, sys\n"
        "from headrace.components.fingerprint.digest import fingerprint\n"
        "from headrace.artifacts.errors import HeadraceError\n"
        "if os.getuid() == 0: os.setuid(65534)\n"
        "try: fingerprint(sys.argv[1])\n"
        "except HeadraceError as error: print(error)\n"
    )
    for parent in file.parents:
        if parent.stat().st_uid == os.getuid() and parent.is_relative_to(tmp_path.parents[2]):
            parent.chmod(parent.stat().st_mode | 0o555)
    done = subprocess.run([sys.executable, "-c", code, str(file)], capture_output=True, text=True, check=True)
    assert done.stdout == f"{file}: expected a readable file. Received: permission denied\n"


def test_a_file_that_changes_meanwhile_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("x" * 10)

    class Growing:
        """SHA-256 that makes the file grow while it works."""

        def update(self, block: bytes) -> None:
            with file.open("a") as stream:
                stream.write("y")

    monkeypatch.setattr(digest.hashlib, "sha256", Growing)
    with pytest.raises(HeadraceError, match="expected a file at rest"):
        fingerprint(str(file))


def test_importing_it_loads_nothing_heavy() -> None:
    code = "import sys, headrace.components.fingerprint.digest; print(*{n.split('.')[0] for n in sys.modules})"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not {"numpy", "pyarrow", "pandas", "pydantic", "kfp", "difflib"} & set(out.split())
