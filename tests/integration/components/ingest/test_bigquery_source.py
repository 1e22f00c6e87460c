from __future__ import annotations

import datetime
import gc
from collections.abc import Iterator
from decimal import Decimal

import pyarrow as pa
import pytest

from headrace.artifacts.errors import HeadraceError
from headrace.components.fingerprint.digest import fingerprint
from headrace.components.ingest.opened import Opened
from headrace.components.ingest.sources import bigquery_tables
from headrace.components.ingest.sources.bigquery import open_bigquery
from headrace.components.ingest.spec import DataSpec
from tests.integration.components.ingest.fake_bigquery import BigQuery, Warehouse
from tests.integration.components.ingest.fake_cloud import serving

ROWS = 5_000
PEOPLE = pa.table(
    {
        "id": pa.array(range(ROWS), pa.int64()),
        "name": [None if i % 7 == 0 else f"Zoë {i}" for i in range(ROWS)],
        "share": [i / 7 for i in range(ROWS)],
        "flag": [i % 2 == 0 for i in range(ROWS)],
        "price": pa.array([Decimal("1.25")] * ROWS, pa.decimal128(38, 9)),
        "day": [datetime.date(2024, 2, 29)] * ROWS,
        "at": pa.array([datetime.datetime(2024, 1, 1, 2, 3, 4, 567)] * ROWS, pa.timestamp("us")),
        "zoned": pa.array([datetime.datetime(2024, 1, 1, 12)] * ROWS, pa.timestamp("us", "UTC")),
        "list": [[1, 2]] * ROWS,
        "inner": [{"a": 1}] * ROWS,
        "raw": pa.array([b"x"] * ROWS),
    }
)
KEPT = PEOPLE.drop_columns(["list", "inner", "raw"])
EXPECTED = KEPT.set_column(4, "price", pa.array([1.25] * ROWS)).set_column(
    7, "zoned", KEPT["zoned"].cast(pa.timestamp("us"))
)
TABLE = "bigquery://proj.shop.people"


@pytest.fixture
def warehouse(monkeypatch: pytest.MonkeyPatch) -> Iterator[Warehouse]:
    from gcsfs import GCSFileSystem

    cloud = Warehouse()
    cloud.write("shop.people", PEOPLE)
    cloud.write("shop.orders", pa.table({"id": [1, 1, 2], "amount": [1.0, 2.0, None]}))
    cloud.put("stage/keep.txt", b"of others")
    with serving(BigQuery, cloud):
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", cloud.url)
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", cloud.url)
        monkeypatch.setattr(bigquery_tables, "RETRY_SECONDS", 2.0)
        GCSFileSystem.clear_instance_cache()
        yield cloud
        GCSFileSystem.clear_instance_cache()


def opened(source: str, rows: int | None = None, **settings: object) -> Opened:
    return open_bigquery(source, DataSpec.model_validate({"source": source, "label": "y", **settings}), rows)


def read(found: Opened) -> pa.Table:
    return pa.Table.from_batches(found.batches(), found.schema)


@pytest.mark.parametrize("staging", [None, "gs://stage/tmp"])
def test_a_table(warehouse: Warehouse, staging: str | None) -> None:
    found = opened(TABLE, staging=staging)
    assert read(found).equals(EXPECTED)
    assert read(found).equals(EXPECTED)
    assert found.left_out == {"list": "ARRAY", "inner": "RECORD", "raw": "BYTES"}
    assert "BigQuery's table has 5,000 rows and" in found.notes[0]
    assert warehouse.billed == 0


@pytest.mark.parametrize("staging", [None, "gs://stage/tmp"])
def test_a_query(warehouse: Warehouse, staging: str | None) -> None:
    query = "SELECT id, count(*) AS orders, sum(amount) AS total FROM `proj.shop.orders` GROUP BY id ORDER BY id;"
    found = opened("bigquery://proj", query=query, staging=staging)
    assert read(found).to_pylist() == [{"id": 1, "orders": 2, "total": 3.0}, {"id": 2, "orders": 1, "total": None}]
    assert found.notes[0] == "the query reads 49 bytes, which BigQuery bills"
    assert warehouse.billed == 1


def test_an_export_is_deleted_and_nothing_else(warehouse: Warehouse) -> None:
    found = opened(TABLE, staging="gs://stage/tmp/")
    assert sum(name.endswith(".parquet") for name in warehouse.objects) == 2
    assert "exported 2 files to gs://stage/tmp" in found.notes[-2] + found.notes[-1]
    read(found)
    del found
    gc.collect()
    assert list(warehouse.objects) == ["stage/keep.txt"]


def test_pages_are_fetched_as_they_are_wanted(warehouse: Warehouse) -> None:
    batches = opened(TABLE).batches()
    next(batches)
    assert sum("/data?" in request for request in warehouse.requests) < 3
    batches.close()


def test_a_look_costs_nothing(warehouse: Warehouse) -> None:
    assert read(opened(TABLE, rows=10)).equals(EXPECTED.slice(0, 10))
    look = opened("bigquery://proj", rows=10, query="SELECT id, name FROM shop.people")
    assert (look.schema.names, read(look).num_rows, warehouse.billed) == (["id", "name"], 0, 0)


