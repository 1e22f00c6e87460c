"""A client of the prediction server, on the standard library alone."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self
from urllib.parse import SplitResult, urlsplit

from headrace.artifacts.errors import HeadraceError
from headrace.serving.csv_rows import read_csv

TIMEOUT_SECONDS = 60.0
BATCH_ROWS = 1000  # rows of a file per request: far below the server's limit on a body

BATCH_IMAGES, BATCH_BYTES = 64, 4 * 1024 * 1024  # of image files, likewise: Base64 makes a third more of them


@dataclass(frozen=True)
class Access:
    """What a server that does not answer everybody wants to see, and whose certificate is believed."""

    token_file: Path | str | None = None  # whose first line that is not empty is sent as `Authorization: Bearer`
    ca: Path | str | None = None  # PEM of the authorities that the server's certificate may be of; None: the system's
    host: str = ""  # the server's name, where a gateway is asked that passes requests on by it

    @cached_property
    def token(self) -> str:
        """The first token of the file; empty where there is no file.

        Raises:
            HeadraceError: the file cannot be read, or has no token.
        """
        if self.token_file is None:
            return ""
        try:
            lines = Path(self.token_file).read_text("ascii").splitlines()
        except OSError as error:
            raise HeadraceError(
                f"{self.token_file}: expected a file with a token. Received: {error.strerror}"
            ) from None
        except UnicodeDecodeError:
            raise HeadraceError(f"{self.token_file}: expected a token in ASCII. Received: other characters") from None
        token = next((line.strip() for line in lines if line.strip()), "")
        if not token.isprintable() or not token:
            raise HeadraceError(f"{self.token_file}: expected a token on a line of its own. Received: none")
        return token

    @property
    def headers(self) -> dict[str, str]:
        """What goes with each request; see `token` for the errors."""
        named = {"Host": self.host} if self.host else {}
        return named | ({"Authorization": f"Bearer {self.token}"} if self.token else {})

    def tls(self) -> ssl.SSLContext:
        """How servers prove who they are.

        Raises:
            HeadraceError: `ca` has no certificates.
        """
        try:
            return ssl.create_default_context(cafile=self.ca)
        except OSError as error:  # also of ssl's own errors
            reason = error.strerror or str(error)
            expected = "the certificates of authorities in PEM"
            raise HeadraceError(f"{self.ca}: expected {expected}. Received: {reason}") from None


EVERYBODY = Access()


class Asked(Protocol):
    """Who answers predictions, however it is reached; a context manager, as a connection is."""

    def predict(self, instances: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """The predictions, one per instance."""

    def describe(self) -> dict[str, Any]:
        """The model, as a server's `GET /` describes it."""

    def __enter__(self) -> Self:
        """Itself."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the connection."""


def predict(
    url: str | Asked,
    instances: Sequence[dict[str, Any]],
    timeout: float = TIMEOUT_SECONDS,
    protocol: str = "vertex",
    access: Access = EVERYBODY,
) -> list[dict[str, Any]]:
    """Asks a server for the predictions of some instances, in their order.

    `url` is the server's (http://127.0.0.1:8080), or with a path the prediction route's, or what asks in another way;
    `protocol` as in `serving.protocols.clients`, `access` what the server wants to see.

    Raises:
        HeadraceError: nobody answers there, or the server refuses the request; the message is the server's.
    """
    with _client(url, timeout, protocol, access) as client:
        answers: list[dict[str, Any]] = client.predict(instances)
        return answers


def predict_csv(
    url: str | Asked,
    file: Path | str,
    timeout: float = TIMEOUT_SECONDS,
    protocol: str = "vertex",
    access: Access = EVERYBODY,
    separator: str | None = None,
    decimal: str | None = None,
) -> list[dict[str, Any]]:
    """Asks for a prediction for each row of a CSV file with a header.

    The model's own description says which columns are wanted, of what type, and which texts meant that a value was
    missing in the data that it learned from; other columns are left out. It also says what stood between fields and
    before fractions there, unless `separator` and `decimal` say what does here.

    Raises:
        HeadraceError: the file or a cell of it does not fit, or see `predict`.
    """
    answers: list[dict[str, Any]] = []
    with _client(url, timeout, protocol, access) as client:
        about = client.describe()
        if any(item["type"] == "image" for item in about["inputs"]):
            raise HeadraceError("endpoint: expected a model of tables. Received: one of images; give it --image FILE")
        told = about.get("csv") or {}
        rows = read_csv(
            file,
            about["inputs"],
            told.get("null_values") or (),
            separator or told.get("separator"),
            decimal=decimal or told.get("decimal") or ".",
            pointed=() if decimal else told.get("pointed") or (),
            trim=bool(told.get("trim")),
            types=told.get("types") or {},
        )
        while batch := list(islice(rows, BATCH_ROWS)):
            answers += client.predict(batch)
    return answers


