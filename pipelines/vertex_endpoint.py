"""An endpoint that Vertex AI serves, asked as our own servers are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.locate import open_bundle
from headrace.platforms.vertex.serving import VertexServing
from headrace.platforms.vertex.store import VertexPlace

MOST_BYTES = 1_000_000  # of one request's instances; Vertex AI takes 1.5 MB


class VertexEndpoint:
    """Implements `serving.client.Asked`. Credentials are the machine's; nothing is asked before the first prediction.

    Args:
        uri: the platform's.
        endpoint: the endpoint's name.
        home: where the model's bundle is kept that describes its columns.
    """

    def __init__(self, uri: str, endpoint: str, home: Path) -> None:
        self._uri, self._endpoint, self._home = uri, endpoint, home
        self._serving = VertexServing(VertexPlace.of(uri))

    def predict(self, instances: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """The predictions, one per instance.

        Raises:
            HeadraceError: there is no such endpoint, or it refuses a row, in the server's words.
        """
        found: list[dict[str, Any]] = []
        for some in _requests(instances):
            answers = self._serving.predict(self._endpoint, some).predictions
            if len(answers) != len(some):
                raise HeadraceError(
                    f"endpoint {self._endpoint}: expected {len(some)} predictions. Received: {len(answers)}"
                )
            found += answers
        return found

    def describe(self) -> dict[str, Any]:
        """The model that was deployed there, from its bundle in the registry: Vertex AI passes on only predictions."""
        from headrace.serving.protocols.operations import describe

        return describe(open_bundle(self._endpoint, self._uri, self._home), "")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing stays open between requests."""


def _requests(instances: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """The instances in their order, in requests that are small enough.

    >>> [len(some) for some in _requests([{"a": "x" * 600_000}] * 3)], _requests([])
    ([1, 1, 1], [])
    """
    found: list[list[dict[str, Any]]] = []
    size = MOST_BYTES
    for instance in instances:
        try:
            more = len(json.dumps(instance, allow_nan=False))
        except ValueError:
            expected = "numbers that JSON has (null where a value is missing)"
            raise HeadraceError(f"instances: expected {expected}. Received: NaN or infinity") from None
        if size + more > MOST_BYTES:
            found.append([])
            size = 0
        found[-1].append(instance)
        size += more
    return found
