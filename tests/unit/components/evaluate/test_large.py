"""A split that is scored in batches: the same figures as at once, in process and by Beam."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.evaluation import Evaluation, read_evaluation
from headrace.artifacts.scores import read_scores
from headrace.components.evaluate import batches
from headrace.components.evaluate.evaluate import assess, evaluate
from headrace.components.evaluate.measure import measure, of_totals
from headrace.components.evaluate.scores import Scores
from headrace.components.evaluate.spec import EvaluateSpec, with_runner
from headrace.components.evaluate.tally import from_bytes, merge, tally, to_bytes, totals_of

from .conftest import rows, sigmoid, snapshot
from .test_evaluate import logistic_bundle

EXACT = ("metrics", "undefined", "baseline", "confusion")


@pytest.fixture
def small_batches(monkeypatch):
    monkeypatch.setattr(batches, "BATCH_ROWS", 97)
    monkeypatch.setattr(batches, "STRETCH_ROWS", 300)


@pytest.fixture(params=["binary", "several", "regression"])
def data(request, tmp_path):
    """The snapshot of that kind in many row groups, with a column of weights."""
    given = request.getfixturevalue(request.param)
    tables = {}
    for split in ("train", "eval", "test"):
        table = given.table(split)
        weights = np.random.default_rng(len(split)).integers(0, 4, table.num_rows) / 2
        tables[split] = table.append_column("w", pa.array(weights))
    info = {} if request.param == "regression" else {"classes": given.info.classes, "positive": given.info.positive}
    made = snapshot(tmp_path / "data", given.info.task, tables, **info)
    test = made.file("test")
    test.chmod(0o644)
    pq.write_table(tables["test"], test, row_group_size=111)
    return request.param, made


def same(one: Evaluation, other: Evaluation) -> None:
    for name in ("metrics", "baseline"):
        assert getattr(one, name) == pytest.approx(getattr(other, name), rel=1e-9, abs=1e-10), name
    assert (one.undefined, one.confusion, one.rows) == (other.undefined, other.confusion, other.rows)
    assert one.thresholds == other.thresholds
    for mine, theirs in zip(one.per_class, other.per_class, strict=True):
        assert (mine.name, mine.rows, mine.predicted) == (theirs.name, theirs.rows, theirs.predicted)
        assert mine.metrics == pytest.approx(theirs.metrics)
    for mine, theirs in zip(one.curves, other.curves, strict=True):
        assert (mine.kind, mine.of) == (theirs.kind, theirs.of)
        if mine.kind not in ("scatter", "roc_band", "pr_band"):
            assert np.asarray(mine.points) == pytest.approx(np.asarray(theirs.points), abs=1e-9), mine.kind


@pytest.mark.parametrize("weight", [None, "w"])
def test_the_same_figures_as_at_once(data, weight, subjects, small_batches):
    kind, made = data
    settings = EvaluateSpec(slices=["plan"], weight=weight)
    at_once = assess(subjects[kind], made, settings)
    in_batches = assess(subjects[kind], made, settings.model_copy(update={"batches": few(1000)}))
    same(in_batches, at_once)
    assert at_once.looked_at == 0
    assert 800 < in_batches.looked_at < 1200
    assert sum(part.rows for part in in_batches.slices) <= in_batches.looked_at
    for name, (low, high) in at_once.intervals.items():
        if name != "ece":
            mine = in_batches.intervals[name]
            assert mine[0] <= in_batches.metrics[name] <= mine[1], name
            assert 0.5 < (mine[1] - mine[0]) / (high - low) < 2, name


def few(rows: int):
    return EvaluateSpec(batches={"most_rows": rows}).batches


def test_nothing_is_measured_where_one_output_of_all_is_no_number(binary, subjects, small_batches):
    def broken(table):
        outputs = subjects["binary"].predict(table)
        outputs[np.asarray(table["x"]) == np.asarray(binary.table("test")["x"])[1234]] = np.nan
        return outputs

    found = assess(replace(subjects["binary"], predict=broken), binary, EvaluateSpec(batches={"most_rows": 1000}))
    assert found.metrics == {} and found.intervals == {} and found.curves == () and found.confusion == ()
    assert set(found.undefined.values()) == {"the model's output is not a finite number in 1 rows"}


def test_distinct_scores_beyond_the_most_are_cut_alike_whatever_the_order():
    rng = np.random.default_rng(3)
    score = rng.random(20_000).astype(np.float32).astype(np.float64)
    truth = (rng.random(20_000) < score).astype(int)
    scores = Scores("classification", truth, np.column_stack([1 - score, score]), ("0", "1"), 1)
    parts = [tally(scores.take(np.arange(start, start + 1000)), 2048) for start in range(0, 20_000, 1000)]
    forth, back = parts[0], parts[-1]
    for index in range(1, 20):
        forth, back = merge(forth, parts[index], "binary", 2048), merge(parts[-1 - index], back, "binary", 2048)
    assert forth.held[0].cut == back.held[0].cut > 0
    assert (forth.held[0].numbers == back.held[0].numbers).all()
    assert (forth.held[0].weights == back.held[0].weights).all()
    assert len(forth.held[0].numbers) <= 2048
    values, _ = of_totals(totals_of(forth, "binary", 2), "binary", scores.classes, 1)
    exact = measure(scores)[0]
    assert values["auc"] == pytest.approx(exact["auc"], abs=2e-5)
    assert values["pr_auc"] == pytest.approx(exact["pr_auc"], abs=1e-3)
    assert values["f1"] == pytest.approx(exact["f1"], abs=1e-12)


def test_a_tally_as_bytes_is_the_same():
    rng = np.random.default_rng(4)
    found = tally(Scores("regression", rng.normal(size=50), rng.normal(size=(50, 1))))
    read = from_bytes(to_bytes(found))
    assert (read.sums == found.sums).all() and read.centre == found.centre and read.rows == 50
    assert all((mine.numbers == theirs.numbers).all() for mine, theirs in zip(read.held, found.held, strict=True))


def test_a_weight_that_is_none(binary, subjects):
    with pytest.raises(HeadraceError, match=r"evaluate\.weight: .* Received: `plans`; did you mean `plan`"):
        assess(subjects["binary"], binary, EvaluateSpec(weight="plans"))
    with pytest.raises(HeadraceError, match=r"evaluate\.weight: expected numbers in the column plan"):
        assess(subjects["binary"], binary, EvaluateSpec(weight="plan"))
    with pytest.raises(HeadraceError, match=r"evaluate\.weight: expected a number of 0 or more in every row of x"):
        assess(subjects["binary"], binary, EvaluateSpec(weight="x"))


def test_the_runner_that_a_machine_asks_for():
    assert with_runner(EvaluateSpec(), "DirectRunner").batches.beam.runner == "DirectRunner"
    assert with_runner(EvaluateSpec(), "").batches.beam is None
    assert with_runner(EvaluateSpec(batches={"beam": {}}), "none").batches.beam is None
    with pytest.raises(HeadraceError, match="did you mean FlinkRunner"):
        with_runner(EvaluateSpec(), "Flink")


@pytest.mark.slow
def test_beam_gives_the_same_to_the_last_bit(tmp_path, subjects, monkeypatch):
    monkeypatch.setattr(batches, "STRETCH_ROWS", 300)
    tables = {}
    for seed, (split, count) in enumerate([("train", 500), ("eval", 300), ("test", 2000)]):
        values = rows(seed, count)
        values["y"] = np.where(values.pop("u") < sigmoid(2 * values["x"]), "1", "0")
        tables[split] = pa.table(values)
    made = snapshot(tmp_path / "data", "classification", tables, classes=["0", "1"], positive="1")
    logistic_bundle(tmp_path / "model", subjects["binary"].signature)
    found = []
    for name, beam in (("process", None), ("beam", {})):
        settings = EvaluateSpec(slices=["plan"], batches={"most_rows": 1000, "beam": beam})
        evaluate(tmp_path / "model", made.path, settings, tmp_path / name, tmp_path / f"{name}.html")
        found.append(read_evaluation(tmp_path / name))
    assert found[0] == found[1]
    assert (tmp_path / "process" / "scores.parquet").read_bytes() == (tmp_path / "beam" / "scores.parquet").read_bytes()
    assert len(read_scores(tmp_path / "beam")) == found[0].looked_at  # slices and gates look at the same rows


def test_no_gate_finds_a_figure_where_one_output_of_all_is_no_number(binary, subjects, small_batches):
    settings = EvaluateSpec(
        batches={"most_rows": 1000},
        slices=["plan"],
        fairness={"by": ["gender"]},
        value={"true_positive": 40, "false_positive": -5},
    )
    whole = assess(subjects["binary"], binary, settings)
    kept: list = []
    assess(subjects["binary"], binary, settings, "test", kept.append)
    place = next(row for row in range(2000) if row not in set(kept[0].row.tolist()))
    x = np.asarray(binary.table("test")["x"])[place]

    def broken(table):
        outputs = subjects["binary"].predict(table)
        outputs[np.asarray(table["x"]) == x] = np.nan
        return outputs

    found = assess(replace(subjects["binary"], predict=broken), binary, settings)
    flaw = "the model's output is not a finite number in 1 rows"
    assert whole.slices and whole.fairness[0].metrics and whole.value.amounts
    assert found.slices == () and found.unjudged == ()
    assert found.value.undefined == flaw and found.value.amounts == {} and found.value.over == {}
    (one,) = found.fairness
    assert (one.metrics, one.limits, one.intervals, one.groups) == ({}, {}, {}, ())
    assert {one.undefined[name] for name in whole.fairness[0].metrics} == {flaw}


@pytest.mark.parametrize("kind", ["binary", "regression"])
def test_batches_and_splits_of_no_weight(kind, request, subjects, small_batches, tmp_path):
    given = request.getfixturevalue(kind)
    settings = EvaluateSpec(weight="w", batches={"most_rows": 1000})
    for counted in (500, 0):
        tables = {}
        for split in ("train", "eval", "test"):
            table = given.table(split)
            weights = np.ones(table.num_rows)
            if split == "test":
                weights[: table.num_rows - counted] = 0
            tables[split] = table.append_column("w", pa.array(weights))
        info = {} if kind == "regression" else {"classes": given.info.classes, "positive": given.info.positive}
        made = snapshot(tmp_path / f"data{counted}", given.info.task, tables, **info)
        found = assess(subjects[kind], made, settings)
        if counted:
            same(found, assess(subjects[kind], made, EvaluateSpec(weight="w")))
        else:
            assert found.metrics == {} and set(found.undefined.values()) == {"all rows have weight 0"}
