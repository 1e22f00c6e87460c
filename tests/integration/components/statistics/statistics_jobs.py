"""Runs in the tfx environment: `python statistics_jobs.py FOLDER JOB [JOB ...]` prints the jobs' results as JSON.

One process for all jobs, as TFDV takes seconds to import. FOLDER has the snapshots `taxi` and `small`.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

os.environ["_KFP_RUNTIME"] = "true"  # as in a component's container: KFP's compiler does not import here

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow_data_validation as tfdv
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from tensorflow_data_validation.statistics import stats_impl
from tensorflow_metadata.proto.v0 import statistics_pb2
from tfx_bsl.public.proto import slicing_spec_pb2

from headrace.artifacts.dataset import Dataset
from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.folder import read_manifest
from headrace.artifacts.statistics import read_statistics
from headrace.components import fold as folding
from headrace.components.statistics import beam as beam_path
from headrace.components.statistics import describe
from headrace.components.statistics.compute import compute_statistics, task_of
from headrace.components.statistics.encode import encode
from headrace.components.statistics.generate import generate
from headrace.components.statistics.spec import BeamSpec, StatisticsSpec
from headrace.components.statistics.top_values import ValueCounts, most_frequent

BOTH = {"weight": "weight", "slices": ["plan", "count", "flag"]}


def fields(message, path=()):
    """Every field of a message with its path; repeated ones by position."""
    for field, value in message.ListFields():
        items = enumerate(value) if field.label == field.LABEL_REPEATED else [(None, value)]
        for index, item in items:
            here = (*path, field.name if index is None else f"{field.name}[{index}]")
            if field.type == field.TYPE_MESSAGE:
                yield from fields(item, here)
            else:
                yield "/".join(here), item


def differences(ours, theirs) -> list:
    """Fields of which the two do not say the same: path, ours, theirs. Sums of floats differ in their last digits."""
    one, other = dict(fields(ours)), dict(fields(theirs))
    found = []
    for path in sorted({*one, *other}):
        a, b = one.get(path), other.get(path)
        close = (
            isinstance(a, float)
            and isinstance(b, float)
            and bool(np.isclose(a, b, rtol=1e-9, atol=1e-12, equal_nan=True))
        )
        if a != b and not close:
            found.append([path, repr(a), repr(b)])
    return found


def by_beam_of_tfdv(snapshot: Dataset, split: str, options: tfdv.StatsOptions):
    """TFDV's own statistics of a split, on Beam: slice -> statistics."""
    table = snapshot.table(split)
    if options.slicing_config is not None:
        table = table.drop(["nothing"])  # tfx_bsl's RecordBatchTake dies of a column without any value
    batch = encode(pa.RecordBatch.from_arrays([c.combine_chunks() for c in table.columns], names=table.column_names))
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        described = pipeline | beam.Create([batch]) | tfdv.GenerateStatistics(options)
        path = str(Path(os.environ["TMPDIR"]) / "theirs")
        _ = described | tfdv.WriteStatisticsToBinaryFile(path)
    return {dataset.name: dataset for dataset in tfdv.load_stats_binary(path).datasets}


def weights_and_slices(folder: Path) -> dict:
    """What differs from TFDV's weight_feature and slicing, split by split and slice by slice."""
    snapshot = Dataset.open(folder / "small")
    settings = StatisticsSpec(**BOTH)
    compute_statistics(folder / "small", folder / "weighted", settings)
    ours = read_statistics(folder / "weighted")
    specs = [slicing_spec_pb2.SlicingSpec(feature_keys=[name]) for name in settings.slices]
    options = tfdv.StatsOptions(
        weight_feature="weight", slicing_config=slicing_spec_pb2.SlicingConfig(slicing_specs=specs)
    )
    theirs = by_beam_of_tfdv(snapshot, "train", options)
    result = {"theirs": sorted(theirs), "ours": [slice.name for slice in ours.slices], "different": {}}
    for name, dataset in theirs.items():
        own = ours.split("train" if name == "All Examples" else f"train/{name}")
        features = {f.path.step[0]: f for f in own.features}
        found = differences(
            statistics_pb2.DatasetFeatureStatistics(
                num_examples=own.num_examples, weighted_num_examples=own.weighted_num_examples
            ),
            statistics_pb2.DatasetFeatureStatistics(
                num_examples=dataset.num_examples, weighted_num_examples=dataset.weighted_num_examples
            ),
        )
        for feature in dataset.features:
            if feature.path.step[0] != "id":  # whose values are not counted
                found += [[feature.path.step[0], *d] for d in differences(features[feature.path.step[0]], feature)]
        result["different"][name] = found
    return result


