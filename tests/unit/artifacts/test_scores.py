"""Each row's scores are read as they were written, in parts or at once; of very many rows, the same sample always."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.artifacts.errors import ArtifactError
from headrace.artifacts.evaluation import Evaluation, read_evaluation, write_evaluation
from headrace.artifacts.scores import FILE, ScoresTable, kept, read_scores, write_scores


def table(count: int = 50, seed: int = 0, start: int = 0, **changes) -> ScoresTable:
    rng = np.random.default_rng(seed)
    share = rng.random(count).astype(np.float32)
    regions = pa.array(rng.choice(["north", "south"], count)).dictionary_encode()
    made = ScoresTable(
        task="classification",
        row=np.arange(start, start + count),
        truth=rng.integers(0, 2, count),
        outputs=np.column_stack([1 - share, share]),
        classes=("no", "yes"),
        split_rows=count,
        by={"region": regions},
    )
    return replace(made, **changes)


def same(found: ScoresTable, expected: ScoresTable) -> None:
    assert (found.task, found.classes, found.split_rows) == (expected.task, expected.classes, expected.split_rows)
    for name in ("row", "truth", "outputs"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    assert {name: values.to_pylist() for name, values in found.by.items()} == {
        name: values.to_pylist() for name, values in expected.by.items()
    }


def test_read_as_written(tmp_path):
    whole = table(weight=np.linspace(0.5, 2, 50), gains=(np.ones(50), np.zeros(50)))
    write_scores(tmp_path, whole)
    found = read_scores(tmp_path)
    same(found, whole)
    assert found.share == 1.0
    np.testing.assert_array_equal(found.weight, whole.weight)
    np.testing.assert_array_equal(found.gains, whole.gains)


def test_a_regression_keeps_float64(tmp_path):
    values = np.random.default_rng(1).normal(1e9, 1, 20)
    made = ScoresTable("regression", np.arange(20), values + 0.5, values[:, None], (), 20)
    write_scores(tmp_path, made)
    same(read_scores(tmp_path), made)


def test_three_classes_and_no_rows(tmp_path):
    made = ScoresTable(
        "classification", np.arange(4), np.array([0, 1, 2, 2]), np.full((4, 3), 1 / 3, np.float32), ("a", "b", "c"), 4
    )
    write_scores(tmp_path, made)
    same(read_scores(tmp_path), made)
    none = replace(made, row=made.row[:0], truth=made.truth[:0], outputs=made.outputs[:0], split_rows=0)
    (tmp_path / "none").mkdir()
    write_scores(tmp_path / "none", none)
    assert len(read_scores(tmp_path / "none")) == 0


def test_parts_with_groups_of_their_own_are_one_table(tmp_path):
    first, second = table(30), table(20, seed=2, start=30)
    second = replace(second, by={"region": pa.array(["west"] * 20).dictionary_encode()})
    write_scores(tmp_path, iter([replace(first, split_rows=50), replace(second, split_rows=50)]))
    found = read_scores(tmp_path)
    assert found.by["region"].to_pylist() == first.by["region"].to_pylist() + ["west"] * 20
    np.testing.assert_array_equal(found.row, np.arange(50))


def test_only_the_columns_that_are_asked_for(tmp_path):
    write_scores(tmp_path, table())
    assert read_scores(tmp_path, []).by == {}
    assert set(read_scores(tmp_path, ["region", "other"]).by) == {"region"}


def test_a_sample_is_the_same_for_every_model(tmp_path):
    for name, seed in (("a", 1), ("b", 2)):
        (tmp_path / name).mkdir()
        write_scores(tmp_path / name, table(20_000, seed=seed), most_rows=5_000)
    a, b = read_scores(tmp_path / "a"), read_scores(tmp_path / "b")
    np.testing.assert_array_equal(a.row, b.row)
    assert a.share == 0.25 and a.split_rows == 20_000
    assert abs(len(a) - 5_000) < 4 * np.sqrt(20_000 * 0.25 * 0.75)
    assert abs(a.row.mean() - 10_000) < 4 * 20_000 / np.sqrt(12 * len(a))  # from all over the split


def test_a_sample_of_parts_is_that_of_the_whole(tmp_path):
    whole = table(1000)
    parts = [
        replace(
            whole,
            row=whole.row[place],
            truth=whole.truth[place],
            outputs=whole.outputs[place],
            by={"region": whole.by["region"][place]},
        )
        for place in (slice(0, 300), slice(300, 1000))
    ]
    for name, given in (("whole", whole), ("parts", iter(parts))):
        (tmp_path / name).mkdir()
        write_scores(tmp_path / name, given, most_rows=200)
    same(read_scores(tmp_path / "parts"), read_scores(tmp_path / "whole"))


def test_hashes_are_even_and_unlike_their_neighbours():
    chosen = kept(np.arange(100_000), 0.5)
    assert abs(chosen.mean() - 0.5) < 0.006
    assert abs(np.mean(chosen[1:] == chosen[:-1]) - 0.5) < 0.006
    assert kept(np.arange(10), 1.0).all() and not kept(np.arange(10), 0.0).any()


@pytest.mark.parametrize(
    "broken",
    [
        [],
        [table(10), table(10)],  # the same rows again
        [table(10, row=np.arange(10)[::-1])],
        [table(10, truth=np.zeros(9, int))],
        [table(10), table(10, start=10, by={})],
    ],
)
def test_what_is_no_table_is_refused(tmp_path, broken):
    with pytest.raises(ArtifactError, match="expected"):
        write_scores(tmp_path, iter(broken))


def test_what_cannot_be_read(tmp_path):
    with pytest.raises(ArtifactError, match="expected the scores of each row. Received: no such file"):
        read_scores(tmp_path)
    (tmp_path / FILE).write_bytes(b"no parquet")
    with pytest.raises(ArtifactError, match="expected the scores of each row"):
        read_scores(tmp_path)
    pq.write_table(pa.table({"row": [1]}), tmp_path / FILE)
    with pytest.raises(ArtifactError, match="expected the scores of each row"):
        read_scores(tmp_path)


def test_they_lie_in_the_sealed_evaluation(tmp_path):
    found = Evaluation(True, "classification", "y", "test", 50, "sha256:d", "sha256:m", classes=("no", "yes"))
    write_evaluation(tmp_path / "e", found, scores=table())
    same(read_scores(tmp_path / "e"), table())
    (tmp_path / "e" / FILE).write_bytes(b"damage")
    with pytest.raises(ArtifactError, match="Received: changed content"):
        read_evaluation(tmp_path / "e")
