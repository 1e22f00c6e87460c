"""Objects: get, list, patch, delete, copy, compose. https://cloud.google.com/storage/docs/json_api/v1/objects"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from headrace.emulator.documents import Document
from headrace.emulator.refusals import Refusal
from headrace.emulator.routing import Call, Response, Route
from headrace.emulator.storage import downloads, listing
from headrace.emulator.storage.answers import address, storage
from headrace.emulator.storage.conditions import Conditions, number
from headrace.emulator.storage.digests import PIECE, Digests
from headrace.emulator.storage.objects import KEPT, Stored, resource

if TYPE_CHECKING:
    from aiohttp import web

    from headrace.emulator.state import Emulator

_MOST_COMPOSED = 32
_LATER = 8 << 20  # bytes above which a list does not compute the hashes of a job's file


@storage
async def _get(emulator: Emulator, call: Call) -> web.StreamResponse | Response | Document:
    if call.one("alt") == "media":
        return await downloads.content(emulator, call)
    return await asyncio.get_running_loop().run_in_executor(None, told, emulator, call)


@storage
async def _download(emulator: Emulator, call: Call) -> web.StreamResponse | Response:
    return await downloads.content(emulator, call)


def told(emulator: Emulator, call: Call) -> Document:
    """An object's metadata."""
    found = emulator.objects.get(*_which(call), number(call.query, "generation"))
    Conditions.of(call.query).check(found.generation, found.metageneration, reading=True)
    return resource(emulator.objects.digested(found), address(emulator, call))


@storage
def _list(emulator: Emulator, call: Call) -> Document:
    for name in ("matchGlob", "softDeleted", "filter"):
        if call.one(name) not in ("", "false"):
            raise Refusal("UNIMPLEMENTED", f"objects.list: the emulator does not serve {name}")
    objects, bucket = emulator.objects, call.params["bucket"]
    objects.check_bucket(bucket)
    asked = listing.Asked(
        call.one("prefix"), call.one("delimiter"), call.one("startOffset"), call.one("endOffset"),
        trailing=call.one("includeTrailingDelimiter") == "true",
    )  # fmt: skip
    size = number(call.query, "maxResults")
    if size is not None and size < 1:
        raise Refusal("INVALID_ARGUMENT", f"Invalid value for maxResults: {size}")
    page = listing.page(objects.root, bucket, asked, min(size or 1000, listing.MOST), call.one("pageToken"))
    where = address(emulator, call)
    found = (objects.find(bucket, name) for name in page.names)
    items = [resource(one if one.size > _LATER else objects.digested(one), where) for one in found if one]
    answer: Document = {"kind": "storage#objects"}
    if items:
        answer["items"] = items
    if page.prefixes:
        answer["prefixes"] = page.prefixes
    if page.token:
        answer["nextPageToken"] = page.token
    return answer


@storage
def _patch(emulator: Emulator, call: Call) -> Document:
    """Fields that are null are removed, and so are keys of `metadata`."""
    sent = call.json

    def change(now: Document) -> Document:
        after = {**now, **sent}
        if isinstance(sent.get("metadata"), Mapping):
            both = {**now.get("metadata", {}), **sent["metadata"]}
            after["metadata"] = {key: value for key, value in both.items() if value is not None}
        return after

    return _changed(emulator, call, change)


@storage
def _update(emulator: Emulator, call: Call) -> Document:
    sent = call.json
    return _changed(emulator, call, lambda _: sent)


def _changed(emulator: Emulator, call: Call, change: Any) -> Document:
    generation = number(call.query, "generation")
    stored = emulator.objects.change(*_which(call), change, Conditions.of(call.query), generation)
    return resource(stored, address(emulator, call))


@storage
def _delete(emulator: Emulator, call: Call) -> Response:
    emulator.objects.delete(*_which(call), Conditions.of(call.query), number(call.query, "generation"))
    return Response(b"", 204)


@storage
def _rewrite(emulator: Emulator, call: Call) -> Document:
    made = _copied(emulator, call)
    return {
        "kind": "storage#rewriteResponse",
        "totalBytesRewritten": str(made.size),
        "objectSize": str(made.size),
        "done": True,
        "resource": resource(made, address(emulator, call)),
    }


@storage
def _copy(emulator: Emulator, call: Call) -> Document:
    return resource(_copied(emulator, call), address(emulator, call))


@storage
def _move(emulator: Emulator, call: Call) -> Document:
    source = _source(emulator, call)
    if source.name == call.params["to_object"]:
        raise Refusal("INVALID_ARGUMENT", "The source and the destination of a move are the same object.")
    made = _copied(emulator, call)
    emulator.objects.delete(source.bucket, source.name, generation=source.generation)
    return resource(made, address(emulator, call))


