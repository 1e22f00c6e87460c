"""What servers tell of themselves: counters of all workers, the request log, traces."""

from __future__ import annotations

import gzip
import http.server
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from tiny_bundle import INPUTS, body, random_instances

from headrace.serving.client import Client
from tests.integration.serving.servers import GOOD, ask, children, gone, process, refused, url_of, wait_until

ANSWERED = 'headrace_requests_total{model="tiny",version="3",route="/predict",status="200"}'


def metrics(url: str) -> dict[str, float]:
    lines = ask(url, "GET", "/metrics")[2].decode().splitlines()
    return {series: float(value) for series, _, value in (x.rpartition(" ") for x in lines if x[0] != "#")}


def logged(folder: Path, query: str) -> list[Any]:
    relation = f"read_parquet('{folder}/requests-*.parquet', union_by_name = true)"
    return duckdb.sql(query.format(log=relation)).fetchall()


def stop(started: subprocess.Popen[str]) -> str:
    started.send_signal(signal.SIGTERM)
    _, err = started.communicate(timeout=30)
    assert started.returncode == 0, err
    return err


def test_each_worker_tells_what_all_have_counted_also_those_that_died(bundles: dict[str, Path]) -> None:
    with process(bundles["binary"], "--port", 0, "--workers", 2) as started:
        url = url_of(started)
        for number in range(40):  # each on a connection of its own: the kernel deals them out
            ask(url, "POST", "/predict", body(GOOD), {"x-request-id": f"r{number}"})
        pages = [metrics(url) for _ in range(6)]
        assert {page[ANSWERED] for page in pages} == {40.0}
        assert pages[0]["headrace_processes"] == 2
        begun = pages[0]["process_start_time_seconds"]
        time.sleep(max(0.0, begun + 5.5 - time.time()))  # one that dies at once would be the server's end
        for victim in children(started.pid):
            os.kill(victim, signal.SIGKILL)
            wait_until(lambda gone=victim: gone not in children(started.pid) and len(children(started.pid)) == 2)
        wait_until(lambda: metrics(url)["headrace_processes"] == 2)
        ask(url, "POST", "/predict", body(GOOD))
        page = metrics(url)
        assert page[ANSWERED] == 41
        assert page["process_start_time_seconds"] == begun
        assert page["process_cpu_seconds_total"] >= pages[-1]["process_cpu_seconds_total"]
        stop(started)


