from __future__ import annotations

import random
from collections import Counter

import pytest

from headrace.artifacts.slots import deal, runs, slot_of, unfolded


def cut(rng: random.Random, names: list[str]) -> dict[str, int]:
    places = sorted(rng.sample(range(1, 100), len(names) - 1))
    return {name: high - low for name, low, high in zip(names, [0, *places], [*places, 100], strict=True)}


def test_shares_are_dealt_and_no_more_changes_than_has_to() -> None:
    rng = random.Random(3)
    slots = deal({"a": 100})
    for _ in range(300):
        shares = cut(rng, rng.sample("abcdef", rng.randint(1, 5)))
        after = deal(shares, slots)
        assert Counter(after) == Counter(shares)
        before = Counter(slots)
        for slot, owner in enumerate(slots):
            if shares.get(owner, 0) >= before[owner]:
                assert after[slot] == owner  # whose share grows or stays keeps all that it has
        moved = sum(one != other for one, other in zip(slots, after, strict=True))
        assert moved == sum(max(0, shares[name] - before[name]) for name in shares)
        assert unfolded(runs(after)) == after
        slots = after


@pytest.mark.parametrize("shares", [{"a": 99}, {"a": 101}, {}, {"a": 110, "b": -10}])
def test_shares_that_are_no_hundred(shares: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="expected shares that add up to 100"):
        deal(shares or {"a": 0})


def test_keys_fall_evenly_and_another_salt_deals_anew() -> None:
    keys = [b"user-%d" % number for number in range(20_000)]
    counts = Counter(slot_of(key, b"one") for key in keys)
    assert len(counts) == 100
    assert sum((counts[slot] - 200) ** 2 / 200 for slot in range(100)) < 149  # chi-squared, 99 degrees: p = 0.001
    same = sum(slot_of(key, b"one") == slot_of(key, b"two") for key in keys)
    assert 130 < same < 280  # one in a hundred
    assert slot_of(b"ab", b"c") != slot_of(b"b", b"ca")
    assert slot_of(b"user-1", b"churn") == 82  # the same for ever: people must not move with a release
