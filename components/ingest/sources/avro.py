"""Rows of an Avro file (an object container) as a stream of Arrow batches, block by block."""

from __future__ import annotations

import contextlib
import io
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, BinaryIO

import pyarrow as pa

from headrace.artifacts.errors import HeadraceError
from headrace.components.ingest.opened import Opened, SourceFile

if TYPE_CHECKING:
    from headrace.components.ingest.spec import DataSpec

_ROWS = 16_384
_NUMBERS = ["int", "long", "float", "double"]  # each holds the ones before it, near enough to learn from
_PRIMITIVES = {
    "boolean": pa.bool_(),
    "int": pa.int64(),
    "long": pa.int64(),
    "float": pa.float64(),
    "double": pa.float64(),
    "string": pa.string(),
    "enum": pa.string(),
    "null": pa.float64(),  # as a column without values is in a text file
}
_LOGICAL = {
    "date": pa.date32(),
    "timestamp-millis": pa.timestamp("ms"),
    "timestamp-micros": pa.timestamp("us"),
    "local-timestamp-millis": pa.timestamp("ms"),
    "local-timestamp-micros": pa.timestamp("us"),
    "decimal": pa.float64(),
    "uuid": pa.string(),
}
_MOMENTS = [name for name, type in _LOGICAL.items() if pa.types.is_temporal(type)]
# What damaged bytes make a decoder stumble over.
_DAMAGE = (
    ValueError,
    EOFError,
    KeyError,
    IndexError,
    OverflowError,
    TypeError,
    AttributeError,
    struct.error,
    zlib.error,
)


@dataclass(frozen=True)
class Field:
    """A field that becomes a column."""

    name: str  # the column's
    path: tuple[str, ...]  # the names that lead to the value in a record
    type: pa.DataType
    convert: Callable[[Any], Any] | None = None


def open_avro(file: SourceFile, data: DataSpec, rows: int | None = None) -> Opened:
    """Opens an Avro file; unions with null are values that may be missing, enums and UUIDs are texts.

    A nested record's fields are `outer.inner`, as of JSON. Records in those, lists, maps, bytes and times of day are
    left out, with a note.

    Raises:
        HeadraceError: not an Avro file, or one with no column to learn from.
    """
    with contextlib.closing(_reader(file)) as opened:
        schema = opened.records.writer_schema
    if not isinstance(schema, dict) or schema.get("type") != "record":
        raise HeadraceError(f"{file.name}: expected an Avro file of records. Received: one of {_kind(schema)}")
    fields, left_out = read_fields(schema)
    if not fields:
        raise HeadraceError(
            f"{file.name}: expected fields of numbers, texts, truth values or dates. Received: {left_out or 'none'}"
        )
    return Opened(
        file.name,
        pa.schema([(one.name, one.type) for one in fields]),
        lambda: read_batches(file, fields),
        text=False,
        notes=[
            f"`{name}` is left out: it has no numbers, texts, truth values or dates, but {kind}"
            for name, kind in left_out.items()
        ],
        left_out=left_out,
    )


def read_fields(schema: dict[str, Any]) -> tuple[list[Field], dict[str, str]]:
    """The fields of a record that become columns, and the others with their types."""
    found: list[Field] = []
    left_out: dict[str, str] = {}
    named: dict[str, Any] = {}
    for path, declared in _flat(schema, named):
        name = ".".join(path)
        kind = _spelt_out(declared, named)
        type, convert = _becomes(kind)
        if type is None:
            left_out[name] = _kind(kind)
        else:
            found.append(Field(name, path, type, convert))
    twice = [one.name for one in found if [other.name for other in found].count(one.name) > 1]
    if twice:
        raise HeadraceError(f"expected each field once. Received: two fields named `{twice[0]}`, one of them nested")
    return found, left_out


