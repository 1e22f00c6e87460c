"""Whole batch predictions: one row out for each row in, equal to the server's answers, from any source; and they go on."""

import csv
import json
import shutil
import sqlite3
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from headrace.artifacts.bundle import LINEAGE, Bundle, write_bundle
from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.folder import write_json
from headrace.components.batch_predict import parts
from headrace.components.batch_predict.batch_predict import batch_predict
from headrace.components.batch_predict.job import Job, Reading
from headrace.components.batch_predict.report import render
from headrace.components.statistics.spec import BeamSpec
from headrace.serving.scorer import Scorer
from tests.unit.serving.tiny_bundle import random_instances

ROWS = 300


@pytest.fixture(scope="module")
def instances(bundle):
    return random_instances(bundle.signature.inputs, ROWS, seed=11)


@pytest.fixture(scope="module")
def online(bundle, instances):
    """What the server answers, row by row."""
    score = Scorer(bundle).score
    bodies = [score(msgspec.json.encode({"instances": [one]})).body for one in instances]
    return [json.loads(body)["predictions"][0] for body in bodies]


def table_of(instances):
    types = {"tenure": pa.float64(), "spend per month": pa.float64(), "is_new": pa.bool_()}
    columns = {name: pa.array([one[name] for one in instances], types.get(name, pa.string())) for name in instances[0]}
    return pa.table({"id": [f"r{place:04}" for place in range(len(instances))], **columns})


def write(file: Path, instances) -> Path:
    table = table_of(instances)
    if file.suffix == ".parquet":
        pq.write_table(table, file, row_group_size=70)
    elif file.suffix == ".csv":
        pa_csv.write_csv(table, file)
    elif file.suffix == ".db":
        with sqlite3.connect(file) as base:
            base.execute(
                'CREATE TABLE rows (id TEXT, tenure REAL, "spend per month" REAL, is_new INTEGER, plan TEXT, signup TEXT)'
            )
            base.executemany(
                "INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?)", [tuple(one.values()) for one in table.to_pylist()]
            )
    else:
        file.write_text("".join(json.dumps(one) + "\n" for one in table.to_pylist()))
    return file


def read(output: Path) -> list[dict]:
    if output.is_dir():
        return [row for file in sorted(output.iterdir()) for row in read(file)]
    if output.suffix == ".parquet":
        return pq.read_table(output).to_pylist()
    if output.suffix == ".jsonl":
        return [json.loads(line) for line in output.read_text().splitlines()]
    with output.open(newline="") as stream:
        rows = [{**row, "row": int(row["row"])} for row in csv.DictReader(stream)]
    return [
        {name: float(value) if name.startswith("probability") else value for name, value in row.items()} for row in rows
    ]


def answers(rows):
    """Rows of an output as the server answers."""
    return [
        {
            "label": row["label"],
            "probabilities": row.get("probabilities") or {name: row[f"probability_{name}"] for name in ("0", "1")},
        }
        for row in rows
    ]


@pytest.mark.parametrize("source", ["rows.csv", "rows.parquet", "rows.jsonl", "rows.db"])
@pytest.mark.parametrize("output", ["out.parquet", "out.csv", "out.jsonl", "out"])
def test_every_row_has_the_servers_answer_in_order(tmp_path, bundle, instances, online, source, output):
    file = write(tmp_path / source, instances)
    named = f"sqlite:///{file}" if file.suffix == ".db" else str(file)
    query = Reading(query="SELECT * FROM rows") if file.suffix == ".db" else Reading()
    found = batch_predict(Job((named,), tmp_path / output, part_rows=70, reading=query), bundle)
    rows = read(tmp_path / output)
    assert found.rows == ROWS and found.rejected == 0 and found.files.rejects is None
    assert [row["row"] for row in rows] == list(range(1, ROWS + 1))
    assert answers(rows) == online
    assert {(row["model"], row["model_version"], row["model_digest"]) for row in rows} == {("tiny", "3", bundle.digest)}
    manifest = json.loads(found.files.manifest.read_text())
    assert manifest["rows"] == {"read": ROWS, "predicted": ROWS, "rejected": 0}
    assert sum(entry["rows"] for entry in manifest["files"].values()) == ROWS
    assert not list(tmp_path.glob(".*"))
    assert "tiny:3" in render(found, bundle)