def predict_images(
    url: str | Asked,
    images: Sequence[Path | str],
    timeout: float = TIMEOUT_SECONDS,
    protocol: str = "vertex",
    access: Access = EVERYBODY,
) -> Iterator[tuple[Path | str, dict[str, Any]]]:
    """Asks for a prediction for each image file, several in one request; yields the files with their answers.

    Raises:
        HeadraceError: a file cannot be read, the model is none of images, or see `predict`.
    """
    with _client(url, timeout, protocol, access) as client:
        name = _image_input(client.describe()["inputs"])
        for batch in _batches(images):
            instances = [{name: {"b64": base64.b64encode(content).decode()}} for _, content in batch]
            yield from zip([image for image, _ in batch], client.predict(instances), strict=True)


def _client(url: str | Asked, timeout: float, protocol: str, access: Access) -> Any:
    if not isinstance(url, str):
        return url
    if protocol == "vertex":
        return Client(url, timeout, access)
    from headrace.serving.protocols.clients import open_client

    return open_client(url, timeout, protocol, access)


def split_url(url: str) -> SplitResult | None:
    """The parts of an address; None where it is none, as with a port beyond 65535."""
    try:
        parts = urlsplit(url)
        _ = parts.port, parts.hostname  # which raise where they are none
    except ValueError:
        return None
    return parts


def _image_input(inputs: Sequence[dict[str, Any]]) -> str:
    if [item["type"] for item in inputs] != ["image"]:
        received = ", ".join(item["name"] for item in inputs)
        raise HeadraceError(f"endpoint: expected a model of images. Received: one of the columns {received}")
    return str(inputs[0]["name"])


def _batches(images: Iterable[Path | str]) -> Iterator[list[tuple[Path | str, bytes]]]:
    """Files and their contents, as many as a request holds."""
    batch: list[tuple[Path | str, bytes]] = []
    size = 0
    for image in images:
        try:
            content = Path(image).read_bytes()
        except OSError as error:
            raise HeadraceError(f"{image}: expected an image file. Received: {error.strerror}") from None
        if batch and (size + len(content) > BATCH_BYTES or len(batch) == BATCH_IMAGES):
            yield batch
            batch, size = [], 0
        batch.append((image, content))
        size += len(content)
    if batch:
        yield batch


class Client:
    """One connection, kept open between requests."""

    def __init__(self, url: str, timeout: float = TIMEOUT_SECONDS, access: Access = EVERYBODY) -> None:
        parts = split_url(url if "://" in url else f"http://{url}")
        if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
            raise HeadraceError(f"endpoint: expected an address like http://127.0.0.1:8080. Received: {url}")
        if access.ca is not None and parts.scheme != "https":
            raise HeadraceError(f"endpoint: expected an https:// address beside the authority. Received: {url}")
        self._headers = {"Content-Type": "application/json", **access.headers}
        self._server = f"{parts.scheme}://{parts.netloc}"
        self._route = parts.path if parts.path not in ("", "/") else "/predict"
        self._connection = (
            http.client.HTTPSConnection(parts.hostname, parts.port, timeout=timeout, context=access.tls())
            if parts.scheme == "https"
            else http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout)
        )

    def predict(self, instances: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """The predictions, one per instance."""
        try:
            body = json.dumps({"instances": list(instances)}, allow_nan=False).encode()
        except ValueError:
            expected = "numbers that JSON has (null where a value is missing)"
            raise HeadraceError(f"instances: expected {expected}. Received: NaN or infinity") from None
        answer = self.request("POST", self._route, body)
        predictions = answer.get("predictions") if isinstance(answer, dict) else None
        if not isinstance(predictions, list) or len(predictions) != len(instances):
            expected = f"{len(instances)} predictions"
            raise HeadraceError(f"{self._server}: expected {expected}. Received: {str(answer)[:200]}")
        return predictions

    def describe(self) -> dict[str, Any]:
        """The model, as `GET /` describes it: name, version, digest, inputs, outputs."""
        answer = self.request("GET", "/")
        if not isinstance(answer, dict) or not isinstance(answer.get("inputs"), list):
            expected = "a model's description"
            raise HeadraceError(f"{self._server}: expected {expected}. Received: {str(answer)[:200]}")
        return answer

    def request(self, method: str, route: str, body: bytes | None = None) -> Any:
        """Sends one request and decodes the answer's JSON; see `predict` for the errors."""
        try:
            self._connection.request(method, route, body, self._headers)
            response = self._connection.getresponse()
            text = response.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise HeadraceError(_unreachable(self._server, error)) from None
        try:
            answer = json.loads(text)
        except ValueError:
            message = f"expected JSON. Received: {text[:200].decode(errors='replace')}"
            raise HeadraceError(f"{self._server}{route}: {message} (HTTP {response.status})") from None
        if response.status != 200:
            message = answer.get("error", answer) if isinstance(answer, dict) else answer
            raise HeadraceError(f"{self._server}{route}: {message} (HTTP {response.status})")
        return answer

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _unreachable(server: str, error: Exception) -> str:
    if isinstance(error, ConnectionRefusedError):
        hint = "Start one with `headrace serve MODEL`"
        return f"{server}: expected a running server. Received: connection refused. {hint}."
    if isinstance(error, ssl.SSLCertVerificationError):
        hint = "Give the file of its authority (--ca)."
        return f"{server}: expected a certificate to be believed. Received: {error.verify_message}. {hint}"
    if isinstance(error, TimeoutError):
        return f"{server}: expected an answer in time. Received: none"
    return f"{server}: expected an answer. Received: {error or type(error).__name__}"
