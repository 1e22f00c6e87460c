"""Cloud Storage of the emulator, by its real clients: google-cloud-storage and gcsfs."""

from __future__ import annotations

import io
import json
import os
import quopri
import re
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from tests.cloud.emulator_process import EmulatorProcess, emulator_process

MIB = 1 << 20


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatorProcess]:
    with emulator_process(tmp_path_factory.mktemp("emulator")) as found:
        yield found


@pytest.fixture
def client(emulator: EmulatorProcess, monkeypatch: pytest.MonkeyPatch) -> storage.Client:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", emulator.address)
    return storage.Client(project="demo", credentials=AnonymousCredentials())  # type: ignore[no-untyped-call]


@pytest.fixture
def bucket(client: storage.Client, request: pytest.FixtureRequest) -> Iterator[storage.Bucket]:
    made = client.create_bucket(f"b-{abs(hash(request.node.name)):x}"[:40])
    yield made
    if made.exists():
        made.delete(force=True)


def test_buckets(client: storage.Client) -> None:
    made = client.create_bucket("test-buckets", location="europe-west1")
    assert (made.location, made.exists()) == ("EUROPE-WEST1", True)
    assert "test-buckets" in [one.name for one in client.list_buckets()]
    made.labels = {"team": "a", "old": "b"}
    made.patch()
    made.labels = {"team": "a"}
    made.patch()
    assert client.get_bucket("test-buckets").labels == {"team": "a"}
    policy = made.get_iam_policy()
    policy.setdefault("roles/storage.objectViewer", set()).add("user:a@example.com")
    made.set_iam_policy(policy)
    assert made.get_iam_policy()["roles/storage.objectViewer"] == {"user:a@example.com"}
    assert made.test_iam_permissions(["storage.objects.get"]) == ["storage.objects.get"]
    made.versioning_enabled = True
    with pytest.raises(exceptions.MethodNotImplemented, match="keeps the last generation"):
        made.patch()
    with pytest.raises(exceptions.Conflict, match="succeeded and you own it"):
        client.create_bucket("test-buckets")
    made.blob("x").upload_from_string("x")
    with pytest.raises(exceptions.Conflict, match="not empty"):
        made.delete()
    made.delete(force=True)
    assert client.lookup_bucket("test-buckets") is None
    with pytest.raises(exceptions.BadRequest, match="Invalid bucket name"):
        client.create_bucket("Upper-Case")


@pytest.mark.parametrize("size", [0, 1, 3 * MIB + 17])
@pytest.mark.parametrize("chunk", [None, MIB])
def test_uploads_come_back(bucket: storage.Bucket, size: int, chunk: int | None) -> None:
    content = os.urandom(size)
    blob = bucket.blob("folder/x.bin", chunk_size=chunk)
    blob.metadata = {"kind": "test"}
    blob.upload_from_file(io.BytesIO(content), content_type="application/x-test", checksum="md5")
    found = bucket.get_blob("folder/x.bin")
    assert (found.size, found.content_type, found.metadata) == (size, "application/x-test", {"kind": "test"})
    assert found.download_as_bytes(checksum="crc32c") == found.download_as_bytes(checksum="md5") == content
    if size > 10:
        assert found.download_as_bytes(start=3, end=9) == content[3:10]
        assert found.download_as_bytes(start=size - 4) == content[-4:]


def test_metadata_generations_and_conditions(bucket: storage.Bucket) -> None:
    blob = bucket.blob("x")
    blob.upload_from_string("one", if_generation_match=0)
    first = blob.generation
    with pytest.raises(exceptions.PreconditionFailed, match="pre-conditions"):
        bucket.blob("x").upload_from_string("two", if_generation_match=0)
    blob.upload_from_string("two", if_generation_match=first)
    assert blob.generation > first
    blob.metadata = {"a": "1", "b": "2"}
    blob.patch(if_metageneration_match=1)
    blob.metadata = {"a": None, "c": "3"}
    blob.patch()
    assert bucket.get_blob("x").metadata == {"b": "2", "c": "3"}
    assert bucket.get_blob("x").metageneration == 3
    with pytest.raises(exceptions.PreconditionFailed):
        blob.delete(if_generation_match=first)
    with pytest.raises(exceptions.NotFound):
        bucket.blob("x", generation=first).reload()
    blob.delete()
    with pytest.raises(exceptions.NotFound, match="No such object"):
        blob.download_as_bytes()


