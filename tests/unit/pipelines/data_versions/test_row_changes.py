"""Which rows differ: against what plain Python says of the same rows, and in the corners."""

from collections import Counter
from datetime import date

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.artifacts.dataset import SPLITS
from headrace.pipelines.data_versions import tables
from headrace.pipelines.data_versions.rows import row_changes
from tests.unit.pipelines.data_versions.small_snapshots import schema, snapshot

WITH_ID = schema(id=pa.string(), size=pa.float64(), colour=pa.string(), label=pa.string())
WITHOUT = schema(size=pa.float64(), colour=pa.string(), label=pa.string())
CELLS = st.tuples(
    st.sampled_from([None, 0.0, -0.0, 1.5, 2.0]), st.sampled_from([None, "", "a", "b"]), st.sampled_from("01")
)
WITH_SPLIT = st.tuples(st.sampled_from(SPLITS), CELLS)


def changes(tmp_path_factory, one, other):
    (kinds_a, rows_a, facts_a), (kinds_b, rows_b, facts_b) = one, other
    folder = tmp_path_factory.mktemp("diff")
    a, b = snapshot(folder / "a", kinds_a, rows_a, **facts_a), snapshot(folder / "b", kinds_b, rows_b, **facts_b)
    with tables.opened(a, b, folder) as pair:
        found = row_changes(pair)
    assert not list(folder.glob(".*")), "what was spilled is removed"
    return found


def by_split(rows):
    return {split: [row for where, row in rows if where == split] for split in SPLITS}


def same(one, other) -> bool:
    return all(a == b for a, b in zip(one, other, strict=True))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    before=st.dictionaries(st.sampled_from("abcdefgh"), WITH_SPLIT),
    after=st.dictionaries(st.sampled_from("abcdefgh"), WITH_SPLIT),
)
def test_rows_with_an_id_are_what_python_says(tmp_path_factory, before, after):
    one, other = ([(split, (id, *cells)) for id, (split, cells) in rows.items()] for rows in (before, after))
    found = changes(tmp_path_factory, (WITH_ID, by_split(one), {}), (WITH_ID, by_split(other), {}))
    both = before.keys() & after.keys()
    changed = {id for id in both if not same(before[id][1], after[id][1])}
    assert (found.by, found.before, found.after) == ("id", len(before), len(after))
    assert found.ids["added"] == tuple(sorted(after.keys() - before.keys()))[:5]
    assert (found.added, found.removed) == (len(after.keys() - before.keys()), len(before.keys() - after.keys()))
    assert (found.changed, found.ids["changed"]) == (len(changed), tuple(sorted(changed))[:5])
    assert found.same == len(both - changed)
    for place, name in enumerate(WITH_ID.names[1:]):
        edited = sorted(id for id in both if before[id][1][place] != after[id][1][place])
        told = [(one.rows, one.ids) for one in found.columns if one.name == name]
        assert told == ([(len(edited), tuple(edited[:5]))] if edited else [])
    moves = Counter((before[id][0], after[id][0]) for id in both if before[id][0] != after[id][0])
    assert {(m.before, m.after): m.rows for m in found.moved} == dict(moves)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=st.lists(WITH_SPLIT, max_size=12), after=st.lists(WITH_SPLIT, max_size=12))
def test_rows_without_an_id_are_multisets(tmp_path_factory, before, after):
    found = changes(tmp_path_factory, (WITHOUT, by_split(before), {}), (WITHOUT, by_split(after), {}))
    old, new = (Counter(row for _, row in rows) for rows in (before, after))
    assert (found.by, found.changed, found.columns, found.ids) == (None, 0, (), {})
    assert (found.added, found.removed) == ((new - old).total(), (old - new).total())
    assert found.same == (old & new).total()


