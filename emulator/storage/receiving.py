"""The content of an upload, from the connection to a file, in bounded memory."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.emulator.refusals import Refusal
from headrace.emulator.storage.digests import PIECE, Digests

if TYPE_CHECKING:
    from aiohttp import StreamReader

_MOST_HEAD = 1 << 20  # bytes of a multipart upload before its content
_BOUNDARY = re.compile(r"boundary=(?:\"([^\"]+)\"|'([^']+)'|([^;\s]+))")


async def write(pieces: AsyncIterator[bytes], file: Path, digests: Digests) -> None:
    """Adds what comes to a file, and to its hashes. What came before an interruption is written all the same."""
    loop = asyncio.get_running_loop()
    with await loop.run_in_executor(None, file.open, "ab") as stream:

        def keep(piece: bytes) -> None:
            stream.write(piece)
            digests.update(piece)

        buffer = bytearray()
        try:
            async for piece in pieces:
                buffer += piece
                if len(buffer) >= PIECE:
                    ready, buffer = bytes(buffer), bytearray()
                    await loop.run_in_executor(None, keep, ready)
        finally:
            keep(bytes(buffer))


async def whole(content: StreamReader) -> AsyncIterator[bytes]:
    """A body's pieces."""
    async for piece in content.iter_any():
        yield piece


async def multipart(content_type: str, content: StreamReader) -> tuple[dict[str, Any], str, AsyncIterator[bytes]]:
    """The metadata of a body of `multipart/related`, its content's type, and the content.

    Raises:
        Refusal: it is none.
    """
    found = _BOUNDARY.search(content_type)
    if not found:
        raise _malformed(f"expected multipart/related with a boundary. Received: {content_type!r:.100}")
    mark = b"--" + (found[1] or found[2] or found[3]).encode()
    body = bytearray()
    async for piece in content.iter_any():
        body += piece
        if parts := _head(bytes(body), mark):
            break
        if len(body) > _MOST_HEAD:
            raise _malformed("its metadata are too long")
    else:
        raise _malformed("it ends before its content")
    told, kind, start, line_end = parts
    try:
        metadata = json.loads(told or b"{}")
    except ValueError as error:
        raise _malformed(f"its metadata are no JSON: {error}") from None
    if not isinstance(metadata, dict):
        raise _malformed("its metadata are no object of JSON")
    return metadata, kind, _until(bytes(body[start:]), content, line_end + mark + b"--")


def _head(body: bytes, mark: bytes) -> tuple[bytes, str, int, bytes] | None:
    """The metadata, the content's type, where the content begins, and how lines end; None where more must come."""
    first = re.match(rb"(?:\r?\n)*" + re.escape(mark) + rb"[ \t]*(\r?\n)", body)
    if not first:
        return None
    end = first[1]
    above = body.find(end + end, first.end() - len(end))
    below = body.find(end + mark + end, above + len(end)) if above >= 0 else -1
    top = below + len(end + mark)
    begins = body.find(end + end, top) if below >= 0 else -1
    if begins < 0:
        return None
    kind = re.search(rb"(?im)^content-type:[ \t]*(.+?)[ \t]*\r?$", body[top:begins])
    told = body[above + 2 * len(end) : below]
    return told, kind[1].decode("latin-1") if kind else "", begins + 2 * len(end), end


async def _until(begun: bytes, content: StreamReader, last: bytes) -> AsyncIterator[bytes]:
    """What comes before the last mark, which ends the body but for white space."""
    held = begun
    keep = len(last) + 64
    async for piece in content.iter_any():
        held += piece
        if len(held) > PIECE:
            yield held[:-keep]
            held = held[-keep:]
    at = held.rfind(last)
    if at < 0 or held[at + len(last) :].strip():
        raise _malformed("it ends before its last boundary")
    yield held[:at]


def _malformed(told: str) -> Refusal:
    return Refusal("INVALID_ARGUMENT", f"Malformed multipart body: {told}.")
