"""An evaluation as TensorFlow Model Analysis (TFMA) writes its own, so that `tfma.load_eval_result(folder)` opens it.

    <folder>/
        eval_config.json                   EvalRun of TFMA's config.proto: label, slices, metrics
        metrics-00000-of-00001.tfrecord    a MetricsForSlice for all rows and for each slice
            plots-00000-of-00001.tfrecord      two classes: a PlotsForSlice with the threshold table and the calibration
        attributions-00000-of-00001.tfrecord    an AttributionsForSlice of all rows, where answers were explained

Metrics that Keras or TFMA have are named as there, and all others as here. TFMA itself is of another environment than
this step; so its messages, of which few fields are needed, are written field by field. The numbers of the fields are
those of metrics_for_slice.proto of TFMA 0.47.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

import google_crc32c

from headrace.artifacts.by import CROSS
from headrace.artifacts.evaluation import Evaluation, Slice
from headrace.components.evaluate.totals import BINS

TFMA_VERSION = "0.47.1"
FOLDER = "tfma"

_Value: TypeAlias = "bytes | float | str | Message"
Message: TypeAlias = "list[tuple[int, _Value]]"  # (number of the field, value)

NAMES = {
    "binary": {
        "accuracy": "binary_accuracy",
        "log_loss": "binary_crossentropy",
        "pr_auc": "auc_precision_recall",
        "fpr": "false_positive_rate",
        "fnr": "false_negative_rate",
        "npv": "negative_predictive_value",
        "f1": "f1_score",
        "mcc": "matthews_correlation_coefficient",
    },
    "multiclass": {"accuracy": "sparse_categorical_accuracy", "log_loss": "sparse_categorical_crossentropy"},
    "regression": {
        "mse": "mean_squared_error",
        "rmse": "root_mean_squared_error",
        "mae": "mean_absolute_error",
        "mape": "mean_absolute_percentage_error",
    },
}


def write_tfma(folder: Path, found: Evaluation) -> None:
    """Writes the evaluation into `folder`, which is made.

    Keras gives the mean absolute percentage error in percent, and so does this.
    """
    folder.mkdir(parents=True)
    slices = [_metrics([], found.metrics, found.intervals, found.rows, found)]
    slices += [_metrics(_key(part), part.metrics, part.intervals, part.rows, found) for part in found.slices]
    _records(folder / "metrics-00000-of-00001.tfrecord", slices)
    if found.thresholds:
        _records(folder / "plots-00000-of-00001.tfrecord", [_plots(found)])
    if found.attributions:
        sizes: Message = [(2, [(1, mean.feature), (2, _metric_value(mean.size))]) for mean in found.attributions.means]
        key: Message = [(1, "mean_absolute_attribution")]
        _records(folder / "attributions-00000-of-00001.tfrecord", [[(1, []), (2, [(1, key), *sizes])]])
    text = json.dumps(_run(found), indent=2, ensure_ascii=False) + "\n"
    (folder / "eval_config.json").write_text(text, encoding="utf-8")


def _run(found: Evaluation) -> dict[str, object]:
    """EvalRun. What it was computed by is no matter of TFMA's: of the metrics only the names are given."""
    columns = dict.fromkeys(part.by for part in found.slices)
    names = [_named(name, found.kind) for name in found.metrics]
    return {
        "version": TFMA_VERSION,
        "dataLocation": found.dataset_digest,
        "fileFormat": "parquet",
        "modelLocations": {"": found.model_digest or ""},
        "evalConfig": {
            "modelSpecs": [{"labelKey": found.label, **({"exampleWeightKey": found.weight} if found.weight else {})}],
            "slicingSpecs": [{}, *({"featureKeys": by.split(CROSS)} for by in columns)],
            "metricsSpecs": [{"metrics": [{"className": name} for name in [*names, "example_count"]]}],
            "options": {"computeConfidenceIntervals": True},
        },
    }


def _named(name: str, kind: str) -> str:
    return NAMES[kind].get(name, name)


