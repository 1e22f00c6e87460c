"""Several sources: put together by column name, joined by key, and added to the previous snapshot."""

import datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.artifacts.errors import HeadraceError
from tests.unit.components.ingest.ingesting import ROWS, column, splits_of, table, take, whole

# --- Concatenated ------------------------------------------------------------------------------------------


def test_a_list_of_sources_of_several_formats(tmp_path):
    (tmp_path / "a.csv").write_text(table(rows=ROWS[:100]))
    (tmp_path / "b.jsonl").write_text("".join(f'{{"x": {i}.5, "id": {i}, "y": {i % 2}}}\n' for i in range(100, 200)))
    late = pa.table({"id": range(200, 300), "y": [i % 2 for i in range(100)], "x": [0.25] * 100})
    pq.write_table(late, tmp_path / "c.parquet")
    sources = [str(tmp_path / name) for name in ("a.csv", "b.jsonl", "c.parquet")]
    _, dataset = take(sources, tmp_path / "s")
    assert column(dataset, "id") == list(range(300))
    assert column(dataset, "x")[99:201] == [33.0, *[i + 0.5 for i in range(100, 200)], 0.25]
    assert dataset.info.source["name"] == ["a.csv", "b.jsonl", "c.parquet"]


def test_a_glob_of_files_whose_columns_differ(tmp_path):
    """By the columns' names, as in a database's UNION BY NAME: a new column must not break the pipeline of old files."""
    (tmp_path / "a.csv").write_text(table(rows=ROWS[:100]))
    (tmp_path / "b.csv").write_text(table("x,y,id,new", [f"{i}.5,{i % 2},{i},{i}" for i in range(100, 300)]))
    found, dataset = take(str(tmp_path / "*.csv"), tmp_path / "s")
    assert [one.name for one in dataset.info.columns] == ["id", "y", "x", "new"]
    assert column(dataset, "new")[98:102] == [None, None, 100, 101]
    assert column(dataset, "x")[100] == 100.5
    assert found.notes == ["`new` is missing in all rows of a.csv, which has no such column"]


def test_one_type_for_whole_numbers_and_others_and_none_for_texts_and_numbers(tmp_path):
    numbers = {"id": range(100), "y": [i % 2 for i in range(100)], "x": range(100)}
    pq.write_table(pa.table(numbers), tmp_path / "a.parquet")
    (tmp_path / "b.csv").write_text(table(rows=ROWS[100:]))
    sources = [str(tmp_path / "a.parquet"), str(tmp_path / "b.csv")]
    _, dataset = take(sources, tmp_path / "s")
    assert whole(dataset).schema.field("x").type == pa.float64()
    (tmp_path / "b.csv").write_text(table(rows=[*ROWS[100:], "900,1,many"]))
    with pytest.raises(HeadraceError, match="Received: `x` is int64 and string; set data.types, e.g. `{x: string}`"):
        take(sources, tmp_path / "other")
    _, declared = take(sources, tmp_path / "other", types={"x": "string"})
    assert column(declared, "x")[1] == "1"


def test_a_column_without_values_takes_the_other_files_type(tmp_path):
    (tmp_path / "a.csv").write_text(table(rows=[f"{i},{i % 2}," for i in range(100)]))
    texts = {"id": range(100, 200), "y": [0, 1] * 50, "x": ["t"] * 100}
    pq.write_table(pa.table(texts), tmp_path / "b.parquet")
    _, dataset = take([str(tmp_path / "a.csv"), str(tmp_path / "b.parquet")], tmp_path / "s")
    assert column(dataset, "x")[99:101] == [None, "t"]


# --- Joined ------------------------------------------------------------------------------------------------


def plans(tmp_path, text="plan,price\na,1.5\nb,2.5\nunused,9\n"):
    (tmp_path / "plans.csv").write_text(text)
    rows = [f"{row},{('a', 'b', 'c', '')[i % 4]}" for i, row in enumerate(ROWS)]
    (tmp_path / "t.csv").write_text(table("id,y,x,plan", rows))
    return str(tmp_path / "t.csv"), str(tmp_path / "plans.csv")


def test_a_left_join_keeps_rows_that_find_none(tmp_path):
    source, other = plans(tmp_path)
    found, dataset = take(source, tmp_path / "s", join=[{"source": other, "on": "plan"}])
    assert [one.name for one in dataset.info.columns] == ["id", "y", "x", "plan", "price"]
    assert column(dataset, "price")[:4] == [1.5, 2.5, None, None]
    assert found.notes == [f'150 of 300 rows find none by "plan" in {other}, and have no values in its columns']
    assert dataset.info.query["join"][0]["source"] == "plans.csv"


