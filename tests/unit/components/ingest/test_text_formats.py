"""Text in all its forms: compressed, JSON Lines, rows that cannot be read, and types that the spec declares."""

import bz2
import datetime
import gzip
import json
import lzma

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.artifacts.errors import HeadraceError
from headrace.components.ingest.csv_source import open_csv
from headrace.components.ingest.opened import local_file
from headrace.components.ingest.spec import DataSpec
from headrace.serving.csv_rows import read_csv
from tests.unit.components.ingest.ingesting import ROWS, column, table, take, whole

COMPRESS = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": lambda data: pa.compress(data, "zstd", asbytes=True),
}


def objects(count=300, **more):
    return [{"id": i, "y": i % 2, "x": i / 3, **{name: make(i) for name, make in more.items()}} for i in range(count)]


def lines(values) -> str:
    return "".join(json.dumps(value) + "\n" for value in values)


def take_lines(tmp_path, text, **more):
    (tmp_path / "t.jsonl").write_text(text)
    return take(str(tmp_path / "t.jsonl"), tmp_path / "snapshot", **more)


@pytest.mark.parametrize("suffix", COMPRESS)
@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.jsonl"])
def test_compressed_text_gives_what_plain_text_gives(tmp_path, suffix, name):
    text = lines(objects()) if name == "t.jsonl" else table().replace(",", "\t" if name == "t.tsv" else ",")
    (tmp_path / name).write_text(text)
    (tmp_path / (name + suffix)).write_bytes(COMPRESS[suffix](text.encode()))
    _, plain = take(str(tmp_path / name), tmp_path / "plain")
    _, packed = take(str(tmp_path / (name + suffix)), tmp_path / "packed")
    assert whole(packed).equals(whole(plain))


@pytest.mark.parametrize("suffix", COMPRESS)
def test_compressed_data_that_ends_early(tmp_path, suffix):
    text = table(rows=[f"{i},{i % 2},{i * 7919 % 10007}" for i in range(20_000)])
    (tmp_path / f"t.csv{suffix}").write_bytes(COMPRESS[suffix](text.encode())[:-1000])
    with pytest.raises(HeadraceError, match=r"expected whole \w+ data. Received: "):
        take(str(tmp_path / f"t.csv{suffix}"), tmp_path / "snapshot")
    assert [path.name for path in tmp_path.iterdir()] == [f"t.csv{suffix}"]


@pytest.mark.parametrize("suffix", COMPRESS)
def test_plain_text_under_a_compressed_name(tmp_path, suffix):
    (tmp_path / f"t.csv{suffix}").write_text(table())
    with pytest.raises(HeadraceError, match=r"expected \w+ data, as its name says. Received: other data; rename it"):
        take(str(tmp_path / f"t.csv{suffix}"), tmp_path / "snapshot")


def test_a_format_that_the_name_does_not_tell(tmp_path):
    (tmp_path / "rows.txt").write_text(table())
    with pytest.raises(HeadraceError, match=r"expected a file named \.csv, .*, or data.format .* Received: .txt"):
        take(str(tmp_path / "rows.txt"), tmp_path / "s")
    assert take(str(tmp_path / "rows.txt"), tmp_path / "s", format="csv")[1].info.rows["train"] > 150
    (tmp_path / "rows.parquet.gz").write_bytes(b"")
    with pytest.raises(HeadraceError, match=r"Received: .parquet.gz"):
        take(str(tmp_path / "rows.parquet.gz"), tmp_path / "other")


# --- Rows that cannot be read ------------------------------------------------------------------------------


def test_ragged_rows_are_left_out_counted_and_named(tmp_path):
    (tmp_path / "t.csv").write_text(table(rows=[*ROWS[:100], "7,secret", *ROWS[100:], "8,1,1,more"]))
    found, dataset = take(str(tmp_path / "t.csv"), tmp_path / "s", rejects={"at_most": 2})
    assert sum(dataset.info.rows.values()) == 300
    assert dataset.info.rejected == {
        "rows": 2,
        "first": [
            {"source": "t.csv", "place": "row 101", "why": "expected 3 fields"},
            {"source": "t.csv", "place": "row 302", "why": "expected 3 fields"},
        ],
    }
    assert found.notes == [
        f"2 rows are left out that cannot be read; the first: {tmp_path}/t.csv, row 101: expected 3 fields. Received: 2"
    ]
    with pytest.raises(HeadraceError, match=r"row 101: expected 3 fields.*Received: 2 \(2 such rows\).*at_most is 1"):
        take(str(tmp_path / "t.csv"), tmp_path / "other", rejects={"at_most": 1})