def test_copies(bucket: storage.Bucket) -> None:
    blob = bucket.blob("a")
    blob.metadata = {"k": "v"}
    blob.upload_from_string("hello", content_type="text/plain")
    copy = bucket.copy_blob(blob, bucket, "b")
    assert (copy.content_type, copy.metadata, copy.download_as_bytes()) == ("text/plain", {"k": "v"}, b"hello")
    assert bucket.rename_blob(copy, "c").name == "c"
    assert bucket.move_blob(bucket.blob("c"), "d").name == "d"
    token, rewritten, total = bucket.blob("e").rewrite(blob)
    assert (token, rewritten, total) == (None, 5, 5)
    both = bucket.blob("f")
    both.compose([blob, bucket.blob("d")])
    assert (both.download_as_bytes(), both.component_count, both.md5_hash) == (b"hellohello", 2, None)
    assert [one.name for one in bucket.list_blobs()] == ["a", "d", "e", "f"]
    with bucket.client.batch():
        for name in ("a", "d"):
            bucket.blob(name).delete()
    assert [one.name for one in bucket.list_blobs()] == ["e", "f"]
    with pytest.raises(exceptions.NotFound), bucket.client.batch():
        bucket.blob("a").delete()


@pytest.mark.parametrize("encoding", ["binary", "quoted-printable"])
def test_a_batch_takes_any_text(bucket: storage.Bucket, emulator: EmulatorProcess, encoding: str) -> None:
    bucket.blob("x").upload_from_string("x")
    metadata = {"who": "Zoë 日本"}
    sent = json.dumps({"metadata": metadata}, ensure_ascii=False).encode()
    sent = quopri.encodestring(sent) if encoding == "quoted-printable" else sent
    good, bad = batch(emulator, encoding, f"/storage/v1/b/{bucket.name}/o/x", sent, b'{"metadata": {"who": "\xff"}}')
    assert good[:2] == ("HTTP/1.1", "200"), good
    assert bad[:2] == ("HTTP/1.1", "400"), bad
    assert "batch: expected a request in UTF-8. Received: the byte 0xff at " in " ".join(bad)
    assert bucket.get_blob("x").metadata == metadata


def batch(emulator: EmulatorProcess, encoding: str, path: str, *bodies: bytes) -> list[tuple[str, ...]]:
    """Changes of an object in one request; the answers, in words."""
    head = f"Content-Type: application/http\r\nContent-Transfer-Encoding: {encoding}\r\n\r\nPATCH {path} HTTP/1.1\r\n"
    kind = b"Content-Type: application/json\r\n\r\n"
    parts = [b"--part\r\n" + head.encode() + kind + body + b"\r\n" for body in bodies]
    headers = {"Content-Type": "multipart/mixed; boundary=part"}
    asked = urllib.request.Request(
        f"{emulator.address}/batch/storage/v1", b"".join(parts) + b"--part--\r\n", headers, method="POST"
    )
    with urllib.request.urlopen(asked, timeout=30) as answer:
        found = answer.read().decode()
    return [tuple(one.split()) for one in re.findall(r"HTTP/1\.1 .*?(?=\r\n--batch_)", found, re.DOTALL)]


def test_lists_and_hostile_names(bucket: storage.Bucket, emulator: EmulatorProcess) -> None:
    names = ["../x", "a//b", "a/b", "a/b/c", "é\0z", "x/", "a?b#c%2F", "d:e/f", "z" * 1024]
    for name in names:
        bucket.blob(name).upload_from_string(name)
        assert bucket.blob(name).download_as_text() == name
    assert [one.name for one in bucket.list_blobs(page_size=2)] == sorted(names)
    found = bucket.list_blobs(delimiter="/", page_size=2)
    assert [one.name for one in found] == sorted(name for name in names if "/" not in name)
    assert found.prefixes == {"../", "a/", "d:e/", "x/"}
    assert [one.name for one in bucket.list_blobs(prefix="a/", start_offset="a/b", end_offset="a/b/d")] == [
        "a/b",
        "a/b/c",
    ]
    for name in ("y" * 1025, "a\nb"):
        with pytest.raises(exceptions.BadRequest, match="Invalid object name"):
            bucket.blob(name).reload()
    outside = [file for file in emulator.folder.rglob("x") if emulator.folder / "gcs" not in file.parents]
    assert outside == []


