"""Uploads: in one request, or in many that can be gone on with, also after the emulator was restarted.

https://cloud.google.com/storage/docs/performing-resumable-uploads
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import os
import re
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from headrace.emulator.refusals import Refusal
from headrace.emulator.routing import Call, Response, Route
from headrace.emulator.storage import places
from headrace.emulator.storage.answers import address, storage
from headrace.emulator.storage.conditions import Conditions
from headrace.emulator.storage.digests import Digests, of_file
from headrace.emulator.storage.objects import Objects, Stored, resource
from headrace.emulator.storage.receiving import multipart, whole, write

if TYPE_CHECKING:
    from headrace.emulator.state import Emulator

SESSIONS = ".uploads"  # beside the buckets
_WEEK = 7 * 24 * 3600.0  # seconds for which an upload can be gone on with
_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")
_SESSION = re.compile(r"[0-9a-f]{32}")
_turns: dict[str, asyncio.Lock] = {}  # by session
_digests: dict[str, Digests] = {}  # of what has come; computed anew where it is not known


@storage
async def _post(emulator: Emulator, call: Call) -> Response | dict[str, Any]:
    kind = call.one("uploadType")
    if call.one("upload_id"):
        return await _resumed(emulator, call)
    await _in_thread(emulator.objects.check_bucket, call.params["bucket"])
    if kind == "resumable":
        return await _begin(emulator, call)
    assert call.request is not None
    told: dict[str, Any] = {}
    pieces: AsyncIterator[bytes] = whole(call.request.content)
    content_type = call.headers.get("content-type", "")
    if kind == "multipart":
        told, content_type, pieces = await multipart(content_type, call.request.content)
    elif kind != "media":
        raise Refusal("INVALID_ARGUMENT", f"uploadType: expected media, multipart or resumable. Received: {kind!r:.40}")
    partial, digests = emulator.objects.partial(), Digests()
    try:
        await write(pieces, partial, digests)
        told = _told(told, call, content_type)
        stored = await _in_thread(_put, emulator.objects, call.params["bucket"], told, call.query, partial, digests)
    finally:
        partial.unlink(missing_ok=True)
    return resource(stored, address(emulator, call))


async def _begin(emulator: Emulator, call: Call) -> Response:
    """A new session."""
    assert call.request is not None
    try:
        sent = json.loads(await call.request.read() or b"{}")
    except ValueError as error:
        raise Refusal("INVALID_ARGUMENT", f"Invalid JSON payload received. {error}") from None
    if not isinstance(sent, dict):
        raise Refusal("INVALID_ARGUMENT", "Invalid JSON payload received: expected an object")
    told = _told(sent, call, call.headers.get("x-upload-content-type", ""))
    bucket, session = call.params["bucket"], os.urandom(16).hex()
    places.check_name(_name(told))
    size = call.headers.get("x-upload-content-length", "")
    known = int(size) if size.isdecimal() else None
    text = json.dumps({"bucket": bucket, "told": told, "query": call.query, "size": known})
    await _in_thread(_write, _file(emulator.objects, session, "json"), text)
    where = f"{address(emulator, call)}/upload/storage/v1/b/{quote(bucket)}/o?uploadType=resumable&upload_id={session}"
    return Response(b"", headers={"Location": where, "X-GUploader-UploadID": session})


@storage
async def _go_on(emulator: Emulator, call: Call) -> Response | dict[str, Any]:
    return await _resumed(emulator, call)


async def _resumed(emulator: Emulator, call: Call) -> Response | dict[str, Any]:
    """The next bytes of a session, or the question how many there are."""
    id = call.one("upload_id")
    if not _SESSION.fullmatch(id) or not _file(emulator.objects, id, "json").exists():
        raise Refusal("NOT_FOUND", f"There is no upload {id!r:.40}.")
    async with _turns.setdefault(id, asyncio.Lock()):
        session = json.loads(await _in_thread(_file(emulator.objects, id, "json").read_text))
        if "done" in session:
            return dict(session["done"])
        part = _file(emulator.objects, id, "part")
        sent = call.headers.get("content-range", "")
        await _receive(call, part, id, sent)
        has = _size(part)
        total = _total(sent, has, session)
        if total is None or has < total:
            return Response(b"", 308, headers={"Range": f"bytes=0-{has - 1}"} if has else {})
        if has > total:
            raise Refusal("INVALID_ARGUMENT", f"Upload {id} has {has} bytes, and was to have {total}.")
        part.touch()
        digests = await _known(part, id)
        told, query = session["told"], session["query"]
        try:
            stored = await _in_thread(_put, emulator.objects, session["bucket"], told, query, part, digests)
        except Refusal:
            _end(emulator.objects, id)
            raise
        done = resource(stored, address(emulator, call))
        await _in_thread(_write, _file(emulator.objects, id, "json"), json.dumps({**session, "done": done}))
        _digests.pop(id, None)
        _turns.pop(id, None)
        return done


@storage
async def _cancel(emulator: Emulator, call: Call) -> Response:
    id = call.one("upload_id")
    if not _SESSION.fullmatch(id) or not _file(emulator.objects, id, "json").exists():
        raise Refusal("NOT_FOUND", f"There is no upload {id!r:.40}.")
    _end(emulator.objects, id)
    return Response(b"", 499)


def begin(emulator: Emulator) -> None:
    """Removes sessions that are too old."""
    folder = emulator.objects.root / SESSIONS
    folder.mkdir(exist_ok=True)
    for file in folder.iterdir():
        if time.time() - file.stat().st_mtime > _WEEK:
            file.unlink()


async def _receive(call: Call, part: Path, id: str, sent: str) -> None:
    """Adds a request's bytes to the session's, without those that it has."""
    assert call.request is not None
    found = _RANGE.fullmatch(sent)
    if sent and not found:
        raise Refusal("INVALID_ARGUMENT", f"Invalid Content-Range: {sent!r:.80}")
    if found and found[1] is None:
        return
    has, first = _size(part), int(found[1]) if found else 0
    if first > has:
        raise Refusal("UNAVAILABLE", f"Invalid request: the upload goes on at byte {has}, and not at {first}.")
    digests = await _known(part, id)
    try:
        await write(_behind(whole(call.request.content), has - first), part, digests)
    except BaseException:
        _digests.pop(id, None)
        raise


async def _behind(pieces: AsyncIterator[bytes], skipped: int) -> AsyncIterator[bytes]:
    async for piece in pieces:
        yield piece[skipped:]
        skipped = max(0, skipped - len(piece))


async def _known(part: Path, id: str) -> Digests:
    """The hashes of what has come."""
    digests = _digests.get(id)
    if digests is None or digests.size != _size(part):
        digests = await _in_thread(of_file, part) if part.exists() else Digests()
        _digests[id] = digests
    return digests


def _total(sent: str, has: int, session: Mapping[str, Any]) -> int | None:
    """How many bytes the object has; None where that is not known yet."""
    found = _RANGE.fullmatch(sent)
    if found is None:  # all that was left, in one request
        return int(session["size"] or has)
    if found[3] != "*":
        return int(found[3])
    size: int | None = session["size"]
    return size


def _put(
    objects: Objects,
    bucket: str,
    told: Mapping[str, Any],
    query: Mapping[str, list[str]],
    partial: Path,
    digests: Digests,
) -> Stored:
    return objects.put(bucket, _name(told), partial, digests, told, Conditions.of(query))


def _told(sent: Mapping[str, Any], call: Call, content_type: str) -> dict[str, Any]:
    """An object's metadata: as they were sent in the body, else in the query and the headers."""
    told = dict(sent)
    for name in ("name", "contentEncoding"):
        if not told.get(name) and call.one(name):
            told[name] = call.one(name)
    if not told.get("contentType"):
        told["contentType"] = content_type or "application/octet-stream"
    for one in call.headers.get("x-goog-hash", "").split(","):
        name, _, value = one.strip().partition("=")
        if name in ("md5", "crc32c"):
            told.setdefault({"md5": "md5Hash"}.get(name, name), value)
    return told


