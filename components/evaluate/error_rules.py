"""What the rows that a model is wrong about share: a shallow decision tree over the errors, in words.

The tree is grown on a third of the rows, loses on another those cuts that chance made, and is measured on the last: its
figures are not what a search makes of chance. Unlike slices, its cuts are where the errors change: `age ≥ 62`, not a
quartile.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sklearn.tree import DecisionTreeRegressor

from headrace.artifacts.errors_found import ErrorRule
from headrace.components.evaluate.groups import ordered, texts_of, unit_of
from headrace.components.evaluate.losses import LEAST_RATIO, Sums, each, excess, sums_of, worse
from headrace.components.evaluate.scores import Array, Floats

DEPTH = 3
LEAST_ROWS = 50  # of a rule, in each third; and at least a fiftieth of it
MOST_ROWS = 30_000  # that are looked at
MOST_COLUMNS = 100  # likewise
MOST_VALUES = 12  # of a column of words, the most frequent
LEVEL = 0.05  # of all rules together
CUT = 0.01  # of a cut: both of its sides must differ on rows that it was not chosen on
_A_DAY = {"s": 86_400, "ms": 86_400e3, "us": 86_400e6, "ns": 86_400e9}  # in these units


class Rules(NamedTuple):
    """What was found, and the places of the rows that it was measured on."""

    found: tuple[ErrorRule, ...]
    measured: Array


class _Question(NamedTuple):
    """A column of the tree: a number to compare, a moment, or whether a column has one value.

    Attributes:
        column: its name.
        kind: number | whole | date | timestamp | value
        value: the one value.
        known: (K,) the values to compare, lowest first; moments as whole numbers.
        cells: (K,) the same as the tree has them: rounded, and moments in days.
        type: the column's.
    """

    column: str
    kind: str
    value: str = ""
    known: Array = np.empty(0)
    cells: Floats = np.empty(0)
    type: pa.DataType = pa.null()


def error_rules(table: pa.Table, columns: list[str], values: Floats, wrong: Array | None, seed: int) -> Rules:
    """Finds rules with more error than the other rows.

    Args:
        table: N rows.
        columns: those that rules may speak of; of very many, the first.
        values: (N,) the loss of each row.
        wrong: (N,) whether the row is classified wrongly; None in a regression.
        seed: which rows are in which third.
    """
    rows = np.random.default_rng(seed).permutation(len(values))[:MOST_ROWS]
    grown, pruned, measured = np.array_split(np.arange(len(rows)), 3)
    least = max(LEAST_ROWS, len(grown) // 50)
    if len(grown) < 2 * least or not columns:
        return Rules((), rows[:0])
    questions, cells = _cells(table.select(columns[:MOST_COLUMNS]).take(pa.array(rows)), least)
    if not questions:
        return Rules((), rows[:0])
    own, off = values[rows], None if wrong is None else wrong[rows[measured]]
    tree = DecisionTreeRegressor(max_depth=DEPTH, min_samples_leaf=least, random_state=seed)
    tree.fit(cells[grown], own[grown])
    ends = _pruned(tree.tree_, tree.apply(cells[pruned]), own[pruned])
    paths = _paths(tree.tree_, ends, questions, np.asarray(np.isnan(cells[grown]).any(axis=0)))
    leaves = ends[tree.apply(cells[measured])]
    return Rules(_described(paths, leaves, own[measured], off), np.sort(rows[measured]))


def _pruned(tree: Any, leaves: Array, values: Floats) -> Array:
    """(nodes,) the node at which a row that comes to a node ends, when cuts that chance made are gone."""
    ends = np.arange(tree.node_count)
    sums = each(leaves, values, tree.node_count)
    for node in range(tree.node_count - 1, -1, -1):  # children come after their parents
        left, right = int(tree.children_left[node]), int(tree.children_right[node])
        if left < 0:
            continue
        one = Sums(*(part[left : left + 1] for part in sums))
        both = Sums(*(part[left : left + 1] + part[right : right + 1] for part in sums))
        for part, total in zip(sums, both, strict=True):
            part[node] = total[0]
        p = float(worse(one, both)[1][0])
        if _is_end(tree, ends, left) and _is_end(tree, ends, right) and 2 * min(p, 1 - p) >= CUT:
            ends[_below(tree, node)] = node
    return ends


def _is_end(tree: Any, ends: Array, node: int) -> bool:
    """Whether rows that come to a node end there."""
    left = int(tree.children_left[node])
    return left < 0 or bool(ends[left] == node)


def _below(tree: Any, node: int) -> list[int]:
    found = [node]
    for place in found:
        found += [int(child) for child in (tree.children_left[place], tree.children_right[place]) if child >= 0]
    return found


def _cells(table: pa.Table, least: int) -> tuple[list[_Question], Array]:
    questions: list[_Question] = []
    found: list[Array] = []
    for field in table.schema:
        column = table[field.name]
        if compared := _kind(field.type):
            values, missing = ordered(column)
            known = np.sort(values[~missing])
            scale = _A_DAY[unit_of(field.type)] if compared in ("date", "timestamp") else 1
            cells = _cell(known / scale).astype(np.float64)
            questions.append(_Question(field.name, compared, known=known, cells=cells, type=field.type))
            found.append(_cell(np.where(missing, np.nan, values / scale)))
        else:
            texts = column.cast(pa.string()).fill_null("")
            counts = pc.value_counts(texts).to_pylist()
            ranked = sorted((item["counts"], item["values"]) for item in counts if item["counts"] >= least)
            for _, value in ranked[: -MOST_VALUES - 1 : -1]:
                questions.append(_Question(field.name, "value", value))
                found.append(np.asarray(pc.equal(texts, value).to_numpy(), np.float32))
    return questions, np.column_stack(found) if found else np.empty(0)


def _kind(of: pa.DataType) -> str:
    """How a column is compared; blank where it is not."""
    if pa.types.is_temporal(of):
        return "date" if pa.types.is_date(of) else "timestamp"
    if pa.types.is_integer(of):
        return "whole"
    return "number" if pa.types.is_floating(of) else ""


def _cell(values: Floats) -> Array:
    """Float32 is what the tree compares: infinite values would be refused."""
    limit = float(np.finfo(np.float32).max)
    return np.clip(values, -limit, limit).astype(np.float32)


def _described(
    paths: dict[int, tuple[str, ...]], leaves: Array, values: Floats, wrong: Array | None
) -> tuple[ErrorRule, ...]:
    names = sorted(paths)
    codes = np.searchsorted(names, leaves)
    parts, whole = each(codes, values, len(names)), sums_of(values)
    p = np.minimum(worse(parts, whole)[1] * len(names), 1.0)
    share, rest = excess(parts, whole), Sums(*(whole[i] - parts[i] for i in range(3)))
    found = []
    for place, leaf in enumerate(names):
        if p[place] >= LEVEL or parts.mean[place] < LEAST_RATIO * rest.mean[place] or not paths[leaf]:
            continue
        members = codes == place
        off = None if wrong is None else float(wrong[members].mean())
        figures = (float(parts.mean[place]), float(rest.mean[place]), float(share[place]), float(p[place]))
        found.append(ErrorRule(paths[leaf], int(members.sum()), *figures, off))
    return tuple(sorted(found, key=lambda rule: -rule.excess))


class _Bounds(NamedTuple):
    """What a path says of one question: above `low`, at most `high`; and whether rows without a value are meant too."""

    low: float = -np.inf
    high: float = np.inf
    missing: bool = True


def _paths(tree: Any, ends: Array, questions: list[_Question], gaps: Array) -> dict[int, tuple[str, ...]]:
    """The conditions of each node at which rows end, in words."""
    found: dict[int, tuple[str, ...]] = {}
    waiting: list[tuple[int, dict[int, _Bounds]]] = [(0, {})]
    while waiting:
        node, bounds = waiting.pop()
        left, right = int(tree.children_left[node]), int(tree.children_right[node])
        if left < 0 or ends[left] == node:
            found[node] = _words(bounds, questions, gaps)
            continue
        place, cut = int(tree.feature[node]), float(tree.threshold[node])
        goes_left = bool(tree.missing_go_to_left[node])
        known = bounds.get(place, _Bounds())
        low = _Bounds(known.low, min(known.high, cut), known.missing and goes_left)
        high = _Bounds(max(known.low, cut), known.high, known.missing and not goes_left)
        waiting += [(left, {**bounds, place: low}), (right, {**bounds, place: high})]
    return found


def _words(bounds: dict[int, _Bounds], questions: list[_Question], gaps: Array) -> tuple[str, ...]:
    is_value = {questions[place].column for place, found in bounds.items()
                if questions[place].kind == "value" and found.low > 0}  # fmt: skip
    words = []
    for place, found in bounds.items():
        question = questions[place]
        if question.kind == "value":
            value = question.value or "missing"
            if found.low > 0:
                words.append(f"{question.column} is {value}")
            elif question.column not in is_value:  # which other value it has says that already
                words.append(f"{question.column} is not {value}")
        else:
            words.append(_compared(question, found, bool(gaps[place])))
    return tuple(words)


def _compared(question: _Question, found: _Bounds, gaps: bool) -> str:
    whole = question.kind == "whole"  # `≥ 2024` is plainer than `> 2023`
    low, high = (
        "" if np.isinf(cut) else _edge(question, cut, whole and above)
        for cut, above in ((found.low, True), (found.high, False))
    )
    if not low and not high:
        text = f"{question.column} is known"
    elif not low:
        text = f"{question.column} ≤ {high}"
    elif not high:
        text = f"{question.column} {'≥' if whole else '>'} {low}"
    elif low == high:
        text = f"{question.column} is {low}"
    else:
        text = f"{low} {'≤' if whole else '<'} {question.column} ≤ {high}"
    return f"{text} or missing" if gaps and found.missing else text


def _edge(question: _Question, cut: float, next_one: bool) -> str:
    """A short text that has the column's values on the same sides as the cut has their cells.

    Args:
        question: of a number or a moment.
        cut: above which a cell is on the right side.
        next_one: for a whole number, the lowest on the right side, not the highest on the left.
    """
    place = int(np.searchsorted(question.cells, cut, side="right"))
    low, high = question.known[place - 1].item(), question.known[place].item()
    if question.kind == "number":
        at = cut if low <= cut < high else low  # cells are rounded, so that a cut between two may be beside both values
        texts = (f"{at:.{digits}g}" for digits in range(4 if abs(at) < 1e4 else 6, 18))
        return next(text for text in texts if low <= float(text) < high)
    if question.kind == "whole":
        return str(min(max(math.floor(cut), low), high - 1) + next_one)
    highest = min(max(math.floor(cut * _A_DAY[unit_of(question.type)]), low), high - 1)
    return next(text for text, value in texts_of(np.int64(highest), question.type) if value >= low)