def test_a_wrong_hash_and_what_is_not_served_are_refused(bucket: storage.Bucket) -> None:
    blob = bucket.blob("x")
    blob.md5_hash = "AAAAAAAAAAAAAAAAAAAAAA=="
    with pytest.raises(exceptions.BadRequest, match="doesn't match calculated"):
        blob.upload_from_string("x")
    assert not blob.exists()
    with pytest.raises(exceptions.MethodNotImplemented, match="matchGlob"):
        list(bucket.list_blobs(match_glob="*.csv"))


def test_what_a_job_wrote(bucket: storage.Bucket, emulator: EmulatorProcess) -> None:
    folder = emulator.folder / "gcs" / bucket.name / "run" / "model"
    folder.mkdir(parents=True)
    (folder / "weights").write_bytes(b"hello")
    (folder / "empty").mkdir()
    found = bucket.get_blob("run/model/weights")
    assert (found.size, found.crc32c, found.download_as_bytes()) == (5, "mnG7TA==", b"hello")
    listed = bucket.list_blobs(prefix="run/", delimiter="/")
    assert ([one.name for one in listed], listed.prefixes) == ([], {"run/model/"})


def test_an_upload_goes_on_after_a_kill(bucket: storage.Bucket, emulator: EmulatorProcess) -> None:
    content = os.urandom(MIB)
    place = bucket.blob("big").create_resumable_upload_session(size=MIB)
    half = MIB // 2
    assert _put(place, content[:half], f"bytes 0-{half - 1}/{MIB}") == (308, f"bytes=0-{half - 1}")
    bucket.blob("acknowledged").upload_from_string("kept", content_type="text/x")
    emulator.end(signal.SIGKILL)
    emulator.start()
    assert bucket.get_blob("acknowledged").content_type == "text/x"
    assert _put(place, b"", f"bytes */{MIB}") == (308, f"bytes=0-{half - 1}")
    assert bucket.get_blob("big") is None
    status, body = _put(place, content[half - 100 :], f"bytes {half - 100}-{MIB - 1}/{MIB}")
    assert (status, json.loads(body)["size"]) == (200, str(MIB))
    assert bucket.blob("big").download_as_bytes(checksum="md5") == content
    assert _put(place, b"", f"bytes */{MIB}")[0] == 200  # whose answer was lost asks again


def _put(place: str, body: bytes, content_range: str) -> tuple[int, str]:
    request = urllib.request.Request(place, data=body, method="PUT", headers={"Content-Range": content_range})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers.get("Range", "")


def test_gcsfs(bucket: storage.Bucket, emulator: EmulatorProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    import gcsfs

    fs: Any = gcsfs.core.GCSFileSystem(
        project="demo", token="anon", endpoint_url=emulator.address, skip_instance_cache=True, use_listings_cache=False
    )
    top, content = f"{bucket.name}/folder", os.urandom(6 * MIB)
    with fs.open(f"{top}/one.bin", "wb", block_size=MIB) as stream:
        stream.write(content)
    fs.pipe(f"{top}/two.txt", b"ends with\r")
    assert fs.cat(f"{top}/one.bin") == content
    assert fs.cat(f"{top}/two.txt") == b"ends with\r"
    assert fs.ls(top, detail=False) == fs.glob(f"{top}/*") == [f"{top}/one.bin", f"{top}/two.txt"]
    assert fs.isdir(top) and fs.info(f"{top}/two.txt")["size"] == 10
    fs.cp(f"{top}/two.txt", f"{top}/three.txt")
    fs.mv(f"{top}/three.txt", f"{top}/deep/four.txt")
    assert fs.find(top) == [f"{top}/deep/four.txt", f"{top}/one.bin", f"{top}/two.txt"]
    fs.rm(top, recursive=True)
    assert not fs.exists(top)
    with pytest.raises(FileNotFoundError):
        fs.cat(f"{top}/one.bin")


@pytest.mark.slow
def test_large_files_in_little_memory(bucket: storage.Bucket, emulator: EmulatorProcess, tmp_path: Path) -> None:
    file = tmp_path / "large"
    with file.open("wb") as stream:
        stream.truncate(600 * MIB)
    blob = bucket.blob("large", chunk_size=64 * MIB)
    blob.upload_from_filename(str(file))
    bucket.blob("large").download_to_filename(str(tmp_path / "again"), checksum=None)
    bucket.blob("copy").rewrite(blob)
    assert (tmp_path / "again").stat().st_size == 600 * MIB
    assert emulator._process is not None
    status = Path(f"/proc/{emulator._process.pid}/status").read_text()
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    assert peak < 250 * 1024, f"{peak} KiB"