def _key(part: Slice) -> Message:
    """SingleSliceKey for each column. A value is written as text, whatever the column's type."""
    pairs = zip(part.by.split(CROSS), part.value.split(CROSS), strict=False)
    return [(1, [(1, column), (2, value.encode())]) for column, value in pairs]


def _metrics(
    key: Message, metrics: dict[str, float], intervals: dict[str, tuple[float, float]], rows: int, found: Evaluation
) -> Message:
    """MetricsForSlice."""
    values: Message = [(51, _metric("example_count", float(rows), None, weighted=False))]
    for name, value in metrics.items():
        scale = 100.0 if name == "mape" else 1.0
        bounds = intervals.get(name)
        ends = (bounds[0] * scale, bounds[1] * scale) if bounds else None
        values.append((51, _metric(_named(name, found.kind), value * scale, ends, bool(found.weight))))
    return [(1, key), *values]


def _metric(name: str, value: float, bounds: tuple[float, float] | None, weighted: bool) -> Message:
    """MetricKeyAndValue, with the interval as ConfidenceInterval has it."""
    made: Message = [(1, _metric_key(name, 7, weighted)), (2, _metric_value(value))]
    if bounds:
        made.append((3, [(1, _metric_value(bounds[1])), (2, _metric_value(bounds[0]))]))
    return made


def _metric_key(name: str, place: int, weighted: bool, name_place: int = 1) -> Message:
    return [(name_place, name), (place, [(1, weighted)])]


def _metric_value(value: float) -> Message:
    return [(1, [(1, value)])]


def _plots(found: Evaluation) -> Message:
    """PlotsForSlice of all rows: ConfusionMatrixAtThresholds, and the histogram of calibration."""
    matrices: Message = []
    for one in found.thresholds:
        counts = (one.false_negatives, one.true_negatives, one.false_positives, one.true_positives)
        rates = ((6, one.precision), (7, one.recall), (20, one.fpr), (21, one.f1))
        cells: Message = [(1, one.threshold), *((2 + place, count) for place, count in enumerate(counts))]
        cells += [(number, rate) for number, rate in rates if rate is not None]
        matrices.append((1, cells))
    data: Message = [(2, matrices)]
    curve = found.curve("calibration")
    if curve:
        buckets: Message = []
        for mean, share, rows, *_ in curve.points:
            place = min(int(mean * BINS), BINS - 1)
            low, high = place / BINS, (place + 1) / BINS
            sums: Message = [(3, [(1, rows)]), (4, [(1, share * rows)]), (5, [(1, mean * rows)])]
            buckets.append((1, [(1, low), (2, high), *sums]))
        data.insert(0, (1, buckets))
    return [(1, []), (8, [(1, _metric_key("", 5, bool(found.weight), 6)), (2, data)])]


def _records(file: Path, messages: Iterable[Message]) -> None:
    """TFRecord: length, its checksum, the bytes, their checksum."""
    with file.open("wb") as opened:
        for message in messages:
            content = _encoded(message)
            length = struct.pack("<Q", len(content))
            opened.write(length + _checksum(length) + content + _checksum(content))


def _checksum(content: bytes) -> bytes:
    """TFRecord's masked CRC-32C."""
    crc = google_crc32c.value(content)
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)


def _encoded(message: Message) -> bytes:
    """A message in protobuf's wire format: booleans as varint, numbers as double, all else with its length."""
    parts = []
    for number, value in message:
        if isinstance(value, bool):
            parts.append(_varint(number << 3) + _varint(int(value)))
        elif isinstance(value, float):
            parts.append(_varint(number << 3 | 1) + struct.pack("<d", value))
        else:
            content = (
                _encoded(value) if isinstance(value, list) else value.encode() if isinstance(value, str) else value
            )
            parts.append(_varint(number << 3 | 2) + _varint(len(content)) + content)
    return b"".join(parts)


def _varint(value: int) -> bytes:
    made = bytearray()
    while value > 127:
        made.append(value & 127 | 128)
        value >>= 7
    return bytes([*made, value])
