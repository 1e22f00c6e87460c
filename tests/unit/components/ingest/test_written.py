"""Columns of dates and amounts as people write them: read as one text is, recognised, and rejected by row."""

import datetime

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.written import plain_text
from headrace.components.ingest.declared import to_declared
from headrace.components.ingest.written import comma_amounts, plain_texts, written_as
from tests.unit.components.ingest.ingesting import column, table, take

TYPES = ["amount", "date %d/%m/%Y", "date %b %d, %Y", "timestamp %m/%d/%y %I:%M %p", "number", "string"]
LIKELY = st.from_regex(r"\A[-(+]?[$€]?[0-9]{1,3}([,. ][0-9]{3})?([.,][0-9]{0,2})?[ %)]*\Z")
DATES = st.from_regex(r"\A[ 0-3]?[0-9][/.][01]?[0-9][/.](19|20)?[0-9]{2}( 1?[0-9]:[0-5][0-9] [AaPp]M)?\Z")


@given(
    st.lists(st.one_of(LIKELY, DATES, st.text(max_size=6), st.none())), st.sampled_from(TYPES), st.sampled_from(".,")
)
def test_a_column_is_read_as_each_of_its_texts_is(texts, type, decimal):
    one_by_one = [text if text is None else plain_text(text, type, decimal) for text in texts]
    assert plain_texts(pa.array(texts, pa.string()), type, decimal).to_pylist() == one_by_one


@pytest.mark.parametrize(
    ("values", "types"),
    [
        (["$1", "$2,000.50", None], ["amount"]),
        (["18%", "0 %"], ["amount"]),
        (["1,234", "7"], ["amount"]),
        (["$1", "€2"], []),
        (["$1", "n.a."], []),
        (["SKU1", "SKU2"], []),
        (["$007"], []),
        (["20/08/2023", "1/2/2020"], ["date %d/%m/%Y"]),
        (["08/20/2023"], ["date %m/%d/%Y"]),
        (["10/08/2023"], ["date %d/%m/%Y", "date %m/%d/%Y"]),
        (["31/02/2023"], []),
        (["12-Jan-2023", "1-Feb-2021"], ["date %d-%b-%Y"]),
        (["Jan 12, 2023"], ["date %b %d, %Y"]),
        (["31.12.99"], ["date %d.%m.%y"]),
        (["1/15/2023 3:45 PM"], ["timestamp %m/%d/%Y %I:%M %p"]),
        (["15/1/2023 23:45:10"], ["timestamp %d/%m/%Y %H:%M:%S"]),
        (["20/08/2023", "tomorrow"], []),
        (["call back"], []),
        ([None], []),
    ],
)
def test_how_a_column_is_written_is_recognised(values, types):
    assert list(written_as(pa.chunked_array([values], pa.string()), ".")) == types


def test_amounts_that_need_a_decimal_comma():
    euros = pa.chunked_array([["1.234,56 €", "12,50 €"]])
    assert comma_amounts([euros], [pa.string(), pa.int64()])
    assert not comma_amounts([euros], [pa.string(), pa.float64()])  # another column has a point before its fractions
    assert not comma_amounts([pa.chunked_array([["$1,234"]])], [pa.string()])


def test_declared_columns_are_numbers_and_dates_and_other_values_reject_their_row(tmp_path):
    rows = [f'{i},{i % 2},"${i:,}.50",{i % 28 + 1:02d}/03/2023,{i % 12 + 1}/3/2023 1:05 PM' for i in range(1500)]
    types = {"price": "amount", "day": "date %d/%m/%Y", "at": "timestamp %m/%d/%Y %I:%M %p"}
    (tmp_path / "t.csv").write_text(table("id,y,price,day,at", rows))
    _, dataset = take(str(tmp_path / "t.csv"), tmp_path / "s", types=types)
    assert column(dataset, "price")[1234] == 1234.5
    assert column(dataset, "day")[1] == datetime.date(2023, 3, 2)
    assert column(dataset, "at")[2] == datetime.datetime(2023, 3, 3, 13, 5)
    assert dataset.info.query["types"] == types
    rows[7] = rows[7].replace("08/03/2023", "30/02/2023")
    (tmp_path / "t.csv").write_text(table("id,y,price,day,at", rows))
    with pytest.raises(HeadraceError, match="row 8: expected a date %d/%m/%Y in `day`. Received: '30/02/2023'"):
        take(str(tmp_path / "t.csv"), tmp_path / "other", types=types)
    rows[7] = rows[8].replace("$8", "eight")
    (tmp_path / "t.csv").write_text(table("id,y,price,day,at", rows))
    with pytest.raises(HeadraceError, match="row 8: expected an amount in `price`. Received: 'eight.50'"):
        take(str(tmp_path / "t.csv"), tmp_path / "other", types=types)


def test_a_point_that_groups_no_thousands_is_no_number_behind_a_decimal_comma():
    values = pa.array(["132.5", "1.234", "1.234,5", "7", None, "1e3", ",5"])
    found, bad = to_declared(values, "number", ",")
    assert bad == [0]
    assert found.to_pylist() == [None, 1234.0, 1234.5, 7.0, None, 1000.0, 0.5]
