from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.artifacts.errors import HeadraceError
from headrace.components.fingerprint.digest import fingerprint
from headrace.components.fingerprint.remote import remote_files, remote_tree
from headrace.pipelines.check import check_spec
from headrace.pipelines.init import init
from tests.integration.components.ingest.fake_cloud import S3, Cloud, GoogleStorage, Plain, parquet_bytes, serving


@pytest.fixture
def store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Cloud]]:
    """A store with two files, and the URL of its bucket."""
    import fsspec

    handler = {"gs": GoogleStorage, "s3": S3, "http": Plain}[request.param]
    for name in list(os.environ):
        if name.startswith(("AWS_", "FSSPEC_", "STORAGE_EMULATOR")):
            monkeypatch.delenv(name)
    cloud = Cloud()
    cloud.put("bucket/a/1.csv", b"x,y\n1,2\n" * 500_000)
    cloud.put("bucket/a/2.csv", b"x,y\n3,4\n")
    cloud.put("bucket/a/notes.txt", b"no")
    cloud.put("bucket/a/b/3.csv", b"x,y\n5,6\n")
    with serving(handler, cloud):
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", cloud.url)
        monkeypatch.setenv("AWS_ENDPOINT_URL", cloud.url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        for scheme in ("gs", "s3", "http"):
            fsspec.get_filesystem_class(scheme).clear_instance_cache()
        yield {"gs": "gs://bucket", "s3": "s3://bucket", "http": f"{cloud.url}/bucket"}[request.param], cloud
        for scheme in ("gs", "s3", "http"):
            fsspec.get_filesystem_class(scheme).clear_instance_cache()


every = pytest.mark.parametrize("store", ["gs", "s3", "http"], indirect=True)
buckets = pytest.mark.parametrize("store", ["gs", "s3"], indirect=True)


@every
def test_a_file_is_read_by_ranges(store: tuple[str, Cloud]) -> None:
    bucket, cloud = store
    [file] = remote_files(f"{bucket}/a/1.csv")
    assert (file.name, file.size) == ("1.csv", 4_000_000)
    assert file.url == f"{bucket}/a/1.csv"
    with file.open() as stream:
        assert stream.readline() == b"x,y\n"
        stream.seek(-4, 2)
        assert stream.read() == b"1,2\n"
        stream.seek(0)
        assert stream.read() == cloud.objects["bucket/a/1.csv"]


@buckets
def test_a_parquet_files_columns_are_read_without_the_rest(store: tuple[str, Cloud]) -> None:
    bucket, cloud = store
    table = pa.table({"i": list(range(20_000)), "text": [os.urandom(1_000).hex() for _ in range(20_000)]})
    cloud.put("bucket/t.parquet", parquet_bytes(table))
    size = len(cloud.objects["bucket/t.parquet"])
    [file] = remote_files(f"{bucket}/t.parquet")
    cloud.sent = 0
    with file.open() as stream:
        footer = pq.ParquetFile(stream)
        assert footer.metadata.num_rows == 20_000
    assert cloud.sent < size / 2
    with file.open() as stream:
        assert pq.read_table(stream).equals(table)


@buckets
def test_globs_and_folders(store: tuple[str, Cloud]) -> None:
    bucket, _ = store
    assert [file.url for file in remote_files(f"{bucket}/a/*.csv")] == [f"{bucket}/a/1.csv", f"{bucket}/a/2.csv"]
    assert [path for path, _ in remote_tree(f"{bucket}/a")] == ["1.csv", "2.csv", "b/3.csv", "notes.txt"]


@buckets
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a/3.csv", "expected a file. Received: no such file; did you mean `[12].csv`?"),
        ("a", "expected a file. Received: a folder; name its files, e.g. `.*/a/\\*.csv`"),
        ("a/*.parquet", "expected files that match. Received: none"),
        ("nowhere/x.csv", "expected a file. Received: no such file$"),
    ],
)
def test_what_is_not_there(store: tuple[str, Cloud], name: str, message: str) -> None:
    with pytest.raises(HeadraceError, match=message):
        remote_files(f"{store[0]}/{name}")


@buckets
@pytest.mark.parametrize("status", [401, 403])
def test_a_store_that_refuses(store: tuple[str, Cloud], status: int) -> None:
    bucket, cloud = store
    cloud.fail = lambda path: status
    with pytest.raises(HeadraceError, match=r"^.*://bucket/a/2.csv: expected .*Received: "):
        remote_files(f"{bucket}/a/2.csv")


@every
def test_a_file_that_goes_meanwhile_is_told_of(store: tuple[str, Cloud]) -> None:
    bucket, cloud = store
    [file] = remote_files(f"{bucket}/a/1.csv")
    del cloud.objects["bucket/a/1.csv"]
    with pytest.raises(HeadraceError, match="1.csv: expected a file. Received: no such file"), file.open() as stream:
        stream.read()