@pytest.mark.parametrize(
    ("source", "settings", "message"),
    [
        ("bigquery://proj.shop.nope", {}, "expected a table. Received: .*Not found: Table proj:shop.nope"),
        ("bigquery://proj", {"query": "SELECT idd FROM shop.people"}, "expected a query that BigQuery can run. Received: .*idd"),
        ("bigquery://proj", {}, "expected a query or a table's name as data.query. Received: none"),
        ("bigquery://proj.shop", {}, "expected bigquery://project.dataset.table"),
        (TABLE, {"query": "SELECT 1 AS a"}, "expected a table or data.query. Received: both"),
        (TABLE, {"staging": "s3://bucket"}, "data.staging: expected gs://bucket/prefix. Received: s3://bucket"),
        ("bigquery://proj", {"query": "SELECT list FROM shop.people"}, "expected columns of .*Received: {'list': 'ARRAY'}"),
        (
            "bigquery://proj",
            {"query": "SELECT id FROM shop.people", "bigquery": {"maximum_bytes_billed": 10}},
            "Received: .*Query exceeded limit for bytes billed: 10",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_read(warehouse: Warehouse, source: str, settings: dict[str, object], message: str) -> None:
    with pytest.raises(HeadraceError, match=message) as caught:
        read(opened(source, **settings))
    assert str(caught.value).startswith((source, "data.staging"))
    assert warehouse.billed <= 1


@pytest.mark.parametrize(("status", "message"), [(403, "permission"), (503, "BigQuery to answer")])
def test_a_service_that_refuses(warehouse: Warehouse, status: int, message: str) -> None:
    warehouse.fail = lambda path: status
    with pytest.raises(HeadraceError, match=f"{TABLE}: expected {message}. Received: .*as the test wants it"):
        opened(TABLE)


def test_no_service(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", "http://127.0.0.1:1")
    with pytest.raises(HeadraceError, match=f"{TABLE}: expected a connection. Received: .*refused"):
        opened(TABLE)


def test_the_fingerprint_of_a_table(warehouse: Warehouse) -> None:
    first = fingerprint(TABLE)
    assert fingerprint(TABLE) == first
    warehouse.write("shop.orders", PEOPLE)
    assert fingerprint(TABLE) == first
    warehouse.write("shop.people", PEOPLE)
    assert fingerprint(TABLE) != first
    assert warehouse.billed == 0
    assert not any("/data?" in request for request in warehouse.requests)


def test_the_fingerprint_of_a_query(warehouse: Warehouse) -> None:
    def digest(query: str) -> str:
        return fingerprint("bigquery://proj", {"query": query})

    query = "SELECT id FROM `proj.shop.people`"
    first = digest(query)
    assert digest(query) == first
    assert digest("SELECT name FROM `proj.shop.people`") != first
    warehouse.write("shop.orders", PEOPLE)
    assert digest(query) == first
    warehouse.write("shop.people", PEOPLE)
    assert digest(query) != first
    assert warehouse.billed == 0


def test_a_query_of_today_changes_with_the_day(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    class Tomorrow(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:
            return datetime.datetime(2999, 1, 1, tzinfo=tz)

    today = {"query": "SELECT id FROM shop.people WHERE day < current_date"}
    always = {"query": "SELECT id FROM shop.people"}
    first, second = (fingerprint("bigquery://proj", one) for one in (today, always))
    monkeypatch.setattr(bigquery_tables.datetime, "datetime", Tomorrow)
    assert fingerprint("bigquery://proj", today) != first
    assert fingerprint("bigquery://proj", always) == second


def test_what_has_no_time_of_change_goes_by_its_content(warehouse: Warehouse) -> None:
    warehouse.write("shop.sheet", pa.table({"a": [1, 2, 3]}), kind="EXTERNAL")
    first = fingerprint("bigquery://proj.shop.sheet")
    warehouse.write("shop.sheet", pa.table({"a": [3, 2, 1]}), kind="EXTERNAL")
    assert fingerprint("bigquery://proj.shop.sheet") == first
    warehouse.tables["shop.sheet"] = pa.table({"a": [3, 2, 2]})  # without a word of when
    assert fingerprint("bigquery://proj.shop.sheet") != first
    assert warehouse.billed == 3


def test_a_view_that_is_defined_anew_is_another_source(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    warehouse.views["shop.grown"] = "SELECT * FROM shop.people WHERE id > 1"
    warehouse.views["shop.names"] = "SELECT name FROM `proj.shop.grown`"
    asked = {"query": "SELECT n.name FROM shop.names AS n"}
    first = fingerprint("bigquery://proj", asked)
    assert fingerprint("bigquery://proj", asked) == first
    warehouse.views["shop.grown"] = "SELECT * FROM shop.people WHERE id > 2"
    second = fingerprint("bigquery://proj", asked)
    assert second != first
    warehouse.write("shop.people", PEOPLE)
    assert fingerprint("bigquery://proj", asked) != second
    assert warehouse.billed == 0


def test_a_query_that_calls_a_function_of_ones_own_goes_by_its_content(warehouse: Warehouse) -> None:
    with pytest.raises(HeadraceError):  # which the service of this test has not; it is asked for the rows all the same
        fingerprint("bigquery://proj", {"query": "SELECT shop.twice(id) FROM shop.people"})
