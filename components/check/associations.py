"""How strongly columns go together, for the data report: each with the label, and the features among each other.

Two numbers: Spearman's rank correlation, with its sign. Two texts: Cramer's V. A number and a text: the
correlation ratio of the number's ranks. All but the first lie between 0 and 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.artifacts.dataset import names_its_row
from headrace.components.check.predictive import as_numbers, binned, ranked

MOST_COLUMNS = 40
MOST_PAIRS = 30
_MOST_VALUES = 50
_SHOWN = 0.3  # weaker pairs are not worth a line

Floats = npt.NDArray[np.float64]


def associations(table: pa.Table, columns: list[str]) -> dict[str, Any]:
    """The strongest pairs among some columns of a sample: {"columns": [...], "matrix": [[...]], "pairs": [...]}."""
    numbers: dict[str, Floats] = {}
    texts: dict[str, npt.NDArray[np.int64]] = {}
    for name in columns:
        values = as_numbers(table[name])
        if values is not None:
            if len(np.unique(values[np.isfinite(values)])) > 1:
                numbers[name] = _ranks(values)
        else:
            codes = binned(table[name])
            distinct = len(np.unique(codes))
            if distinct > 1 and not names_its_row(distinct, len(codes)):
                texts[name] = _frequent(codes)
    names = [name for name in columns if name in numbers or name in texts][:MOST_COLUMNS]
    matrix = np.eye(len(names))
    for i, a in enumerate(names):
        for j in range(i):
            matrix[i, j] = matrix[j, i] = round(_association(a, names[j], numbers, texts), 4)
    pairs = [(abs(matrix[i, j]), names[j], names[i], matrix[i, j]) for i in range(len(names)) for j in range(i)]
    strongest = sorted((pair for pair in pairs if pair[0] >= _SHOWN), key=lambda pair: (-pair[0], pair[1], pair[2]))
    return {
        "columns": names,
        "matrix": matrix.tolist(),
        "pairs": [[a, b, float(value)] for _, a, b, value in strongest[:MOST_PAIRS]],
    }


def _ranks(values: Floats) -> Floats:
    """Ranks about their mean, 0 for a missing value, so that it says nothing."""
    finite = np.isfinite(values)
    ranks = np.zeros(len(values))
    ranks[finite] = ranked(values[finite])
    ranks[finite] -= ranks[finite].mean()
    return ranks


def _frequent(codes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Codes 0..n of the most frequent values, the rest together as one."""
    counts = np.bincount(codes)
    kept = np.argsort(-counts, kind="stable")[:_MOST_VALUES]
    table = np.full(len(counts), min(len(kept), _MOST_VALUES), dtype=np.int64)
    table[kept] = np.arange(len(kept))
    return np.asarray(table[codes], dtype=np.int64)


def _association(a: str, b: str, numbers: dict[str, Floats], texts: dict[str, npt.NDArray[np.int64]]) -> float:
    if a in numbers and b in numbers:
        scale = np.sqrt((numbers[a] ** 2).sum() * (numbers[b] ** 2).sum())
        return float((numbers[a] * numbers[b]).sum() / scale) if scale else 0.0
    if a in texts and b in texts:
        return _cramers_v(texts[a], texts[b])
    text, number = (texts[a], numbers[b]) if a in texts else (texts[b], numbers[a])
    counts = np.bincount(text)
    sums = np.bincount(text, weights=number)
    total = (number**2).sum()
    between = (sums**2 / np.maximum(counts, 1)).sum()
    return float(np.sqrt(between / total)) if total else 0.0


def _cramers_v(a: npt.NDArray[np.int64], b: npt.NDArray[np.int64]) -> float:
    """Cramer's V with Bergsma's correction for the bias of small samples (2013)."""
    width = int(b.max()) + 1
    table = np.bincount(a * width + b, minlength=(int(a.max()) + 1) * width).reshape(-1, width).astype(np.float64)
    table = table[table.sum(axis=1) > 0][:, table.sum(axis=0) > 0]
    rows = len(a)
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / rows
    phi2 = float(((table - expected) ** 2 / expected).sum()) / rows
    r, k = table.shape
    phi2 = max(0.0, phi2 - (k - 1) * (r - 1) / (rows - 1))
    least = min(k - (k - 1) ** 2 / (rows - 1), r - (r - 1) ** 2 / (rows - 1)) - 1
    return float(min(1.0, np.sqrt(phi2 / least))) if least > 0 else 0.0
