"""The routes of BigQuery's REST API that its client uses for tables, queries and exports; DuckDB runs the queries."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

import duckdb
import pyarrow as pa

from tests.integration.components.ingest.fake_cloud import Cloud, GoogleStorage, parquet_bytes

_MACROS = """
CREATE MACRO FARM_FINGERPRINT(x) AS (hash(x) % 1000000007)::BIGINT;
CREATE MACRO TO_JSON_STRING(x) AS x::VARCHAR;
"""
_PAGE = 1_000  # rows; a real server's pages end at 10 MB
_TYPES = [
    (pa.types.is_boolean, "BOOLEAN"),
    (pa.types.is_integer, "INTEGER"),
    (pa.types.is_floating, "FLOAT"),
    (pa.types.is_decimal, "NUMERIC"),
    (pa.types.is_date, "DATE"),
    (pa.types.is_binary, "BYTES"),
    (pa.types.is_time, "TIME"),
    (lambda type: pa.types.is_timestamp(type) and type.tz, "TIMESTAMP"),
    (pa.types.is_timestamp, "DATETIME"),
    (pa.types.is_struct, "RECORD"),
]


@dataclass
class Warehouse(Cloud):
    """Tables, and the storage beside them."""

    tables: dict[str, pa.Table] = field(default_factory=dict)  # dataset.table
    kinds: dict[str, str] = field(default_factory=dict)
    modified: dict[str, int] = field(default_factory=dict)
    views: dict[str, str] = field(default_factory=dict)  # dataset.view -> its query
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    billed: int = 0  # queries that were run

    def write(self, name: str, table: pa.Table, kind: str = "TABLE") -> None:
        self.tables[name] = table
        self.kinds[name] = kind
        self.modified[name] = self.modified.get(name, 1_700_000_000_000) + 1

    def run(self, query: str) -> tuple[pa.Table, list[str]]:
        """The result, and the tables that were read: of a view those below it, as the real service tells it."""
        for name, text in reversed(self.views.items()):  # one may be of those that were made before it
            query = re.sub(rf"`(?:[\w-]+\.)?{re.escape(name)}`|\b{re.escape(name)}\b", f"({text})", query)
        read = [name for name in self.tables if re.search(rf"\b{re.escape(name)}\b", query)]
        with duckdb.connect() as connection:
            connection.execute(_MACROS)
            text = query
            for i, name in enumerate(read):
                connection.register(f"t{i}", self.tables[name])
                text = re.sub(rf"`(?:[\w-]+\.)?{re.escape(name)}`|\b{re.escape(name)}\b", f"t{i}", text)
            return connection.sql(text).to_arrow_table(), read


class BigQuery(GoogleStorage):
    """The REST API, version 2, and Google's storage."""

    cloud: Warehouse

    def _route(self) -> None:
        path = self.path.partition("?")[0]
        if not path.startswith("/bigquery/v2/"):
            return super()._route()
        path, query = self._asked()
        body = json.loads(self._body() or b"{}") if self.command == "POST" else {}
        if status := self.cloud.fail(path):
            return self._refuse(status, "as the test wants it")
        parts = path.removeprefix("/bigquery/v2/projects/").split("/")
        match parts:
            case [project, "jobs"]:
                return self._insert(project, body)
            case [_, "jobs", job]:
                return self._json(self.cloud.jobs[job])
            case [_, "queries", job]:
                return self._answer(self.cloud.jobs[job], query)
            case [project, "datasets", dataset, "tables", table, *rest]:
                name = f"{dataset}.{table}"
                if name in self.cloud.views:
                    return self._json(self._view(project, name))
                if name not in self.cloud.tables:
                    return self._refuse(404, f"Not found: Table {project}:{name}")
                return self._rows(name, query) if rest == ["data"] else self._json(self._table(project, name))
        return self._refuse(404, f"no route {path}")

    def _refuse(self, status: int, message: str, reason: str = "invalid") -> None:
        error = {"code": status, "message": message, "errors": [{"reason": reason, "message": message}]}
        self._json({"error": error}, status)

    def _table(self, project: str, name: str) -> dict[str, Any]:
        table = self.cloud.tables[name]
        dataset, _, short = name.partition(".")
        return {
            "id": f"{project}:{name}",
            "tableReference": {"projectId": project, "datasetId": dataset, "tableId": short},
            "schema": {"fields": fields_of(table.schema)},
            "numRows": str(table.num_rows),
            "numBytes": str(table.nbytes),
            "type": self.cloud.kinds[name],
            "lastModifiedTime": str(self.cloud.modified[name]),
            "etag": "e",
        }

    def _view(self, project: str, name: str) -> dict[str, Any]:
        dataset, _, short = name.partition(".")
        return {
            "id": f"{project}:{name}",
            "tableReference": {"projectId": project, "datasetId": dataset, "tableId": short},
            "type": "VIEW",
            "view": {"query": self.cloud.views[name], "useLegacySql": False},
        }

    def _insert(self, project: str, body: dict[str, Any]) -> None:
        configuration = body["configuration"]
        job = body.get("jobReference", {}).get("jobId") or f"job{len(self.cloud.jobs)}"
        made = {
            "jobReference": {"projectId": project, "jobId": job, "location": "EU"},
            "configuration": configuration,
            "status": {"state": "DONE"},
            "statistics": {},
        }
        if "extract" in configuration:
            self._extract(configuration["extract"])
        else:
            asked = configuration["query"]
            try:
                result, read = self.cloud.run(asked["query"])
            except duckdb.Error as error:
                self._refuse(400, str(error).splitlines()[0], "invalidQuery")
                return
            size = sum(self.cloud.tables[name].nbytes for name in read)
            made["statistics"] = {
                "totalBytesProcessed": str(size),
                "query": {
                    "totalBytesProcessed": str(size),
                    "schema": {"fields": fields_of(result.schema)},
                    "statementType": "SELECT",
                    "referencedTables": [
                        {"projectId": project, "datasetId": name.split(".")[0], "tableId": name.split(".")[1]}
                        for name in read
                    ],
                },
            }
            if not configuration.get("dryRun"):
                limit = asked.get("maximumBytesBilled")
                if limit is not None and not str(limit).isdigit():
                    self._refuse(400, f"Invalid value for maximumBytesBilled: {limit}")
                    return
                if limit is not None and size > int(limit):
                    message = f"Query exceeded limit for bytes billed: {limit}. {size} or higher required."
                    self._refuse(400, message, "bytesBilledLimitExceeded")
                    return
                self.cloud.billed += 1
                self.cloud.write(f"_anon.{job.replace('-', '_')}", result)
                asked["destinationTable"] = {
                    "projectId": project, "datasetId": "_anon", "tableId": job.replace("-", "_"),
                }  # fmt: skip
        self.cloud.jobs[job] = made
        self._json(made)

    def _extract(self, asked: dict[str, Any]) -> None:
        assert asked["destinationFormat"] == "PARQUET"
        source = asked["sourceTable"]
        table = self.cloud.tables[f"{source['datasetId']}.{source['tableId']}"]
        [uri] = asked["destinationUris"]
        half = table.num_rows // 2
        for i, part in enumerate((table.slice(0, half), table.slice(half))):
            self.cloud.put(uri.removeprefix("gs://").replace("*", f"{i:012}"), parquet_bytes(part))

    def _answer(self, job: dict[str, Any], query: dict[str, str]) -> None:
        to = job["configuration"]["query"]["destinationTable"]
        table = self.cloud.tables[f"_anon.{to['tableId']}"]
        answer = {
            "jobReference": job["jobReference"],
            "jobComplete": True,
            "schema": {"fields": fields_of(table.schema)},
            "totalRows": str(table.num_rows),
        }
        if rows := cells(table.slice(0, int(query.get("maxResults", _PAGE)))):  # an empty list would be the first page
            answer["rows"] = rows
        self._json(answer)

    def _rows(self, name: str, query: dict[str, str]) -> None:
        table = self.cloud.tables[name]
        if chosen := query.get("selectedFields"):
            table = table.select([one for one in table.column_names if one in chosen.split(",")])
        start = int(query.get("pageToken") or query.get("startIndex") or 0)
        count = min(_PAGE, int(query.get("maxResults", _PAGE)))
        part = table.slice(start, count)
        answer: dict[str, Any] = {"totalRows": str(table.num_rows), "rows": cells(part)}
        if start + part.num_rows < table.num_rows:
            answer["pageToken"] = str(start + part.num_rows)
        self._json(answer)

    do_GET = do_POST = do_DELETE = _route