def _name(told: Mapping[str, Any]) -> str:
    name = told.get("name")
    if not isinstance(name, str) or not name:
        raise Refusal("INVALID_ARGUMENT", "Required: the object's name")
    return name


def _file(objects: Objects, session: str, ending: str) -> Path:
    return objects.root / SESSIONS / f"{session}.{ending}"


def _size(part: Path) -> int:
    try:
        return part.stat().st_size
    except FileNotFoundError:
        return 0


def _write(file: Path, text: str) -> None:
    partial = file.with_suffix(".new")
    partial.write_text(text, encoding="utf-8")
    partial.replace(file)


def _end(objects: Objects, session: str) -> None:
    for ending in ("part", "json"):
        with contextlib.suppress(FileNotFoundError):
            _file(objects, session, ending).unlink()
    _digests.pop(session, None)
    _turns.pop(session, None)


async def _in_thread(function: Any, *arguments: Any) -> Any:
    return await asyncio.get_running_loop().run_in_executor(None, functools.partial(function, *arguments))


_CALLS = "Blob.upload_from_file, upload_from_filename, upload_from_string; Blob.open; gcsfs.put, pipe, open"
ROUTES = (
    Route("POST", "/upload/storage/v1/b/{bucket}/o", _post, _CALLS),
    Route("PUT", "/upload/storage/v1/b/{bucket}/o", _go_on, _CALLS),
    Route("DELETE", "/upload/storage/v1/b/{bucket}/o", _cancel, "Blob.create_resumable_upload_session: cancel"),
    Route("POST", "/resumable/upload/storage/v1/b/{bucket}/o", _post, _CALLS),
    Route("PUT", "/resumable/upload/storage/v1/b/{bucket}/o", _go_on, _CALLS),
)
