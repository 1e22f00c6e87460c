"""What `headrace init` infers, and that what it writes is read back as it was meant."""

import gzip
import sqlite3
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.check import check_spec
from headrace.pipelines.init import infer_id, infer_task, init
from headrace.pipelines.spec import Spec


@pytest.mark.parametrize(
    ("values", "task"),
    [
        (["a", "b"], "classification"),
        ([True, False], "classification"),
        ([date(2024, 1, 1), date(2024, 1, 2)], "classification"),
        ([0, 1, 2], "classification"),
        (list(range(20)), "classification"),
        (list(range(21)), "regression"),
        ([0.0, 1.0], "classification"),
        ([0.5, 1.0], "regression"),
    ],
)
def test_the_task_follows_the_labels_values(values, task):
    assert infer_task(pa.chunked_array([values])) == task


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        ({"id": [1, 2]}, "id"),
        ({"user_id": [1, 2]}, "user_id"),
        ({"customerID": ["a", "b"]}, "customerID"),
        ({"paid": [1, 2]}, None),
        ({"id": [1, 1]}, None),
        ({"id": [1, None]}, None),
        ({"label_id": [1, 2]}, None),
        ({"plan_id": [1, 1], "key": [1, 2]}, "key"),
    ],
)
def test_an_id_is_named_so_and_names_every_row(columns, found):
    assert infer_id(pa.table(columns), "label_id") == found


def write(folder: Path, header: str, name: str = "t.csv") -> Path:
    file = folder / name
    lines = [f"{n % 2},{n},{'red' if n % 3 else 'blue'}" for n in range(60)]
    file.write_text("\n".join([header, *lines, ""]))
    return file


@pytest.mark.parametrize("name", ["churned", "yes", "a: b", "say 'x'", "ünïcode", "# no", "- x", "123", "on"])
def test_any_column_name_is_read_back(name, tmp_path):
    quoted = '"' + name.replace('"', '""') + '"'
    source = write(tmp_path, f"{quoted},row_id,colour")
    file = init(tmp_path / "My Model", source, name, None, None, force=False)
    spec, head = check_spec(file)
    assert (spec.name, spec.data.label.name, spec.data.id, spec.task) == ("my-model", name, "row_id", "classification")
    assert head.num_columns == 3


def test_a_file_whose_suffix_says_nothing(tmp_path):
    source = write(tmp_path, "y;id;colour", "adult.data")
    source.write_text(source.read_text().replace(",", ";"))
    with pytest.raises(HeadraceError, match=r"or data.format \(--source-format\) to say what it is. Received: .data"):
        init(tmp_path / "m", source, "y", None, None, force=False)
    spec, head = check_spec(init(tmp_path / "m", source, "y", None, None, format="csv", force=False))
    assert (spec.data.format, spec.data.separator, head.num_rows) == ("csv", ";", 60)


def test_a_database_and_its_query(tmp_path, monkeypatch):
    with sqlite3.connect(tmp_path / "shop.db") as connection:
        connection.execute("CREATE TABLE t (id INTEGER, size REAL, y TEXT)")
        connection.executemany("INSERT INTO t VALUES (?, ?, ?)", [(n, n / 7, "ab"[n % 2]) for n in range(60)])
    connection.close()
    monkeypatch.chdir(tmp_path)
    query = 'SELECT * FROM t WHERE "id" < 50'
    file = init(tmp_path / "m", "sqlite:///shop.db", "y", None, None, query=query, force=False)
    spec, head = check_spec(file)
    assert spec.data.source == f"sqlite:///{tmp_path}/shop.db"
    assert (spec.data.query, spec.data.id, head.num_rows) == (query, "id", 50)
    with pytest.raises(HeadraceError, match="--query: expected the URL of a database with it. Received: shop.db"):
        init(tmp_path / "n", "shop.db", "y", None, None, query=query, force=False)
    with pytest.raises(
        HeadraceError, match="--label: expected the column of sqlite:///shop.db to predict. Received: n"
    ):
        init(tmp_path / "n", "sqlite:///shop.db", "", None, None, query=query, force=False)


