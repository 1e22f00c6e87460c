"""A snapshot in parts, and a part as a snapshot: every row is in exactly one, unchanged and in its order."""

import datetime
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.artifacts.dataset import SPLITS, Dataset
from headrace.artifacts.errors import ArtifactError, HeadraceError
from headrace.artifacts.folder import read_manifest
from headrace.artifacts.segments import FORMAT, VERSION, part_file, read_segments
from headrace.components.segments import split as splitting
from headrace.components.segments.spec import ForEachSpec
from headrace.components.segments.split import notes, split_segments
from headrace.components.segments.take import take_segment
from tests.unit.components.segments.snapshots import same, write_snapshot


def each(**more):
    """The section, for tables of a few rows."""
    return ForEachSpec.model_construct(**{"segment": "region", "values": None, "least_rows": 1, "parallel": 4, **more})


def part(tmp_path, column, type=None, **more):
    snapshot = write_snapshot(tmp_path / "whole", column, type)
    return split_segments(snapshot, each(**more), "churn", "calls", tmp_path / "parts"), tmp_path / "parts"


def test_each_value_gets_its_rows_and_its_names(tmp_path):
    found, parts = part(tmp_path, {"train": ["b", "A x", "b"], "eval": ["A x", "b"], "test": ["b", "A x"]})
    assert [(one.value, one.model, one.endpoint, one.rows) for one in found.segments] == [
        ("A x", "churn-a-x", "calls-a-x", {"train": 1, "eval": 1, "test": 1}),
        ("b", "churn-b", "calls-b", {"train": 2, "eval": 1, "test": 1}),
    ]
    assert pq.read_table(part_file(parts, "0001", "train"))["x"].to_pylist() == [0, 2]
    assert read_segments(parts, verify=True) == found


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(["a", "b", "c", "d", None]), min_size=1, max_size=80), st.integers(1, 4000))
def test_every_row_lies_in_exactly_one_part_in_its_order(tmp_path_factory, values, memory):
    folder = tmp_path_factory.mktemp("parts")
    snapshot = write_snapshot(folder / "whole", same([*values, "a"]))  # one has rows in every split
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(splitting, "_WAITING", memory)  # so that parts are written in several pieces
        found = split_segments(snapshot, each(), "m", "m", folder / "parts")
    for split in SPLITS:
        whole = Dataset.open(snapshot).table(split)
        tables = {one.value: pq.read_table(part_file(folder / "parts", one.part, split)) for one in found.segments}
        for value, table in tables.items():
            assert table.equals(whole.filter(pc.equal(whole["region"], value)))
        assert sum(table.num_rows for table in tables.values()) == whole.num_rows - whole["region"].null_count
    assert found.without_value == 3 * values.count(None)


def test_the_same_rows_give_the_same_parts(tmp_path):
    snapshot = write_snapshot(tmp_path / "whole", same(["a", "b"] * 50))
    split_segments(snapshot, each(), "m", "m", tmp_path / "one")
    split_segments(snapshot, each(), "m", "m", tmp_path / "two")
    digests = [read_manifest(tmp_path / name, FORMAT, VERSION).digest for name in ("one", "two")]
    assert digests[0] == digests[1]


@pytest.mark.parametrize(
    ("values", "type", "texts"),
    [
        ([3, 12, 3], pa.int64(), ["12", "3"]),
        ([True, False, True], pa.bool_(), ["false", "true"]),
        ([datetime.date(2026, 1, 2)], pa.date32(), ["2026-01-02"]),
    ],
)
def test_segments_of_other_types(tmp_path, values, type, texts):
    found, parts = part(tmp_path, same(values), type)
    assert [one.value for one in found.segments] == texts
    assert pq.read_schema(part_file(parts, "0000", "test")).field("region").type == type


