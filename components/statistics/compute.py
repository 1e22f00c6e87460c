"""The step as a whole: a snapshot in, statistics and their page out."""

from __future__ import annotations

from pathlib import Path

from headrace.artifacts.dataset import Dataset, DatasetInfo
from headrace.artifacts.statistics import DescribedColumn, Role, Statistics, write_statistics
from headrace.components.statistics.generate import generate
from headrace.components.statistics.report import write_report


def compute_statistics(dataset: Path | str, output: Path | str, report: Path | str, workers: int | None = None) -> None:
    """Describes the three splits of a snapshot.

    The same snapshot gives the same bytes, whatever the number of workers and whenever it runs.

    Args:
        dataset: the snapshot's folder.
        output: where the statistics' folder goes.
        report: where the HTML page goes.
        workers: processes to share the columns among; by default as many as pay, at most two.

    Raises:
        ArtifactError: the snapshot is damaged, or `output` is taken.
    """
    snapshot = Dataset.open(dataset)
    proto, omitted = generate(snapshot, workers)
    columns = [
        DescribedColumn(c.name, c.type, _role(c.name, snapshot.info), described=c.name not in omitted)
        for c in snapshot.info.columns
    ]
    for name in omitted:
        print(f"note: `{name}` is not described: TensorFlow Data Validation has no statistics for its type")
    statistics = Statistics(proto, snapshot.digest, columns)
    write_statistics(output, statistics)
    write_report(report, statistics, snapshot.info)


def _role(name: str, info: DatasetInfo) -> Role:
    if name == info.label:
        return "label"
    if name == info.id:
        return "id"
    return "leak" if name in info.leaks else "feature"
