from __future__ import annotations

import doctest
import importlib
import io
import subprocess
import sys
from collections.abc import Generator

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from headrace.artifacts.errors import HeadraceError
from headrace.components.ingest.sources.decode import decode, difference_hash
from headrace.components.ingest.sources.near import CLOSE, groups
from headrace.components.ingest.sources.postgres import failures, selection
from headrace.components.ingest.sources.spool import Spool
from headrace.components.ingest.sources.times import Calendar


@pytest.mark.parametrize(
    "module",
    [
        "fingerprint.url",
        "ingest.sources.query",
        "ingest.sources.avro",
        "ingest.sources.sqlite",
        "ingest.sources.bigquery",
    ],
)
def test_the_examples_in_docstrings(module: str) -> None:
    results = doctest.testmod(importlib.import_module(f"headrace.components.{module}"))
    assert results.attempted > 0
    assert results.failed == 0


@pytest.mark.parametrize("near", [0, 1, 4, 7])
@pytest.mark.parametrize("seed", range(3))
def test_groups_are_those_that_comparing_all_pairs_gives(near: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = 400
    phashes = rng.integers(0, 2**63, count, dtype=np.uint64)
    small = rng.integers(0, 256, (count, 12), dtype=np.uint8)
    for i in range(0, count, 2):  # half of them resemble another
        other = rng.integers(count)
        phashes[i] = phashes[other] ^ np.uint64(sum(1 << int(bit) for bit in rng.choice(64, rng.integers(9), False)))
        small[i] = np.clip(small[other].astype(int) + rng.integers(-9, 10, 12), 0, 255)
    expected = np.arange(count)
    for i in range(count):
        for j in range(i):
            same = phashes[i] == phashes[j] and (small[i] == small[j]).all()
            alike = int(phashes[i] ^ phashes[j]).bit_count() <= near
            alike &= np.abs(small[i].astype(int) - small[j]).mean() < CLOSE
            if same or alike:
                expected[expected == expected[i]] = expected[j]
    found = groups(phashes, small, near)
    partition = {frozenset(np.flatnonzero(found == one)) for one in set(found)}
    assert partition == {frozenset(np.flatnonzero(expected == one)) for one in set(expected)}
    assert all(found[i] == min(np.flatnonzero(found == found[i])) for i in range(count))
    assert len(partition) < count


def test_thousands_of_blank_images_are_no_millions_of_pairs() -> None:
    found = groups(np.zeros(20_000, np.uint64), np.zeros((20_000, 192), np.uint8), 4)
    assert set(found) == {0}


def test_pictures_of_one_layout_are_not_one_group() -> None:
    phashes = np.zeros(50, np.uint64)
    small = np.random.default_rng(0).integers(0, 256, (50, 192), dtype=np.uint8)
    assert len(set(groups(phashes, small, 4))) == 50


def test_the_perceptual_hash() -> None:
    falling = np.tile(np.arange(9, 0, -1, dtype=np.uint8)[None, :, None], (8, 1, 3))
    assert difference_hash(falling) == 2**64 - 1
    assert difference_hash(falling[:, ::-1]) == 0
    falling[0, 1] = 0  # only brighter than its left neighbour's neighbour now
    assert difference_hash(falling) == 2**64 - 1 - (1 << 62)


@pytest.mark.parametrize(("orientation", "size"), [(1, (30, 20)), (3, (30, 20)), (6, (20, 30)), (8, (20, 30))])
def test_sizes_are_those_that_are_shown(orientation: int, size: tuple[int, int]) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    out = io.BytesIO()
    Image.new("RGB", (30, 20)).save(out, "JPEG", exif=exif)
    found = decode(out.getvalue())
    assert ((found.width, found.height), found.orientation) == (size, orientation)


def _field(name: str, type: pa.DataType, kind: str, modifier: int | None = None) -> pa.Field:
    metadata = {"POSTGRESQL:type": kind} | ({} if modifier is None else {"POSTGRESQL:typmod": str(modifier)})
    return pa.field(name, type, metadata=metadata)


@pytest.mark.parametrize(
    ("digits", "scale", "cast"),
    [(18, 0, "int8"), (19, 0, "float8"), (12, 2, "float8"), (1000, 0, "float8"), (None, None, "float8")],
)
def test_decimals_stay_whole_numbers_where_they_are(digits: int | None, scale: int | None, cast: str) -> None:
    modifier = -1 if digits is None or scale is None else (digits << 16 | scale) + 4
    found = selection("q", pa.schema([_field("n", pa.string(), "numeric", modifier)]), "db")
    assert found.query == f'SELECT "n"::{cast} AS "n" FROM (\nq\n) AS "headrace rows"'


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            "[libpq] Execution error [PGRES_FATAL_ERROR]: FATAL:  terminating connection due to administrator command\n",
            "expected rows to the last. Received: FATAL: terminating connection due to administrator command",
        ),
        (
            "[libpq] PQgetCopyData() failed: server closed the connection unexpectedly\n\tThis probably means",
            "expected rows to the last. Received: server closed the connection unexpectedly This probably means",
        ),
        (
            "IO: [libpq] Failed to connect: connection to server failed: Connection refused",
            "expected a connection. Received: connection to server failed: Connection refused",
        ),
    ],
)
def test_what_a_lost_connection_says(said: str, told: str) -> None:
    with pytest.raises(HeadraceError) as caught, failures("postgresql://app:secret@host/db"):
        raise OSError(said)
    assert str(caught.value) == f"postgresql://host/db: {told}"


