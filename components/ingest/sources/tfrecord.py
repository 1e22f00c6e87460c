"""Rows of a TFRecord file of `tf.Example` messages as a stream of Arrow batches.

A feature is a list of values of one kind. It becomes a column where no row has more than one value; the others are left
out. Which ones those are shows only in all records: so a first pass reads the file once.
"""

from __future__ import annotations

import contextlib
import functools
import gzip
import io
import itertools
import struct
import zlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import pyarrow as pa

from headrace.artifacts.errors import HeadraceError
from headrace.components.ingest.opened import Opened, SourceFile

if TYPE_CHECKING:
    from headrace.components.ingest.spec import DataSpec

_ROWS = 16_384
_LARGEST = 1 << 30  # bytes of a record; more is a damaged length
_TYPES = {"int64_list": pa.int64(), "float_list": pa.float64(), "bytes_list": pa.string()}
_BLOCK_BYTES = 1 << 18
_MASK = 0xA282EAD8  # TFRecord stores a rotated CRC-32C plus this (tensorflow/core/lib/hash/crc32c.h)


@dataclass
class Features:
    """What all records of a file have."""

    kinds: dict[str, set[str]] = field(default_factory=dict)  # feature -> the lists its values stand in
    several: set[str] = field(default_factory=set)  # features with more than one value somewhere
    binary: set[str] = field(default_factory=set)  # features with bytes that are no text
    records: int = 0

    def add(self, features: Any) -> None:
        """Takes a record's features in."""
        self.records += 1
        for name, one in features.items():
            kind = one.WhichOneof("kind")
            if kind is None:
                self.kinds.setdefault(name, set())
                continue
            values = getattr(one, kind).value
            if not values:
                self.kinds.setdefault(name, set())
                continue
            self.kinds.setdefault(name, set()).add(kind)
            if len(values) > 1:
                self.several.add(name)
            elif kind == "bytes_list" and name not in self.binary and not _is_text(values[0]):
                self.binary.add(name)

    def left_out(self) -> dict[str, str]:
        """The features that are no columns, and what they are instead."""
        found = {}
        for name, kinds in self.kinds.items():
            if name in self.several:
                found[name] = "lists"
            elif name in self.binary:
                found[name] = "bytes"
            elif len(kinds) > 1:
                found[name] = " and ".join(sorted(kind.removesuffix("_list") for kind in kinds))
        return found

    def columns(self) -> dict[str, str]:
        """The features that are columns, sorted, with the list their values stand in; empty ones count as numbers."""
        out = self.left_out()
        return {name: next(iter(self.kinds[name]), "float_list") for name in sorted(self.kinds) if name not in out}


def open_tfrecord(file: SourceFile, data: DataSpec, rows: int | None = None) -> Opened:
    """Opens a TFRecord file, plain or compressed (gzip, zlib); a feature that a record lacks is missing there.

    With `rows`, no more than the first so many records are looked at and given.

    Raises:
        HeadraceError: not a TFRecord file, records that are damaged or no `tf.Example`, or no column to learn from.
    """
    features = Features()
    for _, example in _examples(file, rows):
        features.add(example.features.feature)
    columns, left_out = features.columns(), features.left_out()
    if not features.records:
        raise HeadraceError(f"{file.name}: expected records. Received: none")
    if not columns:
        raise HeadraceError(
            f"{file.name}: expected features with one number or text a record. Received: {left_out or 'no features'}"
        )
    return Opened(
        file.name,
        pa.schema([(name, _TYPES[kind]) for name, kind in columns.items()]),
        lambda: _batches(file, columns, rows),
        text=False,
        notes=[
            f"`{name}` is left out: it has no single numbers or texts, but {what}" for name, what in left_out.items()
        ],
        left_out=left_out,
    )


def _batches(file: SourceFile, columns: dict[str, str], limit: int | None) -> Iterator[pa.RecordBatch]:
    schema = pa.schema([(name, _TYPES[kind]) for name, kind in columns.items()])
    values: list[list[Any]] = [[] for _ in columns]
    rows = 0
    for rows, example in _examples(file, limit):
        features = example.features.feature
        for (name, kind), column in zip(columns.items(), values, strict=True):
            # Asking a map field for a key would make it.
            found = getattr(features[name], kind).value if name in features else ()
            column.append(found[0] if found else None)
        if rows % _ROWS == 0:
            yield _batch(values, schema)
            values = [[] for _ in columns]
    if rows % _ROWS:
        yield _batch(values, schema)


