"""Every way of splitting: each row in exactly one split, whatever the order, the batches, and what is added."""

import datetime
import math
from collections import Counter
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.artifacts.errors import HeadraceError
from headrace.components.ingest.row_hash import positions, row_hashes
from headrace.components.ingest.spec import DataSpec, Split
from headrace.components.ingest.split import splitter
from tests.unit.components.ingest.ingesting import ROWS, splits_of, table, take

NAMES = ("train", "eval", "test")
MOMENTS = {"eval_from": "2024-03-01", "test_from": "2024-05-01"}
WAYS = {
    "hash": {},
    "group": {"by": "group", "column": "customer"},
    "time": {"by": "time", "column": "at"},
    "moments": {"by": "time", "column": "day", **MOMENTS},
    "column": {"by": "column", "column": "where"},
    "stratified": {"by": "stratified", "column": "kind"},
}
STABLE = [way for way in WAYS if way not in ("time", "stratified")]

rows_of_ids = st.lists(st.integers(0, 100_000), min_size=1, max_size=300, unique=True)


def rows(ids) -> pa.Table:
    """What else a row holds follows from its id, so that the same id is the same row."""
    start = datetime.date(2024, 1, 1)
    return pa.table(
        {
            "id": pa.array(ids, pa.int64()),
            "customer": pa.array([f"c{i % 40}" for i in ids]),
            "at": pa.array([(i * 7919) % 97 for i in ids], pa.int64()),
            "day": pa.array([start + datetime.timedelta(i % 200) for i in ids]),
            "where": pa.array([NAMES[i % 3] for i in ids]),
            "kind": pa.array([("a", "b", None)[i % 3] for i in ids]),
        }
    )


def assigned(way, ids, folder, batch=64) -> dict[int, str]:
    """Each id's split."""
    split, whole = Split(**WAYS[way]), rows(ids)
    folder.mkdir()
    how = splitter(split, "id", "kind", whole.schema, folder)
    batches = [(one, row_hashes(one, how.columns)) for one in whole.to_batches(max_chunksize=batch)]
    if how.observe:
        for one, hashes in batches:
            how.observe(one, hashes)
    found = {}
    for one, hashes in batches:
        codes = how.assign(one, hashes)
        assert len(codes) == one.num_rows
        found |= dict(zip(one["id"].to_pylist(), [NAMES[code] for code in codes], strict=True))
    return found


@pytest.fixture
def folders(tmp_path_factory):
    """A new folder at each call: hypothesis calls a test often."""
    root = tmp_path_factory.mktemp("splits")
    return lambda: root / str(len(list(root.iterdir())))


@pytest.mark.parametrize("way", WAYS)
def test_the_order_of_rows_and_the_batches_do_not_matter(way, folders):
    @settings(max_examples=20, deadline=None)
    @given(rows_of_ids, st.randoms(), st.integers(1, 100))
    def check(ids, random, batch):
        shuffled = random.sample(ids, len(ids))
        first = assigned(way, ids, folders())
        assert first == assigned(way, shuffled, folders(), batch)
        assert set(first) == set(ids)

    check()


@pytest.mark.parametrize("way", STABLE)
def test_a_row_keeps_its_split_when_others_are_added(way, folders):
    @settings(max_examples=20, deadline=None)
    @given(rows_of_ids, rows_of_ids)
    def check(ids, more):
        after = assigned(way, list(dict.fromkeys([*ids, *more])), folders())
        assert assigned(way, ids, folders()).items() <= after.items()

    check()


def test_no_group_straddles(folders):
    @settings(max_examples=20, deadline=None)
    @given(rows_of_ids)
    def check(ids):
        splits = {}
        for id, split in assigned("group", ids, folders()).items():
            splits.setdefault(id % 40, set()).add(split)
        assert all(len(found) == 1 for found in splits.values())

    check()


@pytest.mark.parametrize("way", ["time", "moments"])
def test_train_is_before_eval_and_eval_before_test(way, folders):
    @settings(max_examples=30, deadline=None)
    @given(rows_of_ids)
    def check(ids):
        found = assigned(way, ids, folders())
        times = dict(zip(ids, rows(ids)["at" if way == "time" else "day"].to_pylist(), strict=True))
        by_split = {name: [times[id] for id, split in found.items() if split == name] for name in NAMES}
        present = [by_split[name] for name in NAMES if by_split[name]]
        for earlier, later in pairwise(present):
            assert max(earlier) < min(later)  # so equal times share a split
        if way == "time":  # the newest share, and what has the same time as its oldest row
            assert len(by_split["test"]) >= math.floor(0.15 * len(ids) + 0.5)

    check()


def test_moments_are_exact(folders):
    found = assigned("moments", list(range(200)), folders())
    days = rows(list(range(200)))["day"].to_pylist()
    assert {min(day for day, split in zip(days, found.values(), strict=True) if split == name) for name in NAMES} == {
        datetime.date(2024, 1, 1),
        datetime.date(2024, 3, 1),
        datetime.date(2024, 5, 1),
    }


def test_strata_have_exact_shares(folders):
    @settings(max_examples=20, deadline=None)
    @given(rows_of_ids)
    def check(ids):
        counts = Counter((id % 3, split) for id, split in assigned("stratified", ids, folders()).items())
        for stratum in range(3):
            n = sum(counts[stratum, name] for name in NAMES)
            if n >= 3:
                test = max(1, math.floor(0.15 * n + 0.5))
                both = max(test + 1, math.floor(0.3 * n + 0.5))
                assert (counts[stratum, "test"], counts[stratum, "eval"]) == (test, both - test)

    check()


