"""Aggregates of child tables: what they are, and that nothing of a row's present or future is in them."""

from __future__ import annotations

import statistics
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.artifacts.errors import HeadraceError
from headrace.components.fingerprint.digest import fingerprint
from headrace.components.ingest import aggregate_sweep
from headrace.components.ingest.aggregate import aggregate_tables
from headrace.components.ingest.aggregate_spec import Aggregate
from headrace.components.ingest.ingest import ingest
from headrace.components.ingest.spec import DataSpec
from tests.unit.components.ingest.ingesting import column, take, whole

NOON = datetime(2026, 3, 10, 12)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def section(**more: Any) -> Aggregate:
    return Aggregate(**{"source": "x.csv", "on": "k", "time": "t", "as_of": "now", "compute": {"n": "count()"}, **more})


def rows_of(*moments: datetime, key: Any = "a") -> pa.Table:
    return pa.table({"k": [key] * len(moments), "now": pa.array(moments, pa.timestamp("us"))})


def child_of(*moments: Any, key: Any = "a", **columns: list[Any]) -> pa.Table:
    return pa.table({"k": [key] * len(moments), "t": list(moments), **columns})


def made(rows: pa.Table, child: pa.Table, **more: Any) -> dict[str, list[Any]]:
    """The new columns, by what comes behind the table's name."""
    found = aggregate_tables(rows, {"c": child}, {"c": section(**more)})
    assert found.column_names[: rows.num_columns] == rows.column_names
    return {name[2:]: found[name].to_pylist() for name in found.column_names[rows.num_columns :]}


EVERYTHING = {
    "n": "count()",
    "big": {"expression": "count()", "where": "x > 1"},
    "true": "count(x > 1)",
    "sum": "sum(x * 2)",
    "mean": "mean(x)",
    "std": "std(x)",
    "min": "min(x)",
    "max": "max(x)",
    "first": "first(w)",
    "last": "last(w)",
    "words": "distinct(w)",
    "share": "share(x > 1)",
    "old": "days_since_first()",
    "new": "days_since_last(x > 1)",
}


def by_hand(
    now: datetime, rows: list[tuple[datetime, float | None, str | None]], window: timedelta | None
) -> list[Any]:
    """What `EVERYTHING` is, in Python's own words."""
    seen = [row for row in rows if row[0] < now and (window is None or row[0] >= now - window)]
    seen = sorted(seen, key=lambda row: row[0])  # stable: equal times stay in the order of the table
    xs = [x for _, x, _ in seen if x is not None]
    ws = [w for _, _, w in seen if w is not None]
    big = [time for time, x, _ in seen if x is not None and x > 1]
    return [
        len(seen),
        len(big),
        len(big),
        float(sum(2 * x for x in xs)),
        statistics.fmean(xs) if xs else None,
        statistics.stdev(xs) if len(xs) > 1 else None,
        min(xs, default=None),
        max(xs, default=None),
        ws[0] if ws else None,
        ws[-1] if ws else None,
        len(set(ws)),
        len(big) / len(xs) if xs else None,
        (now - seen[0][0]) / DAY if seen else None,
        (now - big[-1]) / DAY if big else None,
    ]


times = st.integers(0, 60).map(lambda hours: NOON + hours * HOUR)
child_rows = st.tuples(
    st.sampled_from(["a", "b", "c"]),
    times,
    st.one_of(st.none(), st.integers(-3, 3).map(float)),
    st.one_of(st.none(), st.sampled_from(["u", "v", "w"])),
)


@settings(deadline=None, max_examples=25)
@given(
    st.lists(st.tuples(st.sampled_from(["a", "b", "d"]), times), min_size=1, max_size=12),
    st.lists(child_rows, max_size=40),
)
def test_every_aggregate_is_what_a_loop_over_the_past_gives(rows, child):
    table = pa.table({"k": [k for k, _ in rows], "now": pa.array([t for _, t in rows], pa.timestamp("us"))})
    fields = [("k", pa.string()), ("t", pa.timestamp("us")), ("x", pa.float64()), ("w", pa.string())]
    others = pa.table([pa.array(list(values)) for values in zip(*child, strict=True)] or [[]] * 4, pa.schema(fields))
    found = made(table, others, windows=["24h", "all"], compute=EVERYTHING)
    for window, length in (("24h", DAY), ("all", None)):
        for place, (key, now) in enumerate(rows):
            expected = by_hand(now, [row[1:] for row in child if row[0] == key], length)
            received = [found[f"{name}_{window}"][place] for name in EVERYTHING]
            assert received == pytest.approx(expected, abs=1e-9), (key, now, window)


