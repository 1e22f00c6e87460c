"""Whole numbers beyond 2^53 and moments finer than a microsecond: ids and clocks, which must not stop an evaluation."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from headrace.components.evaluate.error_rules import error_rules
from headrace.components.evaluate.weights import row_weights

FIRST = 2**53 + 1
ROWS = 3000


@pytest.mark.parametrize("kind", [pa.int64(), pa.timestamp("ns")], ids=str)
def test_errors_are_looked_at_by_them(kind):
    rng = np.random.default_rng(0)
    place = rng.permutation(ROWS)
    # Far apart, as the tree compares float32.
    column = pa.array(1_700_000_000_000_000_001 + place * 10**15, pa.int64()).cast(kind)
    loss = np.where(place >= ROWS // 2, 1.0, 0.1) + rng.random(ROWS) * 0.01
    found = error_rules(pa.table({"c": column}), ["c"], loss, None, 0).found
    assert len(found) == 1 and found[0].conditions[0].startswith(("c > ", "c ≥ "))


def test_weights_may_be_as_large():
    assert row_weights(pa.table({"w": pa.array([FIRST, 1])}), "w").tolist() == [float(FIRST), 1.0]
