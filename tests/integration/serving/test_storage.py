"""A bundle in a bucket is served as one in a folder, and refused where it is not whole; against servers on loopback."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from headrace.artifacts.bundle import Bundle
from headrace.artifacts.errors import HeadraceError
from headrace.serving import storage
from headrace.serving.storage import local_folder
from headrace.serving.verify import verify_samples
from tests.integration.components.ingest.fake_cloud import S3, Cloud, GoogleStorage, Plain, serving
from tests.integration.serving.servers import process, refused, url_of

ROOT = "models/churn/7"


@pytest.fixture
def cloud(bundles: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """Google's storage with a bundle in the bucket `models`."""
    with serving(GoogleStorage) as found:
        put(found, bundles["binary"])
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", found.url)
        monkeypatch.setenv("FSSPEC_GS_TOKEN", "anon")
        yield found


@pytest.fixture
def memory(bundles: dict[str, Path]) -> Iterator[dict[str, bytes]]:
    """The same bundle in fsspec's file system in memory; name -> content, to be changed."""
    files = fsspec.filesystem("memory")
    found = {file.relative_to(bundles["binary"]).as_posix(): file.read_bytes() for file in bundles["binary"].rglob("*")}
    yield found
    files.store.clear()


def put(cloud: Cloud, folder: Path) -> None:
    for file in folder.rglob("*"):
        if file.is_file():
            cloud.put(f"{ROOT}/{file.relative_to(folder).as_posix()}", file.read_bytes())


def test_vertex_gives_an_address_in_a_bucket(cloud: Cloud, binary: Bundle, tmp_path: Path) -> None:
    cloud.put(f"{ROOT}/beside.txt", b"which the manifest does not list")
    environment = {"AIP_STORAGE_URI": f"gs://{ROOT}", "AIP_HTTP_PORT": "0", "TMPDIR": str(tmp_path)}
    with process("--workers", "2", **environment) as started:
        report = verify_samples(url_of(started), binary, requests=20)
        assert report.passed, report.mismatches
        (copy,) = tmp_path.glob("headrace-model-*")
        assert not (copy / "beside.txt").exists()
        started.terminate()
        assert started.wait(20) == 0
    assert not list(tmp_path.glob("headrace-model-*")), "the copy goes with the server"


