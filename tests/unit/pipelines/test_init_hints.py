"""What `headrace init` tells of a table that a person should decide on."""

import pyarrow as pa
import pyarrow.csv
import pytest

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.init import init
from headrace.pipelines.init_hints import (
    check_header,
    column_notes,
    ill_written,
    label_notes,
    mixed_words,
    positive_class,
)


def column(*values):
    return pa.chunked_array([list(values)])


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["fraud"] * 3 + ["legit"] * 30, ("fraud", "by its name")),
        (["ja"] * 30 + ["nein"] * 3, ("ja", "by its name")),
        (["loud"] * 30 + ["soft"] * 3, ("soft", "the rarer class")),
        (["a", "b", "c"], None),
        ([0, 1, 1], None),  # the greater one, as everybody expects
    ],
)
def test_the_positive_class_of_two(values, expected):
    assert positive_class(column(*values)) == expected


def test_classes_that_are_slips_or_rare():
    notes = label_notes(column(*["yes"] * 30, *["no"] * 30, "Yes", "NO"))
    assert notes[0].startswith("the classes 'Yes' and 'yes' differ only in how they are written")
    assert notes[1].startswith("the classes 'NO' and 'no' differ only in how they are written")
    assert notes[2] == (
        "too few rows to learn and to judge: 'Yes' (1), 'NO' (1); leave these classes out, or merge them"
    )
    assert label_notes(column(*["yes"] * 30, *["no"] * 30)) == []


def test_columns_that_number_the_rows_or_are_shared_by_some():
    rows = pa.table(
        {
            "Beleg-Nr.": list(range(4_500_000, 4_500_100)),
            "customer_id": [f"c{n // 10}" for n in range(100)],
            "paid": [n % 7 for n in range(100)],
            "far": [n * 10 for n in range(100)],
        }
    )
    first, second = column_notes(rows, rows.column_names)
    assert first.startswith("`Beleg-Nr.` has another whole number in every row, from 4500000 to 4500099: where it")
    assert second.startswith(
        "`customer_id` repeats: 10.0 rows each. Where these are of one and the same, set data.split"
    )
    assert column_notes(rows, ["paid", "far"]) == []


def test_numbers_and_dates_with_other_texts_among_them():
    mixed = mixed_words(column(*[f"{n}.5" for n in range(90)], *["unknown"] * 10))
    assert mixed is not None
    assert mixed.startswith("text, as 10.0 % of its values are no numbers or dates ('unknown'); list these in")
    assert mixed_words(column(*[f"2024-01-{n % 28 + 1:02d}" for n in range(90)], *["open"] * 10)) is not None
    assert mixed_words(column(*[f"A{n}" for n in range(90)])) is None
    assert mixed_words(column(*[f"{n:05d}" for n in range(90)], "x")) is None  # codes
    assert mixed_words(column(*[f"{n} Main Street" for n in range(90)], *[f"Road {n}" for n in range(10)])) is None


@pytest.mark.parametrize(
    "values",
    [
        ["18-24", "25-34", "35-44", "65+", "Under 18"],  # ranges
        ["09:00", "11:00", "13:00", "15:30"],  # times of day
        ["10mg", "20 mg", "5%", "n/a"],
        ["12.5", "2024-01-31", "13", "14", "unknown"],  # dates among numbers: text all the same
    ],
)
def test_what_begins_with_a_digit_is_no_number_for_that(values):
    assert mixed_words(column(*values * 30)) is None


def test_numbers_with_a_decimal_comma_with_other_texts_among_them():
    values = column(*[f"{n},5" for n in range(90)], *["unknown"] * 10)
    assert mixed_words(values) is None
    assert mixed_words(values, ",") is not None


@pytest.mark.parametrize(
    ("values", "decimal", "words"),
    [
        (
            ["€2668.68", "$2243.58", "$1.10"],
            ".",
            "looks like amounts, in several units ('€2668.68', '$2243.58'); convert",
        ),
        (["1.937,18 €", "12,50 €"], ".", "looks like amounts with a decimal comma ('1.937,18 €'), and numbers of this"),
        (["1,937.18 €", "12.50 €"], ",", "looks like amounts with a decimal point ('1,937.18 €'), and numbers of this"),
        (
            ["$1.50"] * 30 + ["call us"],
            ".",
            "looks like amounts, but 3.2 % of its values are none ('call us'); list these",
        ),
        (["$1,937.18", "1.937,18 €"], ".", "looks like amounts, written in several ways ('$1,937.18', '1.937,18 €');"),
        (
            ["01/11/2024", "2024-01-18", "Jun 02, 2023", "02/11/2024"],
            ".",
            "looks like dates, written in several ways ('01/11/2024', '2024-01-18', 'Jun 02, 2023'); write all in one at",
        ),
        (
            ["31/12/2024", "12/31/2024"],
            ".",
            "looks like dates, written in several ways ('31/12/2024'); write all in one",
        ),
    ],
)
def test_amounts_and_dates_that_are_not_written_alike(values, decimal, words):
    found = ill_written("x", column(*values), decimal)
    assert found is not None
    assert found.startswith(words)


