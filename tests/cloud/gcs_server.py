"""As much of Cloud Storage's JSON API as we use, in memory over HTTP on this machine, for the real clients.

google-cloud-storage and gcsfs find it by STORAGE_EMULATOR_HOST. Generations count up, and the conditions
`ifGenerationMatch` and `ifMetagenerationMatch` hold as there: 0 means that the object must not be there yet.
https://cloud.google.com/storage/docs/json_api/v1
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import re
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import google_crc32c


@dataclass
class Stored:
    """An object's content, and what is kept with it."""

    content: bytes
    generation: int
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass
class Storage:
    """The buckets. `requests` has the method and the path of each request; `fail` makes so many answers a 503."""

    url: str = ""
    buckets: dict[str, dict[str, Stored]] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    fail: int = 0
    sessions: dict[str, tuple[str, dict[str, Any], dict[str, str], bytes]] = field(default_factory=dict)
    generations: Iterator[int] = field(default_factory=lambda: itertools.count(1_700_000_000_000_001))
    lock: threading.Lock = field(default_factory=threading.Lock)

    def put(self, uri: str, content: bytes) -> int:
        """Stores an object, `gs://BUCKET/NAME`; its generation."""
        bucket, _, name = uri.removeprefix("gs://").partition("/")
        stored = Stored(content, next(self.generations))
        self.buckets.setdefault(bucket, {})[name] = stored
        return stored.generation

    def get(self, uri: str) -> bytes:
        """The content of an object."""
        bucket, _, name = uri.removeprefix("gs://").partition("/")
        return self.buckets[bucket][name].content

    def answer(self, method: str, path: str, headers: Any, body: bytes) -> tuple[int, dict[str, str], bytes]:
        self.requests.append((method, path))
        if self.fail:
            self.fail -= 1
            return _json(503, {"error": {"code": 503, "message": "try again"}})
        parts = urlsplit(path)
        query = {key: values[0] for key, values in parse_qs(parts.query, keep_blank_values=True).items()}
        with self.lock:
            if found := re.fullmatch(r"/(?:resumable/)?upload/storage/v1/b/([^/]+)/o", parts.path):
                return self._upload(method, found.group(1), query, headers, body)
            if found := re.fullmatch(r"/(?:download/)?storage/v1/b/([^/]+)/o/(.+)", parts.path):
                return self._object(method, found.group(1), unquote(found.group(2)), query, headers, body)
            if found := re.fullmatch(r"/storage/v1/b/([^/]+)/o", parts.path):
                return self._list(found.group(1), query)
            if found := re.fullmatch(r"/storage/v1/b/([^/]+)", parts.path):
                return self._bucket(method, found.group(1))
            if parts.path == "/storage/v1/b" and method == "POST":
                self.buckets.setdefault(json.loads(body)["name"], {})
                return self._bucket("GET", json.loads(body)["name"])
        return _json(501, {"error": {"code": 501, "message": f"{method} {path}"}})

    def _bucket(self, method: str, bucket: str) -> tuple[int, dict[str, str], bytes]:
        if bucket not in self.buckets:
            return _missing(bucket)
        if method == "DELETE":
            del self.buckets[bucket]
            return 204, {}, b""
        return _json(200, {"kind": "storage#bucket", "name": bucket, "id": bucket, "location": "US"})

    def _list(self, bucket: str, query: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        if bucket not in self.buckets:
            return _missing(bucket)
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        items, prefixes = [], set()
        for name in sorted(self.buckets[bucket]):
            if not name.startswith(prefix):
                continue
            rest = name[len(prefix) :]
            if delimiter and delimiter in rest:
                prefixes.add(prefix + rest.partition(delimiter)[0] + delimiter)
            else:
                items.append(self._resource(bucket, name))
        return _json(200, {"kind": "storage#objects", "items": items, "prefixes": sorted(prefixes)})

    def _object(
        self, method: str, bucket: str, name: str, query: dict[str, str], headers: Any, body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        copied = re.fullmatch(r"(.+)/(?:rewriteTo|copyTo)/b/([^/]+)/o/(.+)", name)
        if copied and method == "POST":
            return self._copy(bucket, copied.group(1), copied.group(2), copied.group(3), query)
        stored = self.buckets.get(bucket, {}).get(name)
        if stored is None:
            return _missing(f"{bucket}/{name}")
        if not _allowed(query, stored):
            return _precondition()
        if method == "DELETE":
            del self.buckets[bucket][name]
            return 204, {}, b""
        if method == "PATCH":
            stored.metadata.update(json.loads(body))
        if method == "GET" and query.get("alt") == "media":
            return _content(stored, headers.get("Range", ""))
        return _json(200, self._resource(bucket, name))

    def _copy(
        self, bucket: str, name: str, to_bucket: str, to_name: str, query: dict[str, str]
    ) -> tuple[int, dict[str, str], bytes]:
        source = self.buckets.get(bucket, {}).get(name)
        if source is None:
            return _missing(f"{bucket}/{name}")
        if not _allowed(query, self.buckets.get(to_bucket, {}).get(to_name)):
            return _precondition()
        stored = Stored(source.content, next(self.generations), dict(source.metadata))
        self.buckets.setdefault(to_bucket, {})[to_name] = stored
        made = self._resource(to_bucket, to_name)
        size = len(source.content)
        return _json(200, {"done": True, "resource": made, "totalBytesRewritten": size, "objectSize": size})

    def _upload(
        self, method: str, bucket: str, query: dict[str, str], headers: Any, body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        if bucket not in self.buckets:
            return _missing(bucket)
        kind = query.get("uploadType")
        if kind == "multipart":
            metadata, content = _parts(headers["Content-Type"], body)
            return self._keep(bucket, metadata, query, content)
        if kind == "media":
            return self._keep(bucket, {"name": query["name"]}, query, body)
        if "upload_id" in query:
            return self._more(query["upload_id"], headers, body)
        metadata = {**(json.loads(body) if body else {}), **({"name": query["name"]} if "name" in query else {})}
        id = str(len(self.sessions) + 1)
        self.sessions[id] = (bucket, metadata, query, b"")
        place = f"{self.url}/upload/storage/v1/b/{bucket}/o?uploadType=resumable&upload_id={id}"
        return 200, {"Location": place}, b""

    def _more(self, id: str, headers: Any, body: bytes) -> tuple[int, dict[str, str], bytes]:
        bucket, metadata, query, before = self.sessions[id]
        content = before + body
        total = headers.get("Content-Range", "*/*").rpartition("/")[2]
        if total == "*" or int(total) > len(content):
            self.sessions[id] = (bucket, metadata, query, content)
            return 308, {"Range": f"bytes=0-{len(content) - 1}"} if content else {}, b""
        return self._keep(bucket, metadata, query, content)

    def _keep(
        self, bucket: str, metadata: dict[str, Any], query: dict[str, str], content: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        name = metadata.get("name") or query["name"]
        if not _allowed(query, self.buckets[bucket].get(name)):
            return _precondition()
        kept = {key: metadata[key] for key in ("contentType", "metadata") if key in metadata}
        self.buckets[bucket][name] = Stored(content, next(self.generations), kept)
        return _json(200, self._resource(bucket, name))

    def _resource(self, bucket: str, name: str) -> dict[str, Any]:
        stored = self.buckets[bucket][name]
        crc = base64.b64encode(struct.pack(">I", google_crc32c.value(stored.content))).decode()
        return {
            "kind": "storage#object",
            "id": f"{bucket}/{name}/{stored.generation}",
            "bucket": bucket,
            "name": name,
            "size": str(len(stored.content)),
            "generation": str(stored.generation),
            "metageneration": "1",
            "md5Hash": base64.b64encode(hashlib.md5(stored.content).digest()).decode(),
            "crc32c": crc,
            "etag": str(stored.generation),
            "timeCreated": "2026-11-22T00:00:00.000Z",
            "updated": "2026-11-22T00:00:00.000Z",
            **stored.metadata,
        }


def _allowed(query: dict[str, str], stored: Stored | None) -> bool:
    now = 0 if stored is None else stored.generation
    if "ifGenerationMatch" in query and int(query["ifGenerationMatch"]) != now:
        return False
    return "ifGenerationNotMatch" not in query or int(query["ifGenerationNotMatch"]) != now


def _parts(kind: str, body: bytes) -> tuple[dict[str, Any], bytes]:
    """The two parts of multipart/related: the metadata as JSON, and the content."""
    boundary = kind.partition("boundary=")[2].strip("\"'").encode()
    first, second = body.split(b"--" + boundary)[1:3]
    blank = b"\r\n\r\n" if b"\r\n\r\n" in first else b"\n\n"
    _, _, text = first.partition(blank)
    _, _, content = second.partition(blank)
    return json.loads(text), content.removesuffix(b"\r\n") if content.endswith(b"\r\n") else content.removesuffix(b"\n")


def _content(stored: Stored, asked: str) -> tuple[int, dict[str, str], bytes]:
    crc = base64.b64encode(struct.pack(">I", google_crc32c.value(stored.content))).decode()
    headers = {"X-Goog-Hash": f"crc32c={crc}", "X-Goog-Generation": str(stored.generation)}
    found = re.fullmatch(r"bytes=(\d+)-(\d*)", asked)
    if not found:
        return 200, headers, stored.content
    first, last = int(found.group(1)), int(found.group(2) or len(stored.content) - 1)
    if first >= len(stored.content):
        return 416, {}, b""
    part = stored.content[first : last + 1]
    return 206, {"Content-Range": f"bytes {first}-{first + len(part) - 1}/{len(stored.content)}"}, part


def _json(status: int, value: Any) -> tuple[int, dict[str, str], bytes]:
    return status, {"Content-Type": "application/json; charset=UTF-8"}, json.dumps(value).encode()


def _missing(what: str) -> tuple[int, dict[str, str], bytes]:
    return _json(404, {"error": {"code": 404, "message": f"No such object or bucket: {what}"}})


def _precondition() -> tuple[int, dict[str, str], bytes]:
    said = "At least one of the pre-conditions you specified did not hold."
    return _json(412, {"error": {"code": 412, "message": said}})


class _Server(ThreadingHTTPServer):
    # A client reads a whole log at once, on as many connections. Of five that wait the sixth would try again after a
    # second, and the next time after three.
    request_queue_size = 256


@contextmanager
def storage_service(*buckets: str) -> Iterator[Storage]:
    """Cloud Storage with these buckets, on a port of its own, while the block runs; STORAGE_EMULATOR_HOST is `url`."""
    service = Storage(buckets={name: {} for name in buckets})

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _any(self) -> None:
            if self.headers.get("Transfer-Encoding") == "chunked":
                body = b""
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
            else:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, headers, content = service.answer(self.command, self.path, self.headers, body)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _any

        def log_message(self, *_: object) -> None:
            """Nothing: the tests look at `requests`."""

    server = _Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    service.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
