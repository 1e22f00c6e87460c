"""`headrace validate`: what a spec says of columns, held against the source's first rows."""

import gzip
import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.check import check_spec

GOOD = """name: m
task: classification
data:
  source: t.csv
  label: y
  id: id
"""


def check(text, folder):
    (folder / "t.csv").write_text("id,size,colour,y\n" + "".join(f"r{n},{n}.5,red,{n % 2}\n" for n in range(60)))
    (folder / "spec.yaml").write_text(text)
    return check_spec(folder / "spec.yaml")


def test_a_good_one(tmp_path):
    spec, head = check(GOOD + "features: {construct: {double: 2 * size}}\n", tmp_path)
    assert spec.name == "m"
    assert head.schema.types == [head.schema.field(n).type for n in ("id", "size", "colour", "y")]
    assert str(head.schema.field("size").type) == "double"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("features: {drop: [siez]}", "7: features.drop.0: expected a column of the source. Received: `siez`; did you mean `size`?"),
        ("features: {keep: [zzz]}", "7: features.keep.0: expected a column of the source. Received: `zzz`; the columns are id, size, colour, y"),
        ("evaluate: {slices: [color]}", "7: evaluate.slices.0: expected a column of the source. Received: `color`; did you mean `colour`?"),
        ("evaluate:\n  gates:\n    - {metric: auc, at_least: 0.5, slice: color}", "9: evaluate.gates.0.slice: expected a column of the source. Received: `color`; did you mean `colour`?"),
        ("features: {construct: {size: 2 * size}}", "7: features.construct.size: expected a new name. Received: `size`, a column of the source"),
    ],
)  # fmt: skip
def test_a_column_that_is_not_there(more, message, tmp_path):
    with pytest.raises(HeadraceError) as caught:
        check(GOOD + more + "\n", tmp_path)
    assert str(caught.value) == f"{tmp_path / 'spec.yaml'}:{message}"


@pytest.mark.parametrize(("label", "type"), [("colour", "string"), ("since", "date32"), ("paid", "bool")])
def test_a_label_that_is_no_quantity(label, type, tmp_path):
    rows = [f"r{n},{n}.5,red,{n % 2},2024-01-{1 + n % 28:02d},{'true' if n % 2 else 'false'}\n" for n in range(60)]
    (tmp_path / "t.csv").write_text("id,size,colour,y,since,paid\n" + "".join(rows))
    file = tmp_path / "spec.yaml"
    file.write_text(GOOD.replace("classification", "regression").replace("label: y", f"label: {label}"))
    with pytest.raises(HeadraceError) as caught:
        check_spec(file)
    assert str(caught.value) == (
        f"{file}:5: data.label: expected a column of numbers for a regression. "
        f"Received: `{label}` of type {type}; did you mean `task: classification`?"
    )


@pytest.mark.parametrize(("moments", "type"), [("2024-01-{:02d}", "date32"), ("2024-01-{:02d} 10:00:00", "timestamp")])
def test_moments_are_no_classes_unless_the_spec_says_so(moments, type, tmp_path):
    rows = [f"r{n},{n}.5,{moments.format(1 + n % 3)}\n" for n in range(60)]
    (tmp_path / "t.csv").write_text("id,size,y\n" + "".join(rows))
    file = tmp_path / "spec.yaml"
    file.write_text(GOOD)
    with pytest.raises(HeadraceError) as caught:
        check_spec(file)
    told = str(caught.value)
    assert told.startswith(f"{file}:5: data.label: expected classes. Received: `y` of type {type}")
    assert told.endswith("where its moments are classes, say so: data.types: {y: string}")
    file.write_text(GOOD + "  types: {y: string}\n")
    check_spec(file)


def test_there_has_to_be_something_to_learn_from(tmp_path):
    (tmp_path / "t.csv").write_text("id,y\n" + "".join(f"r{n},{n % 2}\n" for n in range(60)))
    file = tmp_path / "spec.yaml"
    file.write_text(GOOD)
    with pytest.raises(HeadraceError) as caught:
        check_spec(file)
    told = "expected columns to learn from beside the label and the id. Received: none"
    assert str(caught.value) == f"{file}:4: data.source: {told}"


def test_expressions_are_typed(tmp_path):
    with pytest.raises(HeadraceError) as caught:
        check(GOOD + "features:\n  construct:\n    a: size / nope\n    b: colour * 2\n    c: lower(size)\n", tmp_path)
    lines = str(caught.value).splitlines()
    assert [line.removeprefix(f"{tmp_path / 'spec.yaml'}:").split(":")[:2] for line in lines] == [
        ["9", " features.construct.a"],
        ["10", " features.construct.b"],
        ["11", " features.construct.c"],
    ]


def test_a_label_that_is_computed_needs_no_column(tmp_path):
    text = GOOD.replace("label: y", "label: {name: big, expression: size > 30}")
    assert check(text, tmp_path)[0].data.label.name == "big"
    with pytest.raises(HeadraceError, match="data.label.expression"):
        check(GOOD.replace("label: y", "label: {name: big, expression: siez > 30}"), tmp_path)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("id;size;y", "expected fields separated by ','. Received: a header separated by ';'; set data.separator"),
        ('id,"si""ze",y', "with a double quote; rename the column in the source"),
    ],
)
def test_a_header_that_ingestion_would_refuse(header, message, tmp_path):
    (tmp_path / "t.csv").write_text(header + "\n" + "1,2,3\n" * 60)
    (tmp_path / "spec.yaml").write_text(GOOD)
    with pytest.raises(HeadraceError, match=message):
        check_spec(tmp_path / "spec.yaml")


