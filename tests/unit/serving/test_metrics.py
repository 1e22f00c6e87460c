"""What is counted, by several processes, and the page that tells it."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_bundle import write_tiny_bundle

from headrace.artifacts.bundle import Bundle
from headrace.serving import board
from headrace.serving.board import Board
from headrace.serving.metrics import BUCKETS, KINDS, PROBABILITIES, Metrics, error_kinds, value_bounds

_LINE = re.compile(r'([a-z_]+)(?:\{((?:[a-z]+="(?:[^"\\\n]|\\["\\n])*",?)+)\})? (-?[0-9.e+-]+)')


def read(page: bytes) -> dict[str, float]:
    """Series -> value; refuses a page that is not of the text format: each series once, below its family's head."""
    found: dict[str, float] = {}
    families: dict[str, str] = {}
    lines = page.decode().split("\n")
    assert lines.pop() == ""
    for line in lines:
        if line.startswith("# HELP "):
            name = line.split()[2]
            assert name not in families, name
            families[name] = ""
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            assert kind in ("counter", "gauge", "histogram") and list(families)[-1] == name
            families[name] = kind
        else:
            match = _LINE.fullmatch(line)
            assert match is not None, line
            series = line.rpartition(" ")[0]
            assert series not in found, series
            last = list(families)[-1]
            suffixes = ("_bucket", "_sum", "_count") if families[last] == "histogram" else ("",)
            assert match[1] in [last + suffix for suffix in suffixes], line
            found[series] = float(match[3])
    return found


def outputs(*rows: Any) -> np.ndarray:
    return np.array(rows, np.float32)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(Board(2))


def test_a_request_is_counted_by_version_route_and_status(metrics: Metrics, binary: Bundle) -> None:
    counted = metrics.version(binary)
    counted.serves(90)
    counted.scored("/predict", 0.0002, outputs([0.2, 0.8]), unseen=2)
    counted.scored("/v2/models/tiny/infer", 0.3, outputs([0.9, 0.1], [0.4, 0.6]))
    counted.answered("/predict", 400)
    metrics.error(400)
    found = read(metrics.text())
    version = 'model="tiny",version="3"'
    assert found[f'headrace_requests_total{{{version},route="/predict",status="200"}}'] == 1
    assert found[f'headrace_requests_total{{{version},route="/predict",status="400"}}'] == 1
    assert found[f'headrace_requests_total{{{version},route="/v2/models/tiny/infer",status="200"}}'] == 1
    assert found[f"headrace_rows_total{{{version}}}"] == 3
    assert found[f"headrace_request_rows_sum{{{version}}}"] == 3
    assert [found[f'headrace_request_rows_bucket{{{version},le="{le}"}}'] for le in (1, 2, "+Inf")] == [1, 2, 2]
    assert found[f"headrace_unseen_categories_total{{{version}}}"] == 2
    assert found[f'headrace_latency_seconds_bucket{{{version},le="0.0001"}}'] == 0
    assert found[f'headrace_latency_seconds_bucket{{{version},le="0.00025"}}'] == 1
    assert found[f"headrace_latency_seconds_count{{{version}}}"] == 2
    assert found[f"headrace_latency_seconds_sum{{{version}}}"] == pytest.approx(0.3002)
    assert found['headrace_errors_total{kind="bad_request"}'] == 1
    assert found[f"headrace_model_traffic_percent{{{version}}}"] == 90
    assert found[f'headrace_model_info{{{version},digest="{binary.digest}",shadow="false"}}'] == 1


@pytest.mark.parametrize("rows", [1, 3, 100])
def test_probabilities_are_counted_in_twenty_bins(rows: int, metrics: Metrics, binary: Bundle) -> None:
    values = np.random.default_rng(rows).random(rows).astype(np.float32)
    values[0] = 1.0
    metrics.version(binary).scored("/predict", 0.1, np.stack([1 - values, values], axis=1))
    found = read(metrics.text())
    for bound in PROBABILITIES:
        series = f'headrace_predictions_bucket{{model="tiny",version="3",le="{bound}"}}'
        assert found[series] == (values <= bound).sum(), bound
    assert found['headrace_predictions_count{model="tiny",version="3"}'] == rows
    assert found['headrace_predictions_sum{model="tiny",version="3"}'] == pytest.approx(values.sum(dtype=float))