def test_strata_move_little_when_rows_are_added_and_only_to_the_neighbour(folders):
    before, after = (assigned("stratified", list(range(n)), folders(), 4096) for n in (30_000, 40_000))
    moved = [(split, after[id]) for id, split in before.items() if after[id] != split]
    assert 0 < len(moved) < 3 * 3 * 2 * math.sqrt(10_000 * 0.21)  # strata, boundaries, and three deviations
    assert not {("train", "test"), ("test", "train")} & set(moved)


@pytest.mark.parametrize("way", ["hash", "group"])
def test_shares_are_within_binomial_bounds(way, folders):
    split = Split(eval=0.2, test=0.1)
    keys = pa.record_batch({"key": [f"key-{i}" for i in range(20_000)]})
    position = positions(row_hashes(keys))
    for share, count in (
        (split.test, (position < 0.1).sum()),
        (split.eval, ((position >= 0.1) & (position < 0.3)).sum()),
    ):
        assert abs(count - share * 20_000) < 4 * math.sqrt(20_000 * share * (1 - share))
    found = Counter(assigned(way, list(range(20_000)), folders(), 4096).values())
    groups = 20_000 if way == "hash" else 40
    assert abs(found["test"] / 20_000 - 0.15) < 4 * math.sqrt(0.15 * 0.85 / groups)


def test_the_hash_is_the_one_of_earlier_versions():
    """A row must not change its split because Headrace was upgraded."""
    batch = pa.record_batch({"a": [1, None], "b": ["x", "y"], "c": [0.5, 2.0], "d": [True, False]})
    assert positions(row_hashes(batch)).tolist() == [0.41457269640557826, 0.6271479734620603]
    assert positions(row_hashes(batch, ["b"])).tolist() == [0.30994313801717466, 0.37363562075693096]


def test_images_do_not_decide_a_split():
    both = pa.record_batch({"path": ["a"], "image": pa.array([b"\xff\xd8"], pa.binary())})
    assert np.array_equal(row_hashes(both), row_hashes(both.select(["path"])))


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ({"by": "time"}, "expected `column` with `by: time`. Received: none"),
        ({"column": "x"}, "expected no `column` with `by: hash`"),
        ({"by": "time", "column": "x", "eval_from": "2024-01-01"}, "expected eval_from and test_from together"),
        ({"by": "group", "column": "x", **MOMENTS}, "expected eval_from and test_from with `by: time`"),
        ({"by": "time", "column": "x", "eval_from": "2024-02-01", "test_from": "2024-01-01"}, "expected eval_from before test_from"),
        ({"by": "group", "column": "x", "values": {"train": ["1"]}}, "expected `values` with `by: column`"),
        ({"by": "column", "column": "x", "values": {"train": ["1"], "eval": ["2"]}}, "Received: none for test"),
        ({"by": "column", "column": "x", "values": {"train": ["1"], "eval": ["2"], "test": ["1"]}}, "Received: 1 more than once"),
    ],
)  # fmt: skip
def test_a_split_that_cannot_be_meant(split, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        DataSpec(source="t.csv", label="y", split=split)


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ({"by": "group", "column": "xx"}, "data.split.column: expected a column of the source. Received: `xx`"),
        ({"by": "column", "column": "x"}, "expected one of train, eval, test in `x`. Received: '0'"),
        ({"by": "time", "column": "name"}, "expected a date, time or number. Received: `name` of type string"),
        ({"by": "time", "column": "x", **MOMENTS}, "expected a date or time in `x`. Received: type double; use shares"),
        ({"by": "group", "column": "name"}, "expected a value of `name` in every row"),
        ({"by": "time", "column": "y"}, "expected rows in every split. Received: none in train"),
    ],
)
def test_a_split_that_the_rows_do_not_allow(tmp_path, split, message):
    lines = [f"{row},{'' if i == 250 else f'n{i}'}" for i, row in enumerate(ROWS)]
    (tmp_path / "t.csv").write_text(table("id,y,x,name", lines))
    if split["column"] == "y":
        (tmp_path / "t.csv").write_text(table("id,label,x,y", [f"{row},7" for row in ROWS]))
    with pytest.raises(HeadraceError) as raised:
        take(
            str(tmp_path / "t.csv"),
            tmp_path / "snapshot",
            split=split,
            label="label" if split["column"] == "y" else "y",
        )
    assert message in str(raised.value)
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]


def test_a_columns_values_may_be_named(tmp_path):
    (tmp_path / "t.csv").write_text(table("id,y,x,fold", [f"{row},{i // 30}" for i, row in enumerate(ROWS)]))
    values = {"train": [str(n) for n in range(8)], "eval": ["8"], "test": ["9"]}
    _, dataset = take(
        str(tmp_path / "t.csv"), tmp_path / "s", split={"by": "column", "column": "fold", "values": values}
    )
    assert dataset.info.rows == {"train": 240, "eval": 30, "test": 30}
    assert splits_of(dataset)[299] == "test"


def test_a_split_by_time_says_what_is_newest(tmp_path):
    (tmp_path / "t.csv").write_text(table("id,y,at", [f"{i},{i % 2},2024-01-{i % 28 + 1:02}" for i in range(280)]))
    _, dataset = take(str(tmp_path / "t.csv"), tmp_path / "s", split={"by": "time", "column": "at"})
    assert dataset.info.newest == "2024-01-28"
    assert dataset.table("test")["at"].to_pylist()[0] > max(dataset.table("eval")["at"].to_pylist())


def test_more_strata_than_can_be_kept(tmp_path):
    (tmp_path / "t.csv").write_text(table(rows=[f"{i},{i % 2},{i}" for i in range(1200)]))
    with pytest.raises(HeadraceError, match="expected at most 1,000 strata"):
        take(str(tmp_path / "t.csv"), tmp_path / "s", split={"by": "stratified", "column": "x"})
