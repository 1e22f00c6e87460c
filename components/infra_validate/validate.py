"""From a bundle to a report on whether the real server, in a process of its own, serves it as it should."""

from __future__ import annotations

import base64
import http.client
import json
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from headrace.artifacts.bundle import Bundle
from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.infra import Check, Infra, write_infra
from headrace.components.infra_validate.figures import bundle_mib, latencies, server_mib
from headrace.serving.client import Client
from headrace.serving.local import Running, server_process
from headrace.serving.verify import verify_samples

TIMEOUT_SECONDS = 10.0  # of one request
SHOWN = 3  # mismatches that a message repeats

_NO_FIELD = "no field is named so"
BAD_REQUESTS = {
    "no JSON": "{",
    "no instances": "{}",
    "a field missing": '{"instances": [{}]}',
    "an unknown field": json.dumps({"instances": [{_NO_FIELD: 1}]}),
}


def infra_validate(model: Path, output: Path) -> Infra:
    """Serves a bundle, tries it, and writes the report to `output`.

    A check that fails is a finding, in the report; only what leaves no model to report on is an error.

    Raises:
        ArtifactError: there is no bundle, or its manifest is damaged.
    """
    bundle = Bundle.open(model, verify=False)
    infra = examine(bundle)
    write_infra(output, infra)
    for check in infra.checks:
        print(f"{'passed' if check.passed else 'FAILED'}  {check.name}: {check.message}")
    for name, value in infra.figures.items():
        print(f"measured  {name}: {value:.4g}")
    return infra


def examine(bundle: Bundle) -> Infra:
    """Serves a bundle and tries it: does it start, is it this model, are its answers and refusals right?

    And what does it need? What could not be measured is not among the figures, and no gate on it passes.
    """
    start = time.monotonic()
    checks: list[Check] = []
    found: dict[str, float] = {}
    requests = 0
    try:
        Bundle.open(bundle.path)
        found["bundle_mib"] = bundle_mib(bundle)
        start = time.monotonic()
        with server_process(bundle.path) as running:
            url = running.url
            checks.append(Check("starts", True, f"healthy after {time.monotonic() - start:.2f} s"))
            first = _check("first", lambda: _first_answer(url, bundle))
            if first.passed:
                found["cold_start_s"] = time.monotonic() - start
            checks.append(_check("model", lambda: _is_this_model(url, bundle)))
            checks.append(_check("answers", lambda: _answers(url, bundle)))
            if checks[-1].passed:
                requests = _measure(running, bundle, found, checks)
            checks.append(_check("refuses", lambda: _refuses(url, bundle)))
            checks.append(_check("healthy", lambda: _is_healthy(url)))
    except HeadraceError as error:
        print(error)  # all of it, for the task's log; a report wants one line
        checks.append(Check("serves", False, last_line(str(error))))
    latency = {name: found[f"latency_{name}_ms"] for name in ("p50", "p99") if f"latency_{name}_ms" in found}
    return Infra(bundle.digest, tuple(checks), latency, found, requests)


def _first_answer(url: str, bundle: Bundle) -> str:
    with Client(url, TIMEOUT_SECONDS) as client:
        client.predict(bundle.samples()[0][:1])
    return "answered"


def _measure(running: Running, bundle: Bundle, found: dict[str, float], checks: list[Check]) -> int:
    """Adds latencies and memory to the figures, and a check that failed where the server did not keep up.

    Returns:
        of how many requests the latencies are.
    """
    try:
        with Client(running.url, TIMEOUT_SECONDS) as client:
            taken = latencies(client, bundle)
    except HeadraceError as error:
        checks.append(Check("latency", False, last_line(str(error))))
        return 0
    found |= {"latency_p50_ms": taken.p50_ms, "latency_p99_ms": taken.p99_ms}
    memory = server_mib(running.pid)
    if memory is not None:
        found["server_mib"] = memory
    return taken.requests


def last_line(message: str) -> str:
    """A message of one line: of what a server said before it ended, the last line tells why.

    >>> last_line("server: expected it to start. Received: Traceback:\\n  File ...\\nValueError: no such name")
    'server: expected it to start. Received: ValueError: no such name'
    """
    first, *others = [line.strip() for line in message.splitlines() if line.strip()] or [""]
    if not others:
        return first
    expected, received, _ = first.partition("Received: ")
    return f"{expected}{received}{others[-1].removeprefix('error: ')}" if received else others[-1]


class _Failed(Exception):
    """A check's finding."""


def _check(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name, True, look())
    except (_Failed, HeadraceError, OSError, http.client.HTTPException) as error:
        return Check(name, False, last_line(str(error)) or type(error).__name__)


def _is_this_model(url: str, bundle: Bundle) -> str:
    with Client(url, TIMEOUT_SECONDS) as client:
        digest = client.describe().get("digest")
    if digest != bundle.digest:
        raise _Failed(f"expected the server to name {bundle.digest}. Received: {digest}")
    return f"the server names {bundle.digest[:19]}"


def _answers(url: str, bundle: Bundle) -> str:
    result = verify_samples(url, bundle, requests=0)
    if not result.passed:
        shown = "; ".join(result.mismatches[:SHOWN])
        more = len(result.mismatches) - SHOWN
        raise _Failed(shown + (f"; and {more} more" if more > 0 else ""))
    return f"{result.samples} samples, together and alone; largest difference {result.largest_difference:.1e}"


def _refuses(url: str, bundle: Bundle) -> str:
    wrong = {}
    bad = {**BAD_REQUESTS, **bad_pictures(bundle)}
    for name, body in bad.items():
        status, text = _post(url, body.encode())
        if status != 400 or "Received" not in text:
            wrong[name] = f"HTTP {status} for {name}"
    if wrong:
        raise _Failed(f"expected HTTP 400 with a reason. Received: {', '.join(wrong.values())}")
    return f"HTTP 400 with a reason for {', '.join(bad)}"


def bad_pictures(bundle: Bundle) -> dict[str, str]:
    """Requests that a model of images has to refuse besides; none of a table's."""
    if bundle.signature.image is None:
        return {}
    name = bundle.signature.image.name
    whole = base64.b64decode(bundle.samples()[0][0][name]["b64"])
    files = {"bytes of no image": b"not an image", "half an image": whole[: len(whole) // 2]}
    return {
        what: json.dumps({"instances": [{name: {"b64": base64.b64encode(content).decode()}}]})
        for what, content in files.items()
    }


def _is_healthy(url: str) -> str:
    with Client(url, TIMEOUT_SECONDS) as client:
        client.request("GET", "/health")
    return "healthy after all that"


def _post(url: str, body: bytes) -> tuple[int, str]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("POST", "/predict", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, response.read().decode(errors="replace")
    finally:
        connection.close()
