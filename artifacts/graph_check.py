"""Is an ONNX graph one that may be loaded at all? Told from its bytes, before ONNX Runtime sees them.

A graph is data, but a loader that is asked to can be led astray by it: weights are read from any file that it names,
operations outside the standard run whatever a library does under their name, loops need not end, and a tensor may claim
to be larger than any memory. So a bundle's graphs are read here first, by the wire format of protobuf alone, and hold:

- operations of the ONNX standard and of its machine learning part, and of ONNX Runtime's own only those that are needed
  to split and hash texts
- no loops (`Loop`, `SequenceMap`); `If` and `Scan`, whose length is that of a tensor, to a small depth
- no functions of their own, no training parts, no sparse tensors
- no data outside the file, and no tensor that says to be larger than what is there
- nothing twice that may be there once, and nothing unknown: readers disagree on what that means

Time and memory that a graph takes are found out by loading it in a process that has limits; see `serving.trial`.

Field numbers: onnx.proto3 of ONNX 1.23 (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3). The `onnx` package
is not imported: it takes longer than a server to start.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator
from pathlib import Path

from headrace.artifacts.errors import ArtifactError

STANDARD = ("", "ai.onnx", "ai.onnx.ml")
MICROSOFT = ("Tokenizer", "MurmurHash3")  # of ONNX Runtime's own operations: what ONNX lacks, and texts need
ENDLESS = ("Loop", "SequenceMap", "FlexAttention")
MOST_BYTES = 2**31 - 1  # of a graph's file: protobuf's own limit
_DEEPEST = 4  # graphs within graphs
_MOST_DIMENSIONS = 32

_NUMBER, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5  # protobuf's wire types

# message -> the numbers of its fields: those that may be repeated, and those that may stand there once
_REPEATED = {
    "model": {8, 14},
    "graph": {1, 5, 11, 12, 13, 14, 16},
    "node": {1, 2, 5, 9},
    "attribute": {7, 8, 9, 10, 11, 15},
    "tensor": {1, 4, 5, 6, 7, 10, 11, 16},
}
_SINGLE = {
    "model": {1, 2, 3, 4, 5, 6, 7},
    "graph": {2, 10},
    "node": {3, 4, 6, 7, 8},
    "attribute": {1, 2, 3, 4, 5, 6, 13, 14, 20},
    "tensor": {2, 3, 8, 9, 12, 14},
}
_REFUSED = {
    ("model", 20): "training information",
    ("model", 25): "functions of its own",
    ("graph", 15): "a sparse tensor",
    ("attribute", 21): "an attribute of a function",
    ("attribute", 22): "a sparse tensor",
    ("attribute", 23): "sparse tensors",
    ("tensor", 13): "data in another file",
}
_NODES, _INITIALIZERS, _GRAPH = 1, 5, 7
_OPERATION, _DOMAIN, _ATTRIBUTE = 4, 7, 5

# Bytes of an element, by TensorProto.DataType; 8, strings, are counted.
_STRINGS = 8
_BITS = {
    **dict.fromkeys((2, 3, 9, 17, 18, 19, 20, 24), 8),
    **dict.fromkeys((4, 5, 10, 16), 16),
    **dict.fromkeys((1, 6, 12), 32),
    **dict.fromkeys((7, 11, 13, 14), 64),
    15: 128,
    **dict.fromkeys((21, 22, 23), 4),
    **dict.fromkeys((25, 26), 2),
}

# The numbers and short words of which trees consist are passed over by the thousand. Floats are field 7, integers 8,
# texts 9; the most usual lengths of words come first.
_LENGTHS = (10, 4, 9, *(length for length in range(41) if length not in (4, 9, 10)))
_WORDS = b"|".join(re.escape(bytes([length])) + b".{%d}" % length for length in _LENGTHS)
_LIST = re.compile(rb"(?:\x3d.{4}|\x40[\x80-\xff]{0,9}[\x00-\x7f]|\x4a(?:%b))*+" % _WORDS, re.DOTALL)

Source = mmap.mmap | bytes


class _Refused(Exception):
    """What is wrong, as the end of a sentence."""


def check_graph_file(file: Path) -> None:
    """Reads a graph's file through.

    Raises:
        ArtifactError: it is damaged, or holds what no graph of a bundle may; the message says what.
    """
    expected = "an ONNX graph that is safe to load"
    try:
        size = file.stat().st_size
        if not 0 < size <= MOST_BYTES:
            raise _Refused(f"a file of {size:,} bytes")
        with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as source:
            _model(source, size)
    except OSError as error:
        raise ArtifactError(f"{file}: expected {expected}. Received: {error.strerror}") from None
    except _Refused as refused:
        raise ArtifactError(f"{file}: expected {expected}. Received: {refused}") from None


def _model(source: Source, size: int) -> None:
    graphs = 0
    for number, wire, start, end in _fields(source, 0, size, "model"):
        if number == _GRAPH:
            graphs += 1
            _graph(source, *_within(wire, start, end), 0)
    if not graphs:
        raise _Refused("no graph in it")


def _graph(source: Source, start: int, end: int, depth: int) -> None:
    if depth > _DEEPEST:
        raise _Refused(f"graphs within graphs, more than {_DEEPEST} deep")
    for number, wire, begin, stop in _fields(source, start, end, "graph"):
        if number == _NODES:
            _node(source, *_within(wire, begin, stop), depth)
        elif number == _INITIALIZERS:
            _tensor(source, *_within(wire, begin, stop))


def _node(source: Source, start: int, end: int, depth: int) -> None:
    operation, domain = "", ""
    for number, wire, begin, stop in _fields(source, start, end, "node"):
        if number == _ATTRIBUTE:
            _attribute(source, *_within(wire, begin, stop), depth)
        elif number == _OPERATION:
            operation = _text(source, wire, begin, stop)
        elif number == _DOMAIN:
            domain = _text(source, wire, begin, stop)
    if domain in STANDARD:
        if operation in ENDLESS:
            raise _Refused(f"the operation {operation}, which need not end")
    elif domain != "com.microsoft":
        raise _Refused(f"the operation {operation[:60]!r} of {domain[:60]!r}, which is not of the ONNX standard")
    elif operation not in MICROSOFT:
        allowed = " and ".join(MICROSOFT)
        raise _Refused(f"the operation {operation[:60]!r} of ONNX Runtime's own, of which {allowed} alone are allowed")


def _attribute(source: Source, start: int, end: int, depth: int) -> None:
    for number, wire, begin, stop in _fields(source, start, end, "attribute"):
        if number in (5, 10):
            _tensor(source, *_within(wire, begin, stop))
        elif number in (6, 11):
            _graph(source, *_within(wire, begin, stop), depth + 1)


def _tensor(source: Source, start: int, end: int) -> None:
    dimensions: list[int] = []
    kind, given, words, raw = 0, 0, 0, -1  # bytes that are given, how many of them are strings, bytes as they are
    for number, wire, begin, stop in _fields(source, start, end, "tensor"):
        if number == 1:
            dimensions += [begin] if wire == _NUMBER else list(_numbers(source, *_within(wire, begin, stop)))
            if len(dimensions) > _MOST_DIMENSIONS:
                raise _Refused(f"a tensor of more than {_MOST_DIMENSIONS} dimensions")
        elif number == 2 and wire == _NUMBER:
            kind = begin
        elif number == 6:
            words += 1
        elif number == 9:
            raw = stop - begin
        elif number in (4, 5, 7, 10, 11):
            given += 1 if wire == _NUMBER else stop - begin
        elif number == 14 and (wire != _NUMBER or begin != 0):
            raise _Refused("data in another file")
    _check_size(dimensions, kind, raw, given, words)


def _check_size(dimensions: list[int], kind: int, raw: int, given: int, words: int) -> None:
    """Whether a tensor is as large as it says; of numbers one by one, which may be short, no larger than it can be."""
    count = 1
    for length in dimensions:
        if length >= 2**63:
            raise _Refused("a tensor of a negative length")
        count *= length
    if kind == _STRINGS:
        fine, have = words == count and raw < 0, f"{words:,} texts"
    elif kind not in _BITS:
        raise _Refused(f"a tensor of an unknown type, {kind}")
    elif raw >= 0:
        fine, have = raw == (count * _BITS[kind] + 7) // 8, f"{raw:,} bytes"
    else:
        fine, have = count <= 2 * given, f"{given:,} bytes"
    if not fine:
        raise _Refused(f"a tensor that says it has {count:,} elements, and has {have}")


def _fields(source: Source, start: int, end: int, message: str) -> Iterator[tuple[int, int, int, int]]:
    """A message's fields: number, wire type, and from where to where; of a number its value in place of the first.

    In an attribute, the elements of its lists of numbers and texts are left out.
    """
    repeated, single, seen = _REPEATED[message], _SINGLE[message], set()
    place = start
    while place < end:
        if message == "attribute":
            found = _LIST.match(source, place, end)
            if found and found.end() > place:
                place = found.end()
                continue
        key, place = _number(source, place, end)
        number, wire = key >> 3, key & 7
        if number in single:
            if number in seen:
                raise _Refused(f"a damaged file (field {number} of a {message} twice)")
            seen.add(number)
        elif number not in repeated:
            unknown = f"a damaged file, or one of a newer ONNX (field {number} of a {message})"
            raise _Refused(_REFUSED.get((message, number), unknown))
        if wire == _NUMBER:
            value, place = _number(source, place, end)
            yield number, wire, value, place
            continue
        if wire == _BYTES:
            length, place = _number(source, place, end)
        elif wire in (_EIGHT, _FOUR):
            length = 8 if wire == _EIGHT else 4
        else:
            raise _Refused(f"a damaged file (wire type {wire} at byte {place:,})")
        if place + length > end:
            raise _Refused(f"a damaged file (it ends within a {message}, at byte {place:,})")
        yield number, wire, place, place + length
        place += length


def _number(source: Source, place: int, end: int) -> tuple[int, int]:
    """A variable-length number at `place`, and where what follows it begins."""
    value = 0
    for shift in range(0, 70, 7):
        if place >= end:
            break
        byte = source[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, place
    raise _Refused(f"a damaged file (a number that does not end, at byte {place:,})")


def _numbers(source: Source, start: int, end: int) -> Iterator[int]:
    while start < end:
        value, start = _number(source, start, end)
        yield value


def _within(wire: int, start: int, end: int) -> tuple[int, int]:
    if wire != _BYTES:
        raise _Refused("a damaged file (a number where a message belongs)")
    return start, end


def _text(source: Source, wire: int, start: int, end: int) -> str:
    start, end = _within(wire, start, end)
    return bytes(source[start : min(end, start + 200)]).decode("utf-8", "replace")
