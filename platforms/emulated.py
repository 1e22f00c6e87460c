"""An emulator in the place of a cloud: its Cloud Storage goes with its API, and nothing reaches the real one."""

from __future__ import annotations

import http.client
import json
import os
import urllib.error
import urllib.request
from functools import cache

from headrace.artifacts.errors import HeadraceError

STORAGE = "STORAGE_EMULATOR_HOST"  # where the clients of Cloud Storage go, in this process and its children
_PATIENCE_S = 5.0
_MOST = 10_000  # bytes of an answer


@cache
def is_emulator(endpoint: str) -> bool:
    """Whether `headrace emulator` answers at an address. Only one by http is asked, and past all proxies."""
    if not endpoint.startswith("http://"):
        return False
    try:
        with _opener().open(f"{endpoint.rstrip('/')}/healthz", timeout=_PATIENCE_S) as response:
            answer = json.loads(response.read(_MOST))
    except (OSError, ValueError, http.client.HTTPException):
        return False
    return isinstance(answer, dict) and "emulator" in answer


def use_storage(endpoint: str | None) -> bool:
    """Has this process reach an emulator's Cloud Storage, where an API's address is one; whether it is.

    What STORAGE_EMULATOR_HOST names already stays.
    """
    if not endpoint or not is_emulator(endpoint):
        return False
    os.environ.setdefault(STORAGE, endpoint.rstrip("/"))
    return True


def make_bucket(url: str, project: str) -> bool:
    """Makes the bucket of `gs://BUCKET/...` in the emulator's Cloud Storage; False where it is there, or none is named.

    Raises:
        HeadraceError: it refuses.
    """
    scheme, _, rest = url.partition("://")
    if scheme != "gs":
        return False
    name = rest.partition("/")[0]
    request = urllib.request.Request(
        f"{os.environ[STORAGE]}/storage/v1/b?project={project or 'demo'}",
        json.dumps({"name": name}).encode(),
        {"Content-Type": "application/json"},
    )
    try:
        with _opener().open(request, timeout=_PATIENCE_S):
            return True
    except urllib.error.HTTPError as error:
        told = error.read(_MOST).decode(errors="replace")
        if error.code == 409:
            return False
        raise HeadraceError(f"gs://{name}: expected a bucket to be made in the emulator. Received: {told}") from None
    except (OSError, http.client.HTTPException) as error:
        raise HeadraceError(f"gs://{name}: expected the emulator to answer. Received: {error!r}") from None


def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(urllib.request.ProxyHandler({}))