def test_an_inner_join_leaves_them_out(tmp_path):
    source, other = plans(tmp_path)
    _, dataset = take(source, tmp_path / "s", join=[{"source": other, "on": ["plan"], "how": "inner"}])
    assert sum(dataset.info.rows.values()) == 150
    assert set(column(dataset, "price")) == {1.5, 2.5}


def test_joins_follow_each_other_and_the_rows_keep_their_order(tmp_path):
    source, other = plans(tmp_path)
    (tmp_path / "prices.parquet").touch()
    pq.write_table(pa.table({"price": [1.5, 2.5], "currency": ["CHF", "EUR"]}), tmp_path / "prices.parquet")
    joins = [{"source": other, "on": "plan"}, {"source": str(tmp_path / "prices.parquet"), "on": "price"}]
    _, dataset = take(source, tmp_path / "s", join=joins)
    assert column(dataset, "currency")[:3] == ["CHF", "EUR", None]
    ids = dataset.table("train")["id"].to_pylist()
    assert ids == sorted(ids)


@pytest.mark.parametrize(
    ("text", "join", "message"),
    [
        ("plan,price\na,1\na,2\n", {}, "expected every \"plan\" once in {other}. Received: 'a' more than once"),
        ("name,price\na,1\n", {}, "expected the key `plan` in {other}. Received: no such column"),
        ("plan,x\na,1\n", {}, "Received: `x` in data.source and in {other}; rename them"),
        ("plan,price\n1,1\n", {}, "expected `plan` of one type on both sides. Received: string in data.source and int64 in"),
        ("plan,price\na,1,2\n", {}, "{other}, row 1: expected 2 fields, as in the header. Received: 3"),
        ("plan,price\na,1\n", {"on": "id"}, "expected the key `id` in {other}"),
    ],
)  # fmt: skip
def test_a_join_that_cannot_be_made(tmp_path, text, join, message):
    source, other = plans(tmp_path, text)
    with pytest.raises(HeadraceError) as raised:
        take(source, tmp_path / "s", join=[{"source": other, "on": "plan", **join}])
    assert message.format(other=other) in str(raised.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["plans.csv", "t.csv"]


def test_a_joined_source_is_part_of_the_fingerprint(tmp_path):
    source, other = plans(tmp_path)
    _, before = take(source, tmp_path / "a", join=[{"source": other, "on": "plan"}])
    (tmp_path / "plans.csv").write_text("plan,price\na,1.5\nb,2.75\n")
    _, after = take(source, tmp_path / "b", join=[{"source": other, "on": "plan"}])
    assert before.info.source["digest"] != after.info.source["digest"]


# --- Added to the previous snapshot --------------------------------------------------------------------------


def day(n: int) -> str:
    return (datetime.date(2024, 1, 1) + datetime.timedelta(n)).isoformat()


def events(numbers, x=lambda i: i / 3, at=day) -> str:
    return table("id,y,x,at", [f"{i},{i % 2},{x(i):.3f},{at(i)}" for i in numbers])


AT = {"watermark": {"column": "at"}}


def test_only_what_is_newer_is_added(tmp_path):
    source = tmp_path / "t.csv"
    source.write_text(events(range(200)))
    _, first = take(str(source), tmp_path / "first", **AT)
    assert first.info.watermark == {"column": "at", "newest": day(199)}
    assert (first.info.extends, first.info.newest) == (None, day(199))
    # Older rows are taken from the previous snapshot: that the source no longer has them, or has others, is no matter.
    source.write_text(events(range(150, 300), x=lambda i: 7))
    found, second = take(str(source), tmp_path / "second", previous=tmp_path / "first", **AT)
    assert found.notes == ["100 rows are newer than the previous snapshot's newest `at`"]
    assert second.info.extends == first.digest
    assert second.info.watermark == {"column": "at", "newest": day(299)}
    assert column(second, "id") == list(range(300))
    assert column(second, "x") == [*[round(i / 3, 3) for i in range(200)], *[7.0] * 100]
    assert splits_of(first).items() <= splits_of(second).items()


def test_a_newer_row_replaces_the_one_with_its_id(tmp_path):
    source = tmp_path / "t.csv"
    source.write_text(events(range(200)))
    take(str(source), tmp_path / "first", **AT)
    updates = [f"7,1,70,{day(300)}", f"7,1,71,{day(301)}", f"7,1,72,{day(301)}", f"8,0,80,{day(302)}"]
    source.write_text(events(range(200)) + "\n".join(updates) + "\n")
    _, second = take(str(source), tmp_path / "second", previous=tmp_path / "first", **AT)
    assert column(second, "id") == list(range(200))
    assert column(second, "x")[6:9] == [2.0, 72.0, 80.0]  # of equal watermarks, the last
    _, at_once = take(str(source), tmp_path / "at-once", **AT)
    assert whole(at_once).sort_by("id").equals(whole(second).sort_by("id"))


def test_rows_without_an_id_are_added_as_they_are(tmp_path):
    source = tmp_path / "t.csv"
    source.write_text(events(range(200)))
    take(str(source), tmp_path / "first", id=None, **AT)
    source.write_text(events(range(300)))
    _, second = take(str(source), tmp_path / "second", previous=tmp_path / "first", id=None, **AT)
    assert column(second, "id") == list(range(300))


def test_nothing_newer_gives_the_same_rows(tmp_path):
    (tmp_path / "t.csv").write_text(events(range(200)))
    _, first = take(str(tmp_path / "t.csv"), tmp_path / "first", **AT)
    _, second = take(str(tmp_path / "t.csv"), tmp_path / "second", previous=tmp_path / "first", **AT)
    assert [second.table(split) for split in first.info.rows] == [first.table(split) for split in first.info.rows]


def test_a_computed_label_is_made_of_new_rows_only(tmp_path):
    label = {"name": "big", "expression": "x > 20"}
    source = tmp_path / "t.csv"
    source.write_text(events(range(200)))
    take(str(source), tmp_path / "first", label=label, **AT)
    source.write_text(events(range(200, 300), x=lambda i: i % 40))
    _, second = take(str(source), tmp_path / "second", previous=tmp_path / "first", label=label, **AT)
    assert second.info.leaks == ["x"]
    assert [value == "true" for value in column(second, "big")] == [value > 20 for value in column(second, "x")]


def test_new_columns_come_and_old_ones_may_be_without_values(tmp_path):
    (tmp_path / "t.csv").write_text(events(range(200)))
    take(str(tmp_path / "t.csv"), tmp_path / "first", **AT)
    rows = [f"{i},{i % 2},,{day(i)},new" for i in range(200, 300)]
    (tmp_path / "t.csv").write_text(table("id,y,x,at,more", rows))
    _, second = take(str(tmp_path / "t.csv"), tmp_path / "second", previous=tmp_path / "first", **AT)
    assert column(second, "more")[199:201] == [None, "new"]
    assert column(second, "x")[199:201] == [66.333, None]


def test_a_declared_type_holds_for_the_previous_rows_too(tmp_path):
    (tmp_path / "t.csv").write_text(events(range(200)))
    take(str(tmp_path / "t.csv"), tmp_path / "first", **AT)
    (tmp_path / "t.csv").write_text(events(range(299)) + f"299,1,many,{day(299)}\n")
    more = {**AT, "types": {"x": "string", "y": "integer"}}
    _, second = take(str(tmp_path / "t.csv"), tmp_path / "second", previous=tmp_path / "first", **more)
    assert column(second, "x")[198:] == ["66", "66.333", *[f"{i / 3:.3f}" for i in range(200, 299)], "many"]


@pytest.mark.parametrize("mark", ["number", "timestamp"])
def test_watermarks_of_other_types(tmp_path, mark):
    def at(i):
        return str(i / 2) if mark == "number" else f"{day(i)}T10:00:00.25"

    (tmp_path / "t.csv").write_text(events(range(200), at=at))
    _, first = take(str(tmp_path / "t.csv"), tmp_path / "first", **AT)
    assert first.info.watermark["newest"] == (99.5 if mark == "number" else f"{day(199)}T10:00:00.250000")
    (tmp_path / "t.csv").write_text(events(range(300), at=at))
    found, _ = take(str(tmp_path / "t.csv"), tmp_path / "second", previous=tmp_path / "first", **AT)
    assert found.notes == ["100 rows are newer than the previous snapshot's newest `at`"]


@pytest.mark.parametrize(
    ("text", "more", "message"),
    [
        (events(range(300)), {"watermark": {"column": "att"}}, "with the watermark `att`. Received: at"),
        (events(range(300)), {"id": "x"}, "Received: id id, label y; run without the previous snapshot"),
        (events([*range(300)]) + "900,1,1,\n", {}, "expected a watermark in every row. Received: none in `at`, first row 301"),
        (events(range(300)) + f"900,,1,{day(400)}\n", {}, "1 row without `y`, first row 301"),
        (events(range(300)) + f"900,1,many,{day(400)}\n", {}, "`x` is float64 and string; set data.types"),
        (events(range(300)).replace(",at", ",when"), {}, "data.watermark.column: expected a column of the source"),
    ],
)  # fmt: skip
def test_an_extension_that_cannot_be_made(tmp_path, text, more, message):
    (tmp_path / "t.csv").write_text(events(range(200)))
    take(str(tmp_path / "t.csv"), tmp_path / "first", **AT)
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(HeadraceError) as raised:
        take(str(tmp_path / "t.csv"), tmp_path / "second", previous=tmp_path / "first", **{**AT, **more})
    assert message in str(raised.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first", "t.csv"]