@every
def test_the_fingerprint_follows_the_content(store: tuple[str, Cloud], tmp_path: Path) -> None:
    bucket, cloud = store
    source = f"{bucket}/a/1.csv"
    first = fingerprint(source)
    content = cloud.objects["bucket/a/1.csv"]
    cloud.put("bucket/a/1.csv", content)  # the same again
    assert fingerprint(source) == first
    cloud.put("bucket/a/1.csv", content[:-2] + b"9\n")
    assert fingerprint(source) != first


@buckets
def test_a_bucket_is_fingerprinted_without_reading(store: tuple[str, Cloud]) -> None:
    bucket, cloud = store
    first = fingerprint(f"{bucket}/a/*.csv")
    assert cloud.sent == 0
    cloud.put("bucket/a/new.csv", b"x,y\n")
    assert fingerprint(f"{bucket}/a/*.csv") != first


@pytest.mark.parametrize("store", ["gs"], indirect=True)
def test_composed_objects_go_by_their_generation(store: tuple[str, Cloud], monkeypatch: pytest.MonkeyPatch) -> None:
    bucket, cloud = store
    monkeypatch.setattr(GoogleStorage, "composed", True)
    first = fingerprint(f"{bucket}/a/2.csv")
    assert fingerprint(f"{bucket}/a/2.csv") == first
    cloud.put("bucket/a/2.csv", b"x,y\n3,5\n")
    assert fingerprint(f"{bucket}/a/2.csv") != first
    assert cloud.sent == 0


@pytest.mark.parametrize("store", ["http"], indirect=True)
@pytest.mark.parametrize(
    ("status", "message"),
    [
        (None, "expected a file. Received: no such file$"),
        (403, "expected a file that can be read. Received: 403, message='Forbidden'"),
        (500, "expected a file that can be read. Received: 500, message='Internal Server Error'"),
    ],
)
def test_a_web_server_that_refuses(store: tuple[str, Cloud], status: int | None, message: str) -> None:
    bucket, cloud = store
    cloud.fail = lambda path: status
    source = bucket.replace("http://", "http://app:s3cr3t@") + "/gone.csv?token=s3cr3t"
    with pytest.raises(HeadraceError, match=f"^{bucket}/gone.csv: {message}") as caught:
        remote_files(source)
    assert "s3cr3t" not in str(caught.value)


def test_no_web_server() -> None:
    with pytest.raises(
        HeadraceError, match=r"^http://127.0.0.1:1/x.csv: expected a file that can be read. Received: Cannot connect"
    ):
        remote_files("http://127.0.0.1:1/x.csv")


@buckets
def test_nothing_is_logged_of_what_is_raised(store: tuple[str, Cloud], caplog: pytest.LogCaptureFixture) -> None:
    bucket, cloud = store
    cloud.fail = lambda path: 403
    with pytest.raises(HeadraceError):
        remote_files(f"{bucket}/a/2.csv")
    assert not [record for record in caplog.records if record.name.startswith("gcsfs")]


def test_a_file_in_memory_goes_by_its_content() -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.pipe("/headrace-test/x.csv", b"a,b\n1,2\n")
    try:
        first = fingerprint("memory://headrace-test/x.csv")
        memory.pipe("/headrace-test/x.csv", b"a,b\n1,3\n")
        assert fingerprint("memory://headrace-test/x.csv") != first
    finally:
        memory.rm("/headrace-test", recursive=True)


def test_no_such_scheme() -> None:
    with pytest.raises(HeadraceError, match=r"nosuch://x/y.csv: expected .*Received: Protocol not known: nosuch"):
        remote_files("nosuch://x/y.csv")


@pytest.mark.parametrize("store", ["gs", "s3"], indirect=True)
def test_a_spec_is_written_for_a_file_in_a_bucket(store: tuple[str, Cloud], tmp_path: Path) -> None:
    url, cloud = store
    cloud.put("bucket/churn/rows.csv", b"id;x;y\n" + b"".join(b"%d;%d,5;%d\n" % (n, n, n % 2) for n in range(60)))
    spec, head = check_spec(init(tmp_path / "m", f"{url}/churn/rows.csv", "y", None, None, force=False))
    assert (spec.data.source, spec.data.separator, spec.data.decimal) == (f"{url}/churn/rows.csv", ";", ",")
    assert (spec.name, spec.data.id, head.num_rows) == ("m", "id", 60)
    with pytest.raises(HeadraceError, match=f"expected the column of {url}/churn/rows.csv to predict"):
        init(tmp_path / "n", f"{url}/churn/rows.csv", None, None, None, force=False)
