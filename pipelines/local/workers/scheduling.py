"""Which waiting task may start next: in order of arrival, within a budget, and without starving a big one."""

from __future__ import annotations

import collections
import itertools
from typing import Generic, TypeVar

from headrace.pipelines.local.workers.resources import Amount

OVERTAKEN = 8  # tasks that may start before the first in line, while that one does not fit

T = TypeVar("T")


class Line(Generic[T]):
    """Waiting tasks with their claims, and what the running ones have taken of the budget.

    The first in line starts as soon as it fits. Until then others that fit may start before it, but only so many:
    after that nothing starts until it does, so that it waits for the tasks that run, and never for ever.
    """

    def __init__(self, budget: Amount, slots: int) -> None:
        self.budget, self.slots = budget, slots
        self.running = 0
        self._cpu = self._memory = 0  # taken
        # By claim: of tasks with the same claim, the first is the only one to look at.
        self._waiting: dict[Amount, collections.deque[tuple[int, T]]] = {}
        self._numbers = itertools.count()
        self._overtaken = 0  # how often the first in line was

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def put(self, task: T, claim: Amount) -> None:
        """Adds a task at the end of the line; its claim must be within the budget."""
        self._waiting.setdefault(claim, collections.deque()).append((next(self._numbers), task))

    def take(self) -> tuple[T, Amount] | None:
        """The next task to start and what it takes of the budget; None while nothing may start."""
        if self.running >= self.slots or not self._waiting:
            return None
        firsts = sorted((waiting[0][0], claim) for claim, waiting in self._waiting.items())
        for place, (_, claim) in enumerate(firsts):
            if place and self._overtaken >= OVERTAKEN:
                return None
            if self._fits(claim):
                self._overtaken = self._overtaken + 1 if place else 0
                return self._start(claim), claim
        return None

    def release(self, claim: Amount) -> None:
        """Gives back what a task had taken."""
        self.running -= 1
        self._cpu -= claim.cpu
        self._memory -= claim.memory

    def clear(self) -> None:
        """Forgets whatever waits."""
        self._waiting.clear()
        self._overtaken = 0

    def _fits(self, claim: Amount) -> bool:
        return Amount(self._cpu + claim.cpu, self._memory + claim.memory).within(self.budget)

    def _start(self, claim: Amount) -> T:
        waiting = self._waiting[claim]
        _, task = waiting.popleft()
        if not waiting:
            del self._waiting[claim]
        self.running += 1
        self._cpu += claim.cpu
        self._memory += claim.memory
        return task
