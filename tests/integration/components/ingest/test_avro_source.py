from __future__ import annotations

import datetime
import io
import struct
import uuid
import zlib
from decimal import Decimal
from typing import Any

import fastavro
import pyarrow as pa
import pytest

from headrace.artifacts.errors import HeadraceError
from headrace.components.ingest.opened import Opened, SourceFile
from headrace.components.ingest.rows import Tally, typed_rows
from headrace.components.ingest.sources.avro import open_avro
from headrace.components.ingest.spec import DataSpec
from headrace.components.ingest.table import open_table

DATA = DataSpec(source="x", label="y")
NOON = datetime.datetime(2024, 1, 1, 12, tzinfo=datetime.UTC)
FIELDS: list[tuple[str, Any, Any, Any]] = [  # name, Avro's type, a value, what becomes of it
    ("i", "int", 7, 7),
    ("l", ["null", "long"], 2**53 + 1, 2**53 + 1),
    ("f", "double", 0.1, 0.1),
    ("b", "boolean", True, True),
    ("s", ["null", "string"], None, None),
    ("u", "string", "Zoë", "Zoë"),
    ("e", {"type": "enum", "name": "E", "symbols": ["a", "b"]}, "b", "b"),
    ("again", ["null", "E"], "a", "a"),
    ("d", {"type": "int", "logicalType": "date"}, datetime.date(1969, 12, 31), datetime.date(1969, 12, 31)),
    ("t", {"type": "long", "logicalType": "timestamp-micros"}, NOON, NOON.replace(tzinfo=None)),
    ("m", ["null", {"type": "long", "logicalType": "timestamp-millis"}], NOON, NOON.replace(tzinfo=None)),
    (
        "local",
        {"type": "long", "logicalType": "local-timestamp-micros"},
        NOON.replace(tzinfo=None),
        NOON.replace(tzinfo=None),
    ),
    ("dec", {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}, Decimal("1.25"), 1.25),
    ("id", {"type": "string", "logicalType": "uuid"}, uuid.UUID(int=5), str(uuid.UUID(int=5))),
    ("number", ["null", "int", "double"], 3, 3.0),
    ("nothing", "null", None, None),
]
LEFT_OUT: list[tuple[str, Any, Any, str]] = [
    ("array", {"type": "array", "items": "int"}, [1], "array"),
    ("map", ["null", {"type": "map", "values": "int"}], {"a": 1}, "map"),
    ("bytes", "bytes", b"x", "bytes"),
    ("clock", {"type": "int", "logicalType": "time-millis"}, datetime.time(1), "time-millis"),
    ("either", ["int", "string"], 1, "int or string"),
]


def avro(count: int, codec: str = "deflate", **more: Any) -> bytes:
    fields = [{"name": name, "type": type} for name, type, *_ in FIELDS + LEFT_OUT]
    schema = fastavro.parse_schema({"type": "record", "name": "Row", "fields": fields})
    row = {name: value for name, _, value, _ in FIELDS + LEFT_OUT}
    out = io.BytesIO()
    fastavro.writer(out, schema, ({**row, "i": i} for i in range(count)), codec=codec, **more)
    return out.getvalue()


def opened(content: bytes) -> Opened:
    return open_avro(SourceFile("rows.avro", lambda: io.BytesIO(content)), DATA)


def test_a_records_fields_are_named_by_both() -> None:
    deep = {"type": "record", "name": "D", "fields": [{"name": "z", "type": "int"}]}
    inner = {"type": "record", "name": "I", "fields": [{"name": "a", "type": "int"}, {"name": "deep", "type": deep}]}
    schema = {
        "type": "record",
        "name": "R",
        "fields": [{"name": "x", "type": ["null", inner]}, {"name": "again", "type": "I"}],
    }
    row = {"a": 1, "deep": {"z": 2}}
    out = io.BytesIO()
    fastavro.writer(out, schema, [{"x": row, "again": row}, {"x": None, "again": row}])
    found = opened(out.getvalue())
    assert pa.Table.from_batches(found.batches()).to_pylist() == [
        {"x.a": 1, "again.a": 1},
        {"x.a": None, "again.a": 1},
    ]
    assert found.left_out == {"x.deep": "record", "again.deep": "record"}


@pytest.mark.parametrize("codec", ["null", "deflate", "bzip2", "xz"])
def test_every_type(codec: str) -> None:
    found = opened(avro(20_000, codec))
    assert found.left_out == {name: what for name, _, _, what in LEFT_OUT}
    table = pa.Table.from_batches(found.batches())
    assert table.schema == found.schema
    assert table["i"].to_pylist() == list(range(20_000))
    assert table.slice(7, 1).to_pylist() == [{name: after for name, _, _, after in FIELDS}]


