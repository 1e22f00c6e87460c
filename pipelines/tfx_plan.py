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
from headrace.trainer.expressions.nodes import TEXT, Call, Constant, Node, walk
from headrace.trainer.expressions.nodes import Column as Named
from headrace.trainer.tfx.plan import OPERATIONS, Bound, Column, Constructed, Plan, Tree

METRICS = {  # ours -> TFMA's or Keras' class, and whether more is better
    "accuracy": ("BinaryAccuracy", True),
    "auc": ("AUC", True),
    "pr_auc": ("AUCPrecisionRecall", True),
    "log_loss": ("BinaryCrossentropy", False),
    "rmse": ("RootMeanSquaredError", False),
    "mae": ("MeanAbsoluteError", False),
}
_OF_MANY = {"accuracy": "SparseCategoricalAccuracy", "log_loss": "SparseCategoricalCrossentropy"}
# One worker in the process: more cost more than they bring here. An image that nobody starts, for else TFX copies and
# packs itself anew for every component, five seconds and a folder in /tmp each.
_BEAM = ("--direct_num_workers=1", "--sdk_container_image=none")
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
    taken = columns(spec, snapshot)
    bounds = [bound for gate in spec.evaluate.gates or () for bound in _bounds(gate, len(classes))]
    if len(classes) == 2 and spec.train.threshold != 0.5:  # TFX's Evaluator decides at 0.5: that is not this model
        bounds = [bound for bound in bounds if bound.metric != METRICS["accuracy"][0]]
    if not any(bound.limit is not None for bound in bounds):
        bounds.append(_default(snapshot, len(classes)))
    return Plan(
        name=spec.name,
        task=task,
        label=info.label,
        classes=classes,
        positive=info.positive,
        columns=taken,
        constructed=constructed(spec, taken),
        mlp=spec.train.mlp.model_dump(mode="json"),
        seed=spec.train.seed,
        bounds=tuple(bounds),
        metrics=_measured(len(classes)),
        slices=tuple(by for by in spec.evaluate.slices if isinstance(by, str)),
        tune=(spec.train.tune.trials or _TRIALS) if spec.train.tune else 0,
        beam=beam or _BEAM,
    )


def columns(spec: Spec, snapshot: Dataset) -> tuple[Column, ...]:
    """The raw features: what our transform makes inputs of, with its reasons to leave others out."""
    from headrace.artifacts.transform import open_transform
    from headrace.components.transform.fit import fit

    known = ("drop", "keep", "constructed")
    plain = FeaturesSpec.model_validate(
        {"construct" if name == "constructed" else name: getattr(spec.features, name) for name in known}
    )
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "transform"
        fit(snapshot.path, plain, place, "gbdt", spec.train.sample_weight or "")
        recipe = open_transform(place).recipe
    learned = {name for each in recipe.outputs if each.made not in recipe.construct for name in each.sources}
    return tuple(
        Column(
            item.name,
            "category" if item.type == "category" else "number",
            item.type,
            item.min,
            item.max,
            feature=item.name in learned,
        )
        for item in recipe.inputs
    )


def constructed(spec: Spec, columns: tuple[Column, ...]) -> tuple[Constructed, ...]:
    """The spec's own features, resolved.

    Raises:
        NotForTfx: one is made of texts, or by an operation that TFX's side does not have.
    """
    from headrace.trainer.expressions.expression import inlined
    from headrace.trainer.expressions.graph import TYPES

    types = {column.name: TYPES[column.type] for column in columns}
    found = []
    for name, expression in inlined(spec.features.constructed).items():
        root = expression.typed(types)[0].root
        texts = [column for column in expression.columns() if types[column] == TEXT]
        foreign = {node.op for node in walk(root) if isinstance(node, Call)} - OPERATIONS
        texts += [repr(node.value) for node in walk(root) if isinstance(node, Constant) and isinstance(node.value, str)]
        if texts or foreign:
            raise NotForTfx(
                f"the TFX pipeline: features.construct.{name}: expected arithmetic, comparisons and conditions of "
                f"numbers and truth values. Received: {', '.join([*texts, *sorted(foreign)])}"
            )
        found.append(Constructed(name, _tree(root)))
    return tuple(found)


def _tree(node: Node) -> Tree:
    match node:
        case Named(name=name):
            return name
        case Constant(value=value):
            return float(value)
        case Call(op=op, args=args):
            return [op, *map(_tree, args)]


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
        if name not in ("drop", "keep", "constructed") and value != plain[name]:
            yield f"features.{name}"
    if spec.of_images:
        yield f"task: {spec.task}"
    if spec.for_each:
        yield "for_each"
    for name in ("sample_weight", "class_weight"):
        if getattr(spec.train, name) is not None:
            yield f"train.{name}"
    if spec.train.calibrate != "none":
        yield "train.calibrate"


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