@pytest.mark.parametrize("rows", [1, 3, 100])
def test_a_prediction_that_is_no_number_is_told(rows: int, metrics: Metrics, bundles: dict[str, Path]) -> None:
    for kind, width in (("binary", 2), ("multiclass", 3), ("regression", 1)):
        metrics = Metrics()
        metrics.version(Bundle.open(bundles[kind])).scored("/predict", 0.1, np.full((rows, width), np.nan, np.float32))
        found = read(metrics.text())
        assert found['headrace_predictions_not_finite_total{model="tiny",version="3"}'] == rows, kind
        if kind != "multiclass":
            assert found['headrace_predictions_bucket{model="tiny",version="3",le="+Inf"}'] == rows
            assert found['headrace_predictions_sum{model="tiny",version="3"}'] == 0


@pytest.mark.parametrize("together", [True, False])
def test_labels_are_counted(together: bool, metrics: Metrics, bundles: dict[str, Path]) -> None:
    counted = metrics.version(Bundle.open(bundles["multiclass"]))
    rows = [[0.1, 0.8, 0.1], [0.4, 0.4, 0.2], [0.0, 0.9, 0.1]]  # of equals the first counts, as in the answer
    for some in [rows] if together else [[row] for row in rows]:
        counted.scored("/predict", 0.1, outputs(*some))
    found = read(metrics.text())
    counts = [
        found[f'headrace_predictions_total{{model="tiny",version="3",label="{label}"}}']
        for label in ("low", "mid", "high")
    ]
    assert counts == [1, 2, 0]
    assert not any("headrace_predictions_bucket" in series for series in found)


def test_more_labels_than_fit_are_counted_together(tmp_path: Path, metrics: Metrics, bundles: dict[str, Path]) -> None:
    bundle = Bundle.open(bundles["multiclass"])
    classes = tuple(f"{'ä' * 30}{place}" for place in range(200))
    object.__setattr__(bundle.signature, "classes", classes)
    counted = metrics.version(bundle)
    counted.scored("/predict", 0.1, np.eye(200, dtype=np.float32)[[199, 0]])
    counted.scored("/predict", 0.1, np.eye(200, dtype=np.float32)[[199]])
    found = read(metrics.text())
    assert found[f'headrace_predictions_total{{model="tiny",version="3",label="{classes[0]}"}}'] == 1
    assert found['headrace_predictions_total{model="tiny",version="3",label="(other)"}'] == 2
    assert 5 < sum("predictions_total" in series for series in found) <= 65


def test_versions_of_a_regression_share_their_bins(tmp_path: Path, metrics: Metrics, bundles: dict[str, Path]) -> None:
    first = Bundle.open(bundles["regression"])
    path = write_tiny_bundle(tmp_path / "next", "regression", trees=60, details={"name": "tiny", "version": "4"})
    values = [sample["value"] for sample in first.samples()[1]]
    metrics.version(first).scored("/predict", 0.1, outputs(*[[value] for value in values]))
    metrics.version(Bundle.open(path)).scored("/predict", 0.1, outputs([1e9]))
    found = read(metrics.text())
    bins = {
        version: [re.findall('le="(.*)"', one)[0] for one in found if "predictions_bucket" in one and version in one]
        for version in ('version="3"', 'version="4"')
    }
    assert bins['version="3"'] == bins['version="4"'] and len(bins['version="3"']) == 21
    assert found['headrace_predictions_bucket{model="tiny",version="4",le="+Inf"}'] == 1
    inside = [value for value in values if float(bins['version="3"'][0]) <= value <= float(bins['version="3"'][-2])]
    assert len(inside) == len(values)  # the bounds reach beyond what the samples have


@pytest.mark.parametrize("values", [[0.0], [5.0, 5.0], [-1e9, 1e9], [1e-9, 3e-9], [float("nan")], [], [1e300, -1e300]])
def test_bounds_are_twenty_numbers_that_rise(values: list[float]) -> None:
    bounds = value_bounds(values)
    assert len(set(bounds)) == 20 and bounds == sorted(bounds)
    finite = [value for value in values if value == value]
    assert all(bounds[0] <= value <= bounds[-1] for value in finite)


