"""Long-running operations: done when they are answered, or later."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import unquote

from headrace.emulator import filters
from headrace.emulator.documents import Document, Documents, now
from headrace.emulator.paging import page
from headrace.emulator.refusals import CODES, Refusal
from headrace.emulator.routing import Call, Route

if TYPE_CHECKING:
    from headrace.emulator.state import Emulator

KIND = "Operation"
_TYPES = "type.googleapis.com/google.cloud.aiplatform."


class Operations:
    """Those of one emulator; they are kept, as a client may ask again after a restart."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    def done(self, resource: str, response: str, body: Document, *, metadata: str, version: str = "v1") -> Document:
        """One that has succeeded.

        Args:
            resource: the full name of what it is about, `projects/P/locations/L/models/M`.
            response: the message that it answers with, `UploadModelResponse`; or a full type such as
                `google.protobuf.Empty`.
            body: that message, without fields that it does not have: clients refuse others.
            metadata: the message of its metadata, `UploadModelOperationMetadata`.
            version: of the API that the client speaks, `Call.version`: it refuses messages of the other one.
        """
        started = self.running(resource, metadata=metadata, version=version, keep=False)
        answer = {"@type": _type(response, version), **body}
        return self._documents.create(KIND, started["name"], {**started, "done": True, "response": answer})

    def running(self, resource: str, *, metadata: str, version: str = "v1", keep: bool = True) -> Document:
        """One that goes on until `finish` or `fail`."""
        moment = now()
        told = {"@type": _type(metadata, version), "genericMetadata": {"createTime": moment, "updateTime": moment}}
        operation: Document = {
            "name": f"{resource}/operations/{int.from_bytes(os.urandom(7), 'big')}",
            "metadata": told,
        }
        return self._documents.create(KIND, operation["name"], operation) if keep else operation

    def finish(self, name: str, response: str, body: Document, *, version: str = "") -> Document:
        """It has succeeded. One that has ended stays as it is.

        Args:
            name, response, body: as of `done`.
            version: of the API; empty for the one that it was started with.
        """
        return self._end(name, lambda own: {"response": {"@type": _type(response, version or own), **body}})

    def fail(self, name: str, refusal: Refusal) -> Document:
        """It has failed. One that has ended stays as it is."""
        error = {"code": CODES[refusal.code][0], "message": refusal.message}
        return self._end(name, lambda own: {"error": error})

    def unfinished(self) -> list[Document]:
        """Those that go on: after a restart somebody has to go on with them, or to fail them."""
        return [operation for operation in self._documents.list(KIND) if not operation.get("done")]

    def _end(self, name: str, outcome: Callable[[str], Document]) -> Document:
        def ended(found: Document) -> Document:
            if found.get("done"):
                return found
            told = found["metadata"]
            own = "v1beta1" if told["@type"].startswith(f"{_TYPES}v1beta1.") else "v1"
            told = {**told, "genericMetadata": {**told["genericMetadata"], "updateTime": now()}}
            return {**found, "metadata": told, "done": True, **outcome(own)}

        return self._documents.change(KIND, name, ended)


def _type(message: str, version: str) -> str:
    return f"type.googleapis.com/{message}" if message.startswith("google.") else f"{_TYPES}{version}.{message}"


def _name(call: Call) -> str:
    """An operation's full name, which is its path without the version and the verb."""
    return unquote("/".join(call.path.split("/")[2:]).partition(":")[0])


def _get(emulator: Emulator, call: Call) -> Document:
    return emulator.documents.get(KIND, _name(call))


def _list(emulator: Emulator, call: Call) -> Document:
    """The operations of a resource, or of all of a location's."""
    above = _name(call).removesuffix("operations")
    found = [each for each in emulator.documents.list(KIND) if each["name"].startswith(above)]
    matching = filters.predicate(call.one("filter"))
    shown, following = page(
        [each for each in found if matching(each)], call.one("pageSize"), call.one("pageToken"), default=50
    )
    return {"operations": shown, **({"nextPageToken": following} if following else {})}


def _delete(emulator: Emulator, call: Call) -> Document:
    emulator.documents.delete(KIND, _name(call))
    return {}


def _cancel(emulator: Emulator, call: Call) -> Document:
    """The API promises nothing: a client looks afterwards whether it was cancelled or ended as it would have."""
    emulator.documents.get(KIND, _name(call))
    return {}


_LOCATION = "/projects/{project}/locations/{location}"
ROUTES = tuple(
    Route(method, f"{above}{_LOCATION}{resource}/operations{rest}", handler, call)
    # The SDK's REST transport polls below /ui.
    for above in ("/ui", "/v1")
    for resource in ("", "/{resource*}")
    for method, rest, handler, call in (
        ("GET", "/{operation}", _get, "Operation.result"),
        ("GET", "", _list, "operations.list"),
        ("DELETE", "/{operation}", _delete, "operations.delete"),
        ("POST", "/{operation}:cancel", _cancel, "operations.cancel"),
        ("POST", "/{operation}:wait", _get, "operations.wait"),
    )
)
