"""How the distribution of each column changed between two snapshots.

Both are counted over the same bins, so that their distance can be given by two usual measures:

- the population stability index, sum of (b - a) ln(b / a) over the bins' shares, each at least `LEAST` (Siddiqi,
  Credit Risk Scorecards, 2006; usual reading: below 0.1 stable, above 0.25 another population);
- the Jensen-Shannon divergence in bits, from 0 (the same) to 1 (nothing in common) (Lin, IEEE Transactions on
  Information Theory 37, 1991).

Numbers are binned by the deciles of the earlier version, with a bin below its smallest and one above its greatest
value; numbers of few values, texts and truth values by value. What is missing is a bin of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from headrace.pipelines.data_versions.tables import NUMBERS, Shared, Tables, in_groups

LEAST = 1e-4  # share of a bin in the population stability index
SAMPLE = 250_000  # rows, about, that quantiles are taken from; counts are over all rows
FEW = 32  # values of a number that are bins of their own
TOP = 50  # values of a text that are bins of their own; the others share one
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_DECILES = tuple(step / 10 for step in range(1, 10))
_COLUMNS = 20  # in one query: quantiles hold a column's sample in memory

Kind = Literal["number", "date", "timestamp", "value"]


@dataclass(frozen=True)
class Summary:
    """One version's side of a column. Dates are in days, timestamps in microseconds since 1970-01-01."""

    rows: int
    missing: int
    distinct: int  # of numbers about, by HyperLogLog; of texts exactly
    mean: float | None = None
    std: float | None = None
    min: float | None = None
    max: float | None = None
    quantiles: tuple[float, ...] = ()  # at QUANTILES; of many rows, those of a sample

    @property
    def missing_share(self) -> float:
        return self.missing / self.rows if self.rows else 0.0


@dataclass(frozen=True)
class Bin:
    """What both versions have of one bin."""

    label: str
    before: int  # rows
    after: int
    upper: float | None = None  # greatest value in it; None for a value, for what is above all, and for missing


@dataclass(frozen=True)
class Distribution:
    """A column in both versions."""

    name: str
    kind: Kind
    before: Summary
    after: Summary
    psi: float
    js: float
    bins: tuple[Bin, ...]  # `missing` last
    appeared: int = 0  # rows of the later version with values that the earlier never has; of values only

    @property
    def changed(self) -> bool:
        return self.js > 0 or self.before.mean != self.after.mean


def distributions(tables: Tables) -> list[Distribution]:
    """Every column that both versions have, but ids and images, the most changed first."""
    ids = {tables.before.info.id, tables.after.info.id}
    found = []
    columns = [(column, kind) for column in tables.shared if column.name not in ids and (kind := kind_of(column))]
    for group in in_groups(columns, _COLUMNS):
        numeric = [(column, kind) for column, kind in group if kind != "value"]
        sides = [_summaries(tables, table, numeric) for table in "ab"] if numeric else [[], []]
        for (column, kind), (before, deciles), (after, _) in zip(numeric, *sides, strict=True):
            if max(before.distinct, after.distinct) <= FEW:
                found.append(_by_value(tables, column, kind, before, after))
            else:
                found.append(_by_range(tables, column, kind, before, after, deciles))
        found += [_by_value(tables, column, kind) for column, kind in group if kind == "value"]
    return sorted(found, key=lambda one: (-one.js, -one.psi, one.name))


def kind_of(column: Shared) -> Kind | None:
    """How a column's values are binned; None where they cannot be compared: images, and types that have changed."""
    if column.before in NUMBERS and column.after in NUMBERS:
        return "number"
    if column.retyped:
        return None
    kinds: dict[str, Kind] = {"date32": "date", "timestamp[us]": "timestamp", "bool": "value", "string": "value"}
    return kinds.get(column.before)


def number_of(place: str, kind: Kind) -> str:
    """SQL of a column as a number."""
    if kind == "date":
        return f"CAST({place} - DATE '1970-01-01' AS DOUBLE)"
    return f"CAST(epoch_us({place}) AS DOUBLE)" if kind == "timestamp" else f"CAST({place} AS DOUBLE)"


def shown(value: Any, kind: Kind) -> str:
    """A value for people: dates and times in ISO 8601, numbers short.

    >>> shown(19000.0, "date"), shown(2.0, "number"), shown(0.1234567, "number"), shown(True, "value")
    ('2022-01-08', '2', '0.123457', 'true')
    """
    if isinstance(value, bool):
        return str(value).lower()
    if kind == "value":
        return str(value)
    if kind == "number":
        return f"{value:.0f}" if float(value).is_integer() and abs(value) < 1e15 else f"{value:.6g}"
    unit = timedelta(days=value) if kind == "date" else timedelta(microseconds=value)
    moment = datetime(1970, 1, 1) + unit
    return moment.date().isoformat() if kind == "date" else moment.isoformat(sep=" ", timespec="seconds")


def divergence(before: Sequence[int], after: Sequence[int]) -> tuple[float, float]:
    """(population stability index, Jensen-Shannon divergence in bits) of counts over the same bins.

    >>> psi, js = divergence([50, 50], [50, 50])
    >>> psi, js
    (0.0, 0.0)
    >>> divergence([100, 0], [0, 100])[1]
    1.0
    """
    total_a, total_b = sum(before), sum(after)
    if not total_a or not total_b:
        return 0.0, float(total_a != total_b)
    psi = js = 0.0
    for one, other in zip(before, after, strict=True):
        a, b = one / total_a, other / total_b
        if a == b:
            continue
        floor_a, floor_b = max(a, LEAST), max(b, LEAST)
        psi += (floor_b - floor_a) * math.log(floor_b / floor_a)
        middle = (a + b) / 2
        js += sum(0.5 * share * math.log2(share / middle) for share in (a, b) if share > 0)
    return psi, min(max(js, 0.0), 1.0)


