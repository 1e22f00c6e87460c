"""A container registry in memory, over HTTP on this machine: as much of the distribution specification as a push needs.

https://github.com/opencontainers/distribution-spec/blob/main/spec.md
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


@dataclass
class Registry:
    """Its content: blobs by digest; manifests, with their media types, by repository and digest; tags."""

    host: str = ""
    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[tuple[str, str], tuple[str, bytes]] = field(default_factory=dict)
    tags: dict[tuple[str, str], str] = field(default_factory=dict)
    uploads: dict[str, bytearray] = field(default_factory=dict)
    refuse: int = 0  # the status of every answer, if not 0
    headers: list[dict[str, str]] = field(default_factory=list)

    def put(
        self, repository: str, tag: str, content: bytes, kind: str = "application/vnd.oci.image.manifest.v1+json"
    ) -> str:
        """Stores a manifest under a tag (or its own digest); its digest."""
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        self.manifests[repository, digest] = (kind, content)
        if not tag.startswith("sha256:"):
            self.tags[repository, tag] = digest
        return digest


@contextmanager
def registry_service() -> Iterator[Registry]:
    """The registry, on a port of its own, while the block runs."""
    registry = Registry()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.headers.get("Transfer-Encoding") == "chunked":
                body = self._chunks()
            registry.headers.append(dict(self.headers))
            status, headers, content = (
                (registry.refuse, {}, b"")
                if registry.refuse
                else answer(registry, self.command, self.path, body, self.headers)
            )
            self.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def _chunks(self) -> bytes:
            found = bytearray()
            while size := int(self.rfile.readline(), 16):
                found += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return bytes(found)

        do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = _any

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    registry.host = f"127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield registry
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def answer(registry: Registry, method: str, path: str, body: bytes, sent: object) -> tuple[int, dict[str, str], bytes]:
    """One request: status, headers, content."""
    parts = urlsplit(path)
    if parts.path == "/v2/":
        return 200, {}, b"{}"
    match = re.fullmatch(r"/v2/(.+)/(blobs/uploads|blobs|manifests)/(.*)", parts.path)
    if not match:
        return 404, {}, b""
    name, what, reference = match.groups()
    if what == "manifests":
        return _manifest(registry, method, name, reference, body, sent)
    if what == "blobs":
        found = registry.blobs.get(reference)
        return (404, {}, b"") if found is None else (200, {"Docker-Content-Digest": reference}, found)
    if method == "POST":
        reference = f"u{len(registry.uploads)}"
        registry.uploads[reference] = bytearray()
    registry.uploads[reference] += body
    location = {"Location": f"/v2/{name}/blobs/uploads/{reference}"}
    if method == "PUT":
        digest = parse_qs(parts.query)["digest"][0]
        content = bytes(registry.uploads.pop(reference))
        if digest != "sha256:" + hashlib.sha256(content).hexdigest():
            return 400, {}, b'{"errors": [{"code": "DIGEST_INVALID"}]}'
        registry.blobs[digest] = content
        return 201, {"Docker-Content-Digest": digest, "Location": f"/v2/{name}/blobs/{digest}"}, b""
    return 202, {**location, "Range": f"0-{max(0, len(registry.uploads[reference]) - 1)}"}, b""


def _manifest(
    registry: Registry, method: str, name: str, reference: str, body: bytes, sent: object
) -> tuple[int, dict[str, str], bytes]:
    if method == "PUT":
        digest = registry.put(name, reference, body, sent["Content-Type"])  # type: ignore[index]
        return 201, {"Docker-Content-Digest": digest}, b""
    digest = reference if reference.startswith("sha256:") else registry.tags.get((name, reference), "")
    found = registry.manifests.get((name, digest))
    if found is None:
        return 404, {}, b'{"errors": [{"code": "MANIFEST_UNKNOWN"}]}'
    return 200, {"Docker-Content-Digest": digest, "Content-Type": found[0]}, found[1]