def test_several_files_are_one_table_and_empty_ones_are_none(tmp_path, bundle, instances, online):
    write(tmp_path / "a.csv", instances[:100])
    header = (tmp_path / "a.csv").read_text().splitlines()[0]
    (tmp_path / "b.csv").write_text(header + "\n")
    write(tmp_path / "c.csv", instances[100:])
    batch_predict(Job((str(tmp_path / "*.csv"),), tmp_path / "out.parquet"), bundle)
    assert answers(read(tmp_path / "out.parquet")) == online


def test_text_is_read_as_the_model_s_training_data_was(tmp_path, bundle, instances, online):
    query = {"separator": ";", "decimal": ",", "trim": True, "null_values": ["", "?"], "types": {"tenure": "amount"}}
    query["pointed"] = ["spend per month"]
    with write_bundle(tmp_path / "model", {"name": "tiny", "version": "3"}) as folder:
        for name in bundle.manifest.files:
            shutil.copyfile(bundle.path / name, folder / name)
        write_json(folder / LINEAGE, {"data": {"query": query}})

    def cell(name, value):
        if value is None:
            return "?"
        if isinstance(value, float):
            return f"{value!r} €".replace(".", ",") if name == "tenure" else repr(value)
        return str(value)

    rows = ["; ".join(cell(name, value) for name, value in one.items()) for one in instances]
    (tmp_path / "rows.csv").write_text("\n".join(["; ".join(instances[0]), *rows, ""]), encoding="utf-8")
    found = batch_predict(Job((str(tmp_path / "rows.csv"),), tmp_path / "out.jsonl"), Bundle.open(tmp_path / "model"))
    assert found.rejected == 0
    assert answers(read(tmp_path / "out.jsonl")) == online


def test_no_rows_at_all(tmp_path, bundle, instances):
    pq.write_table(table_of(instances)[:0], tmp_path / "none.parquet")
    found = batch_predict(Job((str(tmp_path / "none.parquet"),), tmp_path / "out.csv"), bundle)
    assert found.rows == 0
    assert (tmp_path / "out.csv").read_text().startswith('"row","label","probability_0"')


def damaged(file: Path, instances) -> Path:
    """A CSV whose data rows 3 and 8 cannot be read, and 5, 9 and 10 have a value that does not fit."""
    lines = write(file, instances[:12]).read_text().splitlines()
    fields = [line.split(",") for line in lines]
    fields[3] = ["only", "two"]
    fields[5][1] = "many"
    fields[8] = [*fields[8], "more"]
    fields[9][5] = '"2024-02-30"'
    fields[10][3] = "perhaps"
    file.write_text("\n".join(",".join(one) for one in fields) + "\n")
    return file


def test_rejected_rows_are_named_and_the_others_keep_their_numbers(tmp_path, bundle, instances, online):
    source = str(damaged(tmp_path / "rows.csv", instances))
    found = batch_predict(Job((source,), tmp_path / "out.parquet", keep=("id",), max_rejects=5), bundle)
    rows = read(tmp_path / "out.parquet")
    assert [row["row"] for row in rows] == [1, 2, 4, 6, 7, 11, 12]
    assert [row["id"] for row in rows] == [f"r{row['row'] - 1:04}" for row in rows]
    assert answers(rows) == [online[row["row"] - 1] for row in rows]
    rejects = pq.read_table(found.files.rejects).to_pylist()
    assert [(one["row"], one["place"]) for one in rejects] == [
        (3, "row 3"),
        (5, "row 5"),
        (8, "row 8"),
        (9, "row 9"),
        (10, "row 10"),
    ]
    assert rejects[0]["reason"] == "expected 6 fields. Received: 2" and rejects[0]["text"] == "only,two"
    assert rejects[1]["reason"] == "expected a number in `tenure`. Received: 'many'"
    assert "2024-02-30" in rejects[3]["reason"]
    assert "many" in render(found, bundle)


@pytest.mark.parametrize("most", [0, 4])
def test_too_many_rejects_end_the_job_and_leave_no_output(tmp_path, bundle, instances, most):
    source = str(damaged(tmp_path / "rows.csv", instances))
    with pytest.raises(
        HeadraceError, match=rf"rows.csv, row 3: expected 6 fields. Received: 2; --max-rejects is {most}"
    ):
        batch_predict(Job((source,), tmp_path / "out.parquet", max_rejects=most), bundle)
    assert [file.name for file in tmp_path.iterdir()] == ["rows.csv"]


