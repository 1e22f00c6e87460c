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
from headrace.pipelines.rollout.state import Rollout, Subject, to_json

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
        columns["score"] = pa.array([row[5] for row in rows], pa.float32())
    pq.write_table(pa.table(columns), folder / f"{name}.parquet")


def with_probabilities(file: Path, values: list[Any] | None) -> None:
    """Other probabilities in a log, or none."""
    table = pq.read_table(file).drop_columns(["probabilities"])
    pq.write_table(table.append_column("probabilities", pa.array(values)) if values else table, file)


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


NAN = float("nan")


@pytest.mark.parametrize("loss", ["brier", "wrong"])
@pytest.mark.parametrize("bad", [NAN, float("inf")])
def test_probabilities_that_are_no_numbers_lose_in_full_and_can_be_kept(tmp_path: Path, loss: str, bad: float) -> None:
    rows = [("a", 0, "2", 1500.0, "no", bad), ("b", 0, "2", 1500.0, "no", 0.0), ("c", 0, "1", 1500.0, "no", 0.0)]
    log(tmp_path / "logs", rows)
    file = outcomes(tmp_path, "request_id,outcome\na,no\nb,no\nc,no\n")
    sums = joined(str(tmp_path / "logs"), [file], loss)(ROLLOUT)
    assert sums == {"0": (1.0, 2.0, 0.0, 1.0)}
    rollout = with_outcomes(ROLLOUT, sums)
    json.dumps(to_json(rollout), allow_nan=False)  # as the registry's file does at every look
    assert rollout.check("outcomes").totals.candidate_sum.max() == 1.0  # type: ignore[union-attr]


@pytest.mark.parametrize("bad", [NAN, float("inf"), float("-inf")])
def test_values_that_are_no_numbers_lose_in_full(tmp_path: Path, bad: float) -> None:
    log(tmp_path / "logs", [("a", 0, "2", 1500.0, bad, 0), ("b", 0, "1", 1500.0, 10.0, 0)])
    file = outcomes(tmp_path, "request_id,actual\na,10\nb,10\n")
    assert joined(str(tmp_path / "logs"), [file], None, 10.0)(ROLLOUT) == {"0": (1.0, 1.0, 0.0, 1.0)}


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl", "t.json"])
@pytest.mark.parametrize(
    "one",
    ["AB3F0C7A-1B2C-4D3E-8F90-ABCDEF012345", "2026-11-03T10:00:00Z", "2026-11-03", "0017", "1e3", "{x}", "TRUE"],
)
def test_ids_join_as_they_are_written(tmp_path: Path, name: str, one: str) -> None:
    log(tmp_path / "logs", [(one, 0, "2", 1500.0, "no", 0.1), (one, 1, "2", 1500.0, "no", 0.1)])
    rows = [{"request_id": one, "row": row, "outcome": label} for row, label in enumerate(("no", "yes"))]
    texts = {
        "t.csv": "request_id,row,outcome\n" + "".join(",".join(map(str, row.values())) + "\n" for row in rows),
        "t.jsonl": "".join(json.dumps(row) + "\n" for row in rows),
        "t.json": json.dumps(rows),
    }
    file = outcomes(tmp_path, texts[name], name)
    assert joined(str(tmp_path / "logs"), [file])(ROLLOUT) == {"0": (0.5, 1.0, 0.0, 0.0)}


@pytest.mark.parametrize("label", ["2026-11-03 10:00", "AB3F0C7A-1B2C-4D3E-8F90-ABCDEF012345", "007"])
def test_labels_in_json_stay_as_they_are_written(tmp_path: Path, label: str) -> None:
    log(tmp_path / "logs", [("a", 0, "2", 1500.0, label, 0.1)])
    with_probabilities(tmp_path / "logs" / "a.parquet", None)
    file = outcomes(tmp_path, json.dumps({"request_id": "a", "truth": label}), "t.jsonl")
    assert joined(str(tmp_path / "logs"), [file])(ROLLOUT) == {"0": (0.0, 1.0, 0.0, 0.0)}


def test_json_may_have_numbers_and_nulls_in_any_notation(tmp_path: Path) -> None:
    log(tmp_path / "logs", [(one, 0, "2", 1500.0, 10.0, 0) for one in ("17", "b", "c", "d")])
    lines = ['{"request_id": 17, "actual": 10}', '{"request_id": "b", "actual": 1.2e1}', '{"request_id": "c"}',
             '{"request_id": "d", "actual": null}', '{"request_id": 17, "actual": 10.0}']  # fmt: skip
    file = outcomes(tmp_path, "\n".join(lines), "t.jsonl")
    assert joined(str(tmp_path / "logs"), [file], None, 10.0)(ROLLOUT) == {"0": (pytest.approx(0.2), 2.0, 0.0, 0.0)}


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("numbers", [True, False])
def test_outcomes_that_are_not_known_do_not_count(tmp_path: Path, kind: str, numbers: bool) -> None:
    predicted = [(1.0, 0.0), (1.0, 0.0)] if numbers else [("1", 0.9), ("1", 0.9)]
    log(tmp_path / "logs", [(one, 0, "2", 1500.0, *row) for one, row in zip("ab", predicted, strict=True)])
    file = str(tmp_path / f"o.{kind}")
    if kind == "parquet":
        pq.write_table(pa.table({"request_id": ["a", "b", "b"], "actual": [1.0, NAN, 1.0]}), file)
    elif kind == "csv":
        Path(file).write_text("request_id,actual\na,1.0\na,NaN\nb,nan\nb,1.0\n")  # it became known later
    else:
        Path(file).write_text('{"request_id":"a","actual":1.0}\n{"request_id":"b","actual":NaN}\n'
                              '{"request_id":"b","actual":"nan"}\n{"request_id":"b","actual":1.0}\n')  # fmt: skip
    scale = 10.0 if numbers else None
    if not numbers:
        with_probabilities(tmp_path / "logs" / "a.parquet", None)
    assert joined(str(tmp_path / "logs"), [file], None, scale)(ROLLOUT) == {"0": (0.0, 2.0, 0.0, 0.0)}


