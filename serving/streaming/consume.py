"""The loop: read what is waiting, answer it, store the answers, say that it is done.

One batch is in flight at a time. While the sink takes nothing, nothing is read: what waits, waits in the source. What
cannot be reached is tried again, for as long as it takes, and messages that were read are kept meanwhile.
"""

from __future__ import annotations

import random
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

from headrace.serving.streaming.answers import Answers
from headrace.serving.streaming.counted import Counted
from headrace.serving.streaming.message import Lost, Record, Route, Unavailable

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 10.0  # seconds between two attempts: twice as long each time
READ_SECONDS = 1.0  # for which a read waits at most: a stop is heeded that soon
LOOK_SECONDS = 1.0  # between two looks at how much is waiting
KEEP_SECONDS = 5.0  # between two times that messages are kept

Made = TypeVar("Made")


class Stopped(Exception):
    """The process is to end, and what was tried cannot be done."""


@dataclass
class Patience:
    """Tries again what cannot be reached, less and less often; complains once."""

    stop: threading.Event
    counted: Counted
    _complained: bool = field(default=False, repr=False)

    def until_done(self, place: str, work: Callable[[], Made], meanwhile: Callable[[], object] | None = None) -> Made:
        """What the work comes to.

        Args:
            place: `source` or `sink`, for the metrics.
            work: is done again as long as it raises Unavailable.
            meanwhile: is done between two attempts, and may fail likewise.

        Raises:
            Stopped: the process is to end.
        """
        pause, kept = FIRST_PAUSE, time.monotonic()
        while True:
            self.counted.turned()
            try:
                done = work()
            except Unavailable as error:
                self.counted.unavailable[place] += 1
                self._say(str(error))
            else:
                self._again()
                return done
            if self.stop.wait(pause * random.uniform(0.5, 1.0)):
                raise Stopped
            pause = min(2 * pause, LONGEST_PAUSE)
            if meanwhile and time.monotonic() - kept > KEEP_SECONDS:
                kept = time.monotonic()
                with suppress(Unavailable):
                    meanwhile()

    def _say(self, text: str) -> None:
        self.counted.reachable = False
        if not self._complained:
            print(f"headrace: {text.rstrip('.')}; trying again until it does", file=sys.stderr, flush=True)
        self._complained = True

    def _again(self) -> None:
        if self._complained:
            print("headrace: source and sink answer again", file=sys.stderr, flush=True)
        self._complained, self.counted.reachable = False, True


def consume(
    route: Route, current: Callable[[], Answers], counted: Counted, stop: threading.Event, most: int = 500
) -> None:
    """Answers messages until there are no more, or until `stop` is set: then the batch in flight is finished first.

    Args:
        route: from where to where.
        current: the model of the moment; asked before each batch.
        counted: is told what happens.
        stop: ends it. What cannot be stored then is delivered again to whoever reads next.
        most: messages of a batch; that many are answered together if they are waiting, and nobody waits for more.

    Raises:
        HeadraceError: a place refuses what it is asked, which trying again does not mend.
    """
    patience, looked = Patience(stop, counted), 0.0
    try:
        while not stop.is_set():
            if time.monotonic() - looked > LOOK_SECONDS:
                counted.waiting, looked = route.source.waiting(), time.monotonic()
            try:
                messages = patience.until_done("source", lambda: route.source.read(most, READ_SECONDS))
            except EOFError:
                return
            if messages:
                begun = time.monotonic()
                counted.in_flight = len(messages)
                answers = current()
                records = answers.records(messages)
                counted.unseen += answers.unseen
                answers.unseen = 0
                _commit(route, records, patience, begun)
                counted.in_flight = 0
    except Stopped:
        print("headrace: stopped with messages that could not be stored; they are delivered again", file=sys.stderr)


def _commit(route: Route, records: list[Record], patience: Patience, begun: float) -> None:
    messages = [record.message for record in records]

    def meanwhile() -> None:
        patience.counted.waiting = route.source.waiting()  # which grows as long as the sink takes nothing
        route.source.keep(messages)

    try:
        twice = patience.until_done("sink", lambda: route.commit(records), meanwhile)
    except Lost as error:
        patience.counted.lost += 1
        print(f"headrace: {error}", file=sys.stderr, flush=True)
        patience.stop.wait(FIRST_PAUSE)
        return
    patience.counted.committed(records, twice, time.monotonic() - begun)