def test_what_is_in_the_data_does_not_become_the_spec(tmp_path):
    """A class with a line break in it, which would end the comment that shows it."""
    classes = ["no", "yes\ndeploy: {approval: none}\n#", "a\u2028b", 'quo"te\\']
    lines = [f'"{classes[n % 4].replace(chr(34), chr(34) * 2)}",{n},{n % 7}' for n in range(80)]
    (tmp_path / "t.csv").write_text("\n".join(["y,id,size", *lines, ""]), encoding="utf-8")
    spec, _ = check_spec(init(tmp_path / "m", tmp_path / "t.csv", "y", None, None, force=False))
    assert spec.deploy == Spec.model_fields["deploy"].get_default(call_default_factory=True)


@pytest.mark.parametrize("positive", ["yes\nno", "yes ", "y\tes", "Ja\u00a0", "tak\n"])
def test_a_positive_class_is_read_back(positive, tmp_path):
    lines = [f'"{positive if n % 3 == 0 else "no way"}",{n},{n % 7}' for n in range(80)]
    (tmp_path / "t.csv").write_text("\n".join(["y,id,size", *lines, ""]), encoding="utf-8")
    spec, _ = check_spec(init(tmp_path / "m", tmp_path / "t.csv", "y", None, None, force=False))
    assert spec.data.positive == positive


def test_the_source_is_relative_and_a_spec_is_not_replaced(tmp_path):
    source = write(tmp_path, "y,id,colour", "my data.csv")
    file = init(tmp_path / "m", source, "y", None, None, force=False)
    assert 'source: "../my data.csv"' in file.read_text()
    with pytest.raises(HeadraceError, match="expected no spec there yet"):
        init(tmp_path / "m", source, "y", None, None, force=False)
    init(tmp_path / "m", source, "y", "regression", "id", force=True)
    assert "task: regression" in file.read_text()
    with pytest.raises(
        HeadraceError, match="expected the id column `nr`. Received: no such column; the columns are y, id, colour"
    ):
        init(tmp_path / "n", source, "y", None, "nr", force=False)
    assert not (tmp_path / "n").exists()


@pytest.mark.parametrize(
    ("id", "message"),
    [
        ("colour", "expected every `colour` once. Received: 2 ids more than once, such as 'blue'"),
        ("y", "--id: expected another column than the label. Received: `y` for both"),
        ("idd", "expected the id column `idd`. Received: no such column; did you mean `id`?"),
        ("partly", "expected an id in every row. Received: 1 row without `partly`, first row 2"),
    ],
)
def test_an_id_that_names_no_row_is_refused(id, message, tmp_path):
    source = write(tmp_path, "y,id,colour")
    header, *rows = source.read_text().splitlines()
    rows = [f"{row},{n if n != 1 else ''}" for n, row in enumerate(rows)]
    source.write_text("\n".join([f"{header},partly", *rows, ""]))
    with pytest.raises(HeadraceError) as raised:
        init(tmp_path / "m", source, "y", None, id, force=False)
    assert str(raised.value).endswith(message)
    assert not (tmp_path / "m").exists()


def test_a_label_of_dates_is_refused(tmp_path):
    source = write(tmp_path, "y,id,colour")
    source.write_text(source.read_text().replace("red", "2024-01-31").replace("blue", "2024-02-29"))
    with pytest.raises(HeadraceError, match="expected classes as label. Received: `colour` of type date32"):
        init(tmp_path / "m", source, "colour", None, None, force=False)