def test_nothing_is_told_of_outcomes_that_are_all_unknown(logs: Path, tmp_path: Path) -> None:
    assert joined(str(logs), [outcomes(tmp_path, "request_id,outcome\na,nan\nz,\n")])(ROLLOUT) == {}


def test_a_label_may_be_called_nan(tmp_path: Path) -> None:
    log(tmp_path / "logs", [("a", 0, "2", 1500.0, "nan", 0.1), ("b", 0, "1", 1500.0, "no", 0.1)])
    file = outcomes(tmp_path, "request_id,outcome\na,nan\nb,nan\n")
    with_probabilities(tmp_path / "logs" / "a.parquet", None)
    assert joined(str(tmp_path / "logs"), [file])(ROLLOUT) == {"0": (0.0, 1.0, 1.0, 1.0)}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("request_id,outcome\nB,yes\nA,no\n", "expected requests that outcomes are of, such as 'A'. Received: none of "
         "them yet, but others, such as 'a'"),
        ("request_id,outcome\nf,yes\n", "expected requests of one row, as outcomes have no column row. Received: "
         "several rows of 'f'"),
        ("request_id,row,outcome\nf,2,yes\n", "expected the rows that outcomes are of. Received: no row 2 of 'f'"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("loss", ["wrong", "brier"])
def test_outcomes_of_which_none_joins_are_told_until_one_does(
    logs: Path, tmp_path: Path, text: str, words: str, loss: str
) -> None:
    bring = joined(str(logs), [outcomes(tmp_path, text)], loss)
    for _ in range(2):
        with pytest.raises(HeadraceError, match=f"^{logs}: {words}"):
            bring(ROLLOUT)
    outcomes(tmp_path, f"{text.rstrip()}\na,{'0,' if 'row' in text else ''}yes\n")
    assert bring(ROLLOUT)["0"][1] == 1.0


def test_a_class_that_one_version_does_not_know_has_no_probability_there(tmp_path: Path) -> None:
    log(tmp_path / "logs", [("a", 0, "1", 1500.0, "no", 0.2), ("b", 0, "1", 1500.0, "no", 0.2)])
    log(tmp_path / "logs", [("c", 0, "2", 1500.0, "no", 0.2), ("d", 0, "2", 1500.0, "no", 0.2)], name="b")
    with_probabilities(tmp_path / "logs" / "b.parquet", [{"no": 0.7, "yes": 0.2, "maybe": 0.1}] * 2)
    file = outcomes(tmp_path, "request_id,outcome\na,no\nb,maybe\nc,no\nd,other\n")
    found = joined(str(tmp_path / "logs"), [file], "brier")(ROLLOUT)
    old = (0.04 + 0.04) / 2 + (0.64 + 0.04 + 1) / 2
    assert found["0"] == pytest.approx(((0.09 + 0.04 + 0.01) / 2 + (0.49 + 0.04 + 0.01 + 1) / 2, 2.0, old, 2.0))


def test_the_log_of_a_model_of_another_kind_beside_it_changes_nothing(tmp_path: Path) -> None:
    log(tmp_path / "logs", [("a", 0, "2", 1500.0, 10.0, 0), ("b", 0, "1", 1500.0, 20.0, 0)])
    log(tmp_path / "logs", [("a", 0, "7", 1500.0, "yes", 0.9)], name="classifier")
    file = outcomes(tmp_path, "request_id,actual\na,10\nb,10\n")
    assert joined(str(tmp_path / "logs"), [file], None, 20.0)(ROLLOUT) == {"0": (0.0, 1.0, 0.5, 1.0)}


@pytest.mark.parametrize("first", ["1", "2"])
def test_labels_of_versions_whose_probabilities_are_not_alike(tmp_path: Path, first: str) -> None:
    second = "1" if first == "2" else "2"
    log(tmp_path / "logs", [(first, 0, first, 1500.0, "no", 0.2)])
    log(tmp_path / "logs", [(second, 0, second, 1500.0, "no", 0.2)], name="b")
    with_probabilities(tmp_path / "logs" / "b.parquet", [[0.8, 0.2]])  # as of more than 64 classes
    file = outcomes(tmp_path, "request_id,outcome\n1,yes\n2,no\n")
    assert joined(str(tmp_path / "logs"), [file])(ROLLOUT) == {"0": (0.0, 1.0, 1.0, 1.0)}
    with pytest.raises(HeadraceError, match="expected wrong, where the log has no probabilities by class"):
        joined(str(tmp_path / "logs"), [file], "brier")(ROLLOUT)