def test_too_few_rows_are_left_out_and_told_of(tmp_path):
    column = {"train": ["a"] * 8 + ["b", None], "eval": ["a", "b"], "test": ["a", "c"]}
    found, _ = part(tmp_path, column, least_rows=3)
    assert [one.value for one in found.segments] == ["a"]
    assert [(one.value, one.rows, one.asked) for one in found.left_out] == [("b", 2, False), ("c", 1, False)]
    assert found.left_out[0].why == "2 rows, and for_each.least_rows is 3"
    assert notes(found) == [
        "2 values of `region` (3 rows) get no model: b, c",
        "1 row has no `region`, and belongs to no segment",
    ]
    alone = replace(found, left_out=(replace(found.left_out[1], rows=1),), without_value=2)
    assert notes(alone) == [
        "1 value of `region` (1 row) gets no model: c",
        "2 rows have no `region`, and belong to no segment",
    ]


def test_a_segment_without_rows_in_a_split_is_left_out(tmp_path):
    found, _ = part(tmp_path, {"train": ["a", "b", "b"], "eval": ["a", "b"], "test": ["a"]})
    assert [(one.value, one.why) for one in found.left_out] == [("b", "no row of it is in the test split")]


def test_named_values_that_are_missed(tmp_path):
    found, _ = part(tmp_path, same(["a", "b"]), values=["b", "nowhere"])
    assert [one.value for one in found.segments] == ["b"]
    assert [(one.value, one.rows, one.why, one.asked) for one in found.left_out] == [
        ("nowhere", 0, "no row has this value", True)
    ]


@pytest.mark.parametrize(
    ("column", "type", "more", "message"),
    [
        (same(["a"]), None, {"segment": "regoin"}, "expected a column of the data. Received: `regoin`; did you mean"),
        (same([1]), pa.int64(), {"segment": "label"}, "expected another column than the label"),
        (same([1.5]), pa.float64(), {}, "Received: `region`, of type float64"),
        (same(["a", "A"]), None, {}, "Received: 'A' and 'a', which would both be `a`"),
        (same(["a"]), None, {"least_rows": 99}, r"at least 99 rows. Received: none \(a: 3 rows"),
        (same([None]), None, {}, r"Received: none \(a column without any value\)"),
    ],
)
def test_what_cannot_be_parted(tmp_path, column, type, more, message):
    with pytest.raises(HeadraceError, match=message):
        part(tmp_path, column, type, **more)
    assert not (tmp_path / "parts").exists()


@pytest.mark.parametrize("rare", ["a b", "a-b"])
def test_one_name_for_two_values_is_refused_whichever_has_enough_rows(tmp_path, rare):
    often = {"a b": "a-b", "a-b": "a b"}[rare]
    with pytest.raises(HeadraceError, match="'a b' and 'a-b', which would both be `a-b`"):
        part(tmp_path, same([often, often, rare]), least_rows=4)
    assert not (tmp_path / "parts").exists()
    found, _ = part(tmp_path / "named", same([often, often, rare]), least_rows=4, values=[often])
    assert [(one.value, one.model) for one in found.segments] == [(often, "churn-a-b")]


def test_named_values_with_one_name_are_refused_also_where_one_has_no_rows(tmp_path):
    with pytest.raises(HeadraceError, match="'a b' and 'a-b', which would both be `a-b`"):
        part(tmp_path, same(["a b"]), values=["a b", "a-b"])


def test_truth_values_that_are_named(tmp_path):
    values = ForEachSpec(segment="region", values=["true"]).values
    found, _ = part(tmp_path, same([True, False]), pa.bool_(), values=values)
    assert [(one.value, one.total) for one in found.segments] == [("true", 3)]


MANY = """
import resource, sys
from pathlib import Path
from headrace.components.segments import split
from headrace.components.segments.spec import ForEachSpec
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
split._WAITING = 2_000
settings = ForEachSpec.model_construct(segment="region", values=None, least_rows=1)
print(len(split.split_segments(Path(sys.argv[1]), settings, "m", "m", Path(sys.argv[2])).segments))
"""


