"""Adds up what workers found apart, in one order whoever found it: the result is the same to the last bit."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")
FAN = 32  # items that are merged at a time


class Fold(Generic[Item]):
    """Merges items in their order, `FAN` at a time, then the results of that, and so on; holds one per level."""

    def __init__(self, merge: Callable[[Item, Item], Item]) -> None:
        self._merge = merge
        self._levels: list[tuple[Any, int]] = []  # of each level what was merged, and of how many

    def add(self, item: Item, level: int = 0) -> None:
        """Adds the next item."""
        if level == len(self._levels):
            self._levels.append((None, 0))
        held, number = self._levels[level]
        joined = item if number == 0 else self._merge(held, item)
        self._levels[level] = (joined, number + 1)
        if number + 1 == FAN:
            self._levels[level] = (None, 0)
            self.add(joined, level + 1)

    def result(self) -> Item:
        """All items merged. There has to be one at least."""
        total: Any = None
        for held, number in self._levels:
            if number:
                total = held if total is None else self._merge(held, total)
        found: Item = total
        return found


def fold(items: Iterable[Item], merge: Callable[[Item, Item], Item]) -> Item:
    """All items merged, in their order."""
    folding = Fold(merge)
    for item in items:
        folding.add(item)
    return folding.result()