def test_a_future_row_and_one_of_the_same_moment_do_not_count():
    child = child_of(NOON - HOUR, NOON, NOON + HOUR, x=[1.0, 10.0, 100.0])
    found = made(rows_of(NOON, NOON + timedelta(microseconds=1)), child, compute={"x": "sum(x)"})
    assert found == {"x_all": [1.0, 11.0]}


def test_a_row_does_not_see_itself_nor_those_of_its_moment():
    """The data is its own child table: with its own row counted, the sum would be the row's own price as well."""
    rows = pa.table(
        {"k": ["a"] * 4, "t": [NOON, NOON + HOUR, NOON + HOUR, NOON + 2 * HOUR], "x": [1.0, 10.0, 100.0, 9.0]}
    )
    own = section(source=None, as_of=None, compute={"n": "count()", "x": "sum(x)", "last": "last(x)"})
    found = aggregate_tables(rows, {}, {"own": own})
    assert found["own_n_all"].to_pylist() == [0, 1, 1, 3]
    assert found["own_x_all"].to_pylist() == [0.0, 1.0, 1.0, 111.0]
    assert found["own_last_all"].to_pylist() == [None, 1.0, 1.0, 100.0]


def test_a_date_may_be_any_hour_of_its_day_so_the_day_itself_does_not_count():
    """At noon of the 10th, a row dated the 10th may be of that evening."""
    child = child_of(date(2026, 3, 8), date(2026, 3, 9), date(2026, 3, 10), date(2026, 3, 11))
    assert made(rows_of(NOON), child, windows=["1d", "all"]) == {"n_1d": [1], "n_all": [2]}


def test_a_delay_is_how_long_a_row_was_not_known_yet():
    child = child_of(NOON - 3 * HOUR, NOON - 2 * HOUR, NOON - HOUR)
    assert made(rows_of(NOON), child, delay="2h", windows=["1h", "all"]) == {"n_1h": [1], "n_all": [1]}
    days = child_of(date(2026, 3, 7), date(2026, 3, 8), date(2026, 3, 9))
    assert made(rows_of(NOON), days, delay="1d") == {"n_all": [2]}  # the 9th may have ended half a day ago


def test_a_window_has_its_beginning_and_not_its_end():
    child = child_of(NOON - 2 * DAY - HOUR, NOON - 2 * DAY, NOON - HOUR, NOON)
    assert made(rows_of(NOON), child, windows=["2d"]) == {"n_2d": [2]}


def test_one_moment_for_all_rows():
    rows = pa.table({"k": ["a", "b"]})
    child = child_of(NOON - HOUR, NOON)
    plain = section(as_of=None, at=NOON)
    assert aggregate_tables(rows, {"c": child}, {"c": plain})["c_n_all"].to_pylist() == [1, 0]
    zoned = section(as_of=None, at=NOON.replace(tzinfo=UTC) + timedelta(microseconds=1))
    assert aggregate_tables(rows, {"c": child}, {"c": zoned})["c_n_all"].to_pylist() == [2, 0]


def test_a_row_without_a_key_has_no_aggregates_and_one_that_finds_none_has_a_count_of_0():
    rows = pa.table({"k": ["z", None], "now": [NOON, NOON]})
    child = pa.table({"k": ["a", None], "t": [NOON - HOUR, NOON - HOUR], "x": [1.0, 2.0]})
    found = made(rows, child, compute={"n": "count()", "x": "sum(x)", "mean": "mean(x)"})
    assert found == {"n_all": [0, None], "x_all": [0.0, None], "mean_all": [None, None]}


def test_values_keep_their_types():
    child = child_of(
        NOON - 2 * HOUR, NOON - HOUR,
        whole=pa.array([2**60 + 1, 3]), day=[date(2026, 1, 1), date(2025, 1, 1)], n=[5, 3], flag=[True, False], when=[NOON, NOON - DAY],
    )  # fmt: skip
    compute = {
        "a": "max(whole)", "b": "min(day)", "c": "last(flag)", "d": "mean(flag)", "e": "max(when)", "f": "max(flag)",
        "g": "sum(n > 3)", "h": "first(n + 1)", "i": "distinct(day)",
    }  # fmt: skip
    found = aggregate_tables(rows_of(NOON), {"c": child}, {"c": section(compute=compute)})
    assert found.select(range(2, 11)).to_pylist() == [
        {
            "c_a_all": 2**60 + 1, "c_b_all": date(2025, 1, 1), "c_c_all": False, "c_d_all": 0.5, "c_e_all": NOON,
            "c_f_all": 1.0, "c_g_all": 1.0, "c_h_all": 6.0, "c_i_all": 2,
        }
    ]  # fmt: skip


