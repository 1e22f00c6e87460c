"""A process that answers a stream: opens both places, loads the model, and stops when the batch in flight is done."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Sequence

from headrace.serving.streaming.consume import Patience, Stopped, consume
from headrace.serving.streaming.counted import Counted, listen
from headrace.serving.streaming.model import Model
from headrace.serving.streaming.route import Asked, open_route
from headrace.serving.target import Target, titled


def run(
    asked: Asked,
    target: Target,
    follow: Callable[[], Target] | None = None,
    *,
    keep: Sequence[str] = (),
    ignore_others: bool = False,
    most: int = 500,
    metrics: tuple[str, int] | None = None,
) -> None:
    """Answers messages until SIGTERM or SIGINT, or the end of a file. It is for a process's main thread.

    Once it reads, it says so in a line on standard error: standard output may be the sink.

    Args:
        asked: from where to where.
        target: the model.
        follow: says what is to answer from now on; None: the same for ever.
        keep: fields of a message that are copied into its answer.
        ignore_others: whether other fields that the model does not take are passed over, or refused.
        most: messages of a batch.
        metrics: host and port where the numbers are asked for.

    Raises:
        HeadraceError: the model or a place is refused. What can only not be reached is waited for.
    """
    stop, counted = threading.Event(), Counted()
    before = {name: signal.signal(name, lambda *_: stop.set()) for name in (signal.SIGTERM, signal.SIGINT)}
    try:
        model = Model(target, counted, follow, keep, ignore_others)
        if metrics:
            _say(f"metrics at {listen(counted, *metrics)}/metrics")
        try:
            route = Patience(stop, counted).until_done("source", lambda: open_route(asked))
        except Stopped:
            return
        try:
            _say(f"answering {route.source.name} into {route.sink.name} with {titled(model.answers.served.bundle)}")
            _say(route.promise)
            consume(route, model.current, counted, stop, most)
        finally:
            route.close()
            _say(f"stopped; {counted.scored} messages answered, {counted.dead} dead letters")
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


def _say(text: str) -> None:
    print(f"headrace: {text}", file=sys.stderr, flush=True)