def _flat(schema: dict[str, Any], named: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The fields of a record, and in their place those of a record in it, by path."""
    for one in schema["fields"]:
        kind = _spelt_out(one["type"], named)
        kinds = [each for each in kind if each != "null"] if isinstance(kind, list) else [kind]
        inner = kinds[0] if len(kinds) == 1 else None
        if isinstance(inner, dict) and inner.get("type") == "record":
            yield from (((one["name"], each["name"]), each["type"]) for each in inner["fields"])
        else:
            yield (one["name"],), kind


def _spelt_out(schema: Any, named: dict[str, Any]) -> Any:
    """A type in which the names of types that were defined before are replaced by those types."""
    if isinstance(schema, list):
        return [_spelt_out(kind, named) for kind in schema]
    if isinstance(schema, dict):
        if "name" in schema:
            named[schema["name"]] = schema
        for inner in schema.get("fields", []):
            _spelt_out(inner["type"], named)
        for key in ("items", "values"):
            _spelt_out(schema.get(key), named)
        return schema
    return named.get(schema, schema) if isinstance(schema, str) else schema


def _becomes(schema: Any) -> tuple[pa.DataType | None, Callable[[Any], Any] | None]:
    """The Arrow type of a field's values (None: no column), and what makes them of what fastavro gives."""
    if isinstance(schema, list):
        kinds = [kind for kind in schema if kind != "null"]
        if len(kinds) == 1:
            return _becomes(kinds[0])
        numbers = all(isinstance(kind, str) and kind in _NUMBERS for kind in kinds)
        if not kinds:
            return _PRIMITIVES["null"], None
        return (pa.int64() if set(kinds) <= {"int", "long"} else pa.float64(), None) if numbers else (None, None)
    if isinstance(schema, dict):
        logical = schema.get("logicalType")
        if logical in _LOGICAL:
            convert: dict[str, Callable[[Any], Any]] = {"decimal": _float, "uuid": str}
            return _LOGICAL[logical], convert.get(logical)
        if logical in ("time-millis", "time-micros"):
            return None, None
        return _PRIMITIVES.get(schema["type"]) if isinstance(schema["type"], str) else None, None
    return _PRIMITIVES.get(schema), None


def _float(value: Decimal) -> float:
    return float(value)


def _kind(schema: Any) -> str:
    """A type as a message names it.

    >>> _kind(["null", {"type": "array", "items": "int"}]), _kind({"type": "int", "logicalType": "time-millis"})
    ('array', 'time-millis')
    """
    if isinstance(schema, list):
        return " or ".join(_kind(kind) for kind in schema if kind != "null")
    if isinstance(schema, dict):
        return str(schema.get("logicalType") or _kind(schema["type"]))
    return str(schema)


def read_batches(file: SourceFile, fields: list[Field]) -> Iterator[pa.RecordBatch]:
    """The records in batches.

    Raises:
        HeadraceError: the file is damaged, with the number of the record from which on it cannot be read.
    """
    done = 0
    with contextlib.closing(_reader(file)) as opened:
        _number_moments(opened.records.writer_schema)
        rows: list[dict[str, Any]] = []
        while True:
            try:
                rows.extend(_next(opened.records, _ROWS))
            except _DAMAGE as error:
                raise HeadraceError(
                    f"{file.name}, record {done + opened.records.given + 1}: expected an Avro record. "
                    f"Received: damaged data ({_said(error)})"
                ) from None
            if not rows:
                return
            yield _batch(rows, fields, file, done)
            done += len(rows)
            rows = []


def _number_moments(schema: Any) -> None:
    """Has fastavro give dates and times as the numbers that they are: Python has none beyond the years 1 to 9999."""
    if isinstance(schema, dict):
        if schema.get("logicalType") in _MOMENTS:
            del schema["logicalType"]
        for inner in schema.values():
            _number_moments(inner)
    elif isinstance(schema, list):
        for inner in schema:
            _number_moments(inner)


class _Records:
    """fastavro's reader, which counts what it has given since the last batch."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader
        self.writer_schema = reader.writer_schema
        self.given = 0

    def __next__(self) -> Any:
        record = next(self._reader)
        self.given += 1
        return record


@dataclass(frozen=True)
class _OpenFile:
    stream: BinaryIO
    records: _Records

    def close(self) -> None:
        self.stream.close()


def _next(records: _Records, count: int) -> list[dict[str, Any]]:
    """The next records, fewer at the end of the file."""
    records.given = 0
    rows: list[dict[str, Any]] = []
    for _ in range(count):
        try:
            rows.append(next(records))
        except StopIteration:
            break
    return rows


def _reader(file: SourceFile) -> _OpenFile:
    import fastavro
    from fastavro.schema import SchemaParseException, UnknownType

    _add_codecs()
    stream = file.open()
    try:
        return _OpenFile(stream, _Records(fastavro.reader(stream)))
    except (*_DAMAGE, SchemaParseException, UnknownType) as error:
        stream.close()
        raise HeadraceError(f"{file.name}: expected an Avro file. Received: {_said(error)}") from None
    except BaseException:
        stream.close()
        raise


def _batch(rows: list[dict[str, Any]], fields: list[Field], file: SourceFile, done: int) -> pa.RecordBatch:
    arrays = []
    for one in fields:
        first, *then = one.path
        values = [row[first] for row in rows]
        for name in then:
            values = [None if value is None else value[name] for value in values]
        if one.convert is not None:
            values = [None if value is None else one.convert(value) for value in values]
        try:
            arrays.append(pa.array(values, _stored(one.type)).cast(one.type))
        except (pa.ArrowInvalid, pa.ArrowTypeError, UnicodeError, OverflowError) as error:
            raise HeadraceError(
                f"{file.name}, records {done + 1} to {done + len(rows)}, `{one.name}`: expected values that fit "
                f"{one.type}. Received: {error}"
            ) from None
    return pa.RecordBatch.from_arrays(arrays, names=[one.name for one in fields])


def _stored(type: pa.DataType) -> pa.DataType:
    """What Avro keeps values as: dates and times are numbers; times with a zone are UTC."""
    if pa.types.is_date(type):
        return pa.int32()
    return pa.int64() if pa.types.is_timestamp(type) else type


def _said(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _add_codecs() -> None:
    """Teaches fastavro the codecs for which it would want further libraries, and Arrow has the code."""
    import fastavro.read

    fastavro.read.BLOCK_READERS["snappy"] = _snappy_block
    fastavro.read.BLOCK_READERS["zstandard"] = _zstandard_block


def _snappy_block(stream: BinaryIO) -> BinaryIO:
    """Snappy's raw format, which begins with its size, and a CRC-32 of the content."""
    data = _sized(stream)
    size, shift = 0, 0
    for byte in data[:10]:
        size |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    if size > len(data) * 64 + 64:  # more than snappy can compress: the size is damaged
        raise ValueError("a snappy block that is damaged")
    content = pa.Codec("snappy").decompress(data[:-4], decompressed_size=size, asbytes=True)
    if zlib.crc32(content) != struct.unpack(">I", data[-4:])[0]:
        raise ValueError("a block whose checksum is wrong")
    return io.BytesIO(content)


def _zstandard_block(stream: BinaryIO) -> BinaryIO:
    with pa.CompressedInputStream(pa.BufferReader(_sized(stream)), "zstd") as content:
        return io.BytesIO(content.read())


def _sized(stream: BinaryIO) -> bytes:
    """Bytes after their number, which is a zigzag varint."""
    number, shift = 0, 0
    while True:
        byte = stream.read(1)
        if not byte:
            raise EOFError("the end within a block")
        number |= (byte[0] & 0x7F) << shift
        shift += 7
        if byte[0] < 0x80:
            break
    size = (number >> 1) ^ -(number & 1)
    data = stream.read(max(size, 0))
    if len(data) < size:
        raise EOFError("the end within a block")
    return data