def test_infinite_values_and_sums_are_missing():
    child = child_of(NOON - 3 * HOUR, NOON - 2 * HOUR, NOON - HOUR, x=[1e308, 1e308, float("inf")], y=[1.0, None, 3.0])
    compute = {"x": "sum(x)", "last": "last(x)", "std": "std(x)", "y": "mean(y)"}
    found = made(rows_of(NOON), child, compute=compute)
    assert found == {"x_all": [None], "last_all": [1e308], "std_all": [0.0], "y_all": [2.0]}


def test_keys_of_two_columns_with_other_names_and_a_filter():
    rows = pa.table({"id": ["a", "a"], "k0": [1, 2], "now": [NOON, NOON]})  # names that the queries use too
    child = pa.table({"who": ["a", "a", "a"], "row": [1, 2, 2], "t": [NOON - HOUR] * 3, "x": [5.0, 6.0, None]})
    one = section(on={"id": "who", "k0": "row"}, where="x > 0")
    assert aggregate_tables(rows, {"c": child}, {"c": one})["c_n_all"].to_pylist() == [1, 1]


def test_keys_cut_anywhere_give_the_same(monkeypatch):
    """Chunks end between two keys, wherever batches end; a key with more rows than a chunk is one of its own."""
    keys = [f"k{number % 7 if number % 3 else 0}" for number in range(500)]
    child = pa.table(
        {
            "k": keys,
            "t": [NOON + timedelta(minutes=number) for number in range(500)],
            "x": [0.1 * n for n in range(500)],
        }
    )
    rows = pa.table(
        {"k": [f"k{n % 9}" for n in range(90)], "now": [NOON + timedelta(minutes=7 * n) for n in range(90)]}
    )
    compute = {"n": "count()", "x": "sum(x)", "std": "std(x)", "last": "last(x)", "d": "distinct(x)"}
    whole = made(rows, child, windows=["1h", "all"], compute=compute)
    assert max(whole["n_all"]) > 100
    for most, batch in ((1, 1), (1, 64), (50, 7), (100, 500)):
        monkeypatch.setattr(aggregate_sweep, "_MOST", most)
        monkeypatch.setattr(aggregate_sweep, "ROWS", batch)
        assert made(rows, child, windows=["1h", "all"], compute=compute) == whole


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"on": "id"}, "on: expected the key in the data. Received: `id`, no column"),
        ({"on": {"now": "t", "k": "x"}}, "on: expected a key of one type on both sides. Received: `k` of string"),
        ({"time": "x"}, "time: expected a date or time. Received: `x` of type double"),
        ({"time": "tt"}, "time: expected a column of the child table. Received: `tt`; did you mean `t`?"),
        ({"as_of": "k"}, "as_of: expected a date or time. Received: `k` of type string"),
        ({"where": "x + 1"}, "where: expected a truth value. Received: a number, `x + 1`"),
        ({"compute": {"a": "sum(k)"}}, "compute.a: expected a number in `sum(...)`. Received: a text, `sum(k)`"),
        ({"compute": {"a": "count(x)"}}, "expected a truth value in `count(...)`. Received: a number, `count(x)`; `count()` takes all"),
        ({"compute": {"a": "sum(y)"}}, "compute.a: expected a column in `y`. Received: `y`"),
        ({"compute": {"a": {"expression": "count()", "where": "k"}}}, "compute.a: expected a truth value. Received: a text"),
    ],
)  # fmt: skip
def test_what_does_not_fit_the_columns(more, message):
    with pytest.raises(HeadraceError) as raised:
        made(rows_of(NOON), child_of(NOON, x=[1.0]), **more)
    assert f"features.aggregate.c.{message}" in str(raised.value) or message in str(raised.value)


def test_hours_of_dates_and_names_that_are_taken():
    with pytest.raises(HeadraceError, match="expected windows of whole days, as `t` is a date. Received: 12h"):
        made(rows_of(NOON), child_of(date(2026, 1, 1)), windows=["12h"])
    with pytest.raises(HeadraceError, match="expected a new name. Received: `c_n_all`, a column of the data"):
        made(rows_of(NOON).append_column("c_n_all", [[1]]), child_of(NOON))


