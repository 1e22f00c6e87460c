"""The report of a batch prediction: what was read, what was answered, what was not, and what training did not know."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from headrace.artifacts import report
from headrace.artifacts.bundle import Bundle
from headrace.artifacts.folder import read_json
from headrace.components.batch_predict.batch_predict import Predicted
from headrace.serving.batch.answers import LABEL, VALUE

_BINS = 20
_REJECTS = 50  # that are listed
_LINES = 16_384  # of JSON at a time
_PROBABILITY = "probability_"


def write_report(path: Path, found: Predicted, bundle: Bundle) -> None:
    """Writes the page as one self-contained HTML file."""
    report.write(path, render(found, bundle))


def render(found: Predicted, bundle: Bundle) -> str:
    """The page as HTML."""
    total = found.rows + found.rejected
    tiles = [
        ("Rows read", total, "each has one row in the output, or one among the rejects"),
        ("Answered", found.rows, f"{found.rows / total:.2%}" if total else ""),
        ("Without an answer", found.rejected, "the reasons stand below"),
    ]
    sections = [report.section("Summary", report.tiles(tiles)), _answers(found, bundle)]
    if found.files.rejects is not None:
        sections.append(_rejects(found.files.rejects))
    if found.unseen or found.infinite:
        sections.append(_unknown(found, total))
    if found.notes:
        sections.append(report.section("Notes", report.bullets(found.notes)))
    manifest = read_json(found.files.manifest)
    facts = [
        ("model", f"{bundle.name} {bundle.version or ''} {bundle.digest}"),
        ("source", f"{', '.join(manifest['source']['names'])} {manifest['source']['digest']}"),
        ("ended", manifest["ended"]),
    ]
    name = f"{bundle.name}:{bundle.version}" if bundle.version else bundle.name
    return report.page("Batch prediction", f"{found.files.output.name} by {name}", sections, facts=facts)


def _answers(found: Predicted, bundle: Bundle) -> report.Html:
    """How the labels, probabilities or values are distributed; counted in bounded memory."""
    signature = bundle.signature
    if not found.rows:
        return report.section("Answers", report.paragraph("No row has an answer."))
    if signature.task == "regression":
        low, high = _range(found.files.output)
        edges = np.linspace(low, high if high > low else low + 1.0, _BINS + 1)
        return report.section("Answers", _histogram(found.files.output, VALUE, edges, "value"))
    counts = dict.fromkeys(signature.classes, 0)
    for batch in _batches(found.files.output, LABEL):
        for one in pc.value_counts(batch.cast(pa.string())).to_pylist():
            counts[one["values"]] += one["counts"]
    rows = [(name, count, report.meter(count / found.rows)) for name, count in counts.items()]
    blocks = [report.table(["Label", "Rows", "Share"], rows, "lrl")]
    if signature.positive is not None and found.files.output.suffix != ".jsonl":
        column = f"{_PROBABILITY}{signature.positive}"
        blocks.append(_histogram(found.files.output, column, np.linspace(0, 1, _BINS + 1), column))
    return report.section("Answers", *blocks)


def _histogram(output: Path, column: str, edges: Any, title: str) -> report.Html:
    counts = np.zeros(len(edges) - 1, np.int64)
    for values in _batches(output, column):
        counts += np.histogram(np.asarray(values.to_numpy(zero_copy_only=False), np.float64), edges)[0]
    return report.histogram({"rows": (edges.tolist(), counts.tolist())}, title, title)


def _range(output: Path) -> tuple[float, float]:
    low, high = np.inf, -np.inf
    for values in _batches(output, VALUE):
        found = pc.min_max(values).as_py()
        low, high = min(low, found["min"]), max(high, found["max"])
    return float(low), float(high)


def _batches(output: Path, column: str) -> Iterator[Any]:
    """The values of one column of the output, in batches."""
    suffix = output.suffix or next(iter(output.iterdir())).suffix
    for file in [output] if output.is_file() else sorted(output.glob(f"*{suffix}")):
        if suffix == ".parquet":
            with pq.ParquetFile(file) as opened:
                yield from (batch.column(0) for batch in opened.iter_batches(columns=[column]))
        elif suffix == ".csv":  # where a label such as 1 is a text
            options = pa_csv.ConvertOptions(include_columns=[column], column_types={LABEL: pa.string()})
            with pa_csv.open_csv(file, convert_options=options) as batches:
                yield from (batch.column(0) for batch in batches)
        else:
            with file.open("rb") as lines:
                while some := list(islice(lines, _LINES)):
                    yield pa.array([msgspec.json.decode(line)[column] for line in some])


def _rejects(file: Path) -> report.Html:
    table = pq.ParquetFile(file)
    first = next(table.iter_batches(batch_size=_REJECTS)).to_pylist()
    rows = [(one["row"], one["source"].rpartition("/")[2], one["place"], one["key"], one["reason"]) for one in first]
    total = table.metadata.num_rows
    intro = f"The first {len(rows)} of {total:,}; all of them are in {file.name}." if total > len(rows) else ""
    listed = report.table(["Row", "Source", "Place", "Key", "Reason"], rows, "rlllw")
    return report.section("Rows without an answer", listed, intro=intro)


def _unknown(found: Predicted, total: int) -> report.Html:
    rows = [(name, "not known to training", count, report.meter(count / total)) for name, count in found.unseen.items()]
    rows += [(name, "infinite: missing", count, report.meter(count / total)) for name, count in found.infinite.items()]
    rows.sort(key=lambda row: -row[2])
    return report.section(
        "Values unlike those of training", report.table(["Column", "What", "Rows", "Share"], rows, "llrl")
    )
