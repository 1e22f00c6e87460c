"""The handler as a Cloud Function. A function's `main.py` is one line:

    from headrace.pipelines.events.function import on_event      # or on_request

`on_event` has the signature of functions-framework's CloudEvent functions, `on_request` that of HTTP functions.
Settings come from the environment; who may call is the function's own affair (`roles/run.invoker`).
"""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any

from headrace.pipelines.events.app import log, open_handler
from headrace.pipelines.events.event import EventError
from headrace.pipelines.events.handler import AGAIN, Handler, Outcome
from headrace.pipelines.events.reading import read_cloud_event, read_request
from headrace.pipelines.events.settings import Settings


class Again(Exception):
    """Raised so that the event is delivered again: functions that are to be retried say it by an error."""


@functools.cache
def _handler() -> Handler:
    return open_handler(Settings.of(os.environ), Path(os.environ.get("HEADRACE_HOME", ".headrace")).absolute())


def on_event(cloud_event: Any) -> None:
    """Handles a CloudEvent.

    Args:
        cloud_event: of the `cloudevents` library, as functions-framework passes it.

    Raises:
        Again: it is to be delivered again. An event that nobody can read is logged, and not repeated.
    """
    try:
        event = read_cloud_event(cloud_event.get_attributes(), cloud_event.get_data())
    except EventError as error:
        log("ERROR", str(error))
        return
    _raise_again(_handler().handle(event))


def on_request(request: Any) -> tuple[dict[str, Any], int]:
    """Handles a request with a CloudEvent or a push of Pub/Sub.

    Args:
        request: Flask's.
    """
    try:
        event = read_request(dict(request.headers), request.get_data())
    except EventError as error:
        log("ERROR", str(error))
        return {"error": str(error)}, 400
    outcomes = _handler().handle(event)
    status = 503 if any(outcome.state in AGAIN for outcome in outcomes) else 200
    return {"event": event.id, "outcomes": [vars(outcome) for outcome in outcomes]}, status


def _raise_again(outcomes: list[Outcome]) -> None:
    if waiting := [outcome for outcome in outcomes if outcome.state in AGAIN]:
        raise Again("; ".join(f"{outcome.rule}: {outcome.error or outcome.state}" for outcome in waiting))
