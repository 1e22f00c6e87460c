"""Many calls in one request. https://cloud.google.com/storage/docs/batch"""

from __future__ import annotations

import json
import os
import re
from email.parser import BytesParser
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from headrace.emulator.refusals import Refusal, google_body
from headrace.emulator.routing import Call, Response, Route, Router
from headrace.emulator.storage import buckets, handlers
from headrace.emulator.storage.answers import storage

if TYPE_CHECKING:
    from headrace.emulator.state import Emulator

_MOST = 1000  # calls; Cloud Storage's own limit is 100, which its clients do not hold to
_plain = Router((*handlers.BATCHED, *(route for route in handlers.ROUTES if route.method != "GET"), *buckets.ROUTES))


@storage
def _batch(emulator: Emulator, call: Call) -> Response:
    kind = call.headers.get("content-type", "").encode()
    parts: Any = BytesParser().parsebytes(b"Content-Type: " + kind + b"\r\n\r\n" + call.body.lstrip()).get_payload()
    if not isinstance(parts, list) or len(parts) > _MOST:
        raise Refusal("INVALID_ARGUMENT", f"expected multipart/mixed of {_MOST} calls at most")
    mark = f"batch_{os.urandom(12).hex()}"
    told = []
    for part in parts:
        id = re.sub(r"[\r\n]", "", str(part.get("Content-ID", "")).replace("<", "<response-", 1))
        head = f"--{mark}\r\nContent-Type: application/http\r\nContent-ID: {id}\r\n\r\n"
        told.append(head.encode() + _one(emulator, call, part) + b"\r\n")
    return Response(b"".join(told) + f"--{mark}--\r\n".encode(), content_type=f"multipart/mixed; boundary={mark}")


def _one(emulator: Emulator, batch: Call, part: Any) -> bytes:
    """A call's answer, head and all."""
    line = ""
    try:
        line, _, rest = _text(part).lstrip().replace("\r\n", "\n").partition("\n")
        _, _, body = rest.partition("\n\n")
        method, url, _ = line.split(" ", 2)
        address = re.sub(r"^https?://[^/]+", "", url)
        path, _, query = address.partition("?")
        route, params = _plain.find(method, path)
        headers = {"host": batch.headers.get("host", "")}
        asked = parse_qs(query, keep_blank_values=True)
        answer = route.handler(emulator, Call(method, path, params, asked, headers, body.strip().encode()))
    except ValueError:
        refusal = Refusal("INVALID_ARGUMENT", f"expected a request of HTTP. Received: {line:.80}")
        answer = Response(google_body(refusal), 400)
    except Refusal as refusal:
        answer = Response(google_body(refusal), refusal.status)
    response = answer if isinstance(answer, Response) else Response(answer)  # type: ignore[arg-type]
    content = response.body if isinstance(response.body, bytes) else json.dumps(response.body).encode()
    phrase = HTTPStatus(response.status).phrase
    kind = "Content-Type: application/json; charset=UTF-8\r\n" if content else ""
    return f"HTTP/1.1 {response.status} {phrase}\r\n{kind}Content-Length: {len(content)}\r\n\r\n".encode() + content


def _text(part: Any) -> str:
    """What a part says.

    Raises:
        Refusal: INVALID_ARGUMENT: it is not in UTF-8, or has parts itself.
    """
    content = part.get_payload(decode=True)  # else it is taken for ASCII, and what is none is replaced
    if content is None:
        raise Refusal("INVALID_ARGUMENT", f"batch: expected a request of HTTP. Received: {part.get_content_type()}")
    try:
        return str(content, "utf-8")
    except UnicodeDecodeError as error:
        received = f"the byte 0x{content[error.start]:02x} at {error.start}"
        raise Refusal("INVALID_ARGUMENT", f"batch: expected a request in UTF-8. Received: {received}") from None


ROUTES = (Route("POST", "/batch/storage/v1", _batch, "Client.batch"),)
