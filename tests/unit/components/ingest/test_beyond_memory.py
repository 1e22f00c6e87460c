"""What spills to disk gives what memory gives."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.artifacts.errors import HeadraceError
from headrace.components.ingest import ids as ids_module
from headrace.components.ingest import ranks
from headrace.components.ingest.ids import Ids
from headrace.components.ingest.parallel import in_order
from headrace.components.ingest.ranks import Numbers
from headrace.components.ingest.row_hash import row_hashes
from headrace.components.ingest.write import SplitWriter, group_rows, split_writer

numbers = st.lists(st.one_of(st.integers(0, 2**64 - 1), st.integers(0, 3)), min_size=1, max_size=60)


@settings(deadline=None, max_examples=60)
@given(numbers, st.data())
def test_the_kth_smallest(tmp_path_factory, values, data):
    kept = Numbers(tmp_path_factory.mktemp("numbers") / "n")
    for part in (values[:20], values[20:]):
        kept.add(np.array(part, np.uint64))
    rank = data.draw(st.integers(0, len(values) - 1))
    assert kept.smallest(rank) == sorted(values)[rank]


def test_there_is_no_smallest_beyond_the_last(tmp_path, monkeypatch):
    monkeypatch.setattr(ranks, "_CHUNK", 2)
    kept = Numbers(tmp_path / "n")
    kept.add(np.arange(5, dtype=np.uint64))
    assert [chunk.tolist() for chunk in kept.chunks()] == [[0, 1], [2, 3], [4]]
    with pytest.raises(IndexError, match="expected a rank below 5. Received: 5"):
        kept.smallest(5)


def watch(values, scratch, monkeypatch, in_memory):
    monkeypatch.setattr(ids_module, "_IN_MEMORY", in_memory)
    batches = [pa.record_batch({"id": pa.array(values[i : i + 50])}) for i in range(0, len(values), 50)]
    scratch.mkdir()
    ids = Ids("id", batches[0].schema, "t.csv", scratch)
    for number, batch in enumerate(batches):
        ids.add(batch, row_hashes(batch, ["id"]), np.arange(50 * number, 50 * number + batch.num_rows))
    ids.finish(batches)


@pytest.mark.parametrize("in_memory", [1, 100, 1 << 20])
def test_ids_that_occur_twice_are_found_on_disk_too(tmp_path, monkeypatch, in_memory):
    values = [f"id-{i}" for i in range(1_000)]
    watch(values, tmp_path / "unique", monkeypatch, in_memory)
    with pytest.raises(HeadraceError) as raised:
        watch([*values, "id-3", "id-999", "id-3"], tmp_path / "twice", monkeypatch, in_memory)
    assert str(raised.value) == (
        "t.csv: expected every `id` once. Received: 2 ids more than once, such as 'id-3', 'id-999'; "
        "the first in the rows 4 and 1,001"
    )


def test_different_ids_with_one_hash_are_different(tmp_path):
    batch = pa.record_batch({"id": ["a", "b"]})
    ids = Ids("id", batch.schema, "t.csv", tmp_path)
    ids.add(batch, np.zeros(2, np.uint64), np.arange(2))
    ids.finish([batch])


def test_parts_come_back_in_order_and_no_more_than_a_few_are_waiting():
    taken = []

    def parts():
        for number in range(100):
            taken.append(number)
            yield number

    for position, result in enumerate(in_order(lambda part: part * 2, parts())):
        assert result == position * 2
        assert len(taken) <= position + 8
    assert len(taken) == 100


def test_an_error_is_raised_where_its_part_stands():
    def work(part):
        if part == 5:
            raise ValueError("five")
        return part

    results = in_order(work, iter(range(100)))
    assert [next(results) for _ in range(5)] == list(range(5))
    with pytest.raises(ValueError, match="five"):
        next(results)


@pytest.mark.parametrize(
    ("columns", "type", "rows"), [(1, pa.int64(), 131_072), (500, pa.int64(), 8_388), (5_000, pa.int64(), 4_096), (3, pa.binary(), 256)]
)  # fmt: skip
def test_the_size_of_a_row_group_follows_from_the_columns(columns, type, rows):
    assert group_rows(pa.schema([(str(i), type) for i in range(columns)])) == rows


def test_what_waits_to_be_written_stays_below_a_row_group(tmp_path, monkeypatch):
    schema = pa.schema([("x", pa.int64())])
    files = {split: tmp_path / split for split in ("train", "eval", "test")}
    monkeypatch.setattr("headrace.components.ingest.write._FEWEST_ROWS", 1_000)
    monkeypatch.setattr("headrace.components.ingest.write._MOST_ROWS", 1_000)
    with split_writer(files, schema) as writer:
        assert isinstance(writer, SplitWriter)
        for _ in range(50):
            batch = pa.record_batch({"x": np.arange(300)})
            writer.write(batch, np.arange(300) % 3)
            assert all(waiting < 1_000 for waiting in writer._count.values())
    assert writer.rows == dict.fromkeys(files, 5_000)