def _recompressed(content: bytes, codec: str) -> bytes:
    """The same file with its one block under a codec that fastavro itself could not write here."""

    def varint(number: int) -> bytes:
        number, out = number << 1, bytearray()
        while number >= 0x80:
            out.append(number & 0x7F | 0x80)
            number >>= 7
        return bytes([*out, number])

    marker = content[-16:]
    head, block = content.split(marker)[:2]
    count = varint(1_000)
    assert block.startswith(count)
    data = next(block[-size:] for size in range(len(block)) if block[:-size] == count + varint(size))
    arrow = {"snappy": "snappy", "zstandard": "zstd"}[codec]
    packed = pa.compress(data, arrow, asbytes=True)
    if codec == "snappy":
        packed += struct.pack(">I", zlib.crc32(data))
    old, new = (varint(len(name)) + name for name in (b"null", codec.encode()))
    assert head.count(b"avro.codec" + old) == 1
    return (
        head.replace(b"avro.codec" + old, b"avro.codec" + new) + marker + count + varint(len(packed)) + packed + marker
    )


@pytest.mark.parametrize("codec", ["snappy", "zstandard"])
def test_codecs_that_fastavro_has_no_library_for(codec: str) -> None:
    content = _recompressed(avro(1_000, "null", sync_interval=1 << 30), codec)
    table = pa.Table.from_batches(opened(content).batches())
    assert table["i"].to_pylist() == list(range(1_000))
    assert table["u"].to_pylist() == ["Zoë"] * 1_000


def test_a_wrong_checksum_is_found() -> None:
    content = bytearray(_recompressed(avro(1_000, "null", sync_interval=1 << 30), "snappy"))
    content[-20] ^= 1  # the last byte of the checksum lies before the marker
    with pytest.raises(HeadraceError, match=r"rows.avro, record 1: expected an Avro record. Received: damaged data"):
        list(opened(bytes(content)).batches())


@pytest.mark.parametrize("codec", ["null", "deflate"])
def test_damage_is_told_with_the_record(codec: str) -> None:
    content = avro(30_000, codec)
    with pytest.raises(
        HeadraceError, match=r"rows.avro, record 2\d,?\d{3}: expected an Avro record. Received: damaged data"
    ):
        list(opened(content[: -len(content) // 40]).batches())


@pytest.mark.parametrize("content", [b"", b"Obj", b"PAR1" * 100, b"id,x\n1,2\n"])
def test_what_is_no_avro(content: bytes) -> None:
    with pytest.raises(HeadraceError, match="rows.avro: expected an Avro file. Received: cannot read header"):
        opened(content)


def test_what_has_no_columns() -> None:
    out = io.BytesIO()
    fastavro.writer(out, {"type": "record", "name": "R", "fields": [{"name": "raw", "type": "bytes"}]}, [{"raw": b"x"}])
    with pytest.raises(HeadraceError, match="expected fields of numbers.*Received: {'raw': 'bytes'}"):
        opened(out.getvalue())
    out = io.BytesIO()
    fastavro.writer(out, {"type": "map", "values": "int"}, [{"a": 1}])
    with pytest.raises(HeadraceError, match="expected an Avro file of records. Received: one of map"):
        opened(out.getvalue())


@pytest.mark.parametrize(
    ("kind", "logical", "type"),
    [
        ("int", "date", pa.date32()),
        ("long", "timestamp-millis", pa.timestamp("ms")),
        ("long", "timestamp-micros", pa.timestamp("us")),
        ("long", "local-timestamp-millis", pa.timestamp("ms")),
        ("long", "local-timestamp-micros", pa.timestamp("us")),
    ],
)
def test_dates_and_times_that_python_has_not_are_missing(kind: str, logical: str, type: pa.DataType) -> None:
    most = 2**31 - 1 if kind == "int" else 2**63 - 1
    moment = {"type": kind, "logicalType": logical}
    inner = {"type": "record", "name": "I", "fields": [{"name": "t", "type": moment}]}
    fields = [{"name": "t", "type": ["null", moment]}, {"name": "in", "type": inner}]
    out = io.BytesIO()
    rows = [{"t": value, "in": {"t": value}} for value in (most, -most, 0)] + [{"t": None, "in": {"t": 1}}]
    fastavro.writer(out, fastavro.parse_schema({"type": "record", "name": "R", "fields": fields}), rows)
    source = opened(out.getvalue())
    assert source.schema == pa.schema([("t", type), ("in.t", type)])
    (kept,) = typed_rows(open_table("rows", [source], DATA), tally := Tally("rows", 0))
    assert [kept.batch.column(name).is_null().to_pylist() for name in ("t", "in.t")] == [
        [True, True, False, True], [True, True, False, False],
    ]  # fmt: skip
    assert [note.split(": ")[1][:16] for note in tally.notes()] == ["2 dates or times"] * 2