def test_more_segments_than_files_may_be_open(tmp_path):
    values = [f"r{number:03}" for number in range(300)]
    snapshot = write_snapshot(tmp_path / "whole", {"train": [*values, *values], "eval": values, "test": values})
    command = [sys.executable, "-c", MANY, str(snapshot), str(tmp_path / "parts")]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout.strip()) == (0, "300"), ran.stderr
    for number in (0, 199, 200, 299):
        rows = pq.read_table(part_file(tmp_path / "parts", f"{number:04}", "train"))
        assert rows["region"].to_pylist() == [values[number]] * 2
        assert rows["x"].to_pylist() == [number, number + 300]


def test_parts_are_the_same_however_many_are_written_at_a_time(tmp_path, monkeypatch):
    snapshot = write_snapshot(tmp_path / "whole", same(["c", "a", None, "e", "b", "d", "a"]))
    one = split_segments(snapshot, each(), "m", "m", tmp_path / "one")
    monkeypatch.setattr(splitting, "_OPEN", 2)
    assert split_segments(snapshot, each(), "m", "m", tmp_path / "two") == one
    digests = [read_manifest(tmp_path / name, FORMAT, VERSION).digest for name in ("one", "two")]
    assert digests[0] == digests[1]


def test_a_column_that_names_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(splitting, "MOST", 3)
    with pytest.raises(HeadraceError, match="expected a column with at most 3 values.*it names rows"):
        part(tmp_path, same(["a", "b", "c", "d", "e"]))


def test_a_part_is_a_snapshot_like_any_other(tmp_path):
    found, parts = part(tmp_path, same(["a", "b", "a"]))
    one = take_segment(parts, "0000", tmp_path / "a")
    taken, whole = Dataset.open(tmp_path / "a"), Dataset.open(tmp_path / "whole")
    assert one == found.segments[0]
    assert taken.info.rows == {"train": 2, "eval": 2, "test": 2}
    assert (taken.info.columns, taken.info.classes, taken.info.positive) == (
        whole.info.columns,
        whole.info.classes,
        whole.info.positive,
    )
    about = {"column": "region", "value": "a", "of": whole.digest}
    assert taken.info.query == {"split": {"by": "hash"}, "segment": about}
    assert taken.table("train")["x"].to_pylist() == [0, 2]


def test_segments_have_digests_of_their_own(tmp_path):
    _, parts = part(tmp_path, same(["a", "b"]))
    for number in range(2):
        take_segment(parts, f"{number:04}", tmp_path / str(number))
        take_segment(parts, f"{number:04}", tmp_path / f"{number}-again")
    digests = [Dataset.open(tmp_path / name).digest for name in ("0", "0-again", "1", "1-again")]
    assert [one == other for one, other in pairwise(digests)] == [True, False, True]


def test_no_bytes_are_copied_where_the_file_system_can(tmp_path):
    _, parts = part(tmp_path, same(["a"]))
    take_segment(parts, "0000", tmp_path / "a")
    assert part_file(parts, "0000", "train").samefile(Dataset.open(tmp_path / "a").file("train"))


def test_and_they_are_where_it_cannot(tmp_path, monkeypatch):
    _, parts = part(tmp_path, same(["a"]))

    def refuse(*_):
        raise OSError("another file system")

    monkeypatch.setattr("os.link", refuse)
    take_segment(parts, "0000", tmp_path / "a")
    assert not part_file(parts, "0000", "train").samefile(Dataset.open(tmp_path / "a").file("train"))


def test_a_damaged_part_is_refused(tmp_path):
    _, parts = part(tmp_path, same(["a", "b"]))
    part_file(parts, "0001", "eval").write_bytes(b"other")
    take_segment(parts, "0000", tmp_path / "a")
    with pytest.raises(ArtifactError, match=r"0001/eval.parquet: expected content with sha256"):
        take_segment(parts, "0001", tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_a_part_that_is_not_there(tmp_path):
    _, parts = part(tmp_path, same(["a"]))
    with pytest.raises(ArtifactError, match="expected a part from 0000 to 0000. Received: 0007"):
        take_segment(parts, "0007", tmp_path / "a")
