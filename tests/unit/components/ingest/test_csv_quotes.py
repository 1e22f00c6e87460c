"""Quotes in a CSV: held against Python's strict reader, and told by the line where they went wrong."""

import csv
import io

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from headrace.artifacts.errors import HeadraceError
from headrace.components.ingest import csv_quotes
from headrace.components.ingest.csv_quotes import Quotes
from headrace.components.ingest.csv_source import HEAD_BYTES, open_csv
from headrace.components.ingest.opened import local_file
from headrace.components.ingest.spec import DataSpec
from tests.unit.components.ingest.ingesting import ROWS, table, take, whole


def refused(text: str, size: int = 1 << 20) -> str | None:
    quotes = Quotes("t.csv", ",")
    data = text.encode()
    try:
        for start in range(0, len(data), size):
            quotes.add(data[start : start + size])
        quotes.end()
    except HeadraceError as error:
        return str(error)
    return None


def refused_by_csv(text: str) -> bool:
    try:
        list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error:
        return True
    return False


@given(st.text('",\na', max_size=40), st.integers(1, 12))
@example('a,"b""\n",\n5" pipe,"c"', 3)
@example('"a,1\nb,"c",2\n', 40)
@example('"a ""b"" c', 40)
@example('""""', 1)
def test_what_pythons_strict_reader_refuses_is_refused_however_it_comes_in_blocks(text, size):
    said, whole_said = refused(text, size), refused(text)
    assert (said is not None) == refused_by_csv(text)
    assert said is whole_said is None or said.partition(":")[0] == whole_said.partition(":")[0]  # the line


@given(st.lists(st.lists(st.text(min_size=1, max_size=5), min_size=2, max_size=2), min_size=1), st.integers(1, 30))
def test_what_pythons_writer_writes_is_in_order(rows, size):
    written = io.StringIO()
    csv.writer(written, quoting=csv.QUOTE_ALL).writerows(rows)
    assert refused(written.getvalue(), size) is None


def test_a_quote_that_is_missing_is_named_by_the_line_where_its_field_began():
    rows = [f'{i},"a{i}",1\n' for i in range(100)]
    rows[56] = '56,"a56,1\n'
    said = refused("id,name,y\n" + "".join(rows))
    assert said is not None
    assert said.startswith("t.csv, line 59: expected the end of the field behind its closing quote. Received: ")
    assert "the field began in line 58, is a quote missing there?" in said
    said = refused('id,name\n1,"a\n2,b\n')
    assert said == (
        "t.csv, line 2: expected a closing quote of the field '\"a\\n2,b\\n'. Received: the end of the file"
    )


def test_quotes_that_are_not_doubled():
    said = refused('id,name\n1,"say "hi" to them"\n')
    assert said is not None and 'Received: \'"say "hi" to the\'; quotes within' in said
    assert refused('id,name\n1,"say ""hi"" to them"\n') is None
    assert refused('id,name\n1,5" pipe\n2,"6"" pipe"\n') is None


def test_a_field_that_never_ends_is_not_read_to_the_end_of_a_large_file(monkeypatch):
    monkeypatch.setattr(csv_quotes, "LONGEST", 1 << 20)
    quotes = Quotes("t.csv", ",")
    quotes.add(b'id,name\n1,"a\n')
    with pytest.raises(HeadraceError, match="line 2: expected a closing quote.*Received: none within 1 MiB"):
        for _ in range(3):
            quotes.add(b"2,b\n" * 100_000)


def test_a_row_is_not_lost_in_the_field_of_another(tmp_path):
    rows = [f'{row},"text"' for row in ROWS]
    (tmp_path / "t.csv").write_text(table("id,y,x,note", rows))
    _, dataset = take(str(tmp_path / "t.csv"), tmp_path / "s")
    assert whole(dataset).num_rows == len(ROWS)
    rows[100] = rows[100].removesuffix('"')
    (tmp_path / "t.csv").write_text(table("id,y,x,note", rows))
    with pytest.raises(HeadraceError, match=r"t\.csv, line 103: .*the field began in line 102, is a quote missing"):
        take(str(tmp_path / "t.csv"), tmp_path / "other")


def test_the_first_megabyte_may_end_within_a_field(tmp_path):
    note = "\n".join(["line"] * 30_000)
    rows = "".join(f'{i},{i % 2},"{note}"\n' for i in range(12))
    assert len(rows) > HEAD_BYTES
    (tmp_path / "t.csv").write_bytes(b'\xef\xbb\xbf"id",y,note\n' + rows.encode())
    opened = open_csv(local_file(tmp_path / "t.csv"), DataSpec(source="t.csv", label="y"), rows=100)
    head = pa.Table.from_batches(opened.batches())
    assert head["id"].to_pylist() == ["0", "1", "2", "3", "4", "5"] and set(head["note"].to_pylist()) == {note}
