"""Where objects lie, and how they are listed: any name at all, without any client."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.emulator.documents import Documents
from headrace.emulator.refusals import Refusal
from headrace.emulator.storage import listing, places
from headrace.emulator.storage.conditions import Conditions
from headrace.emulator.storage.digests import Digests
from headrace.emulator.storage.objects import Objects
from headrace.emulator.storage.places import PARTIAL

BUCKET = "bucket"
_parts = st.one_of(
    st.sampled_from(["", ".", "..", "a", "b", "a.b", "é\0", "x" * 256, "=YQ", ".names"]), st.text("ab-", max_size=3)
)
names = (
    st.lists(_parts, min_size=1, max_size=5).map("/".join).filter(lambda n: n not in ("", ".", "..") and len(n) < 900)
)


@pytest.fixture
def objects(tmp_path: Path) -> Iterator[Objects]:
    found = Objects(tmp_path / "gcs", Documents(tmp_path / "emulator.db"))
    (found.root / BUCKET).mkdir()
    yield found


@settings(max_examples=15, deadline=None)
@given(
    wanted=st.sets(names, max_size=12),
    prefix=st.sampled_from(["", "a", "a/", "a//", "..", "é"]),
    size=st.integers(1, 5),
)
def test_any_names_are_kept_apart_below_the_root_and_listed_in_order(wanted: set[str], prefix: str, size: int) -> None:
    with TemporaryDirectory() as folder:
        objects = Objects(Path(folder, "gcs"), Documents(Path(folder, "emulator.db")))
        (objects.root / BUCKET).mkdir()
        for name in wanted:
            objects.write(f"gs://{BUCKET}/{name}", name.encode())
        for name in wanted:
            assert objects.read(f"gs://{BUCKET}/{name}") == name.encode()
            file = objects.get(BUCKET, name).file
            assert file.resolve().is_relative_to(objects.root.resolve())
            assert objects.uri(file) == f"gs://{BUCKET}/{name}"
        expected = sorted(name for name in wanted if name.startswith(prefix))
        assert list(listing.names(objects.root, BUCKET, prefix)) == expected
        assert _paged(objects, listing.Asked(prefix), size) == (expected, [])
        assert _paged(objects, listing.Asked(prefix, "/"), size) == _by_hand(expected, prefix, "/")
        assert _paged(objects, listing.Asked(prefix, "b"), size) == _by_hand(expected, prefix, "b")
        start, end = "a", "b/"
        between = [name for name in expected if start <= name < end]
        assert _paged(objects, listing.Asked(prefix, "/", start, end), size) == _by_hand(between, prefix, "/")
        for name in wanted:
            objects.delete(BUCKET, name)
        assert list(listing.names(objects.root, BUCKET)) == []


def _by_hand(names: list[str], prefix: str, delimiter: str) -> tuple[list[str], list[str]]:
    rests = {name: name[len(prefix) :].partition(delimiter) for name in names}
    plain = [name for name, (_, found, _) in rests.items() if not found]
    return plain, sorted({prefix + first + delimiter for first, found, _ in rests.values() if found})


def _paged(objects: Objects, asked: listing.Asked, size: int) -> tuple[list[str], list[str]]:
    names: list[str] = []
    prefixes: list[str] = []
    token = ""
    while True:
        page = listing.page(objects.root, BUCKET, asked, size, token)
        assert len(page.names) + len(page.prefixes) <= size
        names, prefixes, token = names + page.names, prefixes + page.prefixes, page.token
        if not token:
            return names, prefixes


@pytest.mark.parametrize(
    "uri", ["gs://b/x", "gs://../x", "gs://UPPER/x", "gs://.names/x", "gs://b_/x", "s3://bucket/x"]
)
def test_what_is_no_bucket_is_refused(objects: Objects, uri: str) -> None:
    with pytest.raises(Refusal):
        objects.path(uri)


@pytest.mark.parametrize(
    "name", ["x" * 1025, "é" * 513, "a\nb", "a\rb", ".", "..", ".well-known/acme-challenge/x", "\ud800"]
)
def test_what_is_no_name_is_refused(objects: Objects, name: str) -> None:
    with pytest.raises(Refusal, match="Invalid object name"):
        objects.write(f"gs://{BUCKET}/{name}", b"")


def test_a_file_of_a_job_is_an_object(objects: Objects) -> None:
    file = objects.path("gs://new-bucket/run/model.txt")
    file.parent.mkdir(parents=True)
    file.write_bytes(b"hello")
    found = objects.digested(objects.get("new-bucket", "run/model.txt"))
    assert (found.size, found.kept["crc32c"]) == (5, "mnG7TA==")  # as Cloud Storage's documentation computes it
    assert found.generation == file.stat().st_mtime_ns // 1000
    assert objects.get("new-bucket", "run/model.txt").kept == found.kept
    other = file.with_name("other")
    other.write_bytes(b"later")
    os.utime(other, ns=(found.generation * 1000 + 5000, found.generation * 1000 + 5000))
    other.replace(file)
    assert objects.get("new-bucket", "run/model.txt").kept == {}
    assert objects.path("gs://new-bucket/run/") == objects.path("gs://new-bucket/run") == file.parent


def test_generations_grow_and_conditions_hold(objects: Objects) -> None:
    first = objects.write("gs://bucket/x", b"1")
    second = objects.write("gs://bucket/x", b"2")
    assert second.generation > first.generation
    with pytest.raises(Refusal, match="pre-conditions") as refused:
        objects.delete(BUCKET, "x", Conditions(generation=first.generation))
    assert refused.value.status == 412
    with pytest.raises(Refusal, match="No such object"):
        objects.get(BUCKET, "x", first.generation)
    future = second.generation + 10**9
    os.utime(second.file, ns=(future * 1000, future * 1000))  # by a clock that was ahead
    assert objects.write("gs://bucket/x", b"3").generation > future


@pytest.mark.parametrize("moment", [0, 999, -(10**18)])
def test_a_file_of_an_archive_without_times_is_an_object_that_is_there(objects: Objects, moment: int) -> None:
    file = objects.path("gs://bucket/x")
    file.write_bytes(b"1")
    os.utime(file, ns=(moment, moment))
    found = objects.digested(objects.get(BUCKET, "x"))
    assert found.generation > 0
    assert objects.get(BUCKET, "x", found.generation).kept == found.kept
    partial, digests = objects.partial(), Digests()
    partial.write_bytes(b"2")
    digests.update(b"2")
    with pytest.raises(Refusal, match="pre-conditions"):
        objects.put(BUCKET, "x", partial, digests, {}, Conditions(generation=0))
    assert objects.read("gs://bucket/x") == b"1"
    file.write_bytes(b"3")  # as long as before
    os.utime(file, ns=(moment, moment))
    assert objects.digested(objects.get(BUCKET, "x")).kept["crc32c"] != found.kept["crc32c"]
    assert objects.write("gs://bucket/x", b"4").generation > found.generation


def test_what_was_half_written_is_removed_at_the_next_start(objects: Objects, tmp_path: Path) -> None:
    objects.partial().write_bytes(b"half")
    again = Objects(objects.root, Documents(tmp_path / "emulator.db"))
    assert list((again.root / PARTIAL).iterdir()) == []
    assert list(again.root.glob(f"{BUCKET}/*")) == []


def test_a_name_says_where_it_lies(objects: Objects) -> None:
    assert objects.path("gs://bucket/a/b.csv") == objects.root / "bucket" / "a" / "b.csv"
    assert places.place(objects.root, BUCKET, "../x").is_relative_to(objects.root / places.NAMES)
