"""An object's content, whole or a part of it, in bounded memory."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from headrace.emulator.routing import Call, Response
from headrace.emulator.storage.conditions import Conditions, number
from headrace.emulator.storage.digests import PIECE
from headrace.emulator.storage.objects import Stored, etag

if TYPE_CHECKING:
    from aiohttp import web

    from headrace.emulator.state import Emulator

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


async def content(emulator: Emulator, call: Call) -> web.StreamResponse | Response:
    """Answers with it.

    Raises:
        Refusal: there is no such object; a condition does not hold; the range is none of it.
    """
    from aiohttp import web

    loop = asyncio.get_running_loop()
    stored, stream = await loop.run_in_executor(None, _open, emulator, call)
    try:
        asked = call.headers.get("range", "")
        found = _part(asked, stored.size)
        headers = _headers(stored)
        if found is None:
            headers["Content-Range"] = f"bytes */{stored.size}"
            return Response(b"", 416, "text/plain", headers)
        first, length = found
        if _RANGE.fullmatch(asked):
            headers["Content-Range"] = f"bytes {first}-{first + length - 1}/{stored.size}"
        answer = web.StreamResponse(status=206 if "Content-Range" in headers else 200, headers=headers)
        answer.content_length = length
        assert call.request is not None
        await answer.prepare(call.request)
        stream.seek(first)
        while length:
            piece = await loop.run_in_executor(None, stream.read, min(length, PIECE))
            if not piece:  # a job has cut it off meanwhile
                if call.request.transport:
                    call.request.transport.abort()
                break
            length -= len(piece)
            await answer.write(piece)
        else:
            await answer.write_eof()
        return answer
    except ConnectionResetError:  # the client has gone
        return answer
    finally:
        stream.close()


def _open(emulator: Emulator, call: Call) -> tuple[Stored, Any]:
    bucket, name = call.params["bucket"], call.params["object"]
    stored, stream = emulator.objects.opened(bucket, name, number(call.query, "generation"))
    try:
        Conditions.of(call.query).check(stored.generation, stored.metageneration, reading=True)
    except BaseException:
        stream.close()
        raise
    return stored, stream


def _part(asked: str, size: int) -> tuple[int, int] | None:
    """The first byte that is asked for, and how many; None where there are none such."""
    found = _RANGE.fullmatch(asked)
    if not found or found[1] == found[2] == "":
        return 0, size
    if not found[1]:
        length = min(int(found[2]), size)
        return (size - length, length) if length else None
    first, last = int(found[1]), min(int(found[2] or size), size - 1)
    return (first, last - first + 1) if first < size and last >= first else None


def _headers(stored: Stored) -> dict[str, str]:
    kept = stored.kept
    hashes = [f"{name}={kept[key]}" for name, key in (("crc32c", "crc32c"), ("md5", "md5Hash")) if key in kept]
    encoding = kept.get("contentEncoding", "")
    changed = datetime.fromtimestamp(stored.generation / 1e6, UTC)
    found = {
        "Content-Type": kept.get("contentType", "application/octet-stream"),
        "Content-Encoding": encoding,
        "Content-Disposition": kept.get("contentDisposition", ""),
        "Content-Language": kept.get("contentLanguage", ""),
        "Cache-Control": kept.get("cacheControl", ""),
        "ETag": f'"{etag(stored)}"',
        "Last-Modified": changed.strftime("%a, %d %b %Y %H:%M:%S GMT"),
        "X-Goog-Generation": str(stored.generation),
        "X-Goog-Metageneration": str(stored.metageneration),
        "X-Goog-Stored-Content-Encoding": encoding or "identity",
        "X-Goog-Stored-Content-Length": str(stored.size),
        "X-Goog-Hash": ",".join(hashes),
    }
    return {name: value for name, value in found.items() if value and not any(c in value for c in "\r\n\0")}
