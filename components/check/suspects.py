"""Columns to be suspicious of: they tell the label too well, by their values or their gaps, or number their rows."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace.artifacts.dataset import DatasetInfo
from headrace.artifacts.findings import Finding
from headrace.components.check.predictive import Target, power, ranked, target_of
from headrace.components.ingest.columns import row_numbers
from headrace.components.validate.spec import ValidateSpec

_FEWEST = 30  # rows with, and without, a value: fewer show anything by chance


@dataclass(frozen=True)
class Suspects:
    """What was found, and how well each feature alone predicts the label."""

    found: list[Finding] = field(default_factory=list)
    powers: dict[str, float] = field(default_factory=dict)
    measure: str = ""
    note: str = ""


def find_suspects(table: pa.Table, info: DatasetInfo, features: list[str], settings: ValidateSpec) -> Suspects:
    """Looks at each feature of a sample of the train split, of shape (rows, columns)."""
    label = table[info.label]
    target = target_of(label, info.task)
    gaps = [finding for name in features for finding in _gaps(name, table[name], label, info, settings)]
    numbers = [finding for name in features for finding in _row_number(name, table[name], info, settings)]
    if target is None:
        note = f"leakage is not looked for: {table.num_rows:,} rows of train are too few to hold some out"
        return Suspects([*gaps, *numbers], note=note)
    powers = {name: power(table[name], target) for name in features}
    leaks = [finding for name in features for finding in _leak(name, powers[name], target, info, settings)]
    return Suspects([*leaks, *gaps, *numbers], powers, target.measure)


def _leak(name: str, value: float, target: Target, info: DatasetInfo, settings: ValidateSpec) -> list[Finding]:
    check = settings.leakage
    if check.level == "off" or value < check.at_least or name in check.besides:
        return []
    return [
        Finding(
            "leakage",
            check.level,
            name,
            f"no feature that alone predicts `{info.label}` with an {target.measure} of {check.at_least:g}",
            f"an {target.measure} of {value:.4g} on rows that were held out",
            "Put it under features.drop if it is only known afterwards; if it is not, under validate.leakage.except",
            [name],
        )
    ]


def _gaps(
    name: str, column: pa.ChunkedArray, label: pa.ChunkedArray, info: DatasetInfo, settings: ValidateSpec
) -> list[Finding]:
    check = settings.missing_tells_label
    missing = _missing(column)
    if check.level == "off" or min(missing.sum(), len(missing) - missing.sum()) < _FEWEST:
        return []
    if info.task == "regression":
        ranks = ranked(label.to_numpy().astype(np.float64))
        difference, of = abs(float(ranks[missing].mean() - ranks[~missing].mean())) * 2, "its rank"
        told = f"a difference of {difference:.2f} in mean rank"
    else:
        shares = {c: pc.equal(label, c).to_numpy() for c in pc.unique(label).to_pylist()}
        by_class = {c: (float(row[missing].mean()), float(row[~missing].mean())) for c, row in shares.items()}
        of, (without, present) = max(by_class.items(), key=lambda item: abs(item[1][0] - item[1][1]))
        difference = abs(without - present)
        told = f"{of} in {without:.1%} of the rows without a value, and in {present:.1%} of those with one"
    if difference < check.at_least:
        return []
    return [
        Finding(
            "missing_tells_label",
            check.level,
            name,
            f"missing values that do not tell `{info.label}`",
            told,
            "Find out when the column is filled in: where that is after the outcome, put it under features.drop",
            [name],
            int(missing.sum()),
        )
    ]


def _missing(column: pa.ChunkedArray) -> np.ndarray:
    missing = pc.is_null(column, nan_is_null=True)
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        missing = pc.or_kleene(missing, pc.fill_null(pc.equal(column, ""), True))
    return np.asarray(missing.to_numpy(), dtype=bool)


def _row_number(name: str, column: pa.ChunkedArray, info: DatasetInfo, settings: ValidateSpec) -> list[Finding]:
    check = settings.near_unique
    if check.level == "off" or len(column) <= _FEWEST:
        return []
    ends = row_numbers(column, sum(info.rows.values()))
    if ends is None:
        return []
    return [
        Finding(
            "near_unique",
            check.level,
            name,
            "a feature whose values repeat",
            f"a different whole number in every row, from {ends[0]} to {ends[1]}: it numbers the rows",
            "Name it as data.id, or put it under features.drop",
            [name],
        )
    ]
