"""Ingestion: what is read, what is refused, and with which words."""

import gzip
import os
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.artifacts.dataset import Dataset
from headrace.artifacts.errors import HeadraceError
from headrace.components.fingerprint.digest import fingerprint
from headrace.components.ingest.ingest import Ingested, ingest
from headrace.components.ingest.open import open_sources
from headrace.components.ingest.spec import DataSpec

ROWS = [f"{i},{i % 2},{i / 3:.3f}" for i in range(100)]


def spec(**more):
    return DataSpec(**{"source": "rows.csv", "label": "y", "id": "id", **more})


def take(source: str, snapshot: Path, task: str = "classification", **more) -> Ingested:
    return ingest(source, fingerprint(source), task, spec(**more), snapshot)


def run(tmp_path: Path, content: str | bytes, task: str = "classification", **more) -> Dataset:
    file = tmp_path / "rows.csv"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    take(str(file), tmp_path / "snapshot", task, **more)
    return Dataset.open(tmp_path / "snapshot")


def table(header: str = "id,y,x", rows: list[str] = ROWS) -> str:
    return "\n".join([header, *rows]) + "\n"


REFUSED = {
    "label column missing": (table("id,churn,x"), {}, "expected the label column `y`. Received: no such column; columns id, churn, x"),
    "label misspelt": (table("id,yy,x"), {}, "did you mean `yy`?"),
    "label constant": (table(rows=[f"{i},1,2" for i in range(100)]), {}, "expected a label of at least two values. Received: `y` is 1 in every row"),
    "label missing in a row": (table(rows=[*ROWS, "900,,1"]), {}, "expected a label in every row. Received: 1 row without `y`, first row 101"),
    "label is a quantity": (table("id,x,y"), {}, "did you mean `task: regression`?"),
    "empty file": ("", {}, "expected CSV text with a header. Received: an empty file"),
    "blank lines": ("\n\n\n", {}, "expected CSV text with a header. Received: an empty file"),
    "a byte-order mark": ("\ufeff", {}, "expected CSV text with a header. Received: an empty file"),
    "blank lines before the header": ("\n\n" + table(), {}, "line 1: expected the names of the columns. Received: an empty line; remove it"),
    "many blank lines before the header": ("\n" * 9 + table(), {}, "line 1: expected the names of the columns. Received: an empty line; remove it"),
    "only a header": ("id,y,x\n", {}, "expected rows below the header. Received: only a header of 3 columns"),
    "ragged rows": (table(rows=[*ROWS[:3], "7,1", *ROWS[3:]]), {}, "row 4: expected 3 fields, as in the header. Received: 2"),
    "not UTF-8": (table().encode() + "200,1,é\n".encode("latin1"), {}, "line 102, byte 7: expected UTF-8 text. Received: byte 0xe9"),
    "header not UTF-8": ("id,y,é\n".encode("latin1"), {}, "line 1, byte 6: expected UTF-8 text"),
    "gzip under a .csv name": (gzip.compress(table().encode()), {}, "expected UTF-8 CSV text. Received: gzip data. Name it .csv.gz, or unpack it first."),
    "Parquet under a .csv name": (b"PAR1" + bytes(8), {}, "Received: Parquet data. Name it .parquet, or set data.format: parquet."),
    "UTF-16 with its mark": (table().encode("utf-16"), {}, "Received: UTF-16 text. Convert it first, e.g. `iconv -f utf-16 -t utf-8`."),
    "UTF-16 without its mark": (table().encode("utf-16-le"), {}, "Received: text with a NUL byte among its first two, such as UTF-16. Convert it first"),
    "carriage returns alone": (table().replace("\n", "\r"), {}, "expected lines that end with a line feed. Received: only carriage returns; convert it first"),
    "names that differ by case": (table("id,y,Y"), {}, "line 1: expected column names that differ by more than upper and lower case. Received: 'y' and 'Y'; rename one"),
    "label is a date": (table(rows=[f"{i},2024-01-{1 + i % 9:02d},2" for i in range(100)]), {}, "expected classes as label. Received: `y` of type date32; where its moments are classes, say so: data.types: {y: string}"),
    "label of many classes": (table(rows=[f"{i},c{i % 101},2" for i in range(202)]), {}, "rows.csv: expected at most 100 classes. Received: `y` has 101 different values. Merge classes first."),
    "duplicate column names": (table("id,y,y"), {}, "expected each column name once. Received: 'y' more than once"),
    "duplicate ids": (table(rows=[*ROWS, "7,1,1"]), {}, "expected every `id` once. Received: 1 ids more than once, such as 7"),
    "null ids": (table(rows=[*ROWS, ",1,1"]), {}, "expected an id in every row. Received: 1 row without `id`, first row 101"),
    "no such id": (table(), {"id": "key"}, "expected the id column `key`"),
    "two rows": (table(rows=ROWS[:2]), {}, "expected at least 50 rows to split and learn from. Received: 2"),
    "a rare class": (table(rows=[*ROWS, "500,2,1"]), {}, "expected every class in every split"),
    "spaces before quotes": ('"id", "y", "x"\n' + "".join(f'{n}, {n % 2}, "a"\n' for n in range(9)), {}, "line 1: expected quotes next to the separators. Received: ' \"y\"', whose quotes are part of it because of the spaces; remove"),
    "another separator": (table().replace(",", ";"), {}, "line 1: expected fields separated by ','. Received: a header separated by ';'; set data.separator"),
    "tabs": (table().replace(",", "\t"), {}, r"Received: a header separated by '\t'; set data.separator"),
    "not the separator set": (table(), {"separator": ";"}, "expected fields separated by ';'. Received: a header separated by ','"),
    "NUL byte": (table(rows=[*ROWS, "500,1,a\0b"]), {}, "line 102: expected text. Received: a NUL byte"),
    "quote in a name": (table('id,y,"say ""x"""'), {}, """Received: 'say "x"' with a double quote; rename the column in the source"""),
    "backslash in a name": (table("id,y,a\\b"), {}, "with a backslash; rename the column in the source"),
    "line break in a name": (table('id,y,"a\nb"'), {}, "with a control character; rename the column in the source"),
    "infinite class": (table(rows=[*ROWS, "500,inf,1", "501,-inf,1"]), {}, "expected a finite number as label in every row. Received: 2 rows where `y` is infinite or not a number, first row 101 (inf)"),
    "class that is no number": (table(rows=[*ROWS, "500,NAN,1"]), {}, "Received: 1 row where `y` is infinite or not a number, first row 101 (nan)"),
    "one class, written twice": (table(rows=[f"{i},{('1', '1.0')[i % 2]},2" for i in range(100)]), {}, "Received: `y` is 1 in every row"),
    "class beyond the whole floats": (table(rows=[*ROWS, "500,1e300,1"]), {}, "did you mean `task: regression`?"),
    "positive unknown": (table(), {"positive": "yes"}, "expected one of the classes 0, 1. Received: yes"),
    "label expression unknown column": (
        table(), {"label": {"name": "z", "expression": "xx > 1"}}, "expected a column in `xx > 1`. Received: `xx`; did you mean `x`?"),
    "label expression over an existing name": (
        table(), {"label": {"name": "y", "expression": "x > 1"}}, "expected a new name for the computed label. Received: `y`"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_refused_in_one_line_and_leaves_nothing(tmp_path, case):
    content, more, message = REFUSED[case]
    with pytest.raises(HeadraceError) as raised:
        run(tmp_path, content, **more)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
    assert [p.name for p in tmp_path.iterdir()] == ["rows.csv"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("none.csv", "no such file"),
        (".", "expected a file. Received: a folder"),
        ("a.xlsx", "Received: a spreadsheet; save its sheet as CSV"),
        ("*.parquet", "expected files that match"),
    ],
)
def test_a_source_that_is_none(tmp_path, source, message):
    (tmp_path / "a.xlsx").touch()
    with pytest.raises(HeadraceError, match=message):
        take(str(tmp_path / source), tmp_path / "snapshot")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission(tmp_path):
    (tmp_path / "rows.csv").write_text(table())
    (tmp_path / "rows.csv").chmod(0)
    with pytest.raises(HeadraceError, match="permission denied"):
        take(str(tmp_path / "rows.csv"), tmp_path / "snapshot")


def test_snapshot_says_what_it_holds(tmp_path):
    dataset = run(tmp_path, table())
    assert dataset.info.rows == {split: dataset.table(split).num_rows for split in ("train", "eval", "test")}
    assert sum(dataset.info.rows.values()) == 100
    assert dataset.info.classes == ["0", "1"]
    assert dataset.info.positive == "1"
    assert [(c.name, c.type) for c in dataset.info.columns] == [("id", "int64"), ("y", "string"), ("x", "float64")]


def test_same_content_has_the_same_digest_wherever_it_lies(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert run(tmp_path / "a", table()).digest == run(tmp_path / "b", table()).digest


def test_rows_keep_their_split_when_others_come_and_the_order_changes(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    before = run(tmp_path / "a", table())
    after = run(tmp_path / "b", table(rows=[f"{i},{i % 2},{i / 3:.3f}" for i in reversed(range(300))]))
    for split in ("train", "eval", "test"):
        old = set(before.table(split)["id"].to_pylist())
        assert old == {i for i in after.table(split)["id"].to_pylist() if i < 100}


def test_equal_rows_without_an_id_share_a_split(tmp_path):
    rows = [f"{i % 2},{i}" for i in range(200)]
    dataset = run(tmp_path, table("y,x", rows + rows), id=None)
    splits = [set(dataset.table(split)["x"].to_pylist()) for split in ("train", "eval", "test")]
    assert not (splits[0] & splits[1] or splits[0] & splits[2] or splits[1] & splits[2])


def test_computed_label_names_the_columns_it_leaks(tmp_path):
    dataset = run(tmp_path, table(), label={"name": "large", "expression": "x > 10 and y == 1"})
    assert dataset.info.leaks == ["x", "y"]
    assert dataset.info.classes == ["false", "true"]


def test_regression_label_is_a_float(tmp_path):
    dataset = run(tmp_path, table("id,x,y"), task="regression")
    assert dataset.table("train").schema.field("y").type == pa.float64()
    assert dataset.info.classes is None


def test_text_label_of_a_regression_is_refused(tmp_path):
    with pytest.raises(HeadraceError, match="expected a number as label of a regression"):
        run(tmp_path, table("id,x,y", [f"{i},{i},c{i % 3}" for i in range(100)]), task="regression")


def test_classes_are_in_the_order_of_numbers(tmp_path):
    rows = [f"{i},{(2, 10, 1)[i % 3]},{i}" for i in range(300)]
    assert run(tmp_path, table(rows=rows)).info.classes == ["1", "2", "10"]


def test_parquet_gives_what_csv_gives(tmp_path):
    from_csv = run(tmp_path, table())
    columns = {
        "id": list(range(100)),
        "y": pa.array([str(i % 2) for i in range(100)]).dictionary_encode(),
        "x": [round(i / 3, 3) for i in range(100)],
    }
    pq.write_table(pa.table(columns), tmp_path / "rows.parquet")
    take(str(tmp_path / "rows.parquet"), tmp_path / "other")
    other = Dataset.open(tmp_path / "other")
    assert other.table("test").to_pydict() == from_csv.table("test").to_pydict()


def test_parquet_that_is_none(tmp_path):
    (tmp_path / "rows.parquet").write_text("no")
    with pytest.raises(HeadraceError, match="expected a Parquet file"):
        take(str(tmp_path / "rows.parquet"), tmp_path / "snapshot")


def test_several_files_are_typed_together(tmp_path):
    (tmp_path / "a.csv").write_text(table(rows=ROWS[:60]))
    (tmp_path / "b.csv").write_text(table(rows=[f"{i},{i % 2},unknown" for i in range(60, 100)]))
    take(str(tmp_path / "*.csv"), tmp_path / "snapshot")
    assert Dataset.open(tmp_path / "snapshot").table("train").schema.field("x").type == pa.string()


def test_quoted_fields_bom_and_unnamed_columns(tmp_path):
    rows = [f'{i},{i % 2},"a, ""{i}""\nb"' for i in range(100)]
    dataset = run(tmp_path, b"\xef\xbb\xbf" + table("id,y,", rows).encode())
    assert dataset.table("train").column_names == ["id", "y", "unnamed_3"]
    assert dataset.table("train")["unnamed_3"][0].as_py().startswith('a, "')


def test_no_space_left_leaves_nothing(tmp_path, monkeypatch):
    def full(*arguments, **more):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("headrace.components.ingest.write.pq.ParquetWriter.write_table", full)
    with pytest.raises(OSError, match="No space left on device"):
        run(tmp_path, table())
    assert [p.name for p in tmp_path.iterdir()] == ["rows.csv"]


@pytest.mark.parametrize("value", ["inf", "-inf", "NAN"])
def test_a_regression_label_that_is_not_finite_is_refused(tmp_path, value):
    rows = [f"{i},{i / 3}" for i in range(100)] + [f"900,{value}"]
    with pytest.raises(HeadraceError, match="Received: 1 row where `y` is infinite or not a number, first row 101"):
        run(tmp_path, table("id,y", rows), task="regression")


def test_infinite_features_are_missing_as_a_server_cannot_receive_them(tmp_path):
    rows = [f"{i},{i % 2},{('inf', '-inf', 'NAN', '1.5')[i % 4]}" for i in range(100)]
    (tmp_path / "rows.csv").write_text(table(rows=rows))
    notes = take(str(tmp_path / "rows.csv"), tmp_path / "snapshot").notes
    assert notes == ["`x`: 50 infinite values count as missing; a server cannot receive them"]
    snapshot = Dataset.open(tmp_path / "snapshot")
    tables = [snapshot.table(split) for split in ("train", "eval", "test")]
    assert [sum(t["x"].null_count for t in tables), {v for t in tables for v in t["x"].to_pylist()}] == [
        75,
        {None, 1.5},
    ]


def test_a_source_that_changes_after_its_fingerprint_is_refused(tmp_path):
    file = tmp_path / "rows.csv"
    file.write_text(table())
    digest = fingerprint(str(file))
    file.write_text(table(rows=[f"{i},{i % 2},7" for i in range(100)]))
    with pytest.raises(HeadraceError, match="expected the source to stay as it was fingerprinted.*; run again"):
        ingest(str(file), digest, "classification", spec(), tmp_path / "snapshot")
    assert not (tmp_path / "snapshot").exists()


def test_a_source_that_changes_while_it_is_read_is_refused(tmp_path, monkeypatch):
    file = tmp_path / "rows.csv"
    file.write_text(table())

    def open_then_change(*arguments):
        (opened,) = open_sources(*arguments)

        def batches():
            yield from opened.batches()
            file.write_text(table(rows=ROWS[:60]))

        return [replace(opened, batches=batches)]

    monkeypatch.setattr("headrace.components.ingest.ingest.open_sources", open_then_change)
    with pytest.raises(HeadraceError, match="expected the source to stay as it was fingerprinted"):
        take(str(file), tmp_path / "snapshot")
    assert not (tmp_path / "snapshot").exists()


def test_long_ids_stay_exact(tmp_path):
    ids = [1_234_567_890_123_456_000 + i for i in range(100)]
    dataset = run(tmp_path, table(rows=[f"{id},{i % 2},1" for i, id in enumerate(ids)]))
    assert sorted(i for s in ("train", "eval", "test") for i in dataset.table(s)["id"].to_pylist()) == ids


def test_european_csv_gives_what_the_other_gives(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    rows = [f"{i},{i % 2},{i * 1000.25}" for i in range(100)]
    swapped = [f"{i};{i % 2};" + f"{i * 1000.25:,.2f}".translate(str.maketrans(",.", ".,")) for i in range(100)]
    plain = run(tmp_path / "a", table(rows=rows))
    european = run(tmp_path / "b", table("id;y;x", swapped), separator=";", decimal=",")
    for split in ("train", "eval", "test"):
        assert plain.table(split).equals(european.table(split))


def test_a_tsv_file_is_separated_by_tabs_unless_the_spec_says_otherwise(tmp_path):
    (tmp_path / "rows.tsv").write_text(table().replace(",", "\t"))
    assert take(str(tmp_path / "rows.tsv"), tmp_path / "snapshot").notes == []
    (tmp_path / "rows.tsv").write_text(table())
    take(str(tmp_path / "rows.tsv"), tmp_path / "other", separator=",")
    snapshots = [Dataset.open(tmp_path / name).table("test").to_pydict() for name in ("snapshot", "other")]
    assert snapshots[0] == snapshots[1]


@pytest.mark.parametrize("separator", ["", ";;", '"', "\n", "a", "ä"])
def test_a_separator_that_is_none(separator):
    with pytest.raises(ValueError, match="expected one character, such as a semicolon or a tab"):
        spec(separator=separator)