def test_damaged_lines_of_json(tmp_path, bundle, instances, online):
    file = write(tmp_path / "rows.jsonl", instances[:10])
    lines = file.read_text().splitlines()
    lines[3], lines[6] = '{"id": ', "[]"
    file.write_text("\n".join(lines) + "\n")
    found = batch_predict(Job((str(file),), tmp_path / "out.jsonl", max_rejects=2), bundle)
    rows = read(tmp_path / "out.jsonl")
    assert [row["row"] for row in rows] == [1, 2, 3, 5, 6, 8, 9, 10]
    assert answers(rows) == [online[row["row"] - 1] for row in rows]
    assert [one["place"] for one in pq.read_table(found.files.rejects).to_pylist()] == ["line 4", "line 7"]


@pytest.mark.parametrize("chunk", [1, 256])
def test_blank_lines_of_json_are_no_rows(tmp_path, bundle, instances, monkeypatch, chunk):
    monkeypatch.setattr("headrace.components.ingest.jsonl_rows._LINES", chunk)
    lines = [json.dumps({"id": f"r{place}", **one}) for place, one in enumerate(instances[:5])]
    (tmp_path / "a.jsonl").write_text("\n".join([lines[0], "", " ", lines[1], "{broken", *lines[2:], "", "[]", ""]))
    (tmp_path / "b.jsonl").write_text("\n".join(["", lines[2], "{"]))
    found = batch_predict(
        Job((str(tmp_path / "*.jsonl"),), tmp_path / "out.parquet", keep=("id",), max_rejects=3), bundle
    )
    rows = [(row["row"], row["id"]) for row in read(tmp_path / "out.parquet")]
    assert rows == [(1, "r0"), (2, "r1"), (4, "r2"), (5, "r3"), (6, "r4"), (8, "r2")]
    rejects = pq.read_table(found.files.rejects).to_pylist()
    assert [(one["row"], one["place"]) for one in rejects] == [(3, "line 5"), (7, "line 10"), (9, "line 3")]


def test_many_unreadable_rows_are_all_listed(tmp_path, bundle, instances):
    file = write(tmp_path / "rows.csv", instances)
    file.write_text(file.read_text() + "ragged\n" * 200)
    found = batch_predict(Job((str(file),), tmp_path / "out.parquet", max_rejects=200), bundle)
    rejects = pq.read_table(found.files.rejects)
    assert rejects["row"].to_pylist() == list(range(ROWS + 1, ROWS + 201))


@pytest.mark.parametrize("output", ["out.parquet", "out.csv", "out.jsonl", "out"])
def test_a_key_names_the_rows(tmp_path, bundle, instances, output):
    source = write(tmp_path / "rows.parquet", instances)
    batch_predict(Job((str(source),), tmp_path / output, key="id"), bundle)
    if output != "out.csv":
        assert [row["id"] for row in read(tmp_path / output)] == [f"r{place:04}" for place in range(ROWS)]
    twice = pa.concat_tables([table_of(instances), table_of(instances[:2])])
    pq.write_table(twice, tmp_path / "twice.parquet")
    with pytest.raises(HeadraceError, match=r"expected every `id` once, .* Received: 2 of them .* 'r0000', 'r0001'"):
        batch_predict(Job((str(tmp_path / "twice.parquet"),), tmp_path / f"2{output}", key="id"), bundle)


@pytest.mark.parametrize("output", ["out.parquet", "out.csv", "out.jsonl", "out"])
def test_a_key_of_any_name_is_looked_for_in_all_parts(tmp_path, bundle, instances, monkeypatch, output):
    monkeypatch.setattr("headrace.components.batch_predict.rows.CHUNK_CELLS", 5 * 256)
    key = "it's an id"
    twice = pa.concat_tables([table_of(instances), table_of(instances)[-1:]]).rename_columns(
        [key, *table_of(instances).column_names[1:]]
    )
    pq.write_table(twice, tmp_path / "rows.parquet", row_group_size=50)
    job = Job((str(tmp_path / "rows.parquet"),), tmp_path / output, key=key, part_rows=50)
    with pytest.raises(HeadraceError, match=rf"Received: 1 of them more than once, such as 'r{ROWS - 1:04}'"):
        batch_predict(job, bundle)
    assert len(list(tmp_path.glob(".*/part-*.json"))) > 1