def test_dates_beyond_the_calendar() -> None:
    days = pa.array([None, 0, -719_163, 2_932_897, 2_932_896, -719_162], pa.int32()).cast(pa.date32())
    times = pa.array([None, 0, 2**63 - 1, -(2**63), 1, 2], pa.int64()).cast(pa.timestamp("us"))
    calendar = Calendar()
    found = calendar.checked(pa.record_batch({"day": days, "at": times, "n": pa.array(range(6))}))
    assert found.column("day").is_null().to_pylist() == [True, False, True, True, False, False]
    assert found.column("at").is_null().to_pylist() == [True, False, True, True, False, False]
    assert dict(calendar.beyond) == {"day": 2, "at": 2}
    assert calendar.checked(found).equals(found)
    assert dict(calendar.beyond) == {"day": 2, "at": 2}


def test_a_spool_reads_its_source_once() -> None:
    passes = []
    schema = pa.schema([("x", pa.int64())])

    def read() -> Generator[pa.RecordBatch, None, None]:
        passes.append(1)
        for i in range(3):
            if len(passes) == 2 and i == 2:
                raise OSError("the source fails")
            yield pa.record_batch({"x": [i + 10 * len(passes)]}, schema)

    spool = Spool(schema, read)
    stopped = spool.batches()
    next(stopped)
    stopped.close()
    with pytest.raises(OSError, match="the source fails"):
        list(spool.batches())
    first = pa.Table.from_batches(spool.batches())
    assert first["x"].to_pylist() == [30, 31, 32]
    assert pa.Table.from_batches(spool.batches()).equals(first)
    assert len(passes) == 3


def test_opening_sources_loads_only_what_they_need() -> None:
    code = (
        "import sys, headrace.components.ingest.sources.sql, headrace.components.ingest.sources.avro;"
        "import headrace.components.ingest.sources.tfrecord, headrace.components.ingest.sources.bigquery;"
        "import headrace.components.ingest.sources.images; print(*sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    heavy = {
        "tensorflow",
        "google.auth",
        "google.protobuf.message",
        "fastavro",
        "adbc_driver_postgresql",
        "fsspec",
        "PIL",
        "pandas",
        "botocore",
    }
    assert not heavy & set(out.split())
