"""Snapshots taken out of the store: whole, or not at all."""

from datetime import date, datetime

import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq
import pytest

from headrace.artifacts.dataset import Dataset
from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.data_versions.checkout import check_out
from headrace.pipelines.data_versions.inventory import from_folder
from headrace.pipelines.data_versions.verifying import verify_versions
from tests.unit.pipelines.data_versions.small_snapshots import schema, snapshot

KINDS = schema(
    id=pa.string(),
    n=pa.int64(),
    x=pa.float64(),
    yes=pa.bool_(),
    day=pa.date32(),
    at=pa.timestamp("us"),
    label=pa.string(),
)
ROWS = [
    ('a "b", c', 1, 0.1, True, date(2026, 1, 2), datetime(2026, 1, 2, 3, 4, 5, 600), "0"),
    ("line\nbreak", None, None, None, None, None, "1"),
    ("", 2, 1e300, False, None, None, "0"),
]


@pytest.fixture
def data(tmp_path):
    return snapshot(tmp_path / "snapshot", KINDS, {"train": ROWS, "eval": ROWS[:1], "test": ROWS[1:2]})


def test_a_snapshot_comes_out_as_it_is_and_is_a_copy(data, tmp_path):
    files = check_out(data, tmp_path / "deep" / "out")
    out = Dataset.open(tmp_path / "deep" / "out")
    assert out.digest == data.digest
    assert {file.name for file in files} == {"manifest.json", "data.parquet"} and len(files) == 4
    out.file("train").write_bytes(b"")
    assert Dataset.open(data.path).digest == data.digest


def test_plain_parquet(data, tmp_path):
    assert [file.name for file in check_out(data, tmp_path / "out", "parquet")] == [
        "eval.parquet",
        "test.parquet",
        "train.parquet",
    ]
    assert pq.read_table(tmp_path / "out" / "train.parquet").equals(data.table("train"))


def test_csv_that_reads_back_as_the_same_rows(data, tmp_path):
    check_out(data, tmp_path / "out", "csv")
    types = csv.ConvertOptions(column_types=KINDS, strings_can_be_null=True, quoted_strings_can_be_null=False)
    parsing = csv.ParseOptions(newlines_in_values=True)
    back = csv.read_csv(tmp_path / "out" / "train.csv", parse_options=parsing, convert_options=types)
    assert back.to_pylist() == data.table("train").to_pylist()


def test_images_are_no_text(tmp_path):
    images = snapshot(tmp_path / "a", schema(image=pa.binary(), label=pa.string()), {"train": [(b"x", "0")]})
    with pytest.raises(HeadraceError, match="Received: images in `image`"):
        check_out(images, tmp_path / "out", "csv")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("format", ["snapshot", "parquet", "csv"])
def test_a_damaged_snapshot_leaves_nothing(data, tmp_path, format):
    data.file("test").write_bytes(data.file("test").read_bytes() + b"x")
    with pytest.raises(HeadraceError, match="changed content"):
        check_out(data, tmp_path / "out", format)
    assert [place.name for place in tmp_path.iterdir()] == ["snapshot"]


def test_a_filled_folder_is_refused_and_an_empty_one_taken(data, tmp_path):
    (tmp_path / "out").mkdir()
    check_out(data, tmp_path / "out")
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "out", tmp_path / "file"):
        with pytest.raises(HeadraceError, match="expected a place that is still free"):
            check_out(data, place)


def test_verification_names_what_is_damaged(data):
    version = from_folder(data.path)
    assert [one.damage for one in verify_versions([version])] == [""]
    data.file("train").write_bytes(b"x")
    (one,) = verify_versions([version])
    assert "train/data.parquet: expected content with sha256" in one.damage
    data.file("train").unlink()
    (one,) = verify_versions([version])
    assert "expected the file that the manifest lists. Received: no such file" in one.damage