def test_s3_and_the_web(bundles: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "s3").mkdir()
    (tmp_path / "web").mkdir()
    with serving(S3) as cloud:
        put(cloud, bundles["binary"])
        monkeypatch.setenv("AWS_ENDPOINT_URL", cloud.url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        storage.copy(f"s3://{ROOT}/", tmp_path / "s3")
        assert Bundle.open(tmp_path / "s3").name == "tiny"
    with serving(Plain) as cloud:
        put(cloud, bundles["binary"])
        storage.copy(f"{cloud.url}/{ROOT}", tmp_path / "web")
        assert Bundle.open(tmp_path / "web").name == "tiny"


def copied(memory: dict[str, bytes], folder: Path) -> None:
    files = fsspec.filesystem("memory")
    for name, content in memory.items():
        files.pipe_file(f"/{ROOT}/{name}", content)
    folder.mkdir()
    storage.copy(f"memory://{ROOT}", folder)


def test_a_copy_has_what_the_manifest_lists(memory: dict[str, bytes], tmp_path: Path) -> None:
    copied({**memory, "beside.txt": b""}, tmp_path / "copy")
    assert {file.name for file in (tmp_path / "copy").iterdir()} == set(memory)
    assert Bundle.open(tmp_path / "copy").name == "tiny"


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (
            "missing file",
            r"memory://models/churn/7: expected a bundle's folder, with all files of its manifest. Received: no file matrix.onnx",
        ),
        ("missing manifest", r"Received: no file manifest.json"),
        ("short", r"matrix.onnx: expected [\d,]+ bytes. Received: 3 bytes"),
        ("long", r"matrix.onnx: expected [\d,]+ bytes. Received: more than [\d,]+ bytes"),
        ("no manifest", r"expected a JSON manifest of a headrace/bundle"),
        ("outside", r"expected the digest to cover the manifest"),
        ("huge manifest", r"manifest.json: expected at most 100 bytes. Received: more than 100 bytes"),
    ],
)
def test_what_is_not_whole_is_refused(
    harm: str, message: str, memory: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if harm == "missing file":
        del memory["matrix.onnx"]
    elif harm == "missing manifest":
        del memory["manifest.json"]
    elif harm == "short":
        memory["matrix.onnx"] = b"abc"
    elif harm == "long":
        memory["matrix.onnx"] += b"\0"
    elif harm == "no manifest":
        memory["manifest.json"] = b"{"
    elif harm == "huge manifest":
        monkeypatch.setattr(storage, "MOST_MANIFEST", 100)
    else:
        values = json.loads(memory["manifest.json"])
        values["files"]["../../outside"] = values["files"]["model.onnx"]
        memory["manifest.json"] = json.dumps(values).encode()
    with pytest.raises(HeadraceError, match=message):
        copied(memory, tmp_path / "copy")


def test_what_cannot_be_read_is_told_and_leaves_nothing(
    cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    cloud.fail = lambda path: 403
    with pytest.raises(
        HeadraceError, match="gs://models/churn/7: expected a bundle that can be read. Received: Forbidden"
    ):
        local_folder(f"gs://{ROOT}")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("backlog", [None, 8], ids=["refuses", "is-silent"])
def test_a_store_that_does_not_answer_is_one_line_and_soon(backlog: int | None, tmp_path: Path) -> None:
    """Its client would try again for most of a minute where nobody listens, and wait where nobody answers."""
    with socket.socket() as store:
        store.bind(("127.0.0.1", 0))
        if backlog is not None:
            store.listen(backlog)
        environment = {
            "STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{store.getsockname()[1]}",
            "FSSPEC_GS_TOKEN": "anon",
            "HEADRACE_STORE_SECONDS": "0.5",
            "TMPDIR": str(tmp_path),
        }
        begun = time.monotonic()
        said = refused(f"gs://{ROOT}", **environment)
    assert time.monotonic() - begun < 10
    expected = "expected an answer in 0.5 s. Received: none yet. Is the store reachable from here, and are there"
    assert said == f"error: gs://{ROOT}: {expected} credentials for it?"
    assert not list(tmp_path.glob("headrace-model-*"))
    environment["HEADRACE_STORE_SECONDS"] = "soon"
    assert "HEADRACE_STORE_SECONDS: expected a number of seconds above 0. Received: soon" in refused(
        f"gs://{ROOT}", **environment
    )


def test_content_that_changed_is_refused_by_its_digest(cloud: Cloud, tmp_path: Path) -> None:
    graph = f"{ROOT}/matrix.onnx"
    content = bytearray(cloud.objects[graph])
    content[len(content) // 2] ^= 1
    cloud.put(graph, bytes(content))
    said = refused(f"gs://{ROOT}", TMPDIR=str(tmp_path))
    assert "matrix.onnx: expected content with sha256" in said
    assert not list(tmp_path.glob("headrace-model-*"))


def test_no_room_and_other_schemes(memory: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    usage = type("Usage", (), {"free": 10})
    monkeypatch.setattr(storage.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(HeadraceError, match=r"expected room for [\d,]+ bytes in .* Received: 10 bytes free"):
        copied(memory, tmp_path / "copy")
    with pytest.raises(
        HeadraceError, match=r"expected a folder, or an address such as gs://BUCKET/FOLDER.* Received: nope://x"
    ):
        storage.copy("nope://x/y", tmp_path)


def test_a_local_model_needs_no_file_systems() -> None:
    """fsspec and its clients are imported for addresses alone."""
    code = "import sys, headrace.serving.__main__; print('fsspec' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ), check=True
    )
    assert done.stdout.strip() == "False"
