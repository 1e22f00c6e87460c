"""What is asked of a container registry beside pushing: what a tag stands for, and another tag for the same digest.

By the API of https://github.com/opencontainers/distribution-spec, so that nothing is pulled.
"""

from __future__ import annotations

import hashlib
from typing import Any

from tools.delivery.errors import DeliveryError

_MANIFESTS = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)
_SECONDS = 30


def digest(repository: str, reference: str) -> str | None:
    """What a tag (or digest) of `HOST/NAME` stands for, `sha256:...`; None where the registry has no such one.

    Raises:
        DeliveryError: the registry does not answer, or refuses.
    """
    answer = _ask("GET", repository, reference)
    if answer.status_code == 404:
        return None
    _expect(answer, 200, f"{repository}:{reference}")
    return "sha256:" + hashlib.sha256(answer.content).hexdigest()  # of what came, not what a header claims


def tag(image: str, name: str, *, move: bool = False) -> bool:
    """Gives an image, named by its digest, a tag.

    Args:
        image: `HOST/NAME@sha256:...`.
        name: the tag.
        move: whether a tag that stands for another image may be moved.

    Returns:
        Whether anything had to be done.

    Raises:
        DeliveryError: there is no such image, the tag stands for another one, or the registry refuses.
    """
    repository, _, wanted = image.partition("@")
    found = digest(repository, name)
    if found == wanted:
        return False
    if found and not move:
        raise DeliveryError(f"{repository}:{name}: expected {wanted}, or no such tag. Received: {found}")
    manifest = _ask("GET", repository, wanted)
    _expect(manifest, 200, image)
    kind = manifest.headers["Content-Type"]
    _expect(_ask("PUT", repository, name, manifest.content, kind), 201, f"{repository}:{name}")
    return True


def _ask(method: str, repository: str, reference: str, content: bytes | None = None, kind: str = "") -> Any:
    import requests

    host, _, name = repository.partition("/")
    scheme = "http" if host.partition(":")[0] in ("127.0.0.1", "localhost") else "https"
    headers = {"Accept": _MANIFESTS, **_authorization(host), **({"Content-Type": kind} if kind else {})}
    url = f"{scheme}://{host}/v2/{name}/manifests/{reference}"
    try:
        return requests.request(method, url, headers=headers, data=content, timeout=_SECONDS)
    except requests.RequestException as error:
        raise DeliveryError(f"{host}: expected a container registry. Received: {error}") from None


def _authorization(host: str) -> dict[str, str]:
    """Google's registries take the token of whoever runs this; no other host ever gets to see it."""
    if not host.endswith(("-docker.pkg.dev", "gcr.io")):
        return {}
    return {"Authorization": f"Bearer {google_token()}"}


def google_token() -> str:
    """An access token of the application default credentials.

    Raises:
        DeliveryError: there are none.
    """
    import google.auth
    from google.auth.exceptions import GoogleAuthError
    from google.auth.transport.requests import Request

    try:
        credentials, _ = google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
        credentials.refresh(Request())
    except GoogleAuthError as error:
        raise DeliveryError(
            f"expected application default credentials. Received: {error}. `gcloud auth application-default login` "
            "makes some; Cloud Build's steps have those of the build's service account"
        ) from None
    return str(credentials.token)


def _expect(answer: Any, status: int, what: str) -> None:
    if answer.status_code == status:
        return
    hint = {
        401: "log in, or give the build's service account roles/artifactregistry.writer",
        403: "the account lacks roles/artifactregistry.writer (to pull, .reader) on this repository",
        404: "was it pushed?",
    }.get(answer.status_code, answer.text[:200])
    raise DeliveryError(f"{what}: expected {status} of the registry. Received: {answer.status_code}; {hint}")