def fields_of(schema: pa.Schema) -> list[dict[str, Any]]:
    """A schema as BigQuery describes it."""
    found = []
    for one in schema:
        repeated = pa.types.is_list(one.type)
        type = one.type.value_type if repeated else one.type
        name = next((name for test, name in _TYPES if test(type)), "STRING")
        entry: dict[str, Any] = {"name": one.name, "type": name, "mode": "REPEATED" if repeated else "NULLABLE"}
        if name == "RECORD":
            entry["fields"] = fields_of(pa.schema(list(type)))
        found.append(entry)
    return found


def cells(table: pa.Table) -> list[dict[str, Any]]:
    """Rows as BigQuery writes them in JSON."""
    columns = [[_cell(value, one.type) for value in table[one.name].to_pylist()] for one in table.schema]
    return [{"f": [{"v": value} for value in row]} for row in zip(*columns, strict=True)]


def _cell(value: Any, type: pa.DataType) -> Any:
    if value is None:
        return None
    if pa.types.is_boolean(type):
        return str(value).lower()
    if pa.types.is_timestamp(type):
        return str(int(pa.scalar(value, type).value)) if type.tz else value.isoformat()
    if pa.types.is_list(type):
        return [{"v": _cell(one, type.value_type)} for one in value]
    if pa.types.is_struct(type):
        return {"f": [{"v": _cell(one, type.field(name).type)} for name, one in value.items()]}
    return str(value)
