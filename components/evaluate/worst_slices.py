"""Finds the parts of the rows that a model is worst on, over all columns and all pairs of columns.

Every value of every column, and every pair of values of two columns, is a candidate, as in Slice Finder (Chung et al.
2019, "Slice Finder: Automated Data Slicing for Model Validation") and SliceLine (Sagadeeva and Boehm 2021). All of
them are counted: one histogram of rows, losses and squared losses per pair of columns holds all that the test needs. A
candidate must have more loss than the other rows, by Welch's t test, after Bonferroni's correction for all candidates:
where the model is equally good everywhere, the chance that anything is listed is below 5 %.

The most significant is taken first and its rows are set aside before the next is looked for, so that one bad region is
listed once: as `region`, where all of it is bad, and as `plan × region` where only a part of it is. What is found is
listed by the share of the whole loss that it explains. Each row counts as one, whatever its weight.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.special import stdtr

from headrace.artifacts.by import CROSS, by_name
from headrace.artifacts.dataset import DatasetInfo, names_its_row
from headrace.artifacts.worst_slices import WorstSlice, WorstSlices
from headrace.components.evaluate.groups import coded
from headrace.components.evaluate.losses import LEAST_RATIO, Sums, each, excess, loss_name, losses, sums_of, worse
from headrace.components.evaluate.measure import measure
from headrace.components.evaluate.scores import Array, Floats, Scores

LEVEL = 0.05  # of all tests together
NEEDED = 0.01  # a pair is told as such where it is worse than the rest of either of its columns' values, at this level
MOST_ROWS = 200_000  # that are searched
MOST_CELLS = 20_000_000  # rows times columns; fewer rows of a wide table
MOST_PAIRED = 30  # columns: 435 pairs; of more, those that tell most about the loss by themselves
MOST_VALUES = 30  # of a column, the most frequent
MOST_FOUND = 10
LEAST_ROWS = 50  # of a slice; and at least half a percent of the rows


class Candidates(NamedTuple):
    """The columns that rows may be divided by, and why the others are not among them."""

    columns: list[str]
    left_out: dict[str, str]


class _Column(NamedTuple):
    """A column's groups that are large enough, as (N,) codes; the last code is all other rows."""

    name: str
    labels: list[str]
    codes: Array

    @property
    def size(self) -> int:
        return len(self.labels) + 1


def candidates(table: pa.Table, info: DatasetInfo) -> Candidates:
    """The columns of a table that tell groups of rows apart.

    Not the label and what it is computed from, not the id, and no text that is another in nearly every row: those
    name single rows, and a report that lists their values would tell on people.
    """
    reasons = dict.fromkeys(info.leaks, "the label is computed from it")
    reasons |= {info.label: "the label", **({info.id: "the id"} if info.id else {})}
    columns, left_out = [], {}
    for field in table.schema:
        reason = reasons.get(field.name)
        if reason is None and pa.types.is_binary(field.type):
            reason = "no values to compare"
        if reason is None and pa.types.is_string(field.type):
            distinct = pc.count_distinct(table[field.name]).as_py()
            if names_its_row(distinct, table.num_rows):
                reason = "another text in nearly every row"
        if reason is None:
            columns.append(field.name)
        else:
            left_out[field.name] = reason
    return Candidates(columns, left_out)