def taxi(folder: Path) -> dict:
    """Every field of every column of the taxi trips, ours beside TFDV's in-memory and Beam figures."""
    snapshot = Dataset.open(folder / "taxi")
    task, _ = task_of(snapshot, StatisticsSpec())
    ours = {f.path.step[0]: f for f in generate(snapshot, task, [], 1)[0].datasets[0].features}
    table = snapshot.table("train")
    batch = encode(pa.RecordBatch.from_arrays([c.combine_chunks() for c in table.columns], names=table.column_names))
    theirs = {
        "memory": stats_impl.generate_statistics_in_memory(batch, tfdv.StatsOptions()).datasets[0],
        "beam": by_beam_of_tfdv(snapshot, "train", tfdv.StatsOptions())[""],
    }
    result = {"compared": {}, "different": {}, "quantiles": {}}
    for kind, dataset in theirs.items():
        paths = set()
        found = []
        for feature in dataset.features:
            name = feature.path.step[0]
            paths |= {(name, path) for path, _ in fields(feature)}
            found += [[name, *difference] for difference in differences(ours[name], feature)]
        result["compared"][kind], result["different"][kind] = len(paths), found
    for name, feature in ours.items():
        if feature.HasField("num_stats"):
            column = table[name].drop_null().to_numpy().astype(float)
            values = np.sort(column[~np.isnan(column)])
            for kind, message in (
                ("ours", feature),
                *((k, next(f for f in d.features if f.path.step[0] == name)) for k, d in theirs.items()),
            ):
                if values.size:
                    result["quantiles"][f"{name} {kind}"] = rank_errors(message.num_stats, values)
    return result


def rank_errors(stats, values) -> list[float]:
    """How far off the median and the deciles are, as shares of the rows; and the counts of the histogram."""

    def off(value: float, share: float) -> float:
        low, high = np.searchsorted(values, value, "left"), np.searchsorted(values, value, "right")
        return max(0.0, low / values.size - share, share - high / values.size)

    deciles = [b.high_value for b in stats.histograms[1].buckets]
    standard = stats.histograms[0].buckets
    edges = np.array([b.low_value for b in standard] + [standard[-1].high_value])
    below = np.cumsum([b.sample_count for b in standard])
    exact = [np.searchsorted(values, edge, "right") for edge in edges[1:]]
    before = [np.searchsorted(values, edge, "left") for edge in edges[1:]]  # an edge on a value: to either side
    outside = [max(0.0, b - e, s - b) for b, e, s in zip(below, exact, before, strict=True)]
    return [
        off(stats.median, 0.5),
        max(off(v, (i + 1) / len(deciles)) for i, v in enumerate(deciles)),
        max(outside) / values.size,
    ]


def beam_is_the_same(folder: Path) -> dict:
    """The bytes of the statistics in process and on Beam, cut into many stretches that are merged in three levels."""
    describe.STRETCH_ROWS, folding.FAN, beam_path.FAN = 100, 3, 3
    result = {}
    try:
        for name, settings in {"taxi": {}, "small": BOTH}.items():
            digests = []
            for beam_settings in (None, BeamSpec()):
                output = folder / f"same-{name}-{beam_settings is None}"
                compute_statistics(folder / name, output, StatisticsSpec(**settings, beam=beam_settings))
                digests.append(read_manifest(output, "headrace/statistics", 1).digest)
            metadata = pq.read_metadata(folder / name / "train" / "data.parquet")
            result[name] = {"digests": digests, "stretches": len(describe.stretches(metadata))}
    finally:
        describe.STRETCH_ROWS, folding.FAN, beam_path.FAN = 1_000_000, 32, 32
    return result


def workers(folder: Path) -> list[str]:
    """Digests of one snapshot's statistics by one process and by two."""
    result = []
    for number in (1, 2):
        compute_statistics(folder / "taxi", folder / f"workers-{number}", workers=number)
        result.append(read_manifest(folder / f"workers-{number}", "headrace/statistics", 1).digest)
    return result


def chunked(folder: Path) -> list[str]:
    """Paths of the fields that depend on how rows are cut into batches, stretches and levels."""
    snapshot = Dataset.open(folder / "taxi")
    task, _ = task_of(snapshot, StatisticsSpec())
    whole, _ = generate(snapshot, task, [], 1)
    describe.STRETCH_ROWS, folding.FAN = 100, 3
    try:
        parts, _ = generate(snapshot, task, [], 1, batch_rows=70)
    finally:
        describe.STRETCH_ROWS, folding.FAN = 1_000_000, 32
    found = [path for a, b in zip(whole.datasets, parts.datasets, strict=True) for path, _, _ in differences(a, b)]
    return sorted({path.split("/", 1)[1] for path in found})


