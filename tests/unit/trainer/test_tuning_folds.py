"""Folds: how they divide the train split, and what they keep together."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.artifacts.dataset import Column, Dataset, DatasetInfo, describe, write_dataset
from headrace.artifacts.errors import HeadraceError
from headrace.trainer.model import Rows
from headrace.trainer.parameters import Training
from headrace.trainer.rows import Ready
from headrace.trainer.tuning import tune
from headrace.trainer.tuning.folds import count_folds, make_folds


def snapshot(folder, ids=None, split="hash", rows=60, groups=None, y=None):
    """A snapshot whose eval and test splits are empty of sense: folds must not need them."""
    columns = {"id": ids or [f"r{i}" for i in range(rows)], "y": y or ["no" if i % 5 else "yes" for i in range(rows)]}
    by = {"by": split}
    if groups is not None:
        columns["group"], by = groups, {"by": split, "column": "group"}
    table = pa.table(columns)
    named = [Column(field.name, str(field.type).replace("double", "float64")) for field in table.schema]
    counts, classes = {"train": rows, "eval": 9, "test": 9}, sorted(set(columns["y"]))
    texts = isinstance(classes[0], str)
    info = DatasetInfo("classification" if texts else "regression", named, "y", counts, classes if texts else None,
                       "yes" if texts else None, "id", query={"split": by})  # fmt: skip
    with write_dataset(folder) as (files, details):
        details.update(describe(info))
        pq.write_table(table, files["train"])
        for name in ("eval", "test"):
            files[name].write_bytes(b"")
    labels = [classes.index(value) for value in columns["y"]] if texts else columns["y"]
    return Dataset.open(folder), np.array(labels, np.int32 if texts else np.float64)


def apart(folds, groups):
    """Whether no group is on both sides of a fold."""
    groups = np.array(groups)
    return all(not set(groups[fold.learned]) & set(groups[fold.judged]) for fold in folds)


def test_folds_judge_each_row_once_and_divide_classes_evenly(tmp_path):
    data, y = snapshot(tmp_path / "d")
    folds = make_folds(4, data, y, seed=3)
    assert np.array_equal(np.sort(np.concatenate([fold.judged for fold in folds])), np.arange(60))
    for fold in folds:
        assert not set(fold.learned) & set(fold.judged) and int(y[fold.judged].sum()) == 3
    again = make_folds(4, data, y, seed=3)
    assert all(np.array_equal(a.judged, b.judged) for a, b in zip(folds, again, strict=True))
    assert make_folds(0, data, y, seed=3) == ()


def test_rows_of_one_id_are_never_on_both_sides(tmp_path):
    ids = [f"r{i // 3}" for i in range(57)] + [None] * 3
    data, y = snapshot(tmp_path / "d", ids)
    folds = make_folds(5, data, y, seed=0)
    groups = np.array([i // 3 if i < 57 else -i for i in range(60)])
    for fold in folds:
        assert not set(groups[fold.learned]) & set(groups[fold.judged])
    assert len({index for index, fold in enumerate(folds) for row in (57, 58, 59) if row in fold.judged}) > 1


def test_folds_by_themselves_only_where_train_is_small_and_not_split_by_time(tmp_path):
    small, _ = snapshot(tmp_path / "a")
    assert count_folds(None, small) == 5 and count_folds(0, small) == 0 and count_folds(3, small) == 3
    timed, y = snapshot(tmp_path / "b", split="time")
    assert count_folds(None, timed) == 0
    with pytest.raises(
        HeadraceError, match="expected 0 for data that is split by time: folds would learn from the future"
    ):
        count_folds(3, timed)
    with pytest.raises(HeadraceError, match="expected at least 80 rows in train for 40 folds. Received: 60"):
        make_folds(40, timed, y, 0)


@pytest.mark.parametrize("y", [None, [float(i % 7) for i in range(60)]], ids=["classes", "numbers"])
def test_rows_of_a_group_that_the_data_is_split_by_are_never_on_both_sides(tmp_path, y):
    groups = [i % 8 for i in range(60)]
    data, labels = snapshot(tmp_path / "d", split="group", groups=groups, y=y)
    folds = make_folds(5, data, labels, seed=1)
    assert len(folds) == 5 and apart(folds, groups)
    assert np.array_equal(np.sort(np.concatenate([fold.judged for fold in folds])), np.arange(60))
    other = make_folds(5, data, labels, seed=2)
    assert any(not np.array_equal(a.judged, b.judged) for a, b in zip(folds, other, strict=True))


def test_a_column_that_the_data_is_not_grouped_by_holds_nothing_together(tmp_path):
    groups = [i % 3 for i in range(60)]
    data, y = snapshot(tmp_path / "d", split="stratified", groups=groups)
    assert len(make_folds(5, data, y, seed=1)) == 5


def test_an_id_and_a_group_hold_together_what_either_of_them_does(tmp_path):
    groups = [f"g{i // 3}" for i in range(60)]
    ids = [f"r{min(i, 59 - i)}" for i in range(60)]  # ties the first group to the last, the second to the last but one
    data, y = snapshot(tmp_path / "d", ids, "group", groups=groups)
    folds = make_folds(5, data, y, seed=0)
    assert len(folds) == 5 and apart(folds, groups) and apart(folds, ids)


def test_fewer_groups_than_folds_make_fewer_folds_unless_so_many_are_asked_for(tmp_path, capsys):
    groups = [i % 3 for i in range(60)]
    data, y = snapshot(tmp_path / "d", split="group", groups=groups)
    folds = make_folds(5, data, y, seed=1, fewer=True)
    assert len(folds) == 3 and apart(folds, groups)
    assert "3 folds judge instead of 5" in capsys.readouterr().out
    with pytest.raises(HeadraceError, match="at least 5 different values of `id` and `group` for 5 folds. Received: 3"):
        make_folds(5, data, y, seed=1)
    single, y = snapshot(tmp_path / "single", split="group", groups=[7] * 60)
    assert make_folds(5, single, y, seed=1, fewer=True) == ()
    assert "eval judges instead of 5 folds" in capsys.readouterr().out


def test_rows_that_do_not_count_are_in_no_fold_and_their_groups_are_none(tmp_path):
    groups = [i % 6 for i in range(60)]
    data, y = snapshot(tmp_path / "d", split="group", groups=groups)
    weights = np.array([0.0 if group < 2 else 1.5 for group in groups])
    folds = make_folds(5, data, y, 1, weights, fewer=True)
    assert len(folds) == 4 and apart(folds, groups)
    for fold in folds:
        assert weights[fold.learned].all() and weights[fold.judged].all()
        assert len(fold.learned) + len(fold.judged) == 40
    with pytest.raises(HeadraceError, match="Received: 4"):
        make_folds(5, data, y, 1, weights)


def test_no_row_is_judged_of_a_class_that_the_other_rows_of_its_fold_lack(tmp_path):
    groups = [i % 6 for i in range(60)]
    rare = ["rare" if i % 12 == 0 else "yes" if i % 4 == 1 or i % 5 == 2 else "no" for i in range(60)]
    data, y = snapshot(tmp_path / "d", split="group", groups=groups, y=rare)
    folds = make_folds(3, data, y, seed=0)
    assert len(folds) == 3 and apart(folds, groups)
    for fold in folds:
        assert set(y[fold.judged]) <= set(y[fold.learned])
    judged = np.concatenate([fold.judged for fold in folds])
    assert sorted(judged) == [i for i in range(60) if rare[i] != "rare"], "one group has them all"


def test_a_fold_that_leaves_one_class_to_learn_judges_nothing(tmp_path):
    groups = [i // 20 for i in range(60)]
    labels = ["yes" if i < 20 and i % 2 else "no" for i in range(60)]  # one group has both
    data, y = snapshot(tmp_path / "d", split="group", groups=groups, y=labels)
    folds = make_folds(3, data, y, seed=0)
    assert sorted(np.concatenate([fold.judged for fold in folds])) == list(range(20, 60))
    both, y = snapshot(tmp_path / "both", split="group", groups=[i % 2 for i in range(60)],
                       y=["yes" if i % 2 else "no" for i in range(60)])  # fmt: skip
    with pytest.raises(HeadraceError, match="expected two classes or more in what is left to learn from"):
        make_folds(2, both, y, seed=0)
    assert make_folds(5, both, y, seed=0, fewer=True) == ()


def test_one_fold_is_none(tmp_path):
    data, _ = snapshot(tmp_path / "d")
    with pytest.raises(HeadraceError, match="expected 2 folds or more, or 0, which judges by eval. Received: 1"):
        count_folds(1, data)


@pytest.mark.parametrize(("asked", "expected"), [(None, 3), (2, 2)])
def test_a_search_judges_by_the_groups_of_the_rows_that_count(tmp_path, monkeypatch, asked, expected):
    class Stopped(Exception):
        """Carries the problem that would be searched."""

    def stop(problem, *_):
        raise Stopped(problem)

    groups = [i % 4 for i in range(60)]
    _, y = snapshot(tmp_path / "d", split="group", groups=groups)
    weights = np.array([4 / 3 if group else 0.0 for group in groups])
    train = Rows(np.zeros((60, 1), np.float32), y, weights)
    transform = SimpleNamespace(digest="t", recipe=SimpleNamespace(outputs=()))
    monkeypatch.setattr(tune, "open_transform", lambda _: transform)
    monkeypatch.setattr(tune, "ready", lambda *_: Ready(train, train, train, pa.table({}), 2))
    monkeypatch.setattr(tune, "search", stop)
    with pytest.raises(Stopped) as stopped:
        tune.tune(tmp_path / "d", tmp_path, Training(), tune.Settings(folds=asked))
    (problem,) = stopped.value.args
    assert len(problem.folds) == expected and apart(problem.folds, groups)
    for learned, judged in problem.pairs():
        assert learned.weights.all() and judged.weights.all() and np.isclose(learned.weights.mean(), 1)