def worst_slices(scores: Scores, table: pa.Table, chosen: Candidates, seed: int) -> WorstSlices | None:
    """Searches the rows; None where nothing can be measured.

    Args:
        scores: of the rows.
        table: the same rows' columns.
        chosen: the columns to search.
        seed: of the sample, where there are very many rows.
    """
    if scores.flaw():
        return None
    rows = np.arange(len(scores))
    most = min(MOST_ROWS, MOST_CELLS // max(1, len(chosen.columns)))
    if len(rows) > most:
        rows = np.sort(np.random.default_rng(seed).choice(len(rows), most, replace=False))
        scores, table = scores.take(rows), table.take(pa.array(rows))
    least = max(LEAST_ROWS, len(rows) // 200)
    values = losses(scores)
    columns, left_out = _divided(table, chosen, least)
    whole = sums_of(values)
    columns = sorted(columns, key=lambda column: -_told(column, values, whole))
    paired = columns[:MOST_PAIRED]
    search = _Search(columns, paired)
    sums = search.sums(values, np.arange(len(values)))
    tried = int(((sums.rows >= least) & (sums.rows < len(values)) & search.proper).sum())
    found = []
    for place, p_value in search.greedy(values, sums, whole, least, tried):
        members = search.members(place)
        found.append(_described(search.name(place), scores, members, p_value, values, tried))
    found.sort(key=lambda item: -item.excess)
    names = tuple(column.name for column in columns)
    pairs = tuple(column.name for column in paired) if len(paired) > 1 else ()
    return WorstSlices(loss_name(scores), len(scores), tried, least, names, pairs, left_out, tuple(found))


def _divided(table: pa.Table, chosen: Candidates, least: int) -> tuple[list[_Column], dict[str, str]]:
    columns, left_out = [], dict(chosen.left_out)
    for name in chosen.columns:
        labels, codes = coded(table, name)
        rows = np.bincount(codes, minlength=len(labels))
        kept = [int(code) for code in np.argsort(-rows, kind="stable")[:MOST_VALUES] if rows[code] >= least]
        if not kept or rows[kept[0]] == len(codes):
            left_out[name] = "one value only" if kept else f"no value has {least} rows"
            continue
        places = np.full(len(labels), len(kept))
        places[kept] = np.arange(len(kept))
        columns.append(_Column(name, [labels[code] for code in kept], places[codes]))
    return columns, left_out


def _told(column: _Column, values: Floats, whole: Sums) -> float:
    """How much of the loss's spread lies between the column's groups, in units of what chance puts there (F)."""
    parts = each(column.codes, values, column.size)
    between = float((parts.rows * (parts.mean - whole.mean) ** 2).sum()) / max(column.size - 1, 1)
    return between / float(whole.variance[0]) if whole.variance[0] > 0 else 0.0


class _Search:
    """All candidates in one row of cells: first those of single columns, then those of pairs."""

    def __init__(self, columns: Sequence[_Column], paired: Sequence[_Column]) -> None:
        self._tables: list[tuple[_Column, ...]] = [(column,) for column in columns]
        self._tables += list(itertools.combinations(paired, 2))
        sizes = [int(np.prod([column.size for column in table])) for table in self._tables]
        self._starts = np.concatenate([[0], np.cumsum(sizes)]).astype(int)
        # A cell in which a column has its last code, "all other rows", is no slice.
        self.proper = np.concatenate([_proper(table) for table in self._tables]) if sizes else np.zeros(0, bool)

    def sums(self, values: Floats, rows: Array) -> Sums:
        """Of each cell, over some of the rows."""
        if not self._tables:
            return Sums(np.zeros(0), np.zeros(0), np.zeros(0))
        some = values[rows]
        parts = [each(_cells(table, rows), some, int(size)) for table, size in zip(
            self._tables, np.diff(self._starts), strict=True)]  # fmt: skip
        return Sums(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def greedy(self, values: Floats, sums: Sums, whole: Sums, least: int, tried: int) -> list[tuple[int, float]]:
        """The cells that are worse than the rest, each without the rows of those before it, with their p values."""
        found: list[tuple[int, float]] = []
        aside = np.zeros(len(values), bool)
        # Also with the rows that are set aside for others, a slice must be worse than the rest.
        wanted = self.proper & (sums.mean >= LEAST_RATIO * _rest(sums, whole))
        while len(found) < MOST_FOUND and len(sums.rows):
            t, p = worse(sums, whole)
            fine = wanted & (sums.rows >= least) & (p * tried < LEVEL) & (sums.mean >= LEAST_RATIO * _rest(sums, whole))
            if not fine.any():
                break
            place = self._simplest(int(np.argmax(np.where(fine, t, -np.inf))), sums, fine)
            found.append((place, float(min(1.0, p[place] * tried))))
            taken = np.flatnonzero(self.members(place) & ~aside)
            aside[taken] = True
            sums, whole = sums.minus(self.sums(values, taken)), whole.minus(sums_of(values[taken]))
        return found

    def _simplest(self, place: int, sums: Sums, fine: Array) -> int:
        """A cell, or that of one of its two columns alone where the other column adds nothing beyond chance."""
        for parent in self._parents(place):
            pair, whole = (Sums(*(part[i : i + 1] for part in sums)) for i in (place, parent))
            if fine[parent] and float(worse(pair, whole)[1][0]) >= NEEDED:
                return parent
        return place

    def _parents(self, place: int) -> list[int]:
        """The cells of a pair's columns alone."""
        table, cell = self._at(place)
        if len(table) == 1:
            return []
        alone = {one[0].name: index for index, one in enumerate(self._tables) if len(one) == 1}
        values = divmod(cell, table[1].size)
        return [int(self._starts[alone[column.name]]) + value for column, value in zip(table, values, strict=True)]

    def members(self, place: int) -> Array:
        """(N,) which rows are in a cell."""
        table, cell = self._at(place)
        everyone = np.arange(len(table[0].codes))
        return np.asarray(_cells(table, everyone) == cell)

    def name(self, place: int) -> tuple[str, str]:
        """The columns and the values of a cell."""
        table, cell = self._at(place)
        if len(table) == 1:
            return table[0].name, table[0].labels[cell]
        first, second = divmod(cell, table[1].size)
        return by_name([column.name for column in table]), f"{table[0].labels[first]}{CROSS}{table[1].labels[second]}"

    def _at(self, place: int) -> tuple[tuple[_Column, ...], int]:
        index = int(np.searchsorted(self._starts, place, side="right")) - 1
        return self._tables[index], place - int(self._starts[index])


def _rest(sums: Sums, whole: Sums) -> Floats:
    """The mean loss of all rows but a cell's."""
    return np.asarray((whole.total - sums.total) / np.maximum(whole.rows - sums.rows, 1))


def _cells(table: tuple[_Column, ...], rows: Array) -> Array:
    codes = table[0].codes[rows]
    return codes if len(table) == 1 else codes * table[1].size + table[1].codes[rows]


def _proper(table: tuple[_Column, ...]) -> Array:
    inside = [np.arange(column.size) < column.size - 1 for column in table]
    return inside[0] if len(table) == 1 else np.logical_and.outer(*inside).ravel()


def _described(
    name: tuple[str, str], scores: Scores, members: Array, p_value: float, values: Floats, tried: int
) -> WorstSlice:
    part, whole = sums_of(values[members]), sums_of(values)
    own = scores.take(np.flatnonzero(members))
    return WorstSlice(
        name[0],
        name[1],
        rows=int(members.sum()),
        error=float(part.mean[0]),
        others=float(whole.minus(part).mean[0]),
        excess=float(excess(part, whole)[0]),
        p_value=p_value,
        **_levels(own, tried),
        metrics=measure(own)[0],
    )


def _levels(scores: Scores, tried: int) -> dict[str, Any]:
    """What was predicted on average, what was true, and whether they differ, by a t test that is corrected likewise."""
    if scores.kind == "multiclass":
        return {}
    said, true = (scores.score, scores.actual) if scores.kind == "binary" else (scores.predicted, scores.truth)
    off = said - true
    spread = float(off.std(ddof=1)) / math.sqrt(len(off))
    p = 2 * float(stdtr(len(off) - 1, -abs(float(off.mean())) / spread)) if spread > 0 else float(off.mean() == 0)
    return {"predicted": float(said.mean()), "observed": float(true.mean()), "misjudged": p * tried < LEVEL}