def test_a_row_without_a_time_is_refused():
    rows = pa.table({"k": ["a", "a"], "now": pa.array([NOON, None], pa.timestamp("us"))})
    message = "features.aggregate.c: expected a time in every row, .* Received: none in `now`, first row 2"
    with pytest.raises(HeadraceError, match=message):
        made(rows, child_of(NOON))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"as_of": None}, "expected `as_of`, the data's column .* or `at`, a moment. Received: neither"),
        ({"at": NOON}, "expected either `as_of` or `at`. Received: both"),
        ({"windows": ["7"]}, "expected a window such as 30min, 24h, 7d, 4w or all. Received: '7'"),
        ({"windows": ["24h", "1d"]}, "expected every window once. Received: 24h, 1d"),
        ({"delay": "soon"}, "expected a length of time such as 30min, 24h, 7d or 4w. Received: 'soon'"),
        ({"compute": {"a": "summ(x)"}}, r"expected an aggregation such as `sum\(minutes\)`. .*did you mean `sum`"),
        ({"compute": {"a": "sum(x) / sum(y)"}}, r"expected one aggregation of one row-wise expression"),
        ({"compute": {"a": "mean()"}}, r"expected an expression in `mean\(...\)`. Received: none"),
        ({"compute": {"a": "sum(x +)"}}, "expected an expression such as"),
        ({"source": None, "as_of": None, "at": NOON}, "expected `as_of`, a column, with the data's own rows"),
    ],
)
def test_what_a_section_cannot_say(more, message):
    with pytest.raises(ValueError, match=message):
        section(**more)


def test_a_child_table_that_is_not_given():
    with pytest.raises(HeadraceError, match="expected the child table `c`. Received: d"):
        aggregate_tables(rows_of(NOON), {"d": child_of(NOON)}, {"c": section()})


def snapshot(folder, name, sections, **more):
    """Ingests `rows.csv` with these sections; what was found, and the snapshot."""
    source = str(folder / "rows.csv")
    data = DataSpec(**{"source": source, "label": "y", "id": "id", **more})
    aggregates = {key: Aggregate(**value) for key, value in sections.items()}
    plain = {key: one.model_dump(mode="json") for key, one in aggregates.items()}
    digest = fingerprint(source, data.model_dump(mode="json"), plain)
    found = ingest(source, digest, "classification", data, folder / name, None, aggregates)
    return found, pq.read_table, folder / name


def write_rows(folder, count=200):
    lines = [f"{i},{i % 2},p{i % 10},2026-03-{1 + i % 28:02d}" for i in range(count)]
    (folder / "rows.csv").write_text("\n".join(["id,y,k,now", *lines]) + "\n")


def write_child(folder, extra=()):
    lines = [f"p{i % 9},2026-03-{1 + i % 28:02d}T{i % 24:02d}:00,{i}" for i in range(300)]
    (folder / "child.csv").write_text("\n".join(["k,t,x", *lines, *extra]) + "\n")


def sections(folder, **more):
    return {"c": {"source": str(folder / "child.csv"), "on": "k", "time": "t", "as_of": "now", "windows": ["7d", "all"],
                  "compute": {"n": "count()", "x": "sum(x)"}, **more}}  # fmt: skip


def test_ingestion_puts_the_columns_beside_the_rows(tmp_path):
    write_rows(tmp_path)
    write_child(tmp_path, ["p1,,5", ",2026-03-01T00:00,5"])
    found, _, path = snapshot(tmp_path, "s", sections(tmp_path))
    from headrace.artifacts.dataset import Dataset

    dataset = Dataset.open(path)
    rows = whole(dataset)
    assert rows.column_names[-4:] == ["c_n_7d", "c_n_all", "c_x_7d", "c_x_all"]
    for row in rows.to_pylist():
        now = datetime.combine(row["now"], datetime.min.time())
        seen = [
            (at, i)
            for i in range(300)
            if f"p{i % 9}" == row["k"] and (at := datetime(2026, 3, 1 + i % 28, i % 24)) < now
        ]
        assert (row["c_n_all"], row["c_x_all"]) == (len(seen), sum(i for _, i in seen))
        assert row["c_n_7d"] == sum(at >= now - 7 * DAY for at, _ in seen)
    assert "2 of 302 rows of c have no `t` or no `k`, and count nowhere" in found.notes
    assert [note for note in found.notes if "have nothing before their time in c" in note]
    recorded = dataset.info.query["aggregate"]["c"]
    assert recorded["source"] == "child.csv"
    assert recorded["compute"]["x"] == {"expression": "sum(x)"}