def bounded_counts(folder: Path) -> dict:
    """A thousand frequent values among 50,000 rare ones, counted with room for 4,000; by weight 1,000 others lead."""
    result = {}
    for weighted in (False, True):
        counts, most_rows = ValueCounts(most=4_000), 0
        for part in range(50):
            values = [f"often-{i:04d}" for i in range(1_000)] + [f"rare-{part}-{i}" for i in range(1_000)]
            weights = np.concatenate([np.ones(1_000), np.full(1_000, 100.0 if part == 7 else 0.5)])
            counts.add(pa.array([value.encode() for value in values]), weights if weighted else None)
            most_rows = max(most_rows, sum(table.num_rows for table in counts.tables))
        top = most_frequent(counts.total().select(["value", "count"]), 1_000)
        result[str(weighted)] = {
            "top": sorted(value.decode() for value in top["value"].to_pylist())[::999],
            "least": min(top["count"].to_pylist()),
            "distinct": counts.number(),
            "most_rows": most_rows,
        }
        if weighted:
            heavy = counts.total().sort_by([("weight", "descending")])["value"].slice(0, 1_000).to_pylist()
            result["heavy"] = sum(value.startswith(b"rare-7-") for value in heavy)
    return result


def refusals(folder: Path) -> dict:
    """What is said about settings that do not fit; each also by Beam where that could make a difference."""
    cases = {
        "no such weight": {"weight": "wieght"},
        "a weight of text": {"weight": "plan"},
        "a missing weight": {"weight": "amount"},
        "a missing weight, by Beam": {"weight": "amount", "beam": "DirectRunner"},
        "a negative weight": {"weight": "balance"},
        "no such slice": {"slices": ["plam"]},
        "a slice of floats": {"slices": ["amount"]},
        "a slice of ids": {"slices": ["id"]},
        "an option that Beam has not": {"beam": {"options": {"temp_loction": "/tmp"}}},
        "Dataflow without a project": {"beam": {"runner": "DataflowRunner", "options": {"region": "europe-west1"}}},
        "Flink without a shared folder": {"beam": {"runner": "FlinkRunner"}},
    }
    said = {}
    for name, settings in cases.items():
        try:
            compute_statistics(folder / "small", folder / "refused", StatisticsSpec(**settings))
            said[name] = "nothing"
        except HeadraceError as error:
            said[name] = str(error)
        except Exception as error:  # noqa: BLE001  the test tells a crash from an error that helps
            said[name] = f"{type(error).__name__}: {error}"
    return said


def installed(folder: Path) -> dict:
    """The statistics by Beam's worker in another environment, with the package that Beam's stager builds of setup.py."""
    from apache_beam.options.pipeline_options import PipelineOptions
    from apache_beam.runners.portability.stager import Stager
    from apache_beam.transforms.environments import SubprocessSDKEnvironment

    setup_file = os.environ["SETUP_FILE"]
    (folder / "staging").mkdir()
    Stager.create_job_resources(PipelineOptions(setup_file=setup_file), str(folder / "staging"))
    (package,) = (folder / "staging").glob("*.tar.gz")
    python = folder / "worker" / "bin" / "python"
    # What Dataflow's boot program runs, but without an index.
    install = [python, "-m", "pip", "install", "--no-cache-dir", "--disable-pip-version-check", "--no-index"]
    done = subprocess.run([*install, "--no-build-isolation", package], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    where = "import headrace.components.statistics.beam as m; print(m.__file__)"
    module = subprocess.run([python, "-c", where], capture_output=True, text=True, cwd=folder)
    started = folder / "worker-started"
    command = f"touch {started} && exec {python} -m apache_beam.runners.worker.sdk_worker_main"
    worker = SubprocessSDKEnvironment(command_string=command)
    own = beam_path.runner
    beam_path.runner = lambda name: FnApiRunner(default_environment=worker)
    try:
        settings = StatisticsSpec(**BOTH, beam=BeamSpec())
        compute_statistics(folder / "small", folder / "by-worker", settings)
    finally:
        beam_path.runner = own
    compute_statistics(folder / "small", folder / "in-process", StatisticsSpec(**BOTH))
    manifests = [read_manifest(folder / name, "headrace/statistics", 1) for name in ("by-worker", "in-process")]
    return {
        "module": module.stdout.strip(),
        "started": started.exists(),
        "digests": [manifest.digest for manifest in manifests],
    }


JOBS = {
    f.__name__: f
    for f in (weights_and_slices, taxi, beam_is_the_same, workers, chunked, bounded_counts, refusals, installed)
}

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    Path(sys.argv[2]).write_text(json.dumps({name: JOBS[name](folder) for name in sys.argv[3:]}))
