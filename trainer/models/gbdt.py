"""Gradient-boosted trees by LightGBM, prepared so that they mean the same in float32 as in float64."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import lightgbm as lgb
import numpy as np
import onnx

from headrace.artifacts.errors import HeadraceError, nearest_column
from headrace.trainer.export.graphs import tree_graph
from headrace.trainer.model import Features, Job
from headrace.trainer.parameters import GbdtParameters

# kind of task -> LightGBM's objective, LightGBM's name of the metric, everybody's name of it
_OBJECTIVE = {
    "regression": ("regression", "rmse", "rmse"),
    "binary": ("binary", "binary_logloss", "log_loss"),
    "multi": ("multiclass", "multi_logloss", "log_loss"),
}


MOST_WATCHED = 50_000  # rows of train that the train curve is measured on
ZERO = float(np.float32(1e-35))  # LightGBM's kZeroThreshold: what is not farther from 0 counts as 0


@dataclass(frozen=True)
class Trees:
    """Trained trees (a `headrace.trainer.model.Model`)."""

    booster: lgb.Booster
    width: int
    classes: int
    metric: str
    curve: dict[str, list[float]] = field(repr=False)
    rounds: int
    parameters: dict[str, Any]
    kind: str = "gbdt"
    tolerance: float = 1e-5  # float32 sums of some hundred leaves differ from LightGBM's float64 sums in the 7th digit

    def predict(self, features: Features) -> np.ndarray:
        """LightGBM's own answer."""
        answer = np.asarray(self.booster.predict(features))
        if self.classes == 2:
            return np.column_stack([1 - answer, answer])
        return answer.reshape(features.shape[0], -1)

    def graph(self, output: str) -> onnx.ModelProto:
        """The trees as one node."""
        return tree_graph(self.booster, self.width, output)

    def importance(self) -> np.ndarray:
        """Each feature's share of the total gain, or of the splits where labels are so large that it is infinite."""
        gain = np.asarray(self.booster.feature_importance("gain"), np.float64)
        if not np.isfinite(gain).all():
            gain = np.asarray(self.booster.feature_importance("split"), np.float64)
        return gain / gain.sum() if gain.sum() > 0 else gain

    def thresholds(self) -> dict[int, np.ndarray]:
        """Those of the splits."""
        found: dict[int, list[float]] = {}
        text = self.booster.model_to_string()
        features = re.findall(r"^split_feature=(.*)$", text, flags=re.MULTILINE)
        thresholds = re.findall(r"^threshold=(.*)$", text, flags=re.MULTILINE)
        for positions, values in zip(features, thresholds, strict=True):
            for position, value in zip(positions.split(), values.split(), strict=True):
                found.setdefault(int(position), []).append(float(value))
        return {position: np.unique(np.array(values, np.float32)) for position, values in found.items()}


def fit(job: Job) -> Trees:
    """Boosts trees on the train split until the eval split has not improved for a while."""
    dense = isinstance(job.train.features, np.ndarray)
    parameters: GbdtParameters = job.parameters.for_rows(job.train.features.shape[0], not dense)
    kind = "regression" if job.classes == 0 else "binary" if job.classes == 2 else "multi"
    _, lightgbm_metric, metric = _OBJECTIVE[kind]
    width = len(job.features)
    names = [f"f{position}" for position in range(width)]  # LightGBM refuses names with JSON's characters
    curve: dict[str, dict[str, list[float]]] = {}
    train_set = lgb.Dataset(
        job.train.features, job.train.labels, weight=job.train.weights, feature_name=names, free_raw_data=False
    )
    evaluation = lgb.Dataset(
        job.evaluation.features, job.evaluation.labels, weight=job.evaluation.weights, reference=train_set
    )
    booster = lgb.train(
        {
            **_settings(parameters, kind, job.classes, job.seed, dense),
            **_monotone(parameters, job),
        },
        train_set,
        num_boost_round=parameters.n_estimators,
        valid_sets=[_watched(job, train_set), evaluation],
        valid_names=["train", "eval"],
        callbacks=[
            lgb.record_evaluation(curve),
            *([_told(job.on_round)] if job.on_round else []),
            _stopping(parameters.early_stopping_rounds),
        ],
    )
    best = 1 + int(np.argmin(curve["eval"][lightgbm_metric]))
    curves = {split: [float(value) for value in values[lightgbm_metric]] for split, values in curve.items()}
    return Trees(harden(booster, best), width, job.classes, metric, curves, best, asdict(parameters))


