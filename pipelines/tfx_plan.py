"""From a spec and its snapshot to what TFX's components are told. What TFX's side cannot do is refused here."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from headrace.artifacts.dataset import Dataset
from headrace.artifacts.errors import HeadraceError
from headrace.components.gate.spec import Gate
from headrace.components.transform.spec import FeaturesSpec
from headrace.pipelines.spec import Spec
from headrace.trainer.tfx.plan import Bound, Column, Plan

METRICS = {  # ours -> TFMA's or Keras' class, and whether more is better
    "accuracy": ("BinaryAccuracy", True),
    "auc": ("AUC", True),
    "pr_auc": ("AUCPrecisionRecall", True),
    "log_loss": ("BinaryCrossentropy", False),
    "rmse": ("RootMeanSquaredError", False),
    "mae": ("MeanAbsoluteError", False),
}
_OF_MANY = {"accuracy": "SparseCategoricalAccuracy", "log_loss": "SparseCategoricalCrossentropy"}
_TRIALS = 20  # where the spec bounds tuning by time alone
_LEAST_AUC = 0.55  # as the default gate has it: 0.05 better than a constant


class NotForTfx(HeadraceError):
    """The spec asks for what the TFX pipeline cannot do."""


def plan_of(spec: Spec, snapshot: Dataset, beam: tuple[str, ...] = ()) -> Plan:
    """The plan of a spec.

    The columns, and which of them are features, are those that our own transform takes.

    Raises:
        NotForTfx: with a line for all that stands in the way.
    """
    refuse(spec)
    info = snapshot.info
    task, classes = info.task, tuple(info.classes or ())
    bounds = [bound for gate in spec.evaluate.gates or () for bound in _bounds(gate, len(classes))]
    if not any(bound.limit is not None for bound in bounds):
        bounds.append(_default(snapshot, len(classes)))
    return Plan(
        name=spec.name,
        task=task,
        label=info.label,
        classes=classes,
        positive=info.positive,
        columns=columns(spec, snapshot),
        mlp=spec.train.mlp.model_dump(mode="json"),
        seed=spec.train.seed,
        bounds=tuple(bounds),
        metrics=_measured(len(classes)),
        slices=tuple(by for by in spec.evaluate.slices if isinstance(by, str)),
        tune=(spec.train.tune.trials or _TRIALS) if spec.train.tune else 0,
        **({"beam": beam} if beam else {}),
    )


def columns(spec: Spec, snapshot: Dataset) -> tuple[Column, ...]:
    """The raw features: what our transform makes inputs of, with its reasons to leave others out."""
    from headrace.artifacts.transform import open_transform
    from headrace.components.transform.fit import fit

    plain = FeaturesSpec(**{name: getattr(spec.features, name) for name in ("drop", "keep")})
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "transform"
        fit(snapshot.path, plain, place, "gbdt", spec.train.sample_weight or "")
        inputs = open_transform(place).recipe.inputs
    return tuple(
        Column(item.name, "category" if item.type == "category" else "number", item.type, item.min, item.max)
        for item in inputs
    )


def refuse(spec: Spec) -> None:
    """Refuses a spec that TFX's side would not honour.

    Raises:
        NotForTfx: it names every field.
    """
    if found := list(_misfits(spec)):
        raise NotForTfx("the TFX pipeline: expected none of these in the spec. Received: " + ", ".join(found))


def _misfits(spec: Spec) -> Iterator[str]:
    plain: dict[str, Any] = FeaturesSpec().model_dump()
    for name, value in spec.features.model_dump().items():
        if name not in ("drop", "keep") and value != plain[name]:
            yield f"features.{'construct' if name == 'constructed' else name}"
    if spec.of_images:
        yield f"task: {spec.task}"
    if spec.for_each:
        yield "for_each"
    for name in ("sample_weight", "class_weight"):
        if getattr(spec.train, name) is not None:
            yield f"train.{name}"
    if spec.train.calibrate != "none":
        yield "train.calibrate"
    if spec.train.threshold != 0.5:
        yield "train.threshold"


def _bounds(gate: Gate, classes: int) -> Iterator[Bound]:
    """A gate for TFX's Evaluator; none where it does not know such a gate: ours judges all of them, later."""
    plain = gate.confidence is None and gate.class_ is None
    if gate.metric not in METRICS or not plain or not (gate.slice is None or isinstance(gate.slice, str)):
        return
    metric, higher = METRICS[gate.metric]
    if classes > 2:
        if gate.metric not in _OF_MANY:
            return
        metric = _OF_MANY[gate.metric]
    limit = gate.at_least if higher else gate.at_most
    if gate.versus is None and limit is not None:
        yield Bound(metric, higher, limit=limit, slice=gate.slice)
    elif gate.versus == "champion" and gate.slice is None:
        margin = gate.no_worse_than if gate.no_worse_than is not None else -(gate.better_by or 0.0)
        yield Bound(metric, higher, change=margin)


def _default(snapshot: Dataset, classes: int) -> Bound:
    """Without a limit TFX blesses whatever comes: better than a constant is the least."""
    import pyarrow.compute as pc

    label = snapshot.table("test", [snapshot.info.label])[snapshot.info.label]
    if classes == 2:
        return Bound("AUC", True, limit=_LEAST_AUC)
    if classes:
        most = max(entry["counts"].as_py() for entry in pc.value_counts(label)) / len(label)
        return Bound(_OF_MANY["accuracy"], True, limit=most)
    return Bound("RootMeanSquaredError", False, limit=float(pc.stddev(label).as_py()))


def _measured(classes: int) -> tuple[str, ...]:
    if classes > 2:
        return tuple(_OF_MANY.values())
    names = ("accuracy", "auc", "pr_auc", "log_loss") if classes else ("rmse", "mae")
    return tuple(METRICS[name][0] for name in names)