@pytest.mark.parametrize(
    "values",
    [
        ["007", "12"],
        ["+33 394973361", "555-1234"],
        ["10mg", "20 mg", "5%"],
        ["18-24", "25-34"],
        ["09:00"],
        ["Paris", "Lille"],
        ["1.2.3", "1.10.0"],
        [None],
    ],
)
def test_codes_ranges_and_words_are_neither_amounts_nor_dates(values):
    assert ill_written("x", pa.chunked_array([values], pa.string()), ".") is None


def test_a_second_line_of_names_is_refused():
    good = pa.table({"a": ["1", "x", "3"], "b": ["x", "y", "z"], "c": ["1", "2", "x"]})
    check_header(good, "t.csv")
    bad = pa.table(
        {"X1": ["AGE", "1", "2"], "X2": ["BILL", "1.5", "2.5"], "X3": ["SEX", "m", "w"], "Y": ["out", "0", "1"]}
    )
    with pytest.raises(HeadraceError) as caught:
        check_header(bad, "t.csv")
    assert str(caught.value) == (
        "t.csv, line 2: expected a row. Received: what looks like the names of the columns (AGE, BILL, SEX, out); "
        "remove what stands above them"
    )


def test_they_stand_in_the_spec(tmp_path):
    columns = {
        "row": list(range(100)),
        "state": ["legit" if n % 5 else "fraud" for n in range(100)],
        "customer_id": [f"c{n // 4}" for n in range(100)],
        "income": [f"{n},25" if n % 8 else "unknown" for n in range(100)],
        "margin": [f"{n / 4}" if n % 9 else ("#DIV/0!", "#VALUE!")[n % 2] for n in range(100)],
        "balance": [f"{n},5" + "-" * (n % 2) for n in range(100)],
    }
    pa.csv.write_csv(pa.table(columns), tmp_path / "t.csv", pa.csv.WriteOptions(delimiter=";"))
    written = init(tmp_path / "m", tmp_path / "t.csv", "state", None, None, force=False).read_text()
    for line in (
        "  positive: fraud  # by its name\n",
        '"#DIV/0!", "#VALUE!"]\n',
        '  decimal: ","',
        "    balance: amount\n",
        "  #   margin: number, 0.2500 to 24.5",
        "  # Note: `income` is text, as 13.0 % of its values are no numbers or dates ('unknown'); list these in data.nu",
        "  # Note: `row` has another whole number in every row, from 0 to 99",
        "  # Note: `customer_id` repeats: 4.0 rows each",
    ):
        assert line in written, written


def test_a_dropped_column_of_numbers_is_not_said_to_name_its_row(tmp_path):
    rows = "".join(f"{n % 2},{n}.5\n" if n % 8 else f"{n % 2},unknown\n" for n in range(2_000))
    (tmp_path / "t.csv").write_text("y,income\n" + rows)
    written = init(tmp_path / "m", tmp_path / "t.csv", "y", None, None, force=False).read_text()
    assert "  drop: [income]\n" in written
    assert "  #   income: text, as 12.5 % of its values are no numbers or dates ('unknown'); list these in" in written
    assert "and take it out of here\n" in written


def test_amounts_and_dates_that_stay_text_are_told_in_the_spec(tmp_path):
    dates = ("{d:02d}/11/2024", "2024-01-{d:02d}", "Jun {d:02d} 2023")
    rows = [f"{n % 2};{'€$'[n % 2]}{n}.50;{n}.5;{n},25 EUR;{dates[n % 3].format(d=n % 28 + 1)}" for n in range(400)]
    (tmp_path / "t.csv").write_text("\n".join(["y;price;size;cost;day", *rows, ""]))
    written = init(tmp_path / "m", tmp_path / "t.csv", "y", None, None, force=False).read_text()
    assert "  drop: [price, cost]\n" in written
    for line in (
        "  #   price: looks like amounts, in several units ('€0.50', '$1.50'); convert them to one at the source, or, ",
        "  #   cost: looks like amounts with a decimal comma ('0,25 EUR'), and numbers of this source have a decimal ",
        "  # Note: `day` looks like dates, written in several ways ('01/11/2024', '2024-01-02', 'Jun 03 2023'); write",
    ):
        assert line in written, written


def test_texts_that_name_the_row_in_the_train_split_alone_are_left_out_at_once(tmp_path):
    """Of fewer rows more texts are different: here 45 % of all rows, and more than half of those that are trained on."""
    rows = [f"{n % 2},word{n * 7919 % 900},w{n * 7919 % 600},w{n * 7919 % 680},{n}.5" for n in range(2_000)]
    (tmp_path / "t.csv").write_text("\n".join(["y,many,few,nearly,size", *rows, ""]))
    written = init(tmp_path / "m", tmp_path / "t.csv", "y", None, None, force=False).read_text()
    assert "  drop: [many]\n" in written
    assert "different texts in 1,400 rows: it names the row (features.keep overrules)" in written
    assert "  #   few: category, 600 values\n" in written
    assert "  #   nearly: category, 680 values: where the train split has a few more, it names the row" in written
