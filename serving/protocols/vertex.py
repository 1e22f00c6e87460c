"""Vertex AI's contract: POST {"instances": [...]} -> {"predictions": [...], "deployedModelId", ...}."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headrace.serving.exchange import Answer, Handler, Request, Response
from headrace.serving.served import Served

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from headrace.serving.app import App


def routes(app: App) -> dict[str, dict[str, Handler]]:
    """The prediction routes, by path and method."""

    def predict(request: Request) -> Answer:
        return app.predict(request, VertexCodec)

    return {route: {"POST": predict} for route in app.settings.predict_routes}


class VertexCodec:
    """Of a model: its scorer speaks this protocol by nature."""

    def __init__(self, served: Served) -> None:
        self._scorer: Any = served.scorer

    def decode(self, request: Request) -> tuple[Any, None]:
        """A body {"instances": [...]} as what the model takes."""
        found: tuple[Any, None] = self._scorer.decode(request.body)
        return found

    def encode(self, outputs: npt.NDArray[np.float32], known: None) -> Response:
        """The answer {"predictions": [...], ...}."""
        return Response(200, self._scorer.encode(outputs))
