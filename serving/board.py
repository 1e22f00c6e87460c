"""Counters in memory that all processes of a server share: any of them can tell what all have counted.

The parent makes the board before it forks. Each process writes to a slot of its own, so that nobody waits for a lock
of another process; whoever is asked adds the slots up. A slot outlives its process: the one that takes its place goes
on counting, also where the one before was killed. A slot is a block of the process and a block per version of a
model. All words have 8 bytes.
"""

from __future__ import annotations

import json
import mmap
import struct
import time
from collections.abc import Iterator
from typing import Any

BLOCK = 16_384  # bytes; only pages that were written to take memory
VERSIONS = 31  # blocks of versions in a slot; of more, that which was retired first is forgotten
SLOT = BLOCK * (1 + VERSIONS)

# Words of a version's block. Those marked d are float64, the others whole numbers.
STATE, SHARE, TOUCHED = 0, 1, 2  # 0: free; percent + 1 of the traffic, 0: retired; d, when it was served last
ROWS, UNSEEN = 3, 4  # rows of requests that had not just one
SINGLES = 5  # requests of one row, which are neither in `ROWS` nor in `REQUEST_ROWS`
LATENCY, LATENCY_SUM = 8, 32  # up to 24 buckets; d
REQUEST_ROWS = 40  # up to 12 buckets
PREDICTED, PREDICTED_SUM, BOUNDS = 64, 136, 140  # up to 66 counts; d; d, up to 20 bounds of a regression's histogram
PAIRS = 192  # counts of `MOST_PAIRS` routes with statuses, whose names stand in the texts
MOST_PAIRS, MOST_LABELS = 48, 64
OTHER_LABEL, NOT_A_NUMBER = MOST_LABELS, MOST_LABELS + 1  # places after those of the labels
_KEY, _KEY_BYTES = 2_048, 4_096  # where the block's key stands, in bytes
_PAIR, _PAIR_BYTES = _KEY + _KEY_BYTES, 208

# Words of a process's block.
PID, SWAPS, REFUSED = 0, 1, 2
CONNECTIONS, ALL_CONNECTIONS, IN_PROGRESS, QUEUED = 3, 4, 5, 6
CPU_BEFORE, CPU_SEEN = 8, 9  # d: of the processes that had the slot before; of this one, when somebody last looked
LOG_ROWS, LOG_DROPPED, LOG_BYTES, LOG_FILES, SHADOWS_DROPPED = 10, 11, 12, 13, 14
BATCH_ROWS, BATCH_ROWS_SUM = 16, 28  # up to 12 buckets
BATCH_REQUESTS, BATCH_REQUESTS_SUM = 32, 44  # up to 12 buckets
ERRORS = 48  # by kind


class Block:
    """One block: the same words as whole numbers (`counts`) and as float64 (`numbers`)."""

    def __init__(self, memory: memoryview) -> None:
        self.memory = memory
        self.counts = memory.cast("Q")
        self.numbers = memory.cast("d")

    def clear(self) -> None:
        """Sets all to 0."""
        self.memory[:] = bytes(BLOCK)

    def key(self) -> dict[str, Any]:
        """What `claim` was given."""
        return json.loads(_text(self.memory, _KEY))  # type: ignore[no-any-return]

    def pairs(self) -> list[tuple[str, int]]:
        """The routes with statuses, in the order of their counts."""
        found = []
        for place in range(MOST_PAIRS):
            text = _text(self.memory, _PAIR + place * _PAIR_BYTES)
            if not text:
                break
            status, _, route = text.partition(" ")
            found.append((route, int(status)))
        return found

    def add_pair(self, route: str, status: int) -> int:
        """The word that counts a route with a status; where there is no room left, one for all others."""
        known = self.pairs()
        if (route, status) in known:
            return PAIRS + known.index((route, status))
        if len(known) >= MOST_PAIRS - 1:
            route, status = "other", 0
            if (route, status) in known:
                return PAIRS + known.index((route, status))
        place = len(known)
        _put(self.memory, _PAIR + place * _PAIR_BYTES, f"{status} {route}", _PAIR_BYTES)
        return PAIRS + place


class Slot:
    """What one process writes to."""

    def __init__(self, memory: memoryview) -> None:
        self._memory = memory
        self.process = Block(memory[:BLOCK])
        self.versions = [Block(memory[(1 + i) * BLOCK : (2 + i) * BLOCK]) for i in range(VERSIONS)]

    def take(self, pid: int) -> None:
        """Makes it this process's. What the one before counted stays, what it had open is gone with it."""
        counts, numbers = self.process.counts, self.process.numbers
        numbers[CPU_BEFORE] += numbers[CPU_SEEN]
        numbers[CPU_SEEN] = 0.0
        for word in (CONNECTIONS, IN_PROGRESS, QUEUED, REFUSED):
            counts[word] = 0
        for block in self.used():
            block.counts[SHARE] = 0
        counts[PID] = pid

    def used(self) -> Iterator[Block]:
        """The blocks of versions that have a key."""
        for block in self.versions:
            if block.counts[STATE]:
                yield block

    def claim(self, key: dict[str, Any]) -> Block:
        """The block of a version, which goes on if there is one: `key` is JSON, at most 4 KiB of it."""
        for block in self.used():
            if block.key() == key:
                return block
        free = [block for block in self.versions if not block.counts[STATE]]
        retired = [block for block in self.used() if not block.counts[SHARE]]
        oldest = sorted(retired, key=lambda block: block.numbers[TOUCHED])
        if not free and not oldest:
            raise ValueError(f"expected at most {VERSIONS} versions at a time. Received: another one")
        block = (free or oldest)[0]
        block.clear()
        _put(block.memory, _KEY, json.dumps(key), _KEY_BYTES)
        block.numbers[TOUCHED] = time.time()
        block.counts[STATE] = 1  # last: who reads meanwhile passes over a block without it
        return block

    def copy(self) -> Slot:
        """As it is at this moment."""
        whole = bytearray(BLOCK)
        whole[:] = self.process.memory
        found = Slot.__new__(Slot)
        found.process = Block(memoryview(whole))
        copies = [Block(memoryview(bytearray(block.memory))) for block in self.used()]
        found.versions = [block for block in copies if _text(block.memory, _KEY)]  # not what is cleared at this moment
        return found


class Board:
    """The slots of a server: its workers' first."""

    def __init__(self, slots: int = 1) -> None:
        """Makes the memory, which processes forked from this one share."""
        self._map = mmap.mmap(-1, slots * SLOT)  # anonymous and shared: no file
        view = memoryview(self._map)
        self.slots = [Slot(view[i * SLOT : (i + 1) * SLOT]) for i in range(slots)]
        self.started = time.time()


def room_for(texts: list[str], used: int) -> list[str]:
    """As many of the texts, from the first, as a key has room for besides `used` bytes."""
    left = _KEY_BYTES - used - 8
    kept = []
    for text in texts[:MOST_LABELS]:
        left -= len(json.dumps(text)) + 2
        if left < 0:
            break
        kept.append(text)
    return kept


def _text(memory: memoryview, start: int) -> str:
    (length,) = struct.unpack_from("<H", memory, start)
    return bytes(memory[start + 2 : start + 2 + length]).decode(errors="ignore")


def _put(memory: memoryview, start: int, text: str, room: int) -> None:
    data = text.encode()[: room - 2]
    memory[start + 2 : start + 2 + len(data)] = data
    struct.pack_into("<H", memory, start, len(data))