def test_a_row_that_moved_from_train_to_test_leaks_with_an_id_and_without(tmp_path_factory):
    rows = [(0.5, "a", "0"), (1.5, "b", "1"), (1.5, "b", "1")]
    one, other = {"train": rows, "test": []}, {"train": rows[:2], "test": rows[2:]}
    (moved,) = changes(tmp_path_factory, (WITHOUT, one, {}), (WITHOUT, other, {})).moved
    assert (moved.before, moved.after, moved.rows, moved.leaks) == ("train", "test", 1, True)
    (back,) = changes(tmp_path_factory, (WITHOUT, other, {}), (WITHOUT, one, {})).moved
    assert (back.before, back.after, back.rows, back.leaks) == ("test", "train", 1, False)
    numbered = [(f"r{place}", *row) for place, row in enumerate(rows)]
    one, other = {"train": numbered}, {"train": numbered[:2], "eval": numbered[2:]}
    (moved,) = changes(tmp_path_factory, (WITH_ID, one, {}), (WITH_ID, other, {})).moved
    assert (moved.before, moved.after, moved.ids, moved.leaks) == ("train", "eval", ("r2",), True)


def test_columns_that_differ_are_no_part_of_the_rows(tmp_path_factory):
    more = schema(id=pa.string(), size=pa.float64(), weight=pa.int64(), label=pa.string())
    one = {"train": [("a", 1.0, "red", "0")]}
    other = {"train": [("a", 1.0, 7, "0")]}
    found = changes(tmp_path_factory, (WITH_ID, one, {}), (more, other, {}))
    assert (found.same, found.changed) == (1, 0)


@pytest.mark.parametrize(
    ("kind", "values", "other", "others", "changed"),
    [
        (pa.int64(), [1, None, 3], pa.float64(), [1.0, None, 3.5], 1),
        (pa.int64(), [1, 2, 3], pa.string(), ["1", "2", "drei"], 1),
        (pa.date32(), [date(2026, 1, 2), None, None], pa.string(), ["2026-01-02", None, "x"], 1),
        (pa.bool_(), [True, False, None], pa.string(), ["true", "false", None], 0),
    ],
)
def test_retyped_values_are_compared_as_what_they_say(tmp_path_factory, kind, values, other, others, changed):
    one = [(f"r{n}", value, "0") for n, value in enumerate(values)]
    two = [(f"r{n}", value, "0") for n, value in enumerate(others)]
    before = schema(id=pa.string(), x=kind, label=pa.string())
    after = schema(id=pa.string(), x=other, label=pa.string())
    assert changes(tmp_path_factory, (before, {"train": one}, {}), (after, {"test": two}, {})).changed == changed


def test_names_may_differ_in_case_alone_or_hold_quotes(tmp_path_factory):
    odd = pa.schema(
        [("id", pa.int64()), ("A", pa.int64()), ("a", pa.int64()), ("it's", pa.string()), ("split", pa.string())]
    )
    one = {"train": [(1, 10, 20, "x", "0"), (2, 10, 20, "x", "0")]}
    other = {"train": [(1, 10, 21, "x", "0"), (2, 10, 20, "y", "0")]}
    found = changes(tmp_path_factory, (odd, one, {}), (odd, other, {}))
    assert {(edited.name, edited.rows, edited.ids) for edited in found.columns} == {
        ("a", 1, ("1",)),
        ("it's", 1, ("2",)),
    }


def test_an_id_that_only_one_of_them_has_is_a_column_like_others(tmp_path_factory):
    rows = {"train": [("a", 1.0, "red", "0")]}
    found = changes(tmp_path_factory, (WITH_ID, rows, {"id": None}), (WITH_ID, rows, {}))
    assert (found.by, found.same) == (None, 1)


def test_numbers_that_are_ids_are_matched_by_their_digits(tmp_path_factory):
    texts = schema(id=pa.string(), label=pa.string())
    numbers = schema(id=pa.int64(), label=pa.string())
    found = changes(tmp_path_factory, (numbers, {"train": [(7, "0")]}, {}), (texts, {"train": [("7", "1")]}, {}))
    assert (found.changed, found.added, found.removed) == (1, 0, 0)


@pytest.mark.parametrize("name", ["file_row_number", "FILE_ROW_NUMBER", "row", "split"])
def test_a_column_may_be_called_as_the_tables_own_are(tmp_path_factory, name):
    kinds = pa.schema([("id", pa.string()), (name, pa.int64()), ("label", pa.string())])
    before, after = {"train": [("a", 7, "0"), ("b", 8, "1")]}, {"train": [("a", 7, "0"), ("b", 9, "1")]}
    found = changes(tmp_path_factory, (kinds, before, {}), (kinds, after, {}))
    assert (found.changed, found.ids["changed"]) == (1, ("b",))
