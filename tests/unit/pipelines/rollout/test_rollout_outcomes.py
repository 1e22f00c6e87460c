from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.artifacts.errors import HeadraceError
from headrace.components.push.canary import Canary
from headrace.pipelines.rollout.driving import with_outcomes
from headrace.pipelines.rollout.outcomes import joined
from headrace.pipelines.rollout.state import Rollout, Subject

DIGESTS = {"2": "sha256:new", "1": "sha256:old"}
ROLLOUT = Rollout(
    "r", Subject("prices", "homes", "2", "1", DIGESTS), Canary(), 1000.0, step=1, boundaries=((1000.0, 1), (2000.0, 5))
)


def log(
    folder: Path, rows: list[tuple[str, int, str, float, Any, float]], shadow: bool = False, name: str = "a"
) -> None:
    """Rows of the servers' log: (request, row, version, time, prediction, probability of "yes")."""
    folder.mkdir(exist_ok=True)
    columns: dict[str, Any] = {
        "request_id": [row[0] for row in rows],
        "row": pa.array([row[1] for row in rows], pa.int32()),
        "time": pa.array([datetime.fromtimestamp(row[3], UTC) for row in rows], pa.timestamp("us", tz="UTC")),
        "version": [row[2] for row in rows],
        "digest": [DIGESTS.get(row[2], "sha256:other") for row in rows],
        "shadow": [shadow] * len(rows),
        "prediction": [row[4] for row in rows],
    }
    if isinstance(rows[0][4], str):
        columns["probabilities"] = [{"no": 1 - row[5], "yes": row[5]} for row in rows]
    pq.write_table(pa.table(columns), folder / f"{name}.parquet")


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    log(
        tmp_path / "logs",
        [
            ("a", 0, "2", 1500.0, "yes", 0.9),  # right, in the first step
            ("b", 0, "2", 2500.0, "yes", 0.8),  # wrong
            ("c", 0, "1", 1500.0, "no", 0.1),  # right
            ("d", 0, "1", 2500.0, "no", 0.2),  # wrong
            ("e", 0, "1", 500.0, "no", 0.2),  # before the rollout
            ("f", 0, "2", 2500.0, "no", 0.2),  # of two rows: right
            ("f", 1, "2", 2500.0, "no", 0.2),  # wrong
            ("g", 0, "3", 2500.0, "no", 0.2),  # another version's
        ],
    )
    return tmp_path / "logs"


def outcomes(folder: Path, text: str, name: str = "outcomes.csv") -> str:
    (folder / name).write_text(text)
    return str(folder / name)


TRUTH = "request_id,row,outcome\na,0,yes\nb,0,no\nc,0,no\nd,0,yes\ne,0,yes\nf,0,no\nf,1,yes\ng,0,yes\nz,0,yes\n"


def test_each_request_counts_once_for_its_version_and_step(logs: Path, tmp_path: Path) -> None:
    found = joined(str(logs), [outcomes(tmp_path, TRUTH)])(ROLLOUT)
    assert found == {"0": (0.0, 1.0, 0.0, 1.0), "1": (1.5, 2.0, 1.0, 1.0)}


def test_half_the_squared_distance_of_the_probabilities(logs: Path, tmp_path: Path) -> None:
    found = joined(str(logs), [outcomes(tmp_path, TRUTH)], "brier")(ROLLOUT)
    assert found["0"] == pytest.approx((0.01, 1.0, 0.01, 1.0))
    assert found["1"][0] == pytest.approx(0.64 + (0.04 + 0.64) / 2)


def test_without_rows_only_requests_of_one_row_can_be_joined(logs: Path, tmp_path: Path) -> None:
    text = "request_id,truth\nb,no\nf,no\n"
    assert joined(str(logs), [outcomes(tmp_path, text)])(ROLLOUT) == {"1": (1.0, 1.0, 0.0, 0.0)}


def test_numbers_have_an_absolute_error_up_to_its_scale(tmp_path: Path) -> None:
    log(tmp_path / "logs", [("a", 0, "2", 1500.0, 10.0, 0), ("b", 0, "1", 1500.0, 10.0, 0)])
    lines = "".join(json.dumps({"request_id": one, "actual": value}) + "\n" for one, value in (("a", 13), ("b", 99)))
    file = outcomes(tmp_path, lines, "o.jsonl")
    assert joined(str(tmp_path / "logs"), [file], None, 10.0)(ROLLOUT) == {"0": (0.3, 1.0, 1.0, 1.0)}
    with pytest.raises(HeadraceError, match="loss scale: expected the absolute error that counts as 1"):
        joined(str(tmp_path / "logs"), [file])(ROLLOUT)


def test_what_comes_later_is_added_and_read_once(logs: Path, tmp_path: Path) -> None:
    bring = joined(str(logs), [outcomes(tmp_path, "request_id,outcome\na,yes\n")])
    first = with_outcomes(ROLLOUT, bring(ROLLOUT))
    assert bring(first) is bring(first)
    outcomes(tmp_path, "request_id,outcome\na,yes\nb,no\nc,no\n")
    second = with_outcomes(first, bring(first))
    check = second.check("outcomes")
    assert check is not None and float(check.totals.candidate_units.max()) == 2.0
    assert float(check.totals.baseline_units.max()) == 1.0
    again = with_outcomes(second, bring(second))
    assert float(again.check("outcomes").totals.candidate_units.max()) == 2.0  # type: ignore[union-attr]


def test_nothing_is_known_before_there_are_files(tmp_path: Path) -> None:
    assert joined(str(tmp_path / "none"), [str(tmp_path / "none.csv")])(ROLLOUT) == {}


def test_a_shadow_answered_nobody(tmp_path: Path) -> None:
    log(tmp_path / "logs", [("a", 0, "2", 1500.0, "yes", 0.9)], shadow=True)
    assert joined(str(tmp_path / "logs"), [outcomes(tmp_path, "request_id,outcome\na,no\n")])(ROLLOUT) == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("id,outcome\na,yes\n", "expected a column request_id. Received: id, outcome"),
        ("request_id,x,y\na,1,2\n", "expected a column outcome or truth or label or actual"),
        ("request_id,outcome\na,TRUE\nb,FALSE\n", "expected labels such as no, yes. Received: 'FALSE'"),
    ],
)
def test_outcomes_that_do_not_fit_are_told(logs: Path, tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(HeadraceError, match=words):
        joined(str(logs), [outcomes(tmp_path, text)])(ROLLOUT)


def test_a_harmful_loss_is_found(tmp_path: Path) -> None:
    rollout = replace(ROLLOUT, settings=Canary(errors=None, latency=None, drift=None))
    for count in range(20, 401, 20):
        rollout = with_outcomes(rollout, {"0": (0.5 * count, count, 0.1 * count, count)})
    assert rollout.summaries()[0]["verdict"] == "harm"
