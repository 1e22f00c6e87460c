"""The columns of --key and --keep: as they are in the sources, whatever their types, or one message before the first row."""

import csv
import decimal
import json
import sqlite3

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.artifacts.errors import HeadraceError
from headrace.components.batch_predict.batch_predict import batch_predict
from headrace.components.batch_predict.job import Job, Reading
from headrace.components.batch_predict.step import check
from headrace.components.statistics.spec import BeamSpec
from tests.integration.components.batch_predict.test_batch_predict import table_of, write
from tests.unit.serving.tiny_bundle import random_instances

ROWS = 3
DECIMALS = [decimal.Decimal(1), None, decimal.Decimal(3)]


@pytest.fixture(scope="module")
def instances(bundle):
    return random_instances(bundle.signature.inputs, ROWS, seed=11)


def parquet(folder, instances, *columns):
    """A file for each column, which is `k` there."""
    for place, column in enumerate(columns):
        pq.write_table(table_of(instances).append_column("k", pa.array(column)), folder / f"{place}.parquet")
    return tuple(str(folder / f"{place}.parquet") for place in range(len(columns)))


def read(output):
    """The values of `k`, as the output has them."""
    if output.is_dir():
        return [value for file in sorted(output.iterdir()) for value in read(file)]
    if output.suffix == ".parquet":
        return pq.read_table(output)["k"].to_pylist()
    lines = output.read_text().splitlines()
    return (
        [json.loads(line)["k"] for line in lines]
        if output.suffix == ".jsonl"
        else [x["k"] for x in csv.DictReader(lines)]
    )


@pytest.mark.parametrize("output", ["out.parquet", "out.csv", "out"])
@pytest.mark.parametrize("named", [{"key": "k"}, {"keep": ("k",)}])
def test_numbers_here_and_texts_there_are_refused_before_the_first_row(tmp_path, bundle, instances, output, named):
    sources = parquet(tmp_path, instances, [101, 102, 103], ["007", "0042", "09"])
    with pytest.raises(HeadraceError) as caught:
        batch_predict(Job(sources, tmp_path / output, **named), bundle)
    assert str(caught.value) == (
        f"{sources[1]}, column `k`: expected int64, as in {sources[0]}. Received: string; "
        "convert the column in one of them, or write .jsonl, where each value stays what it is"
    )


def test_in_json_each_value_stays_what_it_is(tmp_path, bundle, instances):
    sources = parquet(tmp_path, instances, [101, 102, 2**60 + 1], ["007", "0042", "09"], [1.5, 2.0, None])
    batch_predict(Job(sources, tmp_path / "out.jsonl", keep=("k",)), bundle)
    assert read(tmp_path / "out.jsonl") == [101, 102, 2**60 + 1, "007", "0042", "09", 1.5, 2.0, None]
    columns = tmp_path / "columns.json"
    assert check(bundle.path, json.dumps(list(sources)), {}, "", ["k"], columns).startswith("sha256:")


@pytest.mark.parametrize("beam", [False, True])
@pytest.mark.parametrize("output", ["out.parquet", "out.csv", "out"])
def test_types_of_one_kind_are_one_column(tmp_path, bundle, instances, output, beam):
    columns = pa.nulls(ROWS), [1, 2, 3], [4.5, 5.5, None]
    spec = BeamSpec(options={"temp_location": str(tmp_path)}) if beam else None
    job = Job(parquet(tmp_path, instances, *columns), tmp_path / output, keep=("k",), beam=spec, part_rows=2)
    assert batch_predict(job, bundle).rows == 3 * ROWS
    found = [None if value in (None, "") else float(value) for value in read(tmp_path / output)]
    assert found == [None, None, None, 1.0, 2.0, 3.0, 4.5, 5.5, None]


def test_a_whole_number_that_no_float_is_ends_the_job(tmp_path, bundle, instances):
    sources = parquet(tmp_path, instances, [1, 2, 2**60 + 1], [4.5, 5.5, None])
    with pytest.raises(HeadraceError, match=r"0.parquet, column `k`: expected values that stay the same as double"):
        batch_predict(Job(sources, tmp_path / "out.parquet", keep=("k",)), bundle)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_beside_a_text_file_numbers_are_texts(tmp_path, bundle, instances, order):
    (numbers,) = parquet(tmp_path, instances, [7, 8, 9])
    texts = str(write(tmp_path / "rows.csv", instances))
    header, *lines = (tmp_path / "rows.csv").read_text().splitlines()
    (tmp_path / "rows.csv").write_text("\n".join([f"{header},k", *(f"{line},00{n}" for n, line in enumerate(lines))]))
    sources = [(numbers, texts)[place] for place in order]
    batch_predict(Job(tuple(sources), tmp_path / "out.csv", key="k"), bundle)
    found = [["7", "8", "9"], ["000", "001", "002"]]
    assert read(tmp_path / "out.csv") == [value for place in order for value in found[place]]