def _batch(values: list[list[Any]], schema: pa.Schema) -> pa.RecordBatch:
    arrays = [
        pa.array(column, pa.binary()).cast(one.type) if pa.types.is_string(one.type) else pa.array(column, one.type)
        for column, one in zip(values, schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _is_text(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _examples(file: SourceFile, limit: int | None = None) -> Iterator[tuple[int, Any]]:
    """Every record, or the first so many, with its number, from 1."""
    from google.protobuf.message import DecodeError

    message = _example_message()
    with contextlib.closing(read_records(file)) as records:
        for number, record in enumerate(itertools.islice(records, limit), start=1):
            try:
                yield number, message.FromString(record)
            except DecodeError:
                raise HeadraceError(
                    f"{file.name}, record {number}: expected a tf.Example. Received: another kind of message"
                ) from None


@functools.cache
def _example_message() -> Any:
    """The class of `tf.Example` messages (tensorflow/core/example/example.proto), without TensorFlow's slow import."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="headrace/example.proto", package="headrace.example", syntax="proto3"
    )

    def message(parent: Any, name: str, *fields: tuple[str, int, int, int, str]) -> Any:
        made = parent.add(name=name)
        for field_name, number, label, type, type_name in fields:
            made.field.add(name=field_name, number=number, label=label, type=type, type_name=type_name or None)
        return made

    one, many = kinds.LABEL_OPTIONAL, kinds.LABEL_REPEATED
    lists = {"Bytes": kinds.TYPE_BYTES, "Float": kinds.TYPE_FLOAT, "Int64": kinds.TYPE_INT64}
    for name, type in lists.items():
        message(file.message_type, f"{name}List", ("value", 1, many, type, ""))
    of = ".headrace.example."
    parts = [(f"{name.lower()}_list", i, one, kinds.TYPE_MESSAGE, f"{of}{name}List") for i, name in enumerate(lists, 1)]
    feature = message(file.message_type, "Feature", *parts)
    feature.oneof_decl.add(name="kind")
    for part in feature.field:
        part.oneof_index = 0
    features = message(
        file.message_type, "Features", ("feature", 1, many, kinds.TYPE_MESSAGE, f"{of}Features.FeatureEntry")
    )
    entry = message(
        features.nested_type,
        "FeatureEntry",
        ("key", 1, one, kinds.TYPE_STRING, ""),
        ("value", 2, one, kinds.TYPE_MESSAGE, f"{of}Feature"),
    )
    entry.options.map_entry = True
    message(file.message_type, "Example", ("features", 1, one, kinds.TYPE_MESSAGE, f"{of}Features"))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("headrace.example.Example"))


def read_records(file: SourceFile) -> Generator[bytes, None, None]:
    """The records of a TFRecord file; each is framed by its length and the checksums of both.

    Raises:
        HeadraceError: a checksum is wrong, or the file ends within a record, with the record's number.
    """
    from google_crc32c import value as crc32c

    def intact(data: bytes, stored: bytes) -> bool:
        crc = crc32c(data)
        return bool(((crc >> 15 | crc << 17) + _MASK) & 0xFFFFFFFF == struct.unpack("<I", stored)[0])

    number = 0
    with contextlib.closing(file.open()) as raw:
        try:
            stream = _decompressed(raw)
            while header := _exactly(stream, 12):
                number += 1
                if len(header) < 12 or not intact(header[:8], header[8:]):
                    what = "the end of the file within it" if len(header) < 12 else "a length with a wrong checksum"
                    raise HeadraceError(_damaged(file, number, what))
                (size,) = struct.unpack("<Q", header[:8])
                if size > _LARGEST:
                    raise HeadraceError(_damaged(file, number, f"{size:,} bytes"))
                data, stored = _exactly(stream, size), _exactly(stream, 4)
                if len(data) < size or len(stored) < 4:
                    raise HeadraceError(_damaged(file, number, "the end of the file within it"))
                if not intact(data, stored):
                    raise HeadraceError(_damaged(file, number, "data with a wrong checksum"))
                yield data
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise HeadraceError(_damaged(file, number + 1, f"compressed data that is damaged ({error})")) from None


def _damaged(file: SourceFile, number: int, what: str) -> str:
    hint = "; is it a TFRecord file?" if number == 1 else ""
    return f"{file.name}, record {number}: expected an intact TFRecord. Received: {what}{hint}"


def _exactly(stream: BinaryIO, size: int) -> bytes:
    """So many bytes, fewer only at the file's end: a stream may give less than it is asked for."""
    data = stream.read(size)
    while data and len(data) < size and (more := stream.read(size - len(data))):
        data += more
    return data


def _decompressed(stream: BinaryIO) -> BinaryIO:
    start = stream.read(2)
    stream.seek(0)
    if start == b"\x1f\x8b":
        return cast(BinaryIO, gzip.GzipFile(fileobj=stream))
    # A zlib stream begins with 0x78 and a check byte; a record of that length would have a checksum behind it.
    if len(start) == 2 and start[0] == 0x78 and int.from_bytes(start, "big") % 31 == 0:
        return cast(BinaryIO, io.BufferedReader(_Inflating(stream), _BLOCK_BYTES))
    return stream


class _Inflating(io.RawIOBase):
    """A zlib stream, decompressed while it is read."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._inflate = zlib.decompressobj()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._inflate.eof:
            data = self._inflate.unconsumed_tail or self._stream.read(_BLOCK_BYTES)
            if not data:
                raise EOFError("it ends too early")
            found = self._inflate.decompress(data, len(buffer))
            if found:
                buffer[: len(found)] = found
                return len(found)
        return 0
