"""Points the clients of Vertex AI, Cloud Storage and Kubeflow Pipelines at an emulator, and at nothing else.

It uses public interfaces of theirs only. What the libraries would send to the real service in spite of the settings is
refused before it leaves: the credentials that every request asks look where it goes.
"""

from __future__ import annotations

import http.client
import json
import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

from headrace.artifacts.errors import HeadraceError

NAME = "headrace emulator"  # what one answers with that is asked for its health
ADDRESS = "http://127.0.0.1:8971"  # of `headrace emulator` without options
_PATIENCE_S = 10.0


class Elsewhere(HeadraceError):
    """A client library was about to reach another service than the emulator."""


@dataclass(frozen=True)
class Connection:
    """An emulator that the clients of this process are pointed at.

    Attributes:
        address: without a slash at its end.
        project, location: the defaults of `aiplatform`.
    """

    address: str
    project: str
    location: str

    def kfp(self, **settings: Any) -> Any:
        """A `kfp.Client` of the emulator; settings as it takes them, `namespace="team"`."""
        import kfp

        return kfp.Client(host=self.address, **settings)

    def credentials(self) -> Any:
        """For clients that are made by hand, `storage.Client(project, credentials)`: they reach the emulator only."""
        return _credentials(self.address)

    def session(self) -> Any:
        """A `requests` session for `raw_predict`, which has the real service's address built in.

        `endpoint.authorized_session = connection.session()` sends what the endpoint posts to the emulator.
        """
        import requests

        address = self.address

        class Session(requests.Session):
            def request(self, method: Any, url: Any, *arguments: Any, **settings: Any) -> requests.Response:
                parts = urlsplit(str(url))
                here = address + parts.path + (f"?{parts.query}" if parts.query else "")
                return super().request(method, here, *arguments, **settings)

        return Session()


def connect(url: str = ADDRESS, *, project: str = "demo", location: str = "us-central1", **settings: Any) -> Connection:
    """Points `aiplatform` and `google.cloud.storage` of this process at an emulator.

    `STORAGE_EMULATOR_HOST` is set for this process and its children, and the emulator's host is added to `NO_PROXY`
    where a proxy is set. A later `aiplatform.init(project=...)` keeps what is set here. Where
    `google-cloud-aiplatform` is not installed there is nothing of it to set.

    Args:
        url: the emulator's address, as `headrace emulator` prints it.
        project, location: the defaults of calls that name none.
        settings: others of `aiplatform.init`: `staging_bucket="gs://b"`, `experiment="e"`. A service account is
            set in any case: without one the library asks the real service for the project's number.

    Raises:
        HeadraceError: no emulator answers there.
    """
    address = _checked(url)
    _past_proxies(address)
    _ask(address)
    os.environ["STORAGE_EMULATOR_HOST"] = address
    os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"  # or gcsfs asks for each bucket's kind by gRPC
    if find_spec("google") and find_spec("google.cloud.aiplatform"):
        from google.cloud import aiplatform

        account = f"emulator@{project}.iam.gserviceaccount.com"
        aiplatform.init(
            project=project,
            location=location,
            api_endpoint=address,
            api_transport="rest",
            credentials=_credentials(address),
            **{"service_account": account, **settings},
        )
    return Connection(address, project, location)


def _checked(url: str) -> str:
    address = url.rstrip("/")
    try:
        parts = urlsplit(address)
        whole = parts.scheme == "http" and parts.hostname and parts.path == "" and not parts.query and parts.port != 0
    except ValueError:
        whole = False
    if not whole:
        raise HeadraceError(f"url: expected an emulator's address, {ADDRESS}. Received: {url}")
    return address


def _past_proxies(address: str) -> None:
    host = str(urlsplit(address).hostname)
    proxies: Mapping[str, str] = urllib.request.getproxies()
    if ("http" in proxies or "all" in proxies) and not urllib.request.proxy_bypass(host):
        for name in ("NO_PROXY", "no_proxy"):
            os.environ[name] = ",".join(filter(None, [os.environ.get(name, ""), host]))


def _ask(address: str) -> None:
    """Whether an emulator answers.

    Raises:
        HeadraceError: no, or something else does.
    """
    try:
        with urllib.request.urlopen(f"{address}/healthz", timeout=_PATIENCE_S) as response:
            answer = json.loads(response.read(10_000))
    except urllib.error.HTTPError as error:
        error.close()
        answer = f"status {error.code}"
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error) or type(error).__name__
        raise HeadraceError(
            f"{address}: expected an emulator. Received: {reason}. `headrace emulator` starts one."
        ) from None
    except ValueError:
        answer = "another server"
    if not isinstance(answer, dict) or answer.get("emulator") != NAME:
        raise HeadraceError(f"{address}: expected an emulator. Received: {answer!s:.100}")


def _credentials(address: str) -> Any:
    """Credentials that let requests to one address through, without a token, and no others."""
    from google.auth.credentials import AnonymousCredentials, Scoped

    host = urlsplit(address).netloc

    class EmulatorCredentials(AnonymousCredentials, Scoped):
        requires_scopes = True

        def before_request(self, request: Any, method: Any, url: Any, headers: Any) -> None:
            """Is asked before each request of any transport."""
            _check_host(host, str(url))

        def with_scopes(self, scopes: Any, default_scopes: Any = None) -> Any:
            """Is asked when a client is made: by those of gRPC with default scopes, and before they look up a host's
            name, again and again for a minute where there is none. The emulator speaks no gRPC."""
            if default_scopes is not None:
                raise Elsewhere(
                    f"expected a client that speaks REST to the emulator at {host}. Received: one of gRPC, for "
                    f"{', '.join(default_scopes)}; it was not connected. predict_async is one, and what asks the "
                    "Resource Manager for a project's number."
                )
            return self

    return EmulatorCredentials()  # type: ignore[no-untyped-call]


def _check_host(host: str, url: str) -> None:
    if urlsplit(url).netloc == host:
        return
    hint = ""
    if ":rawPredict" in url or ":streamRawPredict" in url:
        hint = (
            " raw_predict has this address built in: endpoint.authorized_session = connection.session() before it, "
            "or predict instead."
        )
    raise Elsewhere(f"expected a request to the emulator at {host}. Received: one to {url}; it was not sent.{hint}")
