"""`GET /openapi.json`: the routes in OpenAPI 3.1, with the model's own fields; `GET /docs`: a page to try them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from headrace.serving.exchange import Handler, Request, Response

if TYPE_CHECKING:
    from headrace.serving.app import App

HTML = b"text/html; charset=utf-8"


def routes(app: App) -> dict[str, dict[str, Handler]]:
    """The description and the page, by path and method; each is made when it is first asked for."""
    made: dict[str, bytes] = {}

    def described(request: Request) -> Response:
        if "json" not in made:
            from headrace.serving.protocols.openapi_document import document

            made["json"] = msgspec.json.encode(document(app))
        return Response(200, made["json"])

    def page(request: Request) -> Response:
        if "html" not in made:
            from headrace.serving.protocols.docs_page import docs_page

            made["html"] = docs_page(app).encode()
        return Response(200, made["html"], HTML)

    return {"/openapi.json": {"GET": described}, "/docs": {"GET": page}}


def example_rows(app: App, rows: int) -> list[dict[str, Any]]:
    """Some of the samples that the model's bundle carries."""
    return app.router.main.bundle.samples()[0][:rows]
