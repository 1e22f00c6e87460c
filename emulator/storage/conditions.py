"""Preconditions: an object, as it stands, must or must not have a generation.

https://cloud.google.com/storage/docs/request-preconditions
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from headrace.emulator.refusals import Refusal

_NAMES = ("GenerationMatch", "GenerationNotMatch", "MetagenerationMatch", "MetagenerationNotMatch")
FAILED = "At least one of the pre-conditions you specified did not hold."


class NotModified(Exception):
    """What is asked for only if it has changed has not."""


@dataclass(frozen=True)
class Conditions:
    """The generation that an object must have or not have; None for any, 0 where there must be none."""

    generation: int | None = None
    not_generation: int | None = None
    metageneration: int | None = None
    not_metageneration: int | None = None

    @classmethod
    def of(cls, query: Mapping[str, list[str]], prefix: str = "if") -> Conditions:
        """Those of a request.

        Args:
            query: its parameters.
            prefix: `ifSource` for those on a copy's source.

        Raises:
            Refusal: one is no number.
        """
        return cls(*(number(query, prefix + name) for name in _NAMES))

    def check(self, generation: int, metageneration: int, *, reading: bool = False) -> None:
        """Whether they hold for an object; of generation 0 where there is none.

        Raises:
            Refusal: they do not: status 412.
            NotModified: the same of a reading request's `NotMatch`.
        """
        if self.generation not in (None, generation) or self.metageneration not in (None, metageneration):
            raise Refusal("FAILED_PRECONDITION", FAILED, 412)
        if generation == self.not_generation or metageneration == self.not_metageneration:
            if reading:
                raise NotModified
            raise Refusal("FAILED_PRECONDITION", FAILED, 412)


def number(query: Mapping[str, list[str]], name: str) -> int | None:
    """A parameter that is a number; None where it is not given.

    Raises:
        Refusal: it is no number.
    """
    values = query.get(name)
    if not values:
        return None
    try:
        return int(values[-1])
    except ValueError:
        raise Refusal("INVALID_ARGUMENT", f"Invalid value for {name}: {values[-1]!r:.40}") from None
