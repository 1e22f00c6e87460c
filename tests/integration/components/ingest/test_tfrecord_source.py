from __future__ import annotations

import gzip
import io
import random
import zlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from headrace.artifacts.errors import HeadraceError
from headrace.components.ingest.opened import Opened, SourceFile
from headrace.components.ingest.sources.tfrecord import open_tfrecord, read_records
from headrace.components.ingest.spec import DataSpec

DATA = DataSpec(source="x", label="y")
ROWS = 20_000


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A file that TensorFlow wrote."""
    import tensorflow as tf

    def feature(*values: Any) -> Any:
        if values and isinstance(values[0], bytes):
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))
        if values and isinstance(values[0], float):
            return tf.train.Feature(float_list=tf.train.FloatList(value=values))
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))

    file = tmp_path_factory.mktemp("tfrecord") / "x.tfrecord"
    with tf.io.TFRecordWriter(str(file)) as out:
        for i in range(ROWS):
            features = {
                "i": feature(i - 5),
                "f": feature(i * 0.5),
                "s": feature(f"Zoë {i}".encode()),
                "late list": feature(*[1, 2][: 1 + (i == ROWS - 1)]),
                "late bytes": feature(b"\xff\xfe" if i == ROWS - 1 else b"text"),
                "mixed": feature(1) if i % 2 else feature(1.0),
                "blank": tf.train.Feature(),
            }
            if i % 3 == 0:
                features["sparse"] = feature(1.25)
            if i % 5 == 0:
                features["empty"] = feature()
            out.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())
    return file.read_bytes()


def opened(content: bytes, rows: int | None = None) -> Opened:
    return open_tfrecord(SourceFile("x.tfrecord", lambda: io.BytesIO(content)), DATA, rows)


@pytest.mark.parametrize("compress", [bytes, gzip.compress, zlib.compress])
def test_single_values_are_columns(content: bytes, compress: Any) -> None:
    found = opened(compress(content))
    assert found.left_out == {"late list": "lists", "late bytes": "bytes", "mixed": "float and int64"}
    table = pa.Table.from_batches(found.batches())
    assert {field.name: str(field.type) for field in table.schema} == {
        "blank": "double", "empty": "double", "f": "double", "i": "int64", "s": "string", "sparse": "double",
    }  # fmt: skip
    assert table["i"].to_pylist() == list(range(-5, ROWS - 5))
    assert table.slice(3, 2).to_pylist() == [
        {"blank": None, "empty": None, "f": 1.5, "i": -2, "s": "Zoë 3", "sparse": 1.25},
        {"blank": None, "empty": None, "f": 2.0, "i": -1, "s": "Zoë 4", "sparse": None},
    ]


def test_a_look_does_not_read_to_the_end(content: bytes) -> None:
    damaged = content[: len(content) // 2] + b"?" + content[len(content) // 2 + 1 :]
    found = opened(damaged, rows=100)
    assert sum(batch.num_rows for batch in found.batches()) == 100
    assert "late list" in found.schema.names


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_no_damage_goes_unnoticed(content: bytes, compress: Any) -> None:
    whole = compress(content[:20_000])
    intact = _records(compress(content[: _end_of_record(content, 100)]))
    assert len(intact) == 100
    rng = random.Random(5)
    for _ in range(300):
        damaged = bytearray(whole)
        at = rng.randrange(12, len(damaged) - 8)
        damaged[at] ^= 1 << rng.randrange(8)
        with pytest.raises(HeadraceError, match=r"x, record \d+: expected an intact TFRecord. Received: "):
            _records(bytes(damaged))


def test_the_place_of_damage_is_told(content: bytes) -> None:
    end = _end_of_record(content, 7)
    with pytest.raises(HeadraceError, match=r"x, record 8: .*Received: the end of the file within it$"):
        _records(content[: end + 20])
    damaged = bytearray(content[: _end_of_record(content, 9)])
    damaged[end + 30] ^= 1
    with pytest.raises(HeadraceError, match=r"x, record 8: .*Received: data with a wrong checksum$"):
        _records(bytes(damaged))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected records. Received: none"),
        (b"id,x\n1,2\n3,4\n", "record 1: .*a length with a wrong checksum; is it a TFRecord file"),
        (b"PAR1", "record 1: .*the end of the file within it; is it a TFRecord file"),
    ],
)
def test_what_is_no_tfrecord(content: bytes, message: str) -> None:
    with pytest.raises(HeadraceError, match=message):
        opened(content)


def test_records_that_are_no_examples(tmp_path: Path) -> None:
    import tensorflow as tf

    with tf.io.TFRecordWriter(str(tmp_path / "x")) as out:
        out.write(b"\xff\xff\xff")
    with pytest.raises(HeadraceError, match="record 1: expected a tf.Example. Received: another kind of message"):
        opened((tmp_path / "x").read_bytes())


def _records(content: bytes) -> list[bytes]:
    return list(read_records(SourceFile("x", lambda: io.BytesIO(content))))


def _end_of_record(content: bytes, number: int) -> int:
    at = 0
    for _ in range(number):
        at += 16 + int.from_bytes(content[at : at + 8], "little")
    return at