def test_values_of_another_type_than_declared_reject_their_row(tmp_path):
    rows = [*ROWS[:10], "900,1,n.a.", "901,1,", *ROWS[10:]]
    (tmp_path / "t.csv").write_text(table(rows=rows))
    settings = {"types": {"x": "number"}, "rejects": {"at_most": 1}}
    _, dataset = take(str(tmp_path / "t.csv"), tmp_path / "s", **settings)
    assert dataset.info.rejected["first"] == [{"source": "t.csv", "place": "row 11", "why": "expected a number in `x`"}]
    assert column(dataset, "id")[-1] == 901  # a missing value fits every type
    assert sum(dataset.info.rows.values()) == 301
    with pytest.raises(HeadraceError, match="row 11: expected a number in `x`. Received: 'n.a.'; .*at_most is 0"):
        take(str(tmp_path / "t.csv"), tmp_path / "other", types={"x": "number"})


def test_labels_and_ids_are_named_by_their_row_although_others_were_rejected(tmp_path):
    (tmp_path / "t.csv").write_text(table(rows=["900,1,oops", *ROWS, "901,,1"]))
    settings = {"types": {"x": "number"}, "rejects": {"at_most": 1}}
    with pytest.raises(HeadraceError, match="1 row without `y`, first row 302"):
        take(str(tmp_path / "t.csv"), tmp_path / "s", **settings)


@pytest.mark.parametrize(
    ("name", "written", "read"),
    [
        ("string", ["007", "1.50"], ["007", "1.50"]),
        ("number", ["1", " 2.5 "], [1.0, 2.5]),
        ("integer", ["007", "-3"], [7, -3]),
        ("boolean", ["TRUE", "0"], [True, False]),
        ("date", ["2024-02-29", ""], [datetime.date(2024, 2, 29), None]),
        (
            "timestamp",
            ["2024-01-01T01:00:00+01:00", "2024-01-01 00:00"],
            [datetime.datetime(2024, 1, 1), datetime.datetime(2024, 1, 1)],
        ),
    ],
)
def test_declared_types(tmp_path, name, written, read):
    (tmp_path / "t.csv").write_text(table(rows=[f"{i},{i % 2},{written[i % 2]}" for i in range(300)]))
    _, dataset = take(str(tmp_path / "t.csv"), tmp_path / "s", types={"x": name})
    assert column(dataset, "x")[:2] == read


@pytest.mark.parametrize(
    ("name", "bad"), [("integer", "1.5"), ("integer", "9" * 20), ("boolean", "yes"), ("date", "2024-02-30"), ("timestamp", "noon")]
)  # fmt: skip
def test_values_that_are_none_of_a_declared_type(tmp_path, name, bad):
    (tmp_path / "t.csv").write_text(table(rows=[*(f"{i},{i % 2}," for i in range(200)), f"900,1,{bad}"]))
    with pytest.raises(HeadraceError, match=f"row 201: expected an? {name} in `x`. Received: '{bad}'"):
        take(str(tmp_path / "t.csv"), tmp_path / "s", types={"x": name})


def test_a_type_for_a_column_that_is_not_there(tmp_path):
    (tmp_path / "t.csv").write_text(table())
    with pytest.raises(HeadraceError, match=r"data.types: expected columns of the source. Received: `X`; .*"):
        take(str(tmp_path / "t.csv"), tmp_path / "s", types={"X": "number"})


def test_what_was_coerced_is_counted(tmp_path):
    values = ["1.5", " 2.5", "inf", "NAN", "-inf"]
    text = ["1"] * 97 + ["n.a.", "none", "?"]
    rows = [f"{i},{i % 2},{values[i % 5]},{text[i % 100]}" for i in range(300)]
    (tmp_path / "t.csv").write_text(table("id,y,x,age", rows))
    found, dataset = take(str(tmp_path / "t.csv"), tmp_path / "s")
    assert dataset.info.coerced == {
        "age": {"no numbers": 9, "numbers as text": 291},
        "x": {"infinite": 120, "nan": 60, "spaces": 60},
    }
    assert found.notes[0].startswith("`age` stays text: 3.00% of its values are no numbers ('")
    assert found.notes[1:] == ["`x`: 120 infinite values count as missing; a server cannot receive them"]


# --- JSON Lines --------------------------------------------------------------------------------------------


def test_json_values_are_what_json_says_they_are(tmp_path):
    more = {
        "code": lambda i: f"{i:03}",
        "flag": lambda i: i % 3 == 0,
        "whole": lambda i: None if i == 5 else i,
        "mixed": lambda i: i if i % 2 else i + 0.5,
        "day": lambda i: "2024-01-31",
        "at": lambda i: "2024-01-31T10:00:00Z",
        "never": lambda i: None,
    }
    _, dataset = take_lines(tmp_path, lines(objects(**more)))
    types = {one.name: one.type for one in dataset.info.columns}
    assert types == {
        "id": "int64", "y": "string", "x": "float64", "code": "string", "flag": "bool", "whole": "int64",
        "mixed": "float64", "day": "date32", "at": "timestamp[us]", "never": "float64",
    }  # fmt: skip
    assert column(dataset, "code")[7] == "007"
    assert column(dataset, "whole")[5] is None
    assert column(dataset, "at")[0] == datetime.datetime(2024, 1, 31, 10)


