"""What goes on record of a run, gathered from the evidence that its steps have left."""

from __future__ import annotations

import getpass
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headrace import __version__
from headrace.artifacts.bundle import Bundle
from headrace.artifacts.errors import ArtifactError
from headrace.artifacts.evaluation import FILE, Evaluation, read_evaluation
from headrace.artifacts.folder import read_json
from headrace.platforms.tracking import DATA, PREFIX, RUN, SOURCE, Curves, Series, TrackedRun, thinned

MOST_PARAMETERS = 200  # of features, say, there may be thousands: the bundle's lineage names them all
_UNSAID: tuple[Any, ...] = (None, "", [], {})


@dataclass(frozen=True)
class Run:
    """The pipeline run that is tracked.

    Attributes:
        experiment: what it belongs to.
        id: the pipeline run's.
        started: seconds since 1970, UTC.
        ended: the same.
        spec: the whole spec as plain data.
        tags: of the user's own.
    """

    experiment: str
    id: str
    started: float
    ended: float
    spec: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


def describe(run: Run, model: Path, evaluation: Path) -> tuple[TrackedRun, Curves]:
    """A run as trackers keep it, and the curves of its evaluation.

    Raises:
        ArtifactError: bundle or evaluation are damaged, or the evaluation is of another model.
    """
    bundle, found = Bundle.open(model, verify=False), read_evaluation(evaluation)
    if found.model_digest != bundle.digest:
        received = str(found.model_digest)[:19]
        raise ArtifactError(
            f"{evaluation}: expected an evaluation of {bundle.digest[:19]}. Received: one of {received}"
        )
    lineage = read_json(bundle.lineage)
    tracked = TrackedRun(
        experiment=run.experiment,
        run=run.id,
        started=run.started,
        ended=run.ended,
        parameters=parameters(lineage, run.spec),
        metrics=metrics(lineage, found),
        series=series(bundle, lineage),
        tags={**run.tags, **origin(run, bundle, lineage)},
    )
    return tracked, curves(found)


def parameters(lineage: Mapping[str, Any], spec: Mapping[str, Any]) -> dict[str, str]:
    """How the model was made: its kind, parameters, seed and weights; what the spec says of features and the split."""
    training = lineage.get("training", {})
    found = {name: training.get(name) for name in ("model", "seed", "class_weight", "sample_weight", "calibrate")}
    found |= dict(_flat(training.get("parameters", {}), ""))
    found |= dict(_flat(spec.get("features", {}), "features."))
    found |= dict(_flat(spec.get("data", {}).get("split", {}), "split."))
    found["feature_count"] = len(lineage.get("transform", {}).get("features", {}))
    found |= {f"rows.{split}": rows for split, rows in lineage.get("data", {}).get("rows", {}).items()}
    said = {name: _text(value) for name, value in found.items() if value is not False and value not in _UNSAID}
    return dict(list(said.items())[:MOST_PARAMETERS])


def metrics(lineage: Mapping[str, Any], evaluation: Evaluation) -> dict[str, float]:
    """Numbers at the end: `test/...` with its 95 % interval, `baseline/...` of a constant, `training/...`."""
    split = evaluation.split
    found = {f"{split}/{name}": value for name, value in evaluation.metrics.items()}
    for name, (low, high) in evaluation.intervals.items():
        found |= {f"{split}/{name}_low": low, f"{split}/{name}_high": high}
    found |= {f"baseline/{name}": value for name, value in evaluation.baseline.items()}
    for entry in evaluation.fairness:
        found |= {f"fairness/{entry.by}/{name}": value for name, value in entry.metrics.items()}
    training = lineage.get("training", {})
    metric = training.get("metric")  # that training minimized, at the round that the model keeps
    found |= {f"training/{part}_{metric}": float(value) for part, value in training.get(metric, {}).items()}
    if isinstance(training.get("rounds"), int):
        found["training/rounds"] = float(training["rounds"])
    return found


def series(bundle: Bundle, lineage: Mapping[str, Any]) -> dict[str, Series]:
    """The metrics round by round, `curve/eval_log_loss` and so on; none of a bundle that has not kept them.

    Raises:
        ArtifactError: the file is not JSON.
    """
    metric = lineage.get("training", {}).get("metric")
    if metric is None or not bundle.curve.exists():
        return {}
    return {f"curve/{split}_{metric}": thinned(values) for split, values in read_json(bundle.curve).items() if values}


def curves(evaluation: Evaluation) -> Curves:
    """The ROC curve of the positive class, and the confusion matrix."""
    roc = evaluation.curve("roc", evaluation.positive) if evaluation.positive else None
    return Curves(roc.points if roc else (), evaluation.classes, evaluation.confusion)


def origin(run: Run, bundle: Bundle, lineage: Mapping[str, Any]) -> dict[str, str]:
    """Where the run comes from: versions of data, spec, code, environment and model, by their digests.

    The commit is of the code that trained the model, which may be older than the run: training is cached.
    """
    known = lineage.get("origin", {})
    found = {
        RUN: run.id,
        DATA: lineage.get("data", {}).get("digest", ""),
        SOURCE: str(lineage.get("data", {}).get("source", {}).get("name", "")),
        f"{PREFIX}transform": lineage.get("transform", {}).get("digest", ""),
        f"{PREFIX}model": bundle.digest,
        f"{PREFIX}spec": spec_digest(run.spec) if run.spec else "",
        f"{PREFIX}commit": known.get("commit") or os.environ.get("HEADRACE_COMMIT", ""),
        f"{PREFIX}environment": known.get("environment") or os.environ.get("HEADRACE_ENVIRONMENT", ""),
        f"{PREFIX}version": known.get("headrace", __version__),
    }
    # MLflow's page of runs shows these as the run's source, its version, and who made it.
    found |= {"mlflow.source.name": bundle.name, "mlflow.source.type": "JOB", "mlflow.user": _user()}
    found["mlflow.source.git.commit"] = found[f"{PREFIX}commit"].removesuffix("-dirty")
    return {name: text for name, text in found.items() if text}


def spec_digest(spec: Mapping[str, Any]) -> str:
    """The digest of a spec with every default spelt out: of what it means, and not of how it is written."""
    text = json.dumps(spec, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def files(model: Path, evaluation: Path, reports: Mapping[str, Path]) -> dict[str, Path]:
    """What goes with a run: its reports, the model's card and lineage, and the evaluation as numbers."""
    bundle = Bundle.open(model, verify=False)
    found = {"card.html": bundle.card_html, "lineage.json": bundle.lineage, "evaluation.json": evaluation / FILE}
    found |= {f"{name}.html": path for name, path in reports.items()}
    return {name: path for name, path in found.items() if path.is_file()}


def _flat(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # containers run as users that have no name
        return str(os.getuid())
