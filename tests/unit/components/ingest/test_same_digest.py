"""The same input has the same digest: batches, threads, places and guesses do not matter."""

import datetime
import itertools
import random

import pyarrow.parquet as pq
import pytest

from headrace.components.ingest import csv_source, jsonl_rows, kinds, parallel, table, write
from headrace.components.ingest.kinds import Evidence, convert_strictly
from tests.unit.components.ingest.ingesting import take, whole

SPLITS = {
    "hash": {},
    "stratified": {"by": "stratified"},
    "time": {"by": "time", "column": "day"},
}


def rows(count: int = 3_000) -> list[str]:
    draw = random.Random(7)
    start = datetime.date(2020, 1, 1)
    return [
        ",".join(
            [
                str(i),
                str(i % 2),
                repr(draw.random()) if draw.random() < 0.9 else "",
                (start + datetime.timedelta(draw.randrange(900))).isoformat(),
                '"two\nlines, quoted"' if i % 7 == 0 else "plain",
                "" if i < 2_500 else "9" * (i % 30),  # nothing, then numbers, then what is no number any more
                str(i) if i != 2_999 else "oops",  # a slip in the very last row
            ]
        )
        for i in range(count)
    ]


def text() -> str:
    return "\n".join(["id,y,x,day,note,late,slip", *rows()]) + "\n"


def snapshots(folder, monkeypatch, name, split):
    """Digests of the same rows, ingested in different ways."""
    for number, (block, threads, first) in enumerate(itertools.product([1 << 12, 1 << 23], [1, 3], [64, 1 << 17])):
        place = folder / f"{number}" / ("deep" * number)
        place.mkdir(parents=True)
        (place / name).write_text(text())
        monkeypatch.setattr(csv_source, "BLOCK_BYTES", block)
        monkeypatch.setattr(jsonl_rows, "_LINES", block >> 6)
        monkeypatch.setattr(parallel, "workers", lambda threads=threads: threads)
        monkeypatch.setattr(table, "_FIRST", first)
        yield take(str(place / name), place / "snapshot", split=split)


@pytest.mark.parametrize("split", SPLITS)
def test_one_digest(tmp_path, monkeypatch, split):
    found = list(snapshots(tmp_path, monkeypatch, "t.csv", SPLITS[split]))
    assert len({dataset.digest for _, dataset in found}) == 1
    assert len({tuple(notes.notes) for notes, _ in found}) == 1
    types = {one.name: one.type for one in found[0][1].info.columns}
    assert (types["late"], types["slip"], types["day"]) == ("string", "string", "date32")
    assert whole(found[0][1]).num_rows == 3_000


def test_row_groups_are_the_same_however_rows_come(tmp_path, monkeypatch):
    """A row group that is filled by many batches is the same bytes as one that came at once."""
    monkeypatch.setattr(write, "_MOST_ROWS", 512)
    monkeypatch.setattr(write, "_FEWEST_ROWS", 512)
    (tmp_path / "t.csv").write_text(text())
    digests = set()
    for number, block in enumerate([1 << 12, 1 << 14, 1 << 23]):
        monkeypatch.setattr(csv_source, "BLOCK_BYTES", block)
        dataset = take(str(tmp_path / "t.csv"), tmp_path / str(number))[1]
        digests.add(dataset.digest)
        assert pq.ParquetFile(dataset.file("train")).num_row_groups == 5
    assert len(digests) == 1


def test_a_guess_that_holds_spares_the_second_pass(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_source, "BLOCK_BYTES", 1 << 12)
    (tmp_path / "t.csv").write_text("id,y,x\n" + "".join(f"{i},{i % 2},{i}\n" for i in range(5_000)))
    monkeypatch.setattr(table.Table, "settle", lambda self: pytest.fail("a pass too many"))
    assert take(str(tmp_path / "t.csv"), tmp_path / "s")[1].info.rows["train"] > 3_000


def test_kinds_do_not_depend_on_how_a_column_is_cut():
    """Drawn from values that are hard to tell apart, not from any text: most of those are just text."""
    import pyarrow as pa

    hard = [
        "1", "-2", "+5", "007", "0", "00", "-0", "-07", "0x1F", "1.5", ".5", "5.", "0.5", "00.5", "07.5", "1e3", " 5",
        "5 ", "inf", "nan", "NaN", "true", "False", "2024-03-01", "2024-02-30", "2024-03-01T10:20:30", "a", "", "\t3",
        "2024-03-01T10:20:30Z", "99999999999999999999", "9223372036854775807", "1,5", "1.234,56", "1.234", "1,234", "é",
    ]  # fmt: skip
    draw = random.Random(11)
    held = 0
    for _ in range(3_000):
        some = draw.choices(draw.sample(hard, draw.randint(1, 3)), k=draw.randint(2, 10))
        cut, decimal = draw.randint(1, len(some) - 1), draw.choice(".,")
        whole_column, parts, first = Evidence(decimal), Evidence(decimal), Evidence(decimal)
        whole_column.add(pa.array(some))
        for part in (some[:cut], some[cut:]):
            parts.add(pa.array(part))
        first.add(pa.array(some[:cut]))
        assert parts.kind() == whole_column.kind(), (some, cut, decimal)
        confirmed = convert_strictly(pa.array(some), first.kind()) is not None
        if confirmed and not first.may_turn():
            held += 1
            assert first.kind() == whole_column.kind(), (some, cut, decimal)
    assert held > 500
    assert kinds.TYPES.keys() >= {whole_column.kind()}