def _copied(emulator: Emulator, call: Call) -> Stored:
    """The metadata are the source's where none are sent."""
    objects, source = emulator.objects, _source(emulator, call)
    bucket = call.params.get("to_bucket", source.bucket)
    objects.check_bucket(bucket)
    sent = {key: value for key, value in call.json.items() if key in KEPT}
    same = {key: value for key, value in source.kept.items() if key in KEPT}
    partial, digests = objects.copied(source)
    conditions = Conditions.of(call.query)
    try:
        return objects.put(bucket, call.params["to_object"], partial, digests, sent or same, conditions)
    finally:
        partial.unlink(missing_ok=True)


def _source(emulator: Emulator, call: Call) -> Stored:
    found = emulator.objects.get(*_which(call), number(call.query, "sourceGeneration"))
    Conditions.of(call.query, "ifSource").check(found.generation, found.metageneration)
    return found


@storage
def _compose(emulator: Emulator, call: Call) -> Document:
    objects, (bucket, name), sent = emulator.objects, _which(call), call.json
    parts = sent.get("sourceObjects")
    if not isinstance(parts, list) or not 1 <= len(parts) <= _MOST_COMPOSED:
        raise Refusal("INVALID_ARGUMENT", f"sourceObjects: expected 1 to {_MOST_COMPOSED} objects")
    sources = [_part(part) for part in parts]
    destination = sent.get("destination") or {}
    if not isinstance(destination, dict):
        raise Refusal("INVALID_ARGUMENT", f"destination: expected an object. Received: {destination!r:.80}")
    partial, digests = objects.partial(), Digests()
    count = 0
    try:
        with partial.open("wb") as target:
            for part, generation, expected in sources:
                stored, stream = objects.opened(bucket, part, generation)
                count += int(stored.kept.get("componentCount", 1))
                with stream:
                    Conditions(expected).check(stored.generation, stored.metageneration)
                    while piece := stream.read(PIECE):
                        digests.update(piece)
                        target.write(piece)
        conditions = Conditions.of(call.query)
        made = objects.put(bucket, name, partial, digests, destination, conditions, components=count)
    finally:
        partial.unlink(missing_ok=True)
    return resource(made, address(emulator, call))


def _part(sent: Any) -> tuple[str, int | None, int | None]:
    """A part of what is composed: its name, its generation, and the one that it must have.

    Raises:
        Refusal: it is none.
    """
    try:
        generation, expected = sent.get("generation"), (sent.get("objectPreconditions") or {}).get("ifGenerationMatch")
        numbers = [None if one is None else int(one) for one in (generation, expected)]
        return str(sent.get("name") or ""), numbers[0] or None, numbers[1]
    except (AttributeError, TypeError, ValueError, OverflowError):
        raise Refusal("INVALID_ARGUMENT", f"sourceObjects: expected objects. Received: {sent!r:.80}") from None


def _which(call: Call) -> tuple[str, str]:
    """The bucket, and the object's name.

    Raises:
        Refusal: what was sent is no UTF-8.
    """
    name = call.params["object"]
    if "\ufffd" in name and "%ef%bf%bd" not in call.path.lower() and "\ufffd" not in call.path:
        raise Refusal("INVALID_ARGUMENT", f"Invalid object name {name!r:.80}: expected UTF-8.")
    return call.params["bucket"], name


_OBJECT = "/storage/v1/b/{bucket}/o/{object*}"
ROUTES = (
    Route("GET", "/storage/v1/b/{bucket}/o", _list, "Client.list_blobs; gcsfs.ls, find, glob"),
    Route("POST", f"{_OBJECT}/rewriteTo/b/{{to_bucket}}/o/{{to_object*}}", _rewrite, "Blob.rewrite; gcsfs.cp, mv"),
    Route("POST", f"{_OBJECT}/copyTo/b/{{to_bucket}}/o/{{to_object*}}", _copy, "Bucket.copy_blob, rename_blob"),
    Route("POST", f"{_OBJECT}/moveTo/o/{{to_object*}}", _move, "Bucket.move_blob"),
    Route("POST", f"{_OBJECT}/compose", _compose, "Blob.compose; gcsfs.merge"),
    Route("GET", _OBJECT, _get, "Bucket.get_blob, Blob.reload, exists, download_*; gcsfs.info, cat, open"),
    Route("GET", f"/download{_OBJECT}", _download, "Blob.download_*, Blob.open; gcsfs.get, cat, open"),
    Route("PATCH", _OBJECT, _patch, "Blob.patch; gcsfs.setxattrs"),
    Route("PUT", _OBJECT, _update, "Blob.update"),
    Route("DELETE", _OBJECT, _delete, "Blob.delete, Bucket.delete_blobs; gcsfs.rm"),
)
BATCHED = (Route("GET", _OBJECT, storage(told), "Blob.reload in Client.batch"),)