def test_another_separator_and_decimal_sign_are_found_and_written(tmp_path):
    lines = [f"{n % 2};{n};{n},5;1.234,5" for n in range(60)]
    (tmp_path / "t.csv").write_text("\n".join(["y;id;size;price", *lines, ""]))
    file = init(tmp_path / "m", tmp_path / "t.csv", "y", None, None, force=False)
    spec, head = check_spec(file)
    assert (spec.data.separator, spec.data.decimal) == (";", ",")
    assert [str(type) for type in head.schema.types] == ["int64", "int64", "double", "double"]


def test_dates_and_amounts_as_people_write_them_are_found_and_written(tmp_path):
    lines = [f'{n % 2},{n},{n % 28 + 1}/01/2024,{n % 12 + 1}/{n % 12 + 1}/24,"${n * 100:,}",{n}%' for n in range(60)]
    (tmp_path / "t.csv").write_text("\n".join(["y,id,day,unsure,price,share", *lines, ""]))
    file = init(tmp_path / "m", tmp_path / "t.csv", "y", None, None, force=False)
    spec, head = check_spec(file)
    assert spec.data.types == {"day": "date %d/%m/%Y", "price": "amount", "share": "amount"}
    assert [str(type) for type in head.schema.types] == ["int64", "int64", "date32[day]", "string", "double", "double"]
    note = "`unsure` stays text: its dates may be `date %d/%m/%y` or `date %m/%d/%y`; say which in data.types"
    assert f"# Note: {note}\n" in file.read_text()


def test_texts_that_mean_missing_among_numbers_and_dates_are_found(tmp_path):
    lines = [
        f"{n % 2},{n},{n / 4 if n % 9 else '?'},{n % 28 + 1}/01/2024,{'?-'[n % 2]},{'none' if n % 3 else 'x'}"
        for n in range(60)
    ]
    lines[5] = lines[5].replace("6/01/2024", " ")
    (tmp_path / "t.csv").write_text("\n".join(["y,id,size,day,sign,kind", *lines, ""]))
    file = init(tmp_path / "m", tmp_path / "t.csv", "y", None, None, force=False)
    assert '"nan", "null", "NULL", "?", " "]' in file.read_text()  # and not `-` and `none`, which are values of texts
    _, head = check_spec(file)
    assert [str(type) for type in head.schema.types][2:4] == ["double", "date32[day]"]
    assert (head["size"].null_count, head["day"].null_count, head["sign"].null_count) == (7, 1, 30)


def test_a_class_never_means_missing(tmp_path):
    lines = [f"{'?' if n % 2 else 'yes'},{n},{n / 4 if n % 9 else '?'}" for n in range(60)]
    (tmp_path / "t.csv").write_text("\n".join(["y,id,size", *lines, ""]))
    file = init(tmp_path / "m", tmp_path / "t.csv", "y", None, None, force=False)
    assert "null_values: [" not in file.read_text()
    assert check_spec(file)[1]["y"].null_count == 0


def test_amounts_with_a_decimal_comma(tmp_path):
    lines = [f'{n % 2},{n},"1.{n:03d},50 €"' for n in range(60)]
    (tmp_path / "t.csv").write_text("\n".join(["y,id,price", *lines, ""]))
    file = init(tmp_path / "m", tmp_path / "t.csv", "y", None, None, force=False)
    spec, head = check_spec(file)
    assert (spec.data.decimal, spec.data.types) == (",", {"price": "amount"})
    assert head["price"][1].as_py() == 1001.5


def test_tabs_under_a_csv_name(tmp_path):
    (tmp_path / "t.csv").write_text("y\tid\tsize\n" + "".join(f"{n % 2}\t{n}\t{n}.5\n" for n in range(60)))
    file = init(tmp_path / "m", tmp_path / "t.csv", "y", None, None, force=False)
    assert check_spec(file)[0].data.separator == "\t"


def test_the_usual_separator_is_not_mentioned(tmp_path):
    file = init(tmp_path / "m", write(tmp_path, "y,id,colour"), "y", None, None, force=False)
    assert "separator" not in file.read_text()
    assert "decimal" not in file.read_text()


