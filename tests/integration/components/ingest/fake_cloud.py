"""Servers on loopback that speak what the real clients of Google's storage, S3 and BigQuery say to them."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from xml.sax.saxutils import escape

_CONTENT = "application/octet-stream"


@dataclass
class Cloud:
    """What the servers hold, and what they were asked."""

    objects: dict[str, bytes] = field(default_factory=dict)  # bucket/name -> content
    generations: dict[str, int] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    sent: int = 0  # bytes of objects
    fail: Callable[[str], int | None] = lambda path: None  # a status to answer a path with
    url: str = ""

    def put(self, name: str, content: bytes) -> None:
        self.objects[name] = content
        self.generations[name] = self.generations.get(name, 0) + 1


class Handler(BaseHTTPRequestHandler):
    """The parts that all servers have."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet: else each answer waits 40 ms for an acknowledgement
    cloud: Cloud

    def log_message(self, *args: Any) -> None:
        pass

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _send(self, status: int, body: bytes, kind: str = "application/json", **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.cloud.sent += len(body) if kind == _CONTENT else 0
            self.wfile.write(body)

    def _json(self, value: Any, status: int = 200) -> None:
        self._send(status, json.dumps(value).encode())

    def _asked(self) -> tuple[str, dict[str, str]]:
        parts = urllib.parse.urlsplit(self.path)
        self.cloud.requests.append(f"{self.command} {self.path} {self.headers.get('Range', '')}".strip())
        return parts.path, dict(urllib.parse.parse_qsl(parts.query, keep_blank_values=True))

    def _content(self, content: bytes, **headers: str) -> None:
        found = re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if found is None:
            return self._send(200, content, _CONTENT, **headers)
        first, last = int(found[1]), min(int(found[2] or len(content) - 1), len(content) - 1)
        if first >= len(content):
            return self._send(416, b"")
        part = content[first : last + 1]
        range = f"bytes {first}-{last}/{len(content)}"
        return self._send(206, part, _CONTENT, Content_Range=range, **headers)


def listing(cloud: Cloud, bucket: str, prefix: str, delimiter: str) -> tuple[list[str], list[str]]:
    """Names of a bucket's objects below a prefix, and the folders among them."""
    names, folders = [], set()
    for full in sorted(cloud.objects):
        one, _, name = full.partition("/")
        if one != bucket or not name.startswith(prefix):
            continue
        rest = name[len(prefix) :]
        if delimiter and delimiter in rest:
            folders.add(prefix + rest.split(delimiter)[0] + delimiter)
        else:
            names.append(name)
    return names, sorted(folders)


class GoogleStorage(Handler):
    """The JSON API of Google Cloud Storage."""

    composed = False  # such objects have no MD5

    def _meta(self, bucket: str, name: str) -> dict[str, Any]:
        content = self.cloud.objects[f"{bucket}/{name}"]
        meta = {
            "kind": "storage#object",
            "name": name,
            "bucket": bucket,
            "size": str(len(content)),
            "generation": str(self.cloud.generations[f"{bucket}/{name}"]),
            "updated": "2026-01-01T00:00:00Z",
            "timeCreated": "2026-01-01T00:00:00Z",
        }
        if not self.composed:
            meta["md5Hash"] = base64.b64encode(hashlib.md5(content).digest()).decode()
        return meta

    def _route(self) -> None:
        path, query = self._asked()
        if status := self.cloud.fail(path):
            return self._json({"error": {"code": status, "message": "as the test wants it"}}, status)
        if self.command == "POST" and path.startswith("/batch/storage"):
            return self._batch(self._body().decode())
        found = re.match(r"(?:/download)?/storage/v1/b/([^/]+)/o(?:/(.+))?$", path)
        if found is None:
            bucket = re.match(r"/storage/v1/b/([^/]+)(/\w+)?$", path)
            if bucket and not bucket[2] and any(name.startswith(bucket[1] + "/") for name in self.cloud.objects):
                return self._json({"kind": "storage#bucket", "name": bucket[1], "storageClass": "STANDARD"})
            return self._json({"error": {"code": 404, "message": f"no route {path}"}}, 404)
        bucket, name = found[1], urllib.parse.unquote(found[2] or "")
        if not name:
            names, folders = listing(self.cloud, bucket, query.get("prefix", ""), query.get("delimiter", ""))
            return self._json({"items": [self._meta(bucket, name) for name in names], "prefixes": folders})
        if f"{bucket}/{name}" not in self.cloud.objects:
            return self._json({"error": {"code": 404, "message": f"No such object: {bucket}/{name}"}}, 404)
        if self.command == "DELETE":
            del self.cloud.objects[f"{bucket}/{name}"]
            return self._send(204, b"")
        if path.startswith("/download") or query.get("alt") == "media":
            return self._content(self.cloud.objects[f"{bucket}/{name}"])
        return self._json(self._meta(bucket, name))

    def _batch(self, body: str) -> None:
        parts = []
        for bucket, name in re.findall(r"DELETE /storage/v1/b/([^/]+)/o/(\S+) HTTP", body):
            self.cloud.objects.pop(f"{bucket}/{urllib.parse.unquote(name)}", None)
            parts.append("--b\r\nContent-Type: application/http\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n\r\n")
        self._send(200, ("".join(parts) + "--b--").encode(), "multipart/mixed; boundary=b")

    do_GET = do_POST = do_DELETE = _route


class S3(Handler):
    """The REST API of S3, path style."""

    def _route(self) -> None:
        path, query = self._asked()
        if status := self.cloud.fail(path):
            return self._error(status, "AsTheTestWantsIt")
        bucket, _, name = urllib.parse.unquote(path).lstrip("/").partition("/")
        if not name:
            names, folders = listing(self.cloud, bucket, query.get("prefix", ""), query.get("delimiter", ""))
            items = "".join(
                f"<Contents><Key>{escape(one)}</Key><Size>{len(self.cloud.objects[f'{bucket}/{one}'])}</Size>"
                f"<ETag>{escape(self._etag(f'{bucket}/{one}'))}</ETag>"
                "<LastModified>2026-01-01T00:00:00.000Z</LastModified><StorageClass>STANDARD</StorageClass></Contents>"
                for one in names
            ) + "".join(f"<CommonPrefixes><Prefix>{escape(one)}</Prefix></CommonPrefixes>" for one in folders)
            count = len(names) + len(folders)
            xml = f"<ListBucketResult><Name>{bucket}</Name><IsTruncated>false</IsTruncated><KeyCount>{count}</KeyCount>{items}</ListBucketResult>"
            return self._send(200, xml.encode(), "application/xml")
        full = f"{bucket}/{name}"
        if full not in self.cloud.objects:
            return self._error(404, "NoSuchKey")
        headers = {"ETag": self._etag(full), "Last_Modified": "Thu, 01 Jan 2026 00:00:00 GMT", "Accept_Ranges": "bytes"}
        return self._content(self.cloud.objects[full], **headers)

    def _etag(self, full: str) -> str:
        return f'"{hashlib.md5(self.cloud.objects[full]).hexdigest()}"'

    def _error(self, status: int, code: str) -> None:
        self._send(status, f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode(), "application/xml")

    do_GET = do_HEAD = _route


class Plain(Handler):
    """A web server of files."""

    def _route(self) -> None:
        path, _ = self._asked()
        if status := self.cloud.fail(path):
            return self._send(status, b"")
        content = self.cloud.objects.get(path.lstrip("/"))
        if content is None:
            return self._send(404, b"")
        return self._content(content, Accept_Ranges="bytes")

    do_GET = do_HEAD = _route


@contextmanager
def serving(handler: type[Handler], cloud: Cloud | None = None) -> Iterator[Cloud]:
    """Serves on a free port of loopback until the block ends."""
    cloud = cloud or Cloud()
    bound = type(handler.__name__, (handler,), {"cloud": cloud})
    server = ThreadingHTTPServer(("127.0.0.1", 0), bound)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    cloud.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield cloud
    finally:
        server.shutdown()
        server.server_close()


def parquet_bytes(table: Any) -> bytes:
    """A table as a Parquet file."""
    import pyarrow.parquet as pq

    out = io.BytesIO()
    pq.write_table(table, out, row_group_size=2_000)
    return out.getvalue()
