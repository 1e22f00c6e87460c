"""The sessions example: its tables hold what its README says, and what the future would give away."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from headrace.components.ingest.aggregate import aggregate_tables
from headrace.pipelines.spec import load_spec

EXAMPLE = Path(__file__).parents[3] / "examples" / "sessions"


@pytest.fixture(scope="module")
def generate() -> Iterator[ModuleType]:
    sys.path.insert(0, str(EXAMPLE))
    try:
        yield importlib.import_module("generate")
    finally:
        sys.path.remove(str(EXAMPLE))
        sys.modules.pop("generate", None)


@pytest.fixture(scope="module")
def tables(generate: ModuleType) -> tuple[Any, pa.Table, pa.Table]:
    world = generate.draw(2_000, 11)
    return world, generate.subscribers_table(world), generate.sessions_table(world, 11)


def fading(subscribers: pa.Table, sessions: pa.Table) -> np.ndarray:
    """The spec's own columns: the sessions of 28 days against the usual."""
    aggregates = load_spec(EXAMPLE / "spec.yaml").features.aggregate
    rows = aggregate_tables(subscribers, {"sessions": sessions}, aggregates)
    columns = {name: rows[f"sessions_{name}"].to_numpy() for name in ("visits_28d", "visits_all", "known_all")}
    usual = 28 * columns["visits_all"] / np.nan_to_num(columns["known_all"], nan=1.0)
    return -columns["visits_28d"] / np.maximum(usual, 0.1)


def test_the_same_seed_gives_the_same_tables(generate: ModuleType, tables: Any, tmp_path: Path) -> None:
    assert generate.main(["--subscribers", "2000", "--output", str(tmp_path / "new"), "--describe"]) == 0
    assert pa.csv.read_csv(tmp_path / "new" / "subscribers.csv").num_rows == 2_000
    assert pa.parquet.read_table(tmp_path / "new" / "sessions.parquet").equals(tables[2])
    assert generate.draw(2_000, 12).left.tolist() != tables[0].left.tolist()
    assert generate.main(["--subscribers", "0"]) == 1


def test_sessions_go_on_after_the_day_of_those_who_stay(tables: Any) -> None:
    world, subscribers, sessions = tables
    joined = sessions.join(subscribers.select(["subscriber_id", "asked_on", "left"]), "subscriber_id")
    after = joined.filter(pc.greater(joined["started"], joined["asked_on"].cast(pa.timestamp("us"))))
    by_left = {
        row["left"]: row["count_all"] for row in after.group_by("left").aggregate([([], "count_all")]).to_pylist()
    }
    stayed, left = int((~world.left).sum()), int(world.left.sum())
    assert by_left[0] / stayed > 1.5 * by_left[1] / left > 0


def test_the_past_tells_something_and_the_future_nearly_all(generate: ModuleType, tables: Any) -> None:
    """What counts only the past is worth less than the truth; what sees 30 days ahead would be too good to be true."""
    world, subscribers, sessions = tables
    truth = generate.auc(world.probability, world.left)
    past = generate.auc(fading(subscribers, sessions) + 1e-9 * np.arange(2_000), world.left)
    later = pa.array(world.asked_on + np.timedelta64(30, "D"))
    ahead = subscribers.set_column(subscribers.schema.get_field_index("asked_on"), "asked_on", later)
    future = generate.auc(fading(ahead, sessions) + 1e-9 * np.arange(2_000), world.left)
    assert 0.58 < past < truth < 0.8
    assert future > truth + 0.05