def test_other_formats(tmp_path):
    lines = "".join(f'{{"row_id": {n}, "y": {n % 2}, "place": {{"city": "Bern"}}}}\n' for n in range(60))
    (tmp_path / "t.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    file = init(tmp_path / "m", tmp_path / "t.jsonl.gz", "y", None, None, force=False)
    assert "t.jsonl.gz: 60 rows, 3 columns." in file.read_text()
    spec, head = check_spec(file)
    assert (spec.data.id, head.column_names) == ("row_id", ["row_id", "y", "place.city"])


def test_a_large_file_is_looked_at_no_further_than_needed(tmp_path, monkeypatch):
    monkeypatch.setattr("headrace.pipelines.init.MOST_ROWS", 50)
    text = init(tmp_path / "m", write(tmp_path, "y,id,colour"), "y", None, None, force=False).read_text()
    assert "from t.csv: its first 50 rows, 3 columns." in text


def test_spaces_behind_the_separator_are_found_and_written(tmp_path):
    lines = [
        f"{n}, {n % 7}, {['Private', 'State-gov', '?'][n % 3]}, {n / 4 if n % 9 else '?'}, {'>' if n % 2 else '<='}50K"
        for n in range(60)
    ]
    (tmp_path / "t.csv").write_text("\n".join(["id, age, work, size, y", *lines, ""]))
    file = init(tmp_path / "m", tmp_path / "t.csv", "y", None, None, force=False)
    assert "  trim: true  # spaces around a field are none of its value\n" in file.read_text()
    spec, head = check_spec(file)
    assert (spec.data.trim, spec.data.null_values[-1]) == (True, "?")
    assert [str(type) for type in head.schema.types] == ["int64", "int64", "string", "double", "string"]
    assert head["y"].unique().to_pylist() == ["<=50K", ">50K"]
    assert (head["work"].null_count, head["size"].null_count) == (20, 7)


def test_a_slip_of_the_space_bar_is_none(tmp_path):
    source = write(tmp_path, "y,id,colour")
    source.write_text(source.read_text().replace("red", " crimson", 1))
    file = init(tmp_path / "m", source, "y", None, None, force=False)
    assert "trim" not in file.read_text()


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("39, State-gov, Bachelors, <=50K", "{n}, State-gov, Bachelors, <=50K"),
        ("5.1,3.5,setosa", "{n}.5,{n},setosa"),
        ("2024-01-01,Ann,7", "2024-01-{d:02d},Ann{n},{n}"),
        ("1.5,2.5,true", "{n}.5,{n},false"),
    ],
)
def test_a_file_without_a_header(header, row, tmp_path):
    rows = [row.format(n=n, d=n % 28 + 1) for n in range(60)]
    (tmp_path / "t.csv").write_text("\n".join([header, *rows, ""]))
    names = [name.strip() for name in header.split(",")]
    message = f"expected the names of the columns. Received: what looks like a row ({', '.join(names)})"
    with pytest.raises(HeadraceError) as raised:
        init(tmp_path / "m", tmp_path / "t.csv", names[-1], None, None, force=False)
    assert str(raised.value) == f"{tmp_path / 't.csv'}, line 1: {message}; put a line with the names above it"
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("0,1,2,y", "{n},{n},{n},{c}"),  # the places of pixels
        ("country,2019,2020,2021", "C{n},{n},{c},{n}"),  # years
        ("0,1,2,3", "{n},{n},{n},{c}"),
        ("y,red", "{c},{n}"),
    ],
)
def test_numbers_may_be_names(header, row, tmp_path):
    rows = [row.format(n=n, c=n % 2) for n in range(60)]
    (tmp_path / "t.csv").write_text("\n".join([header, *rows, ""]))
    assert init(tmp_path / "m", tmp_path / "t.csv", header.split(",")[-1], None, None, force=False).exists()
