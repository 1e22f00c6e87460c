"""Batch predictions under Beam: parts are found again by the job that made them, and by no other."""

import pyarrow.parquet as pq
import pytest

from headrace.artifacts.errors import HeadraceError
from headrace.components.batch_predict import beam, parts, step
from headrace.components.batch_predict.batch_predict import batch_predict
from headrace.components.batch_predict.job import Job, Reading
from headrace.components.statistics.spec import BeamSpec
from tests.integration.components.batch_predict.test_batch_predict import Killed, table_of, write
from tests.unit.serving.tiny_bundle import random_instances

ROWS = 6


@pytest.fixture(scope="module")
def monday(bundle):
    return random_instances(bundle.signature.inputs, ROWS, seed=1)


@pytest.fixture(scope="module")
def tuesday(bundle):
    return random_instances(bundle.signature.inputs, ROWS - 2, seed=2)


@pytest.fixture(autouse=True)
def shared(tmp_path):
    (tmp_path / "shared").mkdir()
    return tmp_path / "shared"


def job(folder, output, source="rows.db", shared="shared", **others):
    spec = BeamSpec(options={"temp_location": str(folder / shared)})
    named, reading = str(folder / source), Reading()
    if source.endswith(".db"):
        named, reading = f"sqlite:///{named}", Reading(query="SELECT * FROM rows")
    return Job((named,), folder / output, key="id", reading=reading, beam=spec, **others)


def database(folder, instances):
    (folder / "rows.db").unlink(missing_ok=True)
    write(folder / "rows.db", instances)


def killed(monkeypatch, name, bundle, one, restart=False):
    """Runs a job until it calls a function of Beam's module."""
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(beam, name, _dies)
        batch_predict(one, bundle, restart=restart)


def _dies(*_):
    raise Killed


def test_a_killed_job_s_parts_are_no_answer_to_another_job(tmp_path, bundle, monday, tuesday, shared, monkeypatch):
    database(tmp_path, monday)
    killed(monkeypatch, "_check", bundle, job(tmp_path, "monday.parquet"))
    database(tmp_path, tuesday)
    assert batch_predict(job(tmp_path, "tuesday.parquet"), bundle).rows == len(tuesday)
    assert len(list(shared.iterdir())) == 1  # Monday's: it may still go on


def test_restart_reads_the_rows_anew_and_takes_the_shared_parts_away(
    tmp_path, bundle, monday, tuesday, shared, monkeypatch
):
    database(tmp_path, monday)
    killed(monkeypatch, "_fetch", bundle, job(tmp_path, "out.parquet"))
    (old,) = shared.iterdir()
    database(tmp_path, tuesday)
    killed(monkeypatch, "_stretches", bundle, job(tmp_path, "out.parquet", max_rejects=1))
    assert [old] == list(shared.iterdir())  # the same job goes on there
    killed(monkeypatch, "_stretches", bundle, job(tmp_path, "out.parquet"), restart=True)
    assert old not in list(shared.iterdir())
    assert batch_predict(job(tmp_path, "out.parquet"), bundle).rows == len(tuesday)
    assert not list(shared.iterdir())


def test_rows_that_were_refused_are_not_answered_later(tmp_path, bundle, monday, tuesday):
    database(tmp_path, [*monday[:2], {**monday[2], "signup": "no date"}])
    with pytest.raises(HeadraceError, match="row 3: expected a date"):
        batch_predict(job(tmp_path, "out.parquet"), bundle)
    database(tmp_path, tuesday)
    assert batch_predict(job(tmp_path, "out.parquet"), bundle, restart=True).rows == len(tuesday)


def test_what_was_killed_finds_its_parts_again(tmp_path, bundle, monday, shared, monkeypatch):
    database(tmp_path, monday)
    killed(monkeypatch, "_fetch", bundle, job(tmp_path, "out.parquet"))
    monkeypatch.setattr(beam, "upload_bundle", _dies)  # which comes before each pipeline
    found = batch_predict(job(tmp_path, "out.parquet"), bundle)
    assert found.rows == len(monday) and "goes on with the rows that were read before" in found.notes[0]
    assert not list(shared.iterdir())