def test_nested_objects_are_flattened_by_one_level_and_lists_left_out(tmp_path):
    more = {
        "place": lambda i: {"city": "Bern", "geo": {"lat": 1}},
        "tags": lambda i: ["a"],
        "sometimes": lambda i: [] if i == 200 else i,
    }
    found, dataset = take_lines(tmp_path, lines(objects(**more)))
    assert [one.name for one in dataset.info.columns] == ["id", "y", "x", "place.city"]
    assert found.notes == [
        "`place.geo` is left out: it has objects in it",
        "`tags` is left out: it has lists in it",
        "`sometimes` is left out: it has lists in it",
    ]
    assert dataset.info.source["left_out"] == ["place.geo", "tags", "sometimes"]
    with pytest.raises(HeadraceError, match="in `tags`, which data.label names. Received: list"):
        take(str(tmp_path / "t.jsonl"), tmp_path / "other", label="tags")


def test_values_of_several_kinds_become_text_and_are_counted(tmp_path):
    found, dataset = take_lines(tmp_path, lines(objects(z=lambda i: (i, "n.a.", True, 1.5)[min(i, 3)])))
    assert column(dataset, "z")[:4] == ["0", "n.a.", "true", "1.5"]
    assert dataset.info.coerced == {"z": {"read as text": 299}}
    assert found.notes == [
        "`z` is read as text: its values are 297 numbers, 1 whole numbers, 1 texts, 1 truth values; "
        "data.types can say what they should be"
    ]
    settings = {"types": {"z": "number"}, "rejects": {"at_most": 2}}
    _, declared = take(str(tmp_path / "t.jsonl"), tmp_path / "other", **settings)
    assert declared.info.rejected["rows"] == 2
    assert column(declared, "z")[:2] == [0.0, 1.5]


def test_numbers_that_no_column_of_numbers_has(tmp_path):
    found, dataset = take_lines(tmp_path, lines(objects(z=lambda i: 2**63 + i)))
    assert column(dataset, "z")[0] == str(2**63)
    assert found.notes == ["`z` is read as text: its whole numbers do not all fit 64 bits"]


def test_lines_that_are_no_json_object(tmp_path):
    good = lines(objects())
    bad = good + '{"id": 900, "y": 1\n\n[1]\n' + '{"a": {"b": 1}, "a.b": 2}\n{"id": NaN}\n'
    found, dataset = take_lines(tmp_path, bad, rejects={"at_most": 4})
    assert [(one["place"], one["why"]) for one in dataset.info.rejected["first"]] == [
        (f"line {line}", "expected a JSON object") for line in (301, 303, 304, 305)
    ]
    with pytest.raises(HeadraceError, match=r"t.jsonl, line 301: expected a JSON object. Received: damaged JSON"):
        take(str(tmp_path / "t.jsonl"), tmp_path / "other")
    assert len(found.notes) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a JSON object on every line. Received: no lines"),
        ("\n\n", "Received: no lines"),
        ("[1, 2]\n", "Received: a list on line 1"),
        (lines([{'say "x"': 1}]), "with a double quote; rename the column"),
        (lines(objects()).replace('"x": 0.0', '"x": "a\\u0000b"'), "column `x`, row 1: expected text. Received: a NUL byte"),
    ],
)  # fmt: skip
def test_json_that_cannot_be_read(tmp_path, text, message):
    with pytest.raises(HeadraceError) as raised:
        take_lines(tmp_path, text)
    assert message in str(raised.value)


@given(st.lists(st.text(" \t\u00a0ab?", max_size=5), min_size=1, max_size=40))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_trimmed_fields_are_those_that_a_client_sends(tmp_path, cells):
    file = tmp_path / "t.csv"
    file.write_text("n,c\n" + "".join(f'{n},"{cell}"\n' for n, cell in enumerate(cells)), encoding="utf-8")
    data = DataSpec(source=str(file), label="y", trim=True, null_values=["", "?"])
    read = pa.Table.from_batches(open_csv(local_file(file), data).batches())["c"].to_pylist()
    assert read == [None if (text := cell.strip(" \t\u00a0")) in ("", "?") else text for cell in cells]
    sent = read_csv(file, [{"name": "c", "type": "category"}], data.null_values, trim=True)
    assert [one["c"] for one in sent] == read


def test_with_a_decimal_comma_the_columns_that_have_a_point_are_written_down(tmp_path):
    rows = "".join(f"{i};{i % 2};{i}.25;{i},5\n" for i in range(300))
    (tmp_path / "t.csv").write_text("id;y;x;z\n" + rows)
    _, snapshot = take(str(tmp_path / "t.csv"), tmp_path / "snapshot", separator=";", decimal=",")
    assert snapshot.info.query["pointed"] == ["x"]
    assert min(whole(snapshot).column("x").to_pylist()) == 0.25
