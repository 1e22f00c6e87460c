"""What each route of the server answers, over real sockets."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tiny_bundle import INPUTS, body, random_instances

from headrace.artifacts.bundle import Bundle
from headrace.serving.client import Client, predict
from headrace.serving.local import running_server
from headrace.serving.verify import verify_samples
from tests.integration.serving.servers import GOOD, ask, wait_until


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_the_samples_are_answered_as_the_trained_model_did(kind: str, bundles: dict[str, Path]) -> None:
    with running_server(bundles[kind]) as url:
        report = verify_samples(url, Bundle.open(bundles[kind]), requests=30)
    assert report.passed, report.mismatches
    assert report.requests == 30
    assert 0 < report.p50_ms <= report.p99_ms < 10_000


def test_the_root_describes_the_model(url: str, binary: Bundle) -> None:
    status, _, about = ask(url, "GET", "/")
    assert status == 200
    assert (about["name"], about["version"], about["digest"]) == ("tiny", "3", binary.digest)
    assert [(item["name"], item["type"]) for item in about["inputs"]] == [(i.name, i.type) for i in INPUTS]
    assert (about["task"], about["classes"], about["predict"]) == ("classification", ["0", "1"], "/predict")
    assert about["outputs"] == [{"name": "probabilities", "type": "number", "size": 2}]


def test_health(url: str) -> None:
    for path in ("/health", "/healthz"):
        assert ask(url, "GET", path)[::2] == (200, {"status": "ok"})
    assert ask(url, "HEAD", "/health")[0] == 200


def test_a_wrong_path_method_or_body_says_so(url: str) -> None:
    routes = "GET /, GET /metrics, GET /health, GET /healthz, GET /openapi.json, GET /docs, POST /predict"
    assert ask(url, "GET", "/nope")[::2] == (404, {"error": f"expected one of {routes}. Received: /nope"})
    status, headers, answer = ask(url, "GET", "/predict")
    assert (status, answer) == (405, {"error": "expected POST /predict. Received: GET"})
    assert headers["allow"] == "POST"
    assert ask(url, "POST", "/health", b"{}")[0] == 405
    status, _, answer = ask(url, "POST", "/predict", body({**GOOD, "tenure": "abc"}))
    assert (status, answer) == (
        400,
        {"error": 'instances[0].tenure: expected a number or null. Received: "abc"'},
    )
    assert ask(url, "POST", "/predict", b"")[0] == 400
    assert ask(url, "POST", "/predict", b'{"instances":[]}')[::2][1]["predictions"] == []


def test_the_content_type_does_not_matter(url: str) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        assert ask(url, "POST", "/predict", body(GOOD), {"Content-Type": kind})[0] == 200


def test_many_clients_get_their_own_answers(url: str) -> None:
    instances = random_instances(INPUTS, 64, seed=11)
    expected = predict(url, instances)

    def work(start: int) -> bool:
        with Client(url) as client:
            order = [(start + step) % 64 for step in range(64)]
            return [client.predict([instances[i]])[0] for i in order] == [expected[i] for i in order]

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(work, range(16)))


def test_metrics_count_what_was_answered(bundles: dict[str, Path], binary: Bundle) -> None:
    with running_server(bundles["binary"]) as url:
        predict(url, [GOOD, {**GOOD, "plan": "platinum"}])
        predict(url, [])
        ask(url, "POST", "/predict", b"{")
        ask(url, "GET", "/predict")
        ask(url, "GET", "/nope")
        wait_until(lambda: b"headrace_connections_total 0" not in ask(url, "GET", "/metrics")[2])
        status, headers, text = ask(url, "GET", "/metrics")
    assert (status, headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    values = dict(line.rsplit(" ", 1) for line in text.decode().splitlines() if not line.startswith("#"))
    version = 'model="tiny",version="3"'
    assert values[f'headrace_requests_total{{{version},route="/predict",status="200"}}'] == "2"
    assert values[f'headrace_requests_total{{{version},route="/predict",status="400"}}'] == "1"
    errors = {
        kind: values[f'headrace_errors_total{{kind="{kind}"}}'] for kind in ("bad_request", "method", "not_found")
    }
    assert errors == {"bad_request": "1", "method": "1", "not_found": "1"}
    assert values[f"headrace_rows_total{{{version}}}"] == values[f"headrace_predictions_count{{{version}}}"] == "2"
    assert values[f"headrace_unseen_categories_total{{{version}}}"] == "1"
    assert values[f"headrace_latency_seconds_count{{{version}}}"] == "2"
    assert values[f'headrace_latency_seconds_bucket{{{version},le="+Inf"}}'] == "2"
    assert float(values[f"headrace_latency_seconds_sum{{{version}}}"]) > 0
    assert values[f'headrace_model_info{{{version},digest="{binary.digest}",shadow="false"}}'] == "1"
    assert int(values["headrace_connections_total"]) >= 5