def test_an_end_in_another_shared_folder_leaves_nothing_in_the_first(tmp_path, bundle, monday, shared, monkeypatch):
    database(tmp_path, monday)
    killed(monkeypatch, "_fetch", bundle, job(tmp_path, "out.parquet"))
    (tmp_path / "other").mkdir()
    assert batch_predict(job(tmp_path, "out.parquet", shared="other"), bundle).rows == len(monday)
    assert not list(shared.iterdir()) and not list((tmp_path / "other").iterdir())


def test_two_jobs_at_once_have_each_their_own_parts(tmp_path, bundle, monday, shared, monkeypatch):
    write(tmp_path / "rows.parquet", monday)
    one, other = (job(tmp_path, name, "rows.parquet") for name in ("one.parquet", "other.parquet"))
    fetch = beam._fetch

    def meanwhile(*given):
        monkeypatch.setattr(beam, "_fetch", fetch)
        batch_predict(other, bundle)
        fetch(*given)

    monkeypatch.setattr(beam, "_fetch", meanwhile)
    assert batch_predict(one, bundle).rows == len(monday)
    assert pq.read_table(one.output).equals(pq.read_table(other.output))
    assert not list(shared.iterdir())


def test_a_row_that_cannot_be_read_leaves_nothing(tmp_path, bundle, monday, shared):
    file = write(tmp_path / "rows.csv", monday)
    file.write_text(file.read_text() + "ragged\n")
    with pytest.raises(HeadraceError, match="under Apache Beam a row that cannot be read ends the job"):
        batch_predict(job(tmp_path, "out.parquet", "rows.csv"), bundle)
    assert not list(shared.iterdir()) and sorted(one.name for one in tmp_path.iterdir()) == ["rows.csv", "shared"]


def test_a_step_that_failed_leaves_nothing_in_the_shared_folder(tmp_path, bundle, monday, shared):
    file = write(tmp_path / "rows.jsonl", [{**monday[0], "signup": "no date"}])
    places = (tmp_path / name for name in ("predictions", "rejects", "report.html"))
    with pytest.raises(HeadraceError, match="row 1: expected a date"):
        step.run(
            bundle.path,
            str(file),
            *places,
            version="",
            options={},
            reading={},
            beam_runner="DirectRunner",
            beam_options={"temp_location": str(shared)},
        )
    assert not list(shared.iterdir())


def test_a_restart_that_was_killed_goes_on_with_nothing_of_before(tmp_path, bundle, monday, tuesday, monkeypatch):
    database(tmp_path, monday)
    killed(monkeypatch, "_check", bundle, job(tmp_path, "out.parquet"))
    database(tmp_path, tuesday)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        removals = iter([parts._remove])  # after the first one the process ends
        patch.setattr(parts, "_remove", lambda place: next(removals, _dies)(place))
        batch_predict(job(tmp_path, "out.parquet"), bundle, restart=True)
    assert batch_predict(job(tmp_path, "out.parquet"), bundle).rows == len(tuesday)


@pytest.mark.parametrize("output", ["out.parquet", "out.csv", "out.jsonl", "out"])
@pytest.mark.parametrize("source", ["rows.parquet", "rows.csv"])
def test_sources_without_rows_have_an_output_under_beam_too(tmp_path, bundle, monday, output, source):
    if source == "rows.csv":
        write(tmp_path / source, monday).write_text(",".join(table_of(monday).column_names) + "\n")
    else:
        pq.write_table(table_of(monday)[:0], tmp_path / source)
    assert batch_predict(job(tmp_path, output, source), bundle).rows == 0
    assert (tmp_path / output).exists()


def test_a_file_without_rows_among_others_is_none_under_beam_too(tmp_path, bundle, monday):
    pq.write_table(table_of(monday)[:0], tmp_path / "a.parquet")
    write(tmp_path / "b.parquet", monday)
    batch_predict(job(tmp_path, "out.csv", "*.parquet"), bundle)
    assert [line.split(",")[0] for line in (tmp_path / "out.csv").read_text().splitlines()] == [
        '"id"',
        *(f'"r{place:04}"' for place in range(len(monday))),
    ]
