"""Writes the tables of docs/emulator.md from the emulator's routes: `make docs`."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from headrace.emulator import unserved
from headrace.emulator.routing import Route
from headrace.emulator.server import routes

TARGET = Path(__file__).resolve().parent.parent / "docs" / "emulator.md"
BEGIN = "<!-- What follows is written by `make docs` from the emulator's routes, up to the mark of its end. -->"
END = "<!-- The end of what `make docs` writes. -->"
SERVICES = (
    ("/v1/", "Vertex AI: `google-cloud-aiplatform`, v1 and v1beta1"),
    ("/apis/", "Kubeflow Pipelines: `kfp`, v2beta1"),
    ("", "Cloud Storage: `google-cloud-storage`, `gcsfs`; and the emulator itself"),
)
# What no server can serve, because the library does not ask the address that it was given.
CANNOT = (
    (
        "Endpoint.raw_predict, Endpoint.stream_raw_predict",
        "the library has the real service's address built in; "
        "`endpoint.authorized_session = connect().session()` sends them to the emulator",
    ),
    ("Endpoint.predict_async, Endpoint.explain_async", "they go by gRPC; `connect()` refuses them at once"),
    ("PrivateEndpoint.*", "they resolve names of a private network"),
    ('anything with api_transport="grpc"', "the emulator speaks REST"),
    ("cloudresourcemanager, BigQuery, Logging, Monitoring", "other services, at addresses of their own"),
)


def tables() -> str:
    """What stands between the marks."""
    parts = ["## What is served", "`/L` stands for `/projects/{project}/locations/{location}`."]
    served = [route for route in routes() if not _why_not(route)]
    left = {(route.method, route.template): route for route in served}
    for prefix, title in SERVICES:
        own = [left.pop(key) for key in list(left) if key[1].startswith(prefix) and (prefix or key)]
        if prefix == "/v1/":  # the SDK polls operations there
            own += [left.pop(key) for key in list(left) if key[1].startswith("/ui/")]
        parts += [f"### {title}", _table("calls | requests", _by_call(own))]
    refused = {_calls(route.call): _why_not(route) for route in routes() if _why_not(route)}
    known = {name for route in served for name in re.findall(r"/(\w+)", route.template)}
    for name, (calls, why) in unserved.COLLECTIONS.items():
        if why and name not in known:
            refused[", ".join(f"`{call}.*`" for call in calls.split(", "))] = why
    parts += [
        "## What is answered with 501",
        "`UNIMPLEMENTED`, with the call's name and the reason; so is every request that no table names.",
        _table("calls | why", dict(sorted(refused.items()))),
        "## What does not reach it",
        _table("calls | why", {_calls(calls): why for calls, why in CANNOT}),
    ]
    return "\n\n".join(parts)


def page(text: str) -> str:
    """A page with its tables as they are now; at its end where it has none yet."""
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2] or "\n"
    return f"{before.rstrip()}\n\n{BEGIN}\n\n{tables()}\n\n{END}{after}"


def _why_not(route: Route) -> str:
    return route.why_not or ("it does not fit a single machine" if route.call.endswith(": 501") else "")


def _by_call(own: list[Route]) -> dict[str, str]:
    found: dict[str, list[str]] = {}
    for route in own:
        template = route.template.replace("/projects/{project}/locations/{location}", "/L")
        found.setdefault(_calls(route.call), []).append(f"`{route.method} {template}`")
    return {calls: "<br>".join(dict.fromkeys(requests)) for calls, requests in found.items()}


def _calls(calls: str) -> str:
    names = re.split(r"[,;] ", calls.removesuffix(": 501"))
    return ", ".join(f"`{name}`" for name in names)


def _table(head: str, rows: dict[str, str]) -> str:
    lines = [f"| {head} |", "| --- | --- |", *(f"| {left} | {right} |" for left, right in rows.items())]
    return "\n".join(lines)


def main() -> None:
    """Writes the page, or says with --check whether it is current."""
    old = TARGET.read_text() if TARGET.exists() else "# The emulator\n"
    new = page(old)
    if "--check" not in sys.argv[1:]:
        TARGET.write_text(new)
    elif new != old:
        sys.exit("docs/emulator.md: expected what the emulator serves. Received: an older page. Run `make docs`.")


if __name__ == "__main__":
    main()