def test_child_tables_are_part_of_the_fingerprint_and_of_the_version(tmp_path):
    write_rows(tmp_path)
    write_child(tmp_path)
    snapshot(tmp_path, "a", sections(tmp_path))
    write_child(tmp_path, ["p1,2026-03-01T00:00,5"])
    snapshot(tmp_path, "b", sections(tmp_path))
    from headrace.artifacts.dataset import Dataset

    first, second = Dataset.open(tmp_path / "a"), Dataset.open(tmp_path / "b")
    assert first.info.source["digest"] != second.info.source["digest"]
    assert first.digest != second.digest


def test_a_child_table_that_changes_meanwhile_fails_the_step(tmp_path):
    write_rows(tmp_path)
    write_child(tmp_path)
    source = str(tmp_path / "rows.csv")
    data = DataSpec(source=source, label="y", id="id")
    aggregates = {key: Aggregate(**value) for key, value in sections(tmp_path).items()}
    with pytest.raises(HeadraceError, match="expected the source to stay as it was fingerprinted"):
        ingest(source, fingerprint(source, data.model_dump(mode="json"), {}), "classification", data, tmp_path / "s",
               None, aggregates)  # fmt: skip
    assert not (tmp_path / "s").exists()


def test_what_is_scored_has_what_was_learned_from(tmp_path):
    """One definition: the plain function on tables gives every row what the snapshot has."""
    write_rows(tmp_path)
    write_child(tmp_path)
    _, _, path = snapshot(tmp_path, "s", sections(tmp_path))
    from headrace.artifacts.dataset import Dataset

    learned = whole(Dataset.open(path)).sort_by("id")
    child = pa.table(
        {
            "k": [f"p{i % 9}" for i in range(300)],
            "t": [datetime(2026, 3, 1 + i % 28, i % 24) for i in range(300)],
            "x": list(range(300)),
        }
    )
    aggregates = {key: Aggregate(**value) for key, value in sections(tmp_path).items()}
    scored = aggregate_tables(learned.select(["id", "k", "now"]), {"c": child}, aggregates)
    for name in ("c_n_7d", "c_n_all", "c_x_7d", "c_x_all"):
        assert scored[name].to_pylist() == learned[name].to_pylist()


def test_past_labels_count_only_once_it_is_said_when_they_are_known(tmp_path):
    write_rows(tmp_path)
    own = {"own": {"on": "k", "time": "now", "compute": {"left": "mean(y)"}}}
    with pytest.raises(HeadraceError, match="expected `delay`, how long after its time a row's label is known"):
        snapshot(tmp_path, "a", own)
    _, _, path = snapshot(tmp_path, "b", {"own": {**own["own"], "delay": "3d"}})
    from headrace.artifacts.dataset import Dataset

    rows = whole(Dataset.open(path)).to_pylist()
    for row in rows:
        known = [int(other["y"]) for other in rows if other["k"] == row["k"] and other["now"] < row["now"] - 3 * DAY]
        assert row["own_left_all"] == (pytest.approx(statistics.fmean(known)) if known else None)


def test_new_rows_beside_a_previous_snapshot_have_them_too(tmp_path):
    write_rows(tmp_path, 120)
    write_child(tmp_path)
    own = {"watermark": {"column": "id"}, "id": None}
    aggregates = {key: Aggregate(**value) for key, value in sections(tmp_path).items()}
    source = str(tmp_path / "rows.csv")
    from headrace.artifacts.dataset import Dataset

    def step(name, previous):
        data = DataSpec(source=source, label="y", watermark=own["watermark"])
        plain = {key: one.model_dump(mode="json") for key, one in aggregates.items()}
        digest = fingerprint(source, data.model_dump(mode="json"), plain)
        ingest(source, digest, "classification", data, tmp_path / name, previous, aggregates)
        return Dataset.open(tmp_path / name)

    first = step("a", None)
    write_rows(tmp_path, 200)
    second = step("b", tmp_path / "a")
    assert sum(first.info.rows.values()) == 120 and sum(second.info.rows.values()) == 200
    assert column(second, "c_n_all")[:120] == column(first, "c_n_all")


def test_a_snapshot_without_them_says_nothing_of_them(tmp_path):
    (tmp_path / "t.csv").write_text("id,y\n" + "".join(f"{i},{i % 2}\n" for i in range(200)))
    _, dataset = take(str(tmp_path / "t.csv"), tmp_path / "s")
    assert "aggregate" not in dataset.info.query
