"""What a source's values become, and which of them reject their row."""

import datetime as dt

import pyarrow as pa
import pytest

from headrace.artifacts.signature import Input
from headrace.components.batch_predict.values import carried, type_problem
from headrace.serving.encode import days

US_A_DAY = 86_400_000_000


def test_texts_as_numbers():
    found = carried(Input("age", "number"), pa.array(["1", " 2.5 ", None, "x", "inf", "1e3"]), ".")
    assert found.values.to_pylist() == [1.0, 2.5, None, None, None, 1000.0]
    assert found.wrong == {3: "expected a number in `age`. Received: 'x'"}
    assert found.infinite == 1


def test_a_decimal_comma():
    found = carried(Input("age", "number"), pa.array(["1.234,5", "7"]), ",")
    assert found.values.to_pylist() == [1234.5, 7.0]


def test_booleans_may_be_0_and_1_and_nothing_else():
    for column in (pa.array(["true", "FALSE", "1", "2", None]), pa.array([1, 0, 1, 2, None])):
        found = carried(Input("new", "boolean"), column, ".")
        assert found.values.to_pylist()[2:] == [1.0, None, None]
        assert list(found.wrong) == [3] and "true, false, 0 or 1 in `new`" in found.wrong[3]


@pytest.mark.parametrize(
    "text",
    [
        "2024-03-01",
        "2024-03-01T10:20",
        "2024-03-01 10:20:30.123456",
        "2024-03-01T10:20:30Z",
        "2024-03-01T10:20:30+02:00",
        "2024-03-01T10:20:30.123456789Z",
        "0001-01-01",
        "9999-12-31T23:59:59",
    ],
)
def test_dates_are_read_as_the_server_reads_them(text):
    found = carried(Input("day", "date"), pa.array([text, None, ""]), ".")
    assert not found.wrong
    moments = found.values.cast(pa.int64()).to_pylist()
    assert moments[0] / US_A_DAY == days(text) and moments[1:] == [None, None]


@pytest.mark.parametrize(
    "text", ["2024-02-30", "yesterday", "2024-3-1", "10000-01-01", "0000-01-01", "2024-03-01T25:00"]
)
def test_what_is_no_date_rejects_its_row(text):
    found = carried(Input("day", "date"), pa.array(["2024-03-01", text]), ".")
    assert (
        list(found.wrong) == [1] and "expected a date such as 2024-03-01" in found.wrong[1] and text in found.wrong[1]
    )
    with pytest.raises(ValueError):
        days(text)


def test_moments_have_no_zone_and_no_nanoseconds():
    moment = dt.datetime(2024, 3, 1, 12, tzinfo=dt.UTC)
    for kind in (pa.timestamp("ns", "Europe/Berlin"), pa.timestamp("s", "UTC"), pa.timestamp("ms")):
        found = carried(
            Input("day", "date"), pa.array([moment.replace(tzinfo=None)]).cast(pa.timestamp("us")).cast(kind), "."
        )
        assert (
            found.values.type == pa.timestamp("us") and found.values.cast(pa.int64())[0].as_py() == 1709294400 * 10**6
        )


def test_dates_beyond_the_year_9999():
    found = carried(Input("day", "date"), pa.array([0, 3_000_000], pa.int32()).cast(pa.date32()), ".")
    assert list(found.wrong) == [1]


@pytest.mark.parametrize(
    ("item", "kind", "parses", "problem"),
    [
        ("number", pa.string(), False, "expected numbers for a number. Received: string"),
        ("number", pa.string(), True, None),
        ("number", pa.decimal128(10, 2), False, None),
        ("number", pa.timestamp("us"), True, "expected numbers for a number. Received: timestamp[us]"),
        ("category", pa.int64(), True, "expected strings for a category. Received: int64"),
        ("category", pa.dictionary(pa.int8(), pa.string()), False, None),
        ("date", pa.string(), False, None),
        ("date", pa.float64(), False, "expected dates for a date. Received: double"),
        ("text", pa.list_(pa.string()), True, "expected strings for a text. Received: list<item: string>"),
        ("boolean", pa.null(), False, None),
        ("image", pa.string(), False, "expected image files' bytes. Received: string"),
    ],
)
def test_types_that_do_not_carry_an_input(item, kind, parses, problem):
    size = {"height": 8, "width": 8} if item == "image" else {}
    found = type_problem(Input("x", item, **size), kind, parses)
    assert (found or "").replace("element", "item") == (problem or "")


def test_values_that_training_took_as_texts():
    assert type_problem(Input("zip", "category"), pa.int64(), True, names=True) is None
    assert carried(Input("zip", "category"), pa.array([7, None]), ".").values.to_pylist() == ["7", None]


def test_texts_as_people_write_them():
    found = carried(Input("price", "number"), pa.array(["$1,234.50", "(2)", None, "free"]), ".", "amount")
    assert found.values.to_pylist() == [1234.5, -2.0, None, None]
    assert found.wrong == {3: "expected a number in `price`. Received: 'free'"}
    found = carried(Input("price", "number"), pa.array(["1.234,50 €", "2"]), ",", "amount")
    assert found.values.to_pylist() == [1234.5, 2.0]
    texts = pa.array(["31/12/2023", "31/02/2023", "2023-12-31"])
    found = carried(Input("day", "date"), texts, ".", "date %d/%m/%Y")
    assert [one and one.date().isoformat() for one in found.values.to_pylist()] == ["2023-12-31", None, "2023-12-31"]
    assert list(found.wrong) == [1] and "Received: '31/02/2023'" in found.wrong[1]
    days_since = pa.array([19722], pa.int32()).cast(pa.date32())
    assert carried(Input("day", "date"), days_since, ".", "date %d/%m/%Y").values.to_pylist() == days_since.to_pylist()