def _settings(parameters: GbdtParameters, kind: str, classes: int, seed: int, dense: bool = True) -> dict[str, Any]:
    objective, metric, _ = _OBJECTIVE[kind]
    return {
        "objective": objective,
        "metric": metric,
        "learning_rate": parameters.learning_rate,
        "num_leaves": parameters.num_leaves,
        "min_child_samples": parameters.min_child_samples,
        "feature_fraction": parameters.feature_fraction,
        "bagging_fraction": parameters.bagging_fraction,
        "bagging_freq": 1 if parameters.bagging_fraction != 1 else 0,
        "lambda_l2": parameters.lambda_l2,
        "seed": seed,
        "deterministic": True,
        # LightGBM otherwise times both ways, and may choose differently next time. Words are faster by columns.
        "force_row_wise": dense,
        "force_col_wise": not dense,
        "num_threads": int(os.environ.get("OMP_NUM_THREADS", 0)) or os.cpu_count() or 1,
        "verbosity": -1,
        **({"num_class": classes} if kind == "multi" else {}),
    }


def _monotone(parameters: GbdtParameters, job: Job) -> dict[str, Any]:
    """LightGBM's constraints, one of -1, 0 and 1 for each feature; nothing where there are none.

    What rises is the value, or the positive class's probability; LightGBM's is the second class's.

    Raises:
        HeadraceError: there is no such feature, it is a category's code, or there are more than two classes.
    """
    if not parameters.monotone:
        return {}
    if job.classes > 2:
        raise HeadraceError(
            f"train.gbdt.monotone: expected a regression or two classes. Received: {job.classes} classes"
        )
    places = {feature.name: place for place, feature in enumerate(job.features)}
    constraints = [0] * len(job.features)
    for name, direction in parameters.monotone.items():
        if name not in places:
            hint = nearest_column(name, places)
            raise HeadraceError(f"train.gbdt.monotone: expected a feature. Received: `{name}`; {hint}")
        if job.features[places[name]].kind == "code":
            raise HeadraceError(
                f"train.gbdt.monotone: expected a number. Received: `{name}`, the codes of a category, in no order"
            )
        constraints[places[name]] = int(direction) if job.positive == 1 else -int(direction)
    return {"monotone_constraints": constraints, "monotone_constraints_method": "intermediate"}


def _watched(job: Job, train_set: lgb.Dataset) -> lgb.Dataset:
    """What the train curve is measured on: of many rows some, or measuring would take a third of the training."""
    rows = job.train
    count = rows.features.shape[0]
    if count <= MOST_WATCHED:
        return train_set
    chosen = np.sort(np.random.default_rng(job.seed).choice(count, MOST_WATCHED, replace=False))
    weights = None if rows.weights is None else rows.weights[chosen]
    return lgb.Dataset(rows.features[chosen], rows.labels[chosen], weight=weights, reference=train_set)


def _stopping(patience: int) -> Callable[[lgb.callback.CallbackEnv], None]:
    """Ends the training once the eval split has not improved for so many rounds; the train curve has no say."""
    values: list[float] = []

    def stop(env: lgb.callback.CallbackEnv) -> None:
        values.append(_eval_metric(env))
        if len(values) - 1 - int(np.argmin(values)) >= patience:
            raise lgb.callback.EarlyStopException(int(np.argmin(values)), env.evaluation_result_list or [])

    return stop


