"""Which calls of a client's library were tried, and what came of them. It needs nothing but the library."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

PASSED, REFUSED = "passed", "501"
_LONGEST = 300  # characters of what went wrong


class Tally:
    """The calls of one process."""

    def __init__(self, known: Callable[[str], bool]) -> None:
        """Begins with none.

        Args:
            known: whether the library has a call of that name, so that no name here is made up.
        """
        self.outcomes: dict[str, str] = {}
        self.untried: list[str] = []
        self._known = known

    def __call__(self, name: str, function: Callable[..., Any], *arguments: Any, **settings: Any) -> Any:
        """Tries a call; returns what it returned, and nothing where it failed."""
        if not self._known(name):
            raise KeyError(f"expected a call of the library. Received: {name}")
        try:
            result = function(*arguments, **settings)
        except Exception as error:  # noqa: BLE001 (whatever a library raises is an outcome)
            self._failed(name, error)
            return None
        self.outcomes.setdefault(name, PASSED)
        return result

    def expect(self, name: str, found: object, wanted: object) -> None:
        """What a call is to have had as its effect."""
        if found != wanted:
            self._failed(name, AssertionError(f"expected {wanted!r}. Received: {found!r}"))

    def group(self, calls: Callable[[], Any]) -> None:
        """A group of calls, in which one that failed may leave the next ones without what they need."""
        try:
            calls()
        except Exception as error:  # noqa: BLE001 (as above)
            self._failed(f"{getattr(calls, '__name__', '')} after {list(self.outcomes)[-1]}", error)

    def refused(self, name: str, function: Callable[..., Any], *arguments: Any, **settings: Any) -> None:
        """A call that is to be answered with 501 and its name."""
        try:
            function(*arguments, **settings)
        except Exception as error:  # noqa: BLE001 (as above)
            text = str(error)
            if "501" in text and name.partition(".")[0].removesuffix("TrainingJob") in text:
                self.outcomes.setdefault(name, REFUSED)
            else:
                self._failed(name, error)
        else:
            self.outcomes[name] = "not refused"

    def _failed(self, name: str, error: Exception) -> None:
        traceback.print_exception(error, limit=-3, file=sys.stderr)
        self.outcomes[name] = f"{type(error).__name__}: {error}"[:_LONGEST]

    def write(self, file: Path, version: str) -> None:
        """As JSON, with the library's version."""
        file.write_text(json.dumps({"version": version, "outcomes": self.outcomes, "untried": self.untried}, indent=1))
