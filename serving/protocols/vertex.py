"""Vertex AI's contract: POST {"instances": [...]} -> {"predictions": [...], "deployedModelId", ...}."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headrace.serving.exchange import Answer, Handler, Request
from headrace.serving.served import Codec, Served

if TYPE_CHECKING:
    from headrace.serving.app import App


def routes(app: App) -> dict[str, dict[str, Handler]]:
    """The prediction routes, by path and method."""

    def predict(request: Request) -> Answer:
        return app.predict(request, codec)

    return {route: {"POST": predict} for route in app.settings.predict_routes}


def codec(served: Served) -> Codec:
    """Of a model: its scorer speaks this protocol by nature."""
    found: Any = served.scorer
    return found  # type: ignore[no-any-return]
