"""What `headrace data diff` says: in lines, as a page, and as JSON."""

import json

import pyarrow as pa
import pytest

from headrace.pipelines.data_versions.diff import diff_data, diff_json
from headrace.pipelines.data_versions.diff_page import diff_page
from headrace.pipelines.data_versions.diff_text import diff_text
from headrace.pipelines.local.views.json_view import dumps
from tests.unit.pipelines.data_versions.small_snapshots import schema, snapshot

BEFORE = schema(id=pa.string(), size=pa.float64(), plan=pa.string(), old=pa.int64(), label=pa.string())
AFTER = schema(id=pa.string(), size=pa.float64(), plan=pa.string(), new=pa.bool_(), label=pa.string())


def rows(start, stop, plan="basic", last=1, factor=1.0):
    return [(f"r{n:03}", n * factor, plan, last, str(n % 2)) for n in range(start, stop)]


@pytest.fixture
def diff(tmp_path):
    """40 rows went, 10 came, 50 have another plan, and 20 went from train to test."""
    before = {"train": rows(0, 160), "eval": rows(160, 180), "test": rows(180, 200)}
    after = {
        "train": [(*row[:3], True, row[4]) for row in rows(60, 160)],
        "eval": [(*row[:3], True, row[4]) for row in rows(160, 180)],
        "test": [(*row[:3], True, row[4]) for row in [*rows(40, 60), *rows(180, 200), *rows(200, 210)]],
    }
    after["train"][:50] = [(*row[:2], "gold", *row[3:]) for row in after["train"][:50]]
    a = snapshot(
        tmp_path / "a", BEFORE, before, source={"name": "a.csv", "digest": "sha256:1"}, query={"staging": None}
    )
    b = snapshot(tmp_path / "b", AFTER, after, source={"name": "a.csv", "digest": "sha256:2"})
    return diff_data(a, b, tmp_path)


def test_in_lines(diff):
    text = "\n".join(diff_text(diff))
    assert text.startswith(f"From {diff.before} to {diff.after}:\n")
    for line in (
        "source.digest: sha256:1 -> sha256:2",
        "old: removed (int64)",
        "new: added (bool)",
        "200 -> 170 (-30); 110 are the same",
        "10 added, such as r200, r201, r202, r203, r204",
        "40 removed, such as r000, r001, r002, r003, r004",
        "50 changed, such as r060, r061, r062, r063, r064",
        "plan         50 rows, such as r060, r061, r062, r063, r064",
        "train: 160 -> 100 (-60)",
        "20 moved from train to test",
        "gold 0.0% -> 29.4%; 50 rows with new values",
    ):
        assert f"  {line}" in text, line
    assert "staging" not in text, "a setting at null is none"
    assert text.splitlines()[-1].startswith(
        "error: expected rows of train to stay in train. Received: 20 that are in test now, such as r040, r041"
    )


def test_the_most_changed_column_comes_first(diff):
    assert [one.name for one in diff.distributions] == ["plan", "size", "label"]
    assert diff.distributions[0].js > diff.distributions[1].js > 0


def test_long_sections_are_cut_and_say_so(tmp_path):
    many = schema(id=pa.string(), **{f"c{n}": pa.string() for n in range(30)}, label=pa.string())
    a = snapshot(tmp_path / "a", many, {"train": [("r", *["x"] * 30, "0")]})
    b = snapshot(tmp_path / "b", many, {"train": [("r", *["y"] * 30, "0")]})
    found = diff_data(a, b, tmp_path)
    text = diff_text(found)
    assert sum(line.strip().startswith("...") for line in text) == 2
    assert "  ... 14 more; --all shows them" in text and "  ... 15 more; --all shows them" in text
    assert len(diff_text(found, whole=True)) > len(text) + 25


def test_the_same_version_says_nothing_differs(tmp_path):
    a = snapshot(tmp_path / "a", BEFORE, {"train": rows(0, 100), "test": rows(100, 120)})
    found = diff_data(a, a, tmp_path)
    assert found.nothing and not found.leaks
    assert diff_text(found) == [f"From {a.digest} to {a.digest}:", "The same rows in the same splits."]


def test_as_json_for_machines(diff):
    said = json.loads(dumps(diff_json(diff)))
    assert (said["nothing_differs"], said["rows"]["removed"], said["splits"]["train"]) == (False, 40, [160, 100])
    assert said["rows"]["moved"] == [
        {"before": "train", "after": "test", "rows": 20, "ids": ["r040", "r041", "r042", "r043", "r044"], "leaks": True}
    ]
    assert said["distributions"][0]["bins"]


def test_the_page_holds_all_and_fetches_nothing(diff):
    page = diff_page(diff)
    for word in ("Leakage across versions.", "r040", "sha256:2", "Rows with another value", "Distributions", "plan"):
        assert word in page
    assert "<svg" in page
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org", "")
    assert "<script" not in page


def test_what_rows_hold_cannot_break_the_page(tmp_path):
    kinds = schema(id=pa.string(), plan=pa.string(), label=pa.string())
    a = snapshot(tmp_path / "a", kinds, {"train": [("<b>1", "<script>x</script>", "0")]})
    b = snapshot(tmp_path / "b", kinds, {"train": [("<b>1", "<img src=x>", "0"), ("<b>2", "y", "1")]})
    page = diff_page(diff_data(a, b, tmp_path))
    assert "<script>x" not in page and "<img" not in page and "<b>1" not in page


@pytest.mark.slow
def test_what_does_not_fit_into_memory_is_spilled_and_the_answer_the_same(tmp_path):
    kinds = schema(id=pa.string(), text=pa.string(), label=pa.string())
    many = [(f"{n:040}", f"{n * 7919 % 100_003:0200}", "0") for n in range(150_000)]
    a = snapshot(tmp_path / "a", kinds, {"train": many})
    b = snapshot(tmp_path / "b", kinds, {"train": [(id, text[::-1], label) for id, text, label in many[1_000:]]})
    roomy, tight = (diff_data(a, b, tmp_path, memory) for memory in ("1GB", "64MB"))
    assert tight == roomy
    assert (tight.rows.removed, tight.rows.added) == (1_000, 0)
    assert tight.rows.changed == sum(text != text[::-1] for _, text, _ in many[1_000:])
    assert not list(tmp_path.glob(".data-diff*"))
