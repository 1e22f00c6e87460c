"""`features.aggregate` in a spec: what `headrace validate` finds, what is compiled, and rows that are to be scored."""

from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from headrace.artifacts.dataset import SPLITS, Dataset
from headrace.artifacts.errors import HeadraceError
from headrace.components.fingerprint.component import fingerprint
from headrace.components.ingest.component import ingest
from headrace.pipelines import scoring_rows
from headrace.pipelines.check import check_spec
from headrace.pipelines.commands.data import moment
from headrace.pipelines.compiled import compiled
from headrace.pipelines.schema import found
from headrace.pipelines.scoring_rows import complete_rows
from headrace.pipelines.spec import SpecError, load_spec

SPEC = """name: m
task: classification
data:
  source: t.csv
  label: y
  id: id
features:
  aggregate:
    c:
      source: c.csv
      on: k
      time: t
      as_of: now
      windows: [7d, all]
      compute:
        n: count()
        x: {expression: sum(x), windows: [all]}
  construct: {often: c_n_7d / c_n_all}
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "spec.yaml").write_text(SPEC)
    rows = "".join(f"{n},k{n % 5},2026-01-{1 + n % 28:02d},{n % 2}\n" for n in range(200))
    (tmp_path / "t.csv").write_text("id,k,now,y\n" + rows)
    child = "".join(f"k{n % 6},2026-01-{1 + n % 28:02d}T{n % 24:02d}:30,{n}.5\n" for n in range(300))
    (tmp_path / "c.csv").write_text("k,t,x\n" + child)
    return tmp_path


def edit(folder, old, new):
    text = (folder / "spec.yaml").read_text()
    assert text.count(old) == 1, old
    (folder / "spec.yaml").write_text(text.replace(old, new))


def test_validate_knows_the_columns_that_will_be(folder):
    _, head = check_spec(folder / "spec.yaml")
    assert head.column_names == ["id", "k", "now", "y", "c_n_7d", "c_n_all", "c_x_all"]
    assert [str(type) for type in head.schema.types[4:]] == ["int64", "int64", "double"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("on: k", "on: kk", "11: features.aggregate.c.on: expected the key in the data. Received: `kk`"),
        ("time: t\n", "time: x\n", "12: features.aggregate.c.time: expected a date or time. Received: `x` of type double"),
        ("as_of: now", "as_of: noww", "13: features.aggregate.c.as_of: expected a column of the data. Received: `noww`; did you mean `now`?"),
        ("sum(x)", "sum(xx)", "17: features.aggregate.c.compute.x: expected a column in `xx`. Received: `xx`; did you mean `x`?"),
        ("sum(x)", "summ(x)", "17: features.aggregate.c.compute.x.expression: expected an aggregation such as `sum(minutes)`. Received: `summ(x)`"),
        ("windows: [7d, all]", "windows: [7x]", "14: features.aggregate.c.windows: expected a window such as 30min"),
        ("source: c.csv", "source: d.csv", "10: features.aggregate.c.source: "),
        ("c_n_7d /", "c_n_8d /", "18: features.construct.often: expected a column in `c_n_8d / c_n_all`. Received: `c_n_8d`; did you mean"),
        ("    c:\n", "    c:\n      wherre: x > 1\n", "10: unknown field `wherre`; did you mean `where`?"),
        ("n: count()", "n: {expresion: count()}", "16: features.aggregate.c.compute.n.expression: expected this field"),
    ],
)  # fmt: skip
def test_validate_names_the_line(folder, old, new, message):
    edit(folder, old, new)
    with pytest.raises(SpecError) as caught:
        check_spec(folder / "spec.yaml")
    assert str(caught.value).startswith(f"{folder / 'spec.yaml'}:{message}")


def test_a_compiled_pipeline_finds_child_tables_beside_the_spec(folder):
    ready = compiled(folder / "spec.yaml", folder / "home")
    assert ready.parameters == {"source": str(folder / "t.csv"), "folder": str(folder)}


class Out:
    """What a component is given to write to."""

    def __init__(self, path: Path) -> None:
        self.path, self.metadata = str(path), {}


def ingested(folder, name):
    spec = load_spec(folder / "spec.yaml")
    data = spec.data.model_dump(mode="json", exclude_none=True)
    aggregate = spec.model_dump(mode="json", by_alias=True, exclude_none=True)["features"]["aggregate"]
    source, beside = str(folder / "t.csv"), str(folder)
    (digest,) = fingerprint.python_func(source, data, beside, aggregate)
    out = Out(folder / name)
    ingest.python_func(source, digest, spec.task, data, out, beside, "", aggregate)
    return digest, pa.concat_tables([Dataset.open(out.path).table(split) for split in SPLITS]).sort_by("id")


def test_the_components_take_the_section_as_it_is_compiled(folder):
    first, rows = ingested(folder, "a")
    assert rows.column_names == ["id", "k", "now", "y", "c_n_7d", "c_n_all", "c_x_all"]
    with (folder / "c.csv").open("a") as file:
        file.write("k1,2025-12-31T00:00,1000\n")
    second, more = ingested(folder, "b")
    assert first != second
    gained = [b - a for a, b in zip(rows["c_x_all"].to_pylist(), more["c_x_all"].to_pylist(), strict=True)]
    assert gained == [1000.0 if key == "k1" else 0.0 for key in rows["k"].to_pylist()]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_rows_to_be_scored_get_what_rows_were_learned_from(folder, suffix):
    _, learned = ingested(folder, "a")
    names = [name for name in learned.column_names if name != "y"]
    (folder / "new.csv").write_text("\n".join(line.rpartition(",")[0] for line in (folder / "t.csv").open()) + "\n")
    output = folder / f"complete{suffix}"
    count, notes = complete_rows(folder / "spec.yaml", str(folder / "new.csv"), output)
    assert (count, [note for note in notes if "in c" not in note]) == (200, [])
    scored = pq.read_table(output) if suffix == ".parquet" else pyarrow.csv.read_csv(output)
    assert scored.select(names).to_pylist() == learned.select(names).to_pylist()
    assert not [file.name for file in folder.iterdir() if file.name.startswith(".")]


def test_rows_of_one_moment_that_have_no_time_of_their_own(folder):
    (folder / "new.csv").write_text("id,k\n1,k1\n2,k9\n")
    with pytest.raises(HeadraceError, match="as_of: expected a column of the data. Received: `now`"):
        complete_rows(folder / "spec.yaml", str(folder / "new.csv"), folder / "out.parquet")
    complete_rows(folder / "spec.yaml", str(folder / "new.csv"), folder / "out.parquet", moment("2026-01-08"))
    child = [(f"k{n % 6}", 1 + n % 28) for n in range(300)]
    expected = sum(key == "k1" and day < 8 for key, day in child)
    assert pq.read_table(folder / "out.parquet")["c_n_all"].to_pylist() == [expected, 0]


def test_the_past_of_rows_to_be_scored_is_where_the_data_came_from(folder):
    edit(folder, "      source: c.csv\n", "")
    edit(folder, "time: t\n      as_of: now\n", "time: now\n")
    edit(folder, "sum(x)", "sum(id)")
    (folder / "new.csv").write_text("id,k,now\n1000,k1,2026-03-01\n")
    complete_rows(folder / "spec.yaml", str(folder / "new.csv"), folder / "out.parquet")
    rows = pq.read_table(folder / "out.parquet").to_pylist()
    assert rows[0]["c_n_all"] == 40
    assert rows[0]["c_x_all"] == sum(range(1, 200, 5))


def test_rows_that_are_complete_already(folder):
    (folder / "spec.yaml").write_text(SPEC[: SPEC.index("features:")])
    with pytest.raises(HeadraceError, match=r"expected data.join or features.aggregate. Received: neither"):
        complete_rows(folder / "spec.yaml", str(folder / "t.csv"), folder / "out.csv")


def test_a_file_of_another_kind(folder):
    with pytest.raises(HeadraceError, match=r"expected a file named .csv or .parquet. Received: .xlsx"):
        complete_rows(folder / "spec.yaml", str(folder / "t.csv"), folder / "out.xlsx")


def test_moments():
    assert moment("2026-06-30T18:00+02:00") == moment("2026-06-30T16:00")
    assert moment("now") > moment("2026-01-01")
    with pytest.raises(HeadraceError, match="--at: expected `now`, or a moment such as 2026-06-30T18:00"):
        moment("today")


def test_nothing_is_left_when_it_fails(folder, monkeypatch):
    def broken(*_):
        raise HeadraceError("full")

    monkeypatch.setattr(scoring_rows, "typed_rows", broken)
    (folder / "out.csv").write_text("before")
    with pytest.raises(HeadraceError, match="full"):
        complete_rows(folder / "spec.yaml", str(folder / "t.csv"), folder / "out.csv")
    assert (folder / "out.csv").read_text() == "before"
    assert not [file.name for file in folder.iterdir() if file.name.startswith(".")]


def test_a_schema_is_inferred_from_what_is_joined_and_aggregated_too(folder, monkeypatch):
    """The source's fingerprint covers both: without them ingestion took the source for one that had changed."""

    class Reached(Exception):
        pass

    def tfx(module, snapshot, *_):
        raise Reached(*Dataset.open(snapshot).table("train").column_names)

    monkeypatch.setattr(found, "_tfx", tfx)
    (folder / "sizes.csv").write_text("k,size\n" + "".join(f"k{n},{n}\n" for n in range(5)))
    edit(folder, "  id: id\n", "  id: id\n  join: [{source: sizes.csv, on: k}]\n")
    with (
        pytest.raises(Reached) as reached,
        found.described_now(folder / "spec.yaml", load_spec(folder / "spec.yaml"), None),
    ):
        pass
    assert reached.value.args == ("id", "k", "now", "y", "size", "c_n_7d", "c_n_all", "c_x_all")