@pytest.mark.parametrize(
    "values", [["a", "b", "c"], ["2024-01-01", "2024-01-02", "2024-01-03"], [1, 2, 3], [1, 2, 3.5]]
)
def test_lines_of_json_without_a_value_are_of_the_others_type(tmp_path, bundle, instances, values):
    for place, column in enumerate(([None] * ROWS, values)):
        lines = [json.dumps({**one, "k": value}) for one, value in zip(instances, column, strict=True)]
        (tmp_path / f"{place}.jsonl").write_text("\n".join(lines))
    batch_predict(Job((str(tmp_path / "*.jsonl"),), tmp_path / "out.parquet", keep=("k",)), bundle)
    found = read(tmp_path / "out.parquet")
    assert found[:ROWS] == [None] * ROWS
    assert [value if isinstance(value, int | float) else str(value) for value in found[ROWS:]] == values


@pytest.mark.parametrize("output", ["out.parquet", "out.csv", "out.jsonl", "out"])
@pytest.mark.parametrize("named", [{"key": "k", "max_rejects": 1}, {"keep": ("k",)}])
def test_views_are_written_as_strings(tmp_path, bundle, instances, output, named):
    sources = parquet(tmp_path, instances, pa.array(["a", None, "c"], pa.string_view()))
    batch_predict(Job(sources, tmp_path / output, **named), bundle)
    assert [value for value in read(tmp_path / output) if value] == ["a", "c"]


@pytest.mark.parametrize(
    "values", [pa.array(DECIMALS, pa.decimal256(50, 2)), pa.array([1.5, None, 2.5], pa.float16())], ids=str
)
def test_a_key_of_a_type_that_cannot_be_compared_is_refused(tmp_path, bundle, instances, values):
    sources = parquet(tmp_path, instances, values)
    with pytest.raises(HeadraceError, match=r"column `k`: expected values that --key can tell apart in Parquet. .*"):
        batch_predict(Job(sources, tmp_path / "out.parquet", key="k"), bundle)
    assert batch_predict(Job(sources, tmp_path / "out.csv", key="k", max_rejects=1), bundle).rows == 2
    assert batch_predict(Job(sources, tmp_path / "out.parquet", keep=("k",)), bundle).rows == ROWS


def test_what_no_csv_has_is_refused(tmp_path, bundle, instances):
    sources = parquet(tmp_path, instances, pa.ExtensionArray.from_storage(pa.json_(), pa.array(["1", "2", "3"])))
    with pytest.raises(HeadraceError, match=r"column `k`: expected values that --keep can write. Received: extension"):
        batch_predict(Job(sources, tmp_path / "out.csv", keep=("k",)), bundle)


def test_several_databases_are_one_table_whatever_order_and_types_their_columns_have(tmp_path, bundle, instances):
    def sources(*columns):
        for place, column in enumerate(columns):
            file = tmp_path / f"{place}.db"
            file.unlink(missing_ok=True)
            write(file, instances)
            with sqlite3.connect(file) as base:
                base.execute("ALTER TABLE rows ADD COLUMN k")
                base.execute(f"ALTER TABLE rows ADD COLUMN only_here_{place} INTEGER")
                base.executemany("UPDATE rows SET k = ? WHERE rowid = ?", [(k, n) for n, k in enumerate(column, 1)])
        return tuple(f"sqlite:///{tmp_path}/{place}.db" for place in range(len(columns)))

    reading = Reading(query="SELECT * FROM rows")
    numbers = sources([1, 2, 3], [None] * ROWS, [1.5, 2.5, 3.5])
    batch_predict(Job(numbers, tmp_path / "numbers.parquet", keep=("k",), reading=reading), bundle)
    assert read(tmp_path / "numbers.parquet") == [1.0, 2.0, 3.0, None, None, None, 1.5, 2.5, 3.5]
    mixed = sources([1, 2, 3], ["a", "b", "c"])
    for output in ("mixed.parquet", "mixed.jsonl"):
        with pytest.raises(
            HeadraceError, match=r"1.db, column `k`: expected int64, as in .*string; CAST it in the query"
        ):
            batch_predict(Job(mixed, tmp_path / output, keep=("k",), reading=reading), bundle)


def test_a_column_that_is_there_twice_is_refused(tmp_path, bundle, instances):
    table = table_of(instances)
    table = table.append_column("k", table["id"]).append_column("k", table["id"])
    pq.write_table(table, tmp_path / "rows.parquet")
    with pytest.raises(HeadraceError, match=r"rows.parquet: expected one column `k`. Received: 2"):
        batch_predict(Job((str(tmp_path / "rows.parquet"),), tmp_path / "out.parquet", keep=("k",)), bundle)


@pytest.mark.parametrize("source", ["rows.jsonl", "rows.db"])
def test_inputs_without_any_value_are_missing_values(tmp_path, bundle, instances, source):
    missing = [{**one, "plan": None, "signup": None, "is_new": None} for one in instances]
    file = write(tmp_path / source, missing)
    named, reading = (
        (f"sqlite:///{file}", Reading(query="SELECT * FROM rows")) if source == "rows.db" else (str(file), Reading())
    )
    batch_predict(Job((named,), tmp_path / "out.jsonl", reading=reading), bundle)
    batch_predict(Job((str(write(tmp_path / "rows.parquet", missing)),), tmp_path / "same.jsonl"), bundle)
    assert (tmp_path / "out.jsonl").read_text() == (tmp_path / "same.jsonl").read_text()
