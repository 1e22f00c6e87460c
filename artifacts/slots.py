"""Traffic in a hundred slots: which version of a split answers a key, and what stays when the shares change.

A key falls into a slot by its hash, and each slot belongs to a version. When shares change, only as many slots change
hands as have to: none of a version whose share grows or stays. So whoever was answered by a version goes on to be,
while that version's share only grows, with any number of versions, and in whatever order the shares change. Ranges
computed from the shares alone cannot promise that for more than two versions beside the one that they take from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from itertools import groupby

SLOTS = 100


def slot_of(key: bytes, salt: bytes) -> int:
    """The slot of a key, 0 to 99: BLAKE2b of salt and key, 64 bits, modulo 100.

    Another salt deals anew: a new experiment must not begin with the people that the last one began with.
    """
    return int.from_bytes(blake2b(salt + b"\x00" + key, digest_size=8).digest(), "big") % SLOTS


def deal(shares: Mapping[str, int], before: Sequence[str] = ()) -> tuple[str, ...]:
    """The owner of each slot.

    Args:
        shares: slots per owner, which add up to 100.
        before: the owners until now; none at first.

    Raises:
        ValueError: the shares do not add up to 100.
    """
    if sum(shares.values()) != SLOTS or min(shares.values()) < 0:
        raise ValueError(f"expected shares that add up to {SLOTS}. Received: {dict(shares)}")
    left = dict(shares)
    dealt: list[str | None] = [None] * SLOTS
    for slot, owner in enumerate(before):
        if left.get(owner, 0) > 0:
            dealt[slot] = owner
            left[owner] -= 1
    missing = (owner for owner, count in left.items() for _ in range(count))
    return tuple(owner if owner is not None else next(missing) for owner in dealt)


def runs(slots: Sequence[str]) -> list[tuple[str, int]]:
    """The same in short: each owner with how many slots in a row are its own."""
    return [(owner, len(list(group))) for owner, group in groupby(slots)]


def unfolded(pieces: Sequence[tuple[str, int]]) -> tuple[str, ...]:
    """The owner of each slot, from what `runs` made.

    Raises:
        ValueError: they are not 100.
    """
    found = tuple(str(owner) for owner, count in pieces for _ in range(int(count)))
    if len(found) != SLOTS:
        raise ValueError(f"expected {SLOTS} slots. Received: {len(found)}")
    return found