@pytest.mark.parametrize("output", ["out.parquet", "out.csv", "out.jsonl", "out"])
def test_a_key_beside_a_column_that_differs_in_case_alone(tmp_path, bundle, instances, output):
    table = (
        table_of(instances[:5])
        .append_column("ID", pa.array(["same"] * 5))
        .append_column("Label", pa.array(list("abcde")))
    )
    pq.write_table(table, tmp_path / "rows.parquet")
    job = Job((str(tmp_path / "rows.parquet"),), tmp_path / output, key="id", keep=("ID", "Label"))
    batch_predict(job, bundle)
    if output != "out.csv":
        assert {row["ID"] for row in read(tmp_path / output)} == {"same"}
    twice = Job((str(tmp_path / "rows.parquet"),), tmp_path / f"2{output}", key="ID", keep=("id",))
    with pytest.raises(HeadraceError, match=r"Received: 1 of them more than once, such as 'same'"):
        batch_predict(twice, bundle)


def test_nanoseconds_are_kept_as_text_in_json(tmp_path, bundle, instances):
    moments = pa.array(range(ROWS), pa.timestamp("ns"))
    pq.write_table(table_of(instances).append_column("at", moments), tmp_path / "rows.parquet")
    batch_predict(Job((str(tmp_path / "rows.parquet"),), tmp_path / "out.jsonl", keep=("at",)), bundle)
    assert read(tmp_path / "out.jsonl")[7]["at"] == "1970-01-01T00:00:00.000000007"


def test_a_row_without_a_key_is_rejected(tmp_path, bundle, instances):
    table = table_of(instances[:3])
    table = table.set_column(0, "id", pa.array(["a", None, "c"]))
    pq.write_table(table, tmp_path / "rows.parquet")
    found = batch_predict(
        Job((str(tmp_path / "rows.parquet"),), tmp_path / "out.parquet", key="id", max_rejects=1), bundle
    )
    assert pq.read_table(found.files.rejects)["reason"].to_pylist() == [
        "expected a value in `id`, the key. Received: null"
    ]


def test_the_schema_is_checked_first_and_whole(tmp_path, bundle, instances):
    table = table_of(instances).drop_columns(["plan"])
    table = table.set_column(table.schema.get_field_index("tenure"), "tenure", pa.array(["x"] * ROWS))
    pq.write_table(
        table.rename_columns(["id", "tenure", "spend_per_month", "is_new", "signup"]), tmp_path / "a.parquet"
    )
    with pytest.raises(HeadraceError) as caught:
        batch_predict(Job((str(tmp_path / "a.parquet"),), tmp_path / "out.parquet", keep=("nope",)), bundle)
    message = str(caught.value)
    assert "expected the columns spend per month, plan of tiny:3" in message
    assert "`spend_per_month` instead of `spend per month`?" in message
    assert "column `tenure`: expected numbers for a number. Received: string" in message
    assert "expected the column `nope` of --keep" in message


def test_what_is_there_already(tmp_path, bundle, instances):
    job = Job((str(write(tmp_path / "rows.csv", instances)),), tmp_path / "out.parquet")
    batch_predict(job, bundle)
    before = (tmp_path / "out.parquet").stat().st_mtime_ns
    again = batch_predict(job, bundle)
    assert again.resumed == ROWS and (tmp_path / "out.parquet").stat().st_mtime_ns == before
    write(tmp_path / "rows.csv", instances[:5])
    with pytest.raises(HeadraceError, match=r"expected a place that is still free. .*--overwrite replaces it"):
        batch_predict(job, bundle)
    assert batch_predict(job, bundle, overwrite=True).rows == 5
    assert len(read(tmp_path / "out.parquet")) == 5


class Killed(BaseException):
    """As if the process had ended here."""