def _eval_metric(env: lgb.callback.CallbackEnv) -> float:
    return float(next(entry[2] for entry in env.evaluation_result_list or [] if entry[0] == "eval"))


def _told(on_round: Callable[[int, float], None]) -> Callable[[lgb.callback.CallbackEnv], None]:
    def tell(env: lgb.callback.CallbackEnv) -> None:
        on_round(env.iteration + 1, _eval_metric(env))

    return tell


def harden(booster: lgb.Booster, iterations: int) -> lgb.Booster:
    """The same trees, cut to `iterations`, made independent of how their reader rounds and what it does with NaN.

    - Thresholds become the greatest float32 that is not greater: `x <= t` has the same answer for every float32 x
      before and after, and an exporter that stores float32 has nothing left to round. None lies within 1e-35 of
      zero, where LightGBM's own predictor takes any value for 0.
    - A split that saw no missing value in training sends one with the majority of the training rows; LightGBM
      alone would take it for 0, which for an encoded column is any value at all.
    """
    text = booster.model_to_string(num_iteration=iterations)
    head, *trees = re.split(r"(?=^Tree=\d+$)", text, flags=re.MULTILINE)
    hardened = [_harden_tree(tree) for tree in trees]
    # LightGBM finds the trees by their sizes in bytes; the text's tail (importances, parameters) is no part of a tree.
    sizes = [len(tree.split("end of trees", 1)[0].encode()) for tree in hardened]
    head = re.sub(r"^tree_sizes=.*$", "tree_sizes=" + " ".join(map(str, sizes)), head, flags=re.MULTILINE)
    return lgb.Booster(model_str=head + "".join(hardened))


def _harden_tree(tree: str) -> str:
    fields = dict(re.findall(r"^(\w+)=(.*)$", tree, flags=re.MULTILINE))
    if not fields.get("threshold"):
        return tree  # a single leaf
    thresholds = _outside_zero(floor_float32(np.array(fields["threshold"].split(), np.float64)))
    children = zip(
        fields["left_child"].split(), fields["right_child"].split(), fields["decision_type"].split(), strict=True
    )
    leaves, inner = fields["leaf_count"].split(), fields["internal_count"].split()

    def rows(child: str) -> int:
        return int(leaves[~int(child)] if int(child) < 0 else inner[int(child)])

    decisions = [str(_decision(int(kind), rows(left) >= rows(right))) for left, right, kind in children]
    tree = re.sub(r"^threshold=.*$", "threshold=" + " ".join(map(repr, thresholds.tolist())), tree, flags=re.MULTILINE)
    return re.sub(r"^decision_type=.*$", "decision_type=" + " ".join(decisions), tree, flags=re.MULTILINE)


def _decision(kind: int, left_is_majority: bool) -> int:
    """LightGBM's bits: 1 categorical, 2 default left, 12 how missing values look (0 none, 4 zero, 8 NaN)."""
    return kind if kind & 12 else 8 | (2 if left_is_majority else 0)


def _outside_zero(thresholds: np.ndarray) -> np.ndarray:
    """Moves thresholds out of the band that LightGBM's predictor takes for zero, to the side that it puts zero on."""
    negative = (thresholds < 0) & (thresholds >= -ZERO)
    positive = (thresholds >= 0) & (thresholds < ZERO)
    below = float(np.nextafter(np.float32(-ZERO), np.float32(-np.inf)))
    return np.where(negative, below, np.where(positive, ZERO, thresholds))


def floor_float32(values: np.ndarray) -> np.ndarray:
    """For each float64 the greatest float32 that is not greater, as float64."""
    with np.errstate(over="ignore"):
        rounded = values.astype(np.float32)
    above = rounded.astype(np.float64) > values
    rounded[above] = np.nextafter(rounded[above], np.float32(-np.inf))
    return rounded.astype(np.float64)
