"""The pages of the servers of an endpoint, read over HTTP."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.rollout.figures import Reading, read_page, require_same
from headrace.serving.client import EVERYBODY, Access

_PATIENCE_S = 5.0
_LARGEST = 16 * 1024 * 1024  # bytes of a page


@dataclass(frozen=True)
class Pages:
    """What one look at the servers brought."""

    readings: Mapping[str, Reading] = field(default_factory=dict)  # by address
    failed: Mapping[str, str] = field(default_factory=dict)  # address -> why


def address(text: str) -> str:
    """The address of a page, from that of a server or of its page.

    Raises:
        HeadraceError: it is no HTTP address.
    """
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise HeadraceError(f"metrics: expected an address such as http://127.0.0.1:8080. Received: {text!r}")
    return text if parts.path not in ("", "/") else text.rstrip("/") + "/metrics"


def read(addresses: Sequence[str], digests: Mapping[str, str], access: Access = EVERYBODY) -> Pages:
    """Reads every server's page; one that does not answer, or serves another model, is told and left out."""
    readings, failed = {}, {}
    for url in addresses:
        try:
            reading = read_page(_fetch(url, access))
            require_same(reading, digests)
            readings[url] = reading
        except (OSError, ValueError, http.client.HTTPException, HeadraceError) as error:
            failed[url] = f"{url}: {error or type(error).__name__}"
    return Pages(readings, failed)


def _fetch(url: str, access: Access) -> str:
    request = urllib.request.Request(url, headers=access.headers)
    secure = access.tls() if url.startswith("https:") else None
    try:
        with urllib.request.urlopen(request, timeout=_PATIENCE_S, context=secure) as answer:
            page: bytes = answer.read(_LARGEST + 1)
            promised = int(answer.headers.get("Content-Length") or len(page))
    except urllib.error.HTTPError as error:
        with error:
            raise HeadraceError(f"metrics: expected a page. Received: status {error.code}") from None
    if len(page) > _LARGEST:
        raise HeadraceError(f"metrics: expected a page of at most {_LARGEST:,} bytes. Received: a larger one")
    # What a page that was cut off lacks would count as new when the next one has it.
    if len(page) < promised or not page.endswith(b"\n"):
        raise HeadraceError(f"metrics: expected a whole page. Received: its first {len(page):,} bytes")
    return page.decode("utf-8", "replace")