def _summaries(tables: Tables, table: str, columns: Sequence[tuple[Shared, Kind]]) -> list[tuple[Summary, list[float]]]:
    """Each column's summary and deciles."""
    rows = tables.counts()["ab".index(table)]
    step = max(1, math.ceil(rows / SAMPLE))
    facts, quantiles = [], []
    for column, kind in columns:
        value = number_of(column.place, kind)
        facts.append(
            f"count({column.place}), approx_count_distinct({column.place}), avg({value}), stddev_pop({value}), "
            f"min({value}), max({value})"
        )
        quantiles.append(f"quantile_disc({value}, {[*QUANTILES, *_DECILES]})")
    told = tables.row(f"SELECT {', '.join(facts)} FROM {table}")
    sampled = tables.row(f"SELECT {', '.join(quantiles)} FROM {table} WHERE row % {step} = 0")
    found = []
    for place, shape in enumerate(sampled):
        count, distinct, mean, std, low, high = told[6 * place : 6 * place + 6]
        quantiles_of, deciles = tuple((shape or ())[: len(QUANTILES)]), list(shape or ())[len(QUANTILES) :]
        summary = Summary(rows, rows - count, distinct, _tidy(mean), _tidy(std), low, high, quantiles_of)
        found.append((summary, deciles))
    return found


def _by_range(
    tables: Tables, column: Shared, kind: Kind, before: Summary, after: Summary, deciles: Sequence[float]
) -> Distribution:
    """Counts between the deciles of the earlier version, and outside of its range."""
    value = number_of(column.place, kind)
    least, most = (before.min, before.max) if before.min is not None else (after.min, after.max)
    assert least is not None and most is not None  # one of them has more values than one
    edges = sorted({*(edge for edge in deciles if least < edge < most), most})
    # Above each edge: cumulative, so that every row is in one bin whatever the edges are.
    above = ", ".join(f"count(*) FILTER ({value} > {edge!r})" for edge in edges)
    below = f"count(*) FILTER ({value} < {least!r})"
    sides = [tables.row(f"SELECT {below}, {above} FROM {table}") for table in "ab"]
    columns = [_between(side, summary) for side, summary in zip(sides, (before, after), strict=True)]
    labels = [f"< {shown(least, kind)}", *(f"<= {shown(edge, kind)}" for edge in edges), f"> {shown(most, kind)}"]
    uppers = [least, *edges, None, None]
    bins = tuple(map(Bin, [*labels, "missing"], *columns, uppers))
    return Distribution(column.name, kind, before, after, *divergence(*columns), bins)


def _between(counted: Sequence[int], side: Summary) -> list[int]:
    """Rows per bin from the rows below the range and above each edge."""
    below, *above = counted
    present = side.rows - side.missing
    at_most = [present - count for count in above]
    inner = [high - low for low, high in zip((below, *at_most), at_most, strict=False)]
    return [below, *inner, above[-1], side.missing]


def _by_value(
    tables: Tables, column: Shared, kind: Kind, before: Summary | None = None, after: Summary | None = None
) -> Distribution:
    """Counts of the most frequent values of both versions, and of all others together."""
    value = number_of(column.place, kind) if kind != "value" else column.place
    each = " UNION ALL ".join(
        f"SELECT {value} AS v, {int(t == 'a')} * count(*) AS na, {int(t == 'b')} * count(*) AS nb FROM {t} GROUP BY 1"
        for t in "ab"
    )
    tables.execute(
        f"CREATE OR REPLACE TEMP TABLE counts AS SELECT v, sum(na) AS na, sum(nb) AS nb FROM ({each}) GROUP BY v"
    )
    missing_a, missing_b, distinct_a, distinct_b, appeared = tables.row(
        "SELECT sum(na) FILTER (v IS NULL), sum(nb) FILTER (v IS NULL), count(v) FILTER (na > 0), "
        "count(v) FILTER (nb > 0), sum(nb) FILTER (na = 0 AND v IS NOT NULL) FROM counts"
    )
    rows_a, rows_b = tables.counts()
    top = tables.rows(
        "SELECT v, na, nb FROM counts WHERE v IS NOT NULL "
        f"ORDER BY greatest(na / {max(rows_a, 1)}, nb / {max(rows_b, 1)}) DESC, v LIMIT {TOP}"
    )
    sides = (
        before or Summary(rows_a, int(missing_a or 0), distinct_a),
        after or Summary(rows_b, int(missing_b or 0), distinct_b),
    )
    bins = [Bin(shown(v, kind), int(a), int(b)) for v, a, b in top]
    rest = [
        s.rows - s.missing - sum(getattr(b, n) for b in bins) for s, n in zip(sides, ("before", "after"), strict=True)
    ]
    if any(rest):
        bins.append(Bin("other values", *rest))
    bins.append(Bin("missing", sides[0].missing, sides[1].missing))
    counts = [b.before for b in bins], [b.after for b in bins]
    return Distribution(column.name, kind, *sides, *divergence(*counts), tuple(bins), int(appeared or 0))


def _tidy(value: float | None) -> float | None:
    """Without the last digits, which depend on the order of additions."""
    return None if value is None else float(f"{value:.12g}")