@pytest.mark.parametrize("output", ["out.parquet", "out.csv", "out"])
@pytest.mark.parametrize("source", ["rows.parquet", "rows.csv", "rows.db"])
def test_what_was_killed_goes_on(tmp_path, bundle, instances, online, monkeypatch, source, output):
    file = write(tmp_path / source, instances)
    named = f"sqlite:///{file}" if file.suffix == ".db" else str(file)
    query = Reading(query="SELECT * FROM rows") if file.suffix == ".db" else Reading()
    job = Job((named,), tmp_path / output, part_rows=50, reading=query, threads=1)
    monkeypatch.setattr("headrace.components.batch_predict.rows.CHUNK_CELLS", 5 * 256)
    monkeypatch.setattr("headrace.components.batch_predict.rows.ROWS", 256)
    commit = parts.PartWriter.commit

    def second_dies(self):
        if self.part.number == 1:
            self._rows.close()
            self._partial.replace(self._file)  # its rows are there, and nothing says that they are whole
            raise Killed
        return commit(self)

    monkeypatch.setattr(parts.PartWriter, "commit", second_dies)
    with pytest.raises(Killed):
        batch_predict(job, bundle)
    assert not (tmp_path / output).exists()
    monkeypatch.setattr(parts.PartWriter, "commit", commit)
    found = batch_predict(job, bundle)
    assert 0 < found.resumed < ROWS
    rows = read(tmp_path / output)
    assert [row["row"] for row in rows] == list(range(1, ROWS + 1)) and answers(rows) == online


def test_a_part_that_changed_does_not_count(tmp_path, bundle, instances, online, monkeypatch):
    job = Job((str(write(tmp_path / "rows.parquet", instances)),), tmp_path / "out.parquet", part_rows=70)
    monkeypatch.setattr("headrace.components.batch_predict.batch_predict.finish", _dies)
    with pytest.raises(Killed):
        batch_predict(job, bundle)
    (part, *others) = sorted((tmp_path / ".out.parquet.partial").glob("part-*.arrow"))
    part.write_bytes(part.read_bytes()[:-10])
    monkeypatch.undo()
    found = batch_predict(job, bundle)
    assert others and 0 < ROWS - found.resumed < ROWS
    assert answers(read(tmp_path / "out.parquet")) == online


def _dies(*_):
    raise Killed


def test_only_its_own_output_is_taken_for_one_that_was_killed_at_its_end(tmp_path, bundle, instances, monkeypatch):
    source = str(write(tmp_path / "rows.parquet", instances))
    monkeypatch.setattr("headrace.components.batch_predict.finish.write_json", _dies)
    with pytest.raises(Killed):
        batch_predict(Job((source,), tmp_path / "out.parquet"), bundle)
    monkeypatch.undo()
    with pytest.raises(HeadraceError, match="expected a place that is still free"):
        batch_predict(Job((source,), tmp_path / "out.parquet", key="id"), bundle)
    assert batch_predict(Job((source,), tmp_path / "out.parquet"), bundle).resumed == ROWS


def test_a_folder_may_take_the_place_of_a_file(tmp_path, bundle, instances):
    (tmp_path / "out").write_text("a file")
    job = Job((str(write(tmp_path / "rows.csv", instances)),), tmp_path / "out")
    assert batch_predict(job, bundle, overwrite=True).rows == ROWS and len(read(tmp_path / "out")) == ROWS


@pytest.mark.parametrize("output", [".", "/", "", ".."])
def test_an_output_without_a_name_is_refused(output):
    with pytest.raises(HeadraceError, match="output: expected a file's or a folder's name"):
        Job(("rows.csv",), Path(output))


def test_another_process_with_the_same_output_is_refused(tmp_path, bundle, instances):
    job = Job((str(write(tmp_path / "rows.parquet", instances)),), tmp_path / "out.parquet")
    with (
        parts.Work(job, bundle.signature).locked(),
        pytest.raises(HeadraceError, match="another process that writes the same output"),
    ):
        batch_predict(job, bundle)


@pytest.mark.slow
@pytest.mark.parametrize("source", ["rows.parquet", "rows.csv"])
def test_under_beam_the_output_is_the_same(tmp_path, bundle, instances, source):
    file = str(write(tmp_path / source, instances))
    batch_predict(Job((file,), tmp_path / "here.parquet", keep=("id",)), bundle)
    options = {"temp_location": str(tmp_path / "beam")}
    (tmp_path / "beam").mkdir()
    job = Job((file,), tmp_path / "there.parquet", keep=("id",), part_rows=100, beam=BeamSpec(options=options))
    batch_predict(job, bundle)
    assert pq.read_table(tmp_path / "there.parquet").equals(pq.read_table(tmp_path / "here.parquet"))
    assert not list((tmp_path / "beam").iterdir())
