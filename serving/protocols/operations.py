"""What who runs a server asks: whether it is healthy, what it serves, what it counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from headrace.artifacts import bundle as files
from headrace.artifacts.bundle import Bundle
from headrace.artifacts.folder import read_json
from headrace.artifacts.written import written_types
from headrace.serving.exchange import Handler, Request, Response
from headrace.serving.page import CONTENT_TYPE

if TYPE_CHECKING:
    from headrace.serving.app import App

_OK = Response(200, b'{"status":"ok"}')


def routes(app: App) -> dict[str, dict[str, Handler]]:
    """Health, description and metrics, by path and method."""

    def health(request: Request) -> Response:
        return _OK

    def about(request: Request) -> Response:
        values = describe(app.router.main.bundle, app.settings.predict_routes[0])
        values |= app.router.described()
        return Response(200, msgspec.json.encode(values | ({"refused": app.refused} if app.refused else {})))

    def page(request: Request) -> Response:
        return Response(200, app.metrics.text(), CONTENT_TYPE)

    return {
        "/": {"GET": about},
        "/metrics": {"GET": page},
        **{route: {"GET": health} for route in app.settings.health_routes},
    }


def describe(bundle: Bundle, predict_route: str) -> dict[str, Any]:
    """What `GET /` says of the model: enough to write a request for it."""
    signature = bundle.signature
    values = signature.to_dict()
    inputs = values.pop("inputs")
    size = max(1, len(signature.classes))
    return {
        "name": bundle.name,
        "version": bundle.version,
        "digest": bundle.digest,
        "predict": predict_route,
        **values,
        "inputs": inputs,
        "outputs": [{"name": signature.output, "type": "number", "size": size}],
        "csv": read_as(bundle),
    }


def read_as(bundle: Bundle) -> dict[str, Any]:
    """How the text files that the model learned from were read.

    Null values, separator (null: by the suffix), decimal sign and inputs that have a point all the same, whether spaces
    around a field are dropped, and the types of inputs that are not written as plain numbers and ISO dates.

    A client that turns a CSV file into instances has to do the same, or "NA" is a category that nobody ever saw.
    """
    query: dict[str, Any] = {}
    if files.LINEAGE in bundle.manifest.files:
        query = read_json(bundle.lineage).get("data", {}).get("query", {})
    types = written_types(query.get("types"))
    return {
        "null_values": query.get("null_values") or [""],
        "separator": query.get("separator"),
        "decimal": query.get("decimal") or ".",
        "pointed": [one.name for one in bundle.signature.inputs if one.name in query.get("pointed", ())],
        "trim": bool(query.get("trim")),
        "types": {one.name: types[one.name] for one in bundle.signature.inputs if one.name in types},
    }
