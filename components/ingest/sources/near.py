"""Groups images that are the same, or nearly: a copy, another size, another compression."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

_CHUNK = 2_048  # images that are held against all of their bucket at once
CLOSE = 6.0  # mean difference of the small pictures, of 255: a copy's is 1 to 3, another photograph's over 20


def groups(phashes: np.ndarray, small: np.ndarray, near: int) -> np.ndarray:
    """Numbers the groups: images are in one where a chain of near-duplicates leads from one to the other.

    Two images are near-duplicates where their perceptual hashes differ in at most `near` bits, and their small
    pictures by less than `CLOSE` on average. (The hash alone takes pictures of one layout, such as scans, for one.)

    Args:
        phashes: shape (images,), uint64.
        small: shape (images, values), uint8: the pictures themselves, small.
        near: bits.

    Returns:
        shape (images,), int64: the least index of each image's group.
    """
    looks = np.concatenate([phashes.view(np.uint8).reshape(len(phashes), 8), small], axis=1)
    # What looks the same is one at once: thousands of blank images would be millions of pairs.
    _, firsts, looks_of = np.unique(looks, axis=0, return_index=True, return_inverse=True)
    looks_of = looks_of.reshape(-1)
    parents = np.arange(len(firsts))
    for one, other in _pairs(phashes[firsts], near):
        differences = np.abs(small[firsts[one]].astype(np.int16) - small[firsts[other]]).mean(axis=1)
        for a, b in zip(one[differences < CLOSE], other[differences < CLOSE], strict=True):
            root_a, root_b = _root(parents, a), _root(parents, b)
            parents[max(root_a, root_b)] = min(root_a, root_b)
    roots = np.array([_root(parents, i) for i in range(len(parents))], dtype=np.int64)[looks_of]
    least = np.full(len(firsts), len(phashes), dtype=np.int64)
    np.minimum.at(least, roots, np.arange(len(phashes)))
    found: np.ndarray = least[roots]
    return found


def linked(firsts: np.ndarray, keys: Sequence[str | None]) -> np.ndarray:
    """Joins the groups whose images have the same key; None is like no other.

    Args:
        firsts: shape (images,), int64, as `groups` gives it.
        keys: of each image: the thing that it shows, say.

    Returns:
        shape (images,), int64: the least index of each image's group.
    """
    parents = np.arange(len(firsts))
    first_of: dict[str, int] = {}
    for key, first in zip(keys, firsts, strict=True):
        if key is not None:
            one, other = _root(parents, first_of.setdefault(key, int(first))), _root(parents, int(first))
            parents[max(one, other)] = min(one, other)
    return np.array([_root(parents, first) for first in firsts], dtype=np.int64)


def _root(parents: np.ndarray, index: int) -> int:
    while parents[index] != index:
        parents[index] = parents[parents[index]]
        index = parents[index]
    return int(index)


def _pairs(phashes: np.ndarray, near: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Every pair of images whose hashes differ in at most `near` bits, in two arrays of indices at a time.

    Of `near` + 1 bands of bits, at least one is the same in both; so only images that share a band are compared.
    """
    edges = np.linspace(0, 64, near + 2).astype(np.uint64)
    for start, end in itertools.pairwise(edges):
        bands = (phashes >> start) & np.uint64(2 ** int(end - start) - 1)
        order = np.argsort(bands, kind="stable")
        _, starts = np.unique(bands[order], return_index=True)
        for bucket in np.split(order, starts[1:]):
            yield from _within(bucket, phashes, near)


def _within(bucket: np.ndarray, phashes: np.ndarray, near: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    if len(bucket) < 2:
        return
    for first in range(0, len(bucket), _CHUNK):
        rows = bucket[first : first + _CHUNK]
        for second in range(first, len(bucket), _CHUNK):
            columns = bucket[second : second + _CHUNK]
            a, b = np.nonzero(np.bitwise_count(phashes[rows, None] ^ phashes[None, columns]) <= near)
            distinct = rows[a] < columns[b] if first != second else a < b
            if distinct.any():
                yield rows[a[distinct]], columns[b[distinct]]