def test_a_constructed_name_that_cannot_be_served(tmp_path):
    with pytest.raises(HeadraceError, match="features.construct.*with a double quote$"):
        check(GOOD + "features: {construct: {'a\"b': 2 * size}}\n", tmp_path)


def test_a_parquet_column_that_is_left_out_may_be_dropped(tmp_path):
    table = pa.table({"id": range(6), "y": [1, 0] * 3, "size": [1.5] * 6, "tags": [["a"]] * 6})
    pq.write_table(table, tmp_path / "t.parquet")
    text = GOOD.replace("t.csv", "t.parquet") + "features: {drop: [tags]}\n"
    assert check(text, tmp_path)[1].column_names == ["id", "y", "size"]
    with pytest.raises(HeadraceError, match="`tags`, which data.label names. Received: list<"):
        check(text.replace("label: y", "label: tags"), tmp_path)


def test_a_list_of_sources_and_what_is_joined(tmp_path):
    lines = "".join(
        f'{{"id": "s{n}", "y": {n % 2}, "size": {n}.5, "colour": "red", "more": true}}\n' for n in range(60)
    )
    (tmp_path / "u.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    (tmp_path / "colours.csv").write_text("colour,warmth\nred,0.9\n")
    join = "  join: [{source: colours.csv, on: colour}]\nfeatures: {construct: {heat: warmth * size}}\n"
    _, head = check(GOOD.replace("t.csv", "[t.csv, u.jsonl.gz]") + join, tmp_path)
    assert {field.name: str(field.type) for field in head.schema} == {
        "id": "string", "size": "double", "colour": "string", "y": "int64", "more": "bool", "warmth": "double",
    }  # fmt: skip
    with pytest.raises(
        HeadraceError, match="expected the key `color` in data.source. Received: no such column; did you"
    ):
        check(GOOD + join.replace("on: colour", "on: color"), tmp_path)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("  split: {by: time, column: att}", "7: data.split.column: expected a column of the source. Received: `att`"),
        ("  watermark: {column: at}", "7: data.watermark.column: expected a column of the source. Received: `at`"),
        (
            "  types: {sise: number}",
            "7: data.types.sise: expected a column of the source. Received: `sise`; did you mean",
        ),
        ("  format: jsonl", "expected a JSON object on every line"),
    ],
)
def test_what_the_data_section_says_of_columns(more, message, tmp_path):
    with pytest.raises(HeadraceError) as caught:
        check(GOOD + more + "\n", tmp_path)
    assert message in str(caught.value)


def test_only_the_beginning_is_looked_at(tmp_path, monkeypatch):
    opened = Path.open
    read = 0

    class Counted(io.FileIO):
        def readinto(self, buffer):
            nonlocal read
            count = super().readinto(buffer)
            read += count
            return count

    def counted(self, mode="r", *arguments, **more):
        if self.name != "t.csv" or mode != "rb":
            return opened(self, mode, *arguments, **more)
        return io.BufferedReader(Counted(self))

    rows = "".join(f"r{n},{n}.5,red,{n % 2}\n" for n in range(400_000))
    (tmp_path / "t.csv").write_text("id,size,colour,y\n" + rows)
    (tmp_path / "spec.yaml").write_text(GOOD)
    monkeypatch.setattr(Path, "open", counted)
    assert check_spec(tmp_path / "spec.yaml")[1].num_rows == 10_000
    assert 0 < read < len(rows) / 2


def test_logged_requests_that_are_not_there(tmp_path):
    (tmp_path / "requests").mkdir()
    assert check(GOOD + "validate: {requests: requests}\n", tmp_path)[0].validation.requests == "requests"
    with pytest.raises(HeadraceError) as caught:
        check(GOOD + "validate:\n  requests: reqests\n", tmp_path)
    place = tmp_path / "spec.yaml"
    assert str(caught.value).startswith(f"{place}:8: validate.requests: {tmp_path / 'reqests'}: expected a file. ")
    assert "did you mean" in str(caught.value)


def test_values_that_are_no_dates_as_declared(tmp_path):
    days = [f"{n % 28 + 1}/01/2024" if n % 2 else f"2024-01-{n % 28 + 1:02d}" for n in range(60)]
    rows = [f"r{n},{n}.5,{n // 2 % 2},{day}\n" for n, day in enumerate(days)]
    (tmp_path / "t.csv").write_text("id,size,y,day\n" + "".join(rows))
    file = tmp_path / "spec.yaml"
    file.write_text(f"{GOOD}  types: {{day: 'date %d.%m.%Y'}}\n")
    with pytest.raises(HeadraceError) as caught:
        check_spec(file)
    assert str(caught.value).removeprefix(f"{tmp_path}/") == (
        "t.csv, row 2: expected a date %d.%m.%Y in `day`. Received: '2/01/2024'; data.rejects.at_most is 0"
    )
    file.write_text(file.read_text() + "  rejects: {at_most: 30}\n")
    assert check_spec(file)[1].num_rows == 30