def test_requests_are_logged_with_their_ids_and_joined_with_what_came_of_them(
    bundles: dict[str, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "log"
    instances = random_instances(INPUTS, 60, seed=5)
    given = ["--workers", 2, "--log-dir", folder, "--log-omit", "signup,key"]
    with process(bundles["binary"], "--port", 0, *given) as started:
        url = url_of(started)
        answers = {}
        for number, instance in enumerate(instances):
            name = {"x-request-id": f"r{number}"} if number else {}
            status, headers, answer = ask(url, "POST", "/predict", body(instance), name)
            assert status == 200 and (not number or headers["x-request-id"] == f"r{number}")
            answers[headers["x-request-id"]] = answer["predictions"][0]["label"]
        assert (
            ask(url, "POST", "/predict", body({**GOOD, "plan": 1}), {"x-request-id": "bad"})[1]["x-request-id"] == "bad"
        )
        stop(started)
    assert dict(logged(folder, "SELECT request_id, prediction FROM {log}")) == answers
    plans = dict(logged(folder, "SELECT request_id, instance.plan FROM {log}"))
    assert [plans[f"r{number}"] for number in range(1, 60)] == [instance["plan"] for instance in instances[1:]]
    duckdb.sql(
        "CREATE OR REPLACE TABLE truth AS SELECT 'r' || range AS request_id, range % 2 AS churned FROM range(1, 31)"
    )
    joined = "SELECT count(*), avg((prediction = churned::VARCHAR)::INT) FROM {log} JOIN truth USING (request_id) WHERE row = 0"
    assert logged(folder, joined)[0][0] == 30
    assert logged(folder, "SELECT DISTINCT json_keys(to_json(instance)) FROM {log}") == [
        (["tenure", "spend per month", "is_new", "plan"],)
    ]


def test_a_share_of_the_requests_is_logged(bundles: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "log"
    with process(bundles["binary"], "--port", 0, "--log-dir", folder, "--log-sample", 0.25) as started:
        with Client(url_of(started)) as client:
            for instance in random_instances(INPUTS, 400, seed=3):
                client.predict([instance])
        stop(started)
    assert 60 < logged(folder, "SELECT count(*) FROM {log}")[0][0] < 140


def test_what_cannot_be_logged_so_is_refused_at_the_start(bundles: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "log dir: expected a folder to write to" in refused(bundles["binary"], "--log-dir", tmp_path / "file")
    said = refused(bundles["binary"], "--log-dir", tmp_path / "log", "--log-omit", "plam")
    assert said.endswith("signup, key. Received: plam")
    assert "log sample: expected a share from 0 to 1. Received: 2.0" in refused(bundles["binary"], "--log-sample", 2)


@pytest.mark.slow
def test_a_writer_that_is_killed_loses_no_row_that_was_in_its_file(bundles: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "log"
    given = ["--workers", 2, "--log-dir", folder, "--log-file-seconds", 600]
    with process(bundles["binary"], "--port", 0, *given) as started:
        url = url_of(started)
        time.sleep(6.0)
        with Client(url) as client:
            for _ in range(100):
                client.predict([GOOD])
            wait_until(lambda: metrics(url)["headrace_request_log_rows_total"] == 100)
            writer = children(started.pid)[0]  # it is begun before the workers
            os.kill(writer, signal.SIGKILL)
            wait_until(lambda: gone(writer))  # one that is dying can still take a row along
            for _ in range(100):
                client.predict([GOOD])
            wait_until(lambda: metrics(url)["headrace_request_log_rows_total"] == 200, 60)
        err = stop(started)
    assert "the writer of the request log ended; starting another" in err
    assert logged(folder, "SELECT count(*), count(DISTINCT request_id) FROM {log}") == [(200, 200)]
    assert not [file for file in folder.iterdir() if file.suffix != ".parquet"]


class Collector(http.server.BaseHTTPRequestHandler):
    """Takes spans by OTLP over HTTP."""

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            content = gzip.decompress(content)
        request = ExportTraceServiceRequest.FromString(content)
        self.server.came += [(self.path, one) for one in request.resource_spans]  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def collector() -> Iterator[tuple[str, list[Any]]]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        server.came = []  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", server.came  # type: ignore[attr-defined]
        server.shutdown()


def test_spans_go_to_the_collector_that_the_environment_names(bundles: dict[str, Path]) -> None:
    trace, span = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    with collector() as (address, came):
        environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": address, "OTEL_SERVICE_NAME": "churn"}
        with process(bundles["binary"], "--port", 0, **environment) as started:
            url = url_of(started)
            ask(url, "POST", "/predict", body(GOOD), {"traceparent": f"00-{trace}-{span}-01", "x-request-id": "r1"})
            ask(url, "POST", "/predict", body(GOOD), {"traceparent": f"00-{trace}-{span}-00"})  # not sampled
            ask(url, "POST", "/predict", b"{", {"traceparent": "nonsense"})
            stop(started)  # sends what waits
    assert {path for path, _ in came} == {"/v1/traces"}
    assert {a.value.string_value for _, r in came for a in r.resource.attributes if a.key == "service.name"} == {
        "churn"
    }
    spans = [one for _, resource in came for scope in resource.scope_spans for one in scope.spans]
    first, second = sorted(spans, key=lambda one: one.start_time_unix_nano)
    assert (first.trace_id.hex(), first.parent_span_id.hex(), first.name) == (trace, span, "POST /predict")
    values = {item.key: item.value.string_value or item.value.int_value for item in first.attributes}
    assert values["http.response.status_code"] == 200 and values["headrace.request_id"] == "r1"
    assert (values["headrace.model"], values["headrace.version"], values["headrace.rows"]) == ("tiny", "3", 1)
    assert 0 < first.end_time_unix_nano - first.start_time_unix_nano < 10**9
    assert second.trace_id.hex() != trace and second.parent_span_id == b""
    assert {item.key: item.value.int_value for item in second.attributes}["http.response.status_code"] == 400


def test_a_collector_that_is_gone_stops_nothing(bundles: dict[str, Path]) -> None:
    with process(bundles["binary"], "--port", 0, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9") as started:
        url = url_of(started)
        assert ask(url, "POST", "/predict", body(GOOD))[0] == 200
        begun = time.monotonic()
        err = stop(started)
    assert time.monotonic() - begun < 10
    assert err.count("headrace: traces:") <= 2 and "Traceback" not in err


def test_nothing_of_opentelemetry_or_of_the_log_is_imported_without_need(bundles: dict[str, Path]) -> None:
    with process(bundles["binary"], "--port", 0) as started:
        url = url_of(started)
        ask(url, "POST", "/predict", body(GOOD))
        mapped = Path(f"/proc/{started.pid}/maps").read_text()
        assert "pyarrow" not in mapped and "google/_upb" not in mapped
        stop(started)
