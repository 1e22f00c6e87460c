"""Runs share the store; whoever removes from it has it alone."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

from headrace.artifacts.errors import HeadraceError


class StoreInUse(HeadraceError):
    """Something cannot be removed while runs may be about to use it."""


@contextlib.contextmanager
def shared(home: Path) -> Iterator[None]:
    """Within the block nothing is removed from the store; waits for a removal that is under way."""
    with (home / "store.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        yield


@contextlib.contextmanager
def cleaning(home: Path) -> Iterator[None]:
    """Within the block nobody else clears away what dead runs have left.

    Of two who resume a run at once, the slower would take the processes of the faster one for a dead run's.
    """
    with (home / "cleaning.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def alone(home: Path) -> Iterator[None]:
    """Within the block no run begins.

    Raises:
        StoreInUse: a run is under way.
    """
    with (home / "store.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreInUse(
                f"{home}: expected a store that no run uses. Received: one in use. "
                "Try again when the run is over; `headrace runs` shows what is running."
            ) from None
        yield