def test_all_processes_are_told_by_any_and_a_dead_ones_counts_stay(binary: Bundle) -> None:
    shared = Board(2)
    for _ in range(2):  # the second takes the place of the first, which was killed
        pid = os.fork()
        if pid == 0:
            metrics = Metrics(shared, 1)
            counted = metrics.version(binary)
            counted.serves(100)
            metrics.state(1, 4, 3, 2)
            for _ in range(10):
                counted.scored("/predict", 0.01, outputs([0.5, 0.5]))
            os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(pid, 0)
    mine = Metrics(shared, 0)
    mine.version(binary).scored("/predict", 0.01, outputs([0.5, 0.5]))
    found = read(mine.text())
    assert found['headrace_requests_total{model="tiny",version="3",route="/predict",status="200"}'] == 21
    assert found["headrace_requests_queued"] == 2 and found["headrace_connections_total"] == 8
    assert found["headrace_processes"] == 1
    assert found['headrace_process_resident_memory_bytes{process="0"}'] > 10_000_000
    Metrics(shared, 1)
    assert read(mine.text())["headrace_requests_queued"] == 0  # nobody has those any more


def test_a_shadow_is_counted_apart(metrics: Metrics, binary: Bundle) -> None:
    metrics.version(binary).scored("/predict", 0.1, outputs([0.5, 0.5]))
    shadow = metrics.version(binary, shadow=True)
    shadow.serves(0)
    shadow.scored("/predict", 0.1, outputs([0.5, 0.5]))
    shadow.answered("/predict", 500)
    found = read(metrics.text())
    labels = '{model="tiny",version="3",route="/predict",status="200"}'
    assert found[f"headrace_requests_total{labels}"] == found[f"headrace_shadow_requests_total{labels}"] == 1
    assert found['headrace_shadow_predictions_count{model="tiny",version="3"}'] == 1
    assert found[f'headrace_model_info{{model="tiny",version="3",digest="{binary.digest}",shadow="true"}}'] == 1


def test_versions_come_and_go_without_an_end(metrics: Metrics, binary: Bundle) -> None:
    live = metrics.version(binary)
    live.serves(100)
    for number in range(100):
        other = metrics.version(binary.registered(str(1000 + number)))
        other.serves(1)
        other.scored("/predict", 0.1, outputs([0.5, 0.5]))
        other.retires()
    live.scored("/predict", 0.1, outputs([0.5, 0.5]))
    found = read(metrics.text())
    assert found['headrace_rows_total{model="tiny",version="3"}'] == 1  # what serves is never forgotten
    assert found['headrace_rows_total{model="tiny",version="1099"}'] == 1
    assert sum(series.startswith("headrace_rows_total") for series in found) == board.VERSIONS
    again = metrics.version(binary.registered("1099"))
    again.scored("/predict", 0.1, outputs([0.5, 0.5]))
    assert read(metrics.text())['headrace_rows_total{model="tiny",version="1099"}'] == 2


def test_routes_and_names_of_any_kind_are_told(metrics: Metrics, binary: Bundle) -> None:
    bundle = binary.registered('a"b\\c\n' + "x" * 3000)
    counted = metrics.version(bundle)
    for number in range(100):
        counted.answered(f"/{'r' * 300}/{number}", 400)
    counted.scored("/päth", 0.1, outputs([0.5, 0.5]))
    found = read(metrics.text())
    requests = {series: value for series, value in found.items() if series.startswith("headrace_requests_total")}
    assert sum(requests.values()) == 101
    assert len(requests) <= board.MOST_PAIRS


def test_calls_of_a_slow_model_are_counted(metrics: Metrics) -> None:
    assert not any("batch" in series for series in read(metrics.text()))
    metrics.called(3, 40)
    found = read(metrics.text())
    assert (found["headrace_batch_rows_sum"], found["headrace_batch_requests_sum"]) == (40, 3)
    assert found['headrace_batch_rows_bucket{le="32"}'] == 0 and found['headrace_batch_rows_bucket{le="64"}'] == 1


def test_every_status_has_a_kind(metrics: Metrics) -> None:
    for status in (*KINDS, 418, 599):
        metrics.error(status)
    found = read(metrics.text())
    kinds = {kind: found[f'headrace_errors_total{{kind="{kind}"}}'] for kind in error_kinds()}
    assert sum(kinds.values()) == len(KINDS) + 2
    assert kinds["other"] == 2 and kinds["too_large"] == 3


def test_the_words_of_a_block_do_not_overlap() -> None:
    assert board.LATENCY + len(BUCKETS) + 1 <= board.LATENCY_SUM < board.REQUEST_ROWS
    assert board.PREDICTED + board.NOT_A_NUMBER < board.PREDICTED_SUM < board.BOUNDS
    assert board.BOUNDS + 20 <= board.PAIRS and 8 * (board.PAIRS + board.MOST_PAIRS) <= board._KEY
    assert board._PAIR + board.MOST_PAIRS * board._PAIR_BYTES <= board.BLOCK
    assert board.ERRORS + len(error_kinds()) <= board.BLOCK // 8
