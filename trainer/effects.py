"""What a model makes of its chosen features: partial dependence (Friedman 2001, "Greedy Function Approximation").

For each feature the model is asked what it would answer on average if all rows had this value of it, one value after
the other. Where features go together, some of these rows do not exist: it shows the model, not the world.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from headrace.artifacts.transform import Feature, Transform
from headrace.trainer.model import Features, Model, dense

MOST_FEATURES = 6
_ROWS = 200  # that are asked about
_POINTS = 13  # values of a number; of a category, the most frequent ones


@dataclass(frozen=True)
class Effect:
    """One feature's effect.

    Attributes:
        feature: its name.
        share: of what the model has learned.
        points: of a number, the values; of a category, the places of `names`.
        names: of a category, its values.
        answers: the mean answer at each point, (points, outputs).
    """

    feature: str
    share: float
    points: tuple[float, ...]
    names: tuple[str, ...]
    answers: np.ndarray


def effects(
    model: Model, recipe: Transform, features: Features, share: Mapping[str, float], seed: int
) -> tuple[Effect, ...]:
    """The effects of the most important features, measured on some rows.

    Args:
        model: the model.
        recipe: what the features are.
        features: rows, of the eval split say.
        share: feature -> its share of what the model learned.
        seed: of the choice of rows.
    """
    chosen = [name for name, value in sorted(share.items(), key=lambda item: -item[1]) if value > 0][:MOST_FEATURES]
    if not chosen or not features.shape[0]:
        return ()
    rows = np.random.default_rng(seed).permutation(features.shape[0])[:_ROWS]
    sample = dense(features[np.sort(rows)])
    found = (_effect(model, recipe, sample, recipe.features.index(name), share[name]) for name in chosen)
    return tuple(effect for effect in found if effect is not None)


def _effect(model: Model, recipe: Transform, sample: np.ndarray, place: int, share: float) -> Effect | None:
    feature = recipe.outputs[place]
    known = sample[:, place][np.isfinite(sample[:, place])]
    if feature.kind == "code":
        codes, counts = np.unique(known, return_counts=True)
        values = codes[np.argsort(-counts, kind="stable")][:_POINTS]
    else:
        values = np.unique(np.quantile(known, np.linspace(0.02, 0.98, _POINTS))) if len(known) else known
    if not len(values):
        return None
    asked = np.repeat(sample, len(values), axis=0)
    asked[:, place] = np.tile(values, len(sample))
    answers = model.predict(asked).reshape(len(sample), len(values), -1).mean(axis=0)
    offset = next((item.offset for item in recipe.inputs if item.name == feature.raw), 0.0)
    names = tuple(_name(recipe, feature, int(value)) for value in values) if feature.kind == "code" else ()
    return Effect(feature.name, share, tuple(float(value) + offset for value in values), names, answers)


def _name(recipe: Transform, feature: Feature, code: int) -> str:
    """The value that a code stands for."""
    if code == 0:
        return "(unseen)"
    known = [item.vocabulary for item in recipe.inputs if (item.name,) == feature.sources]
    if known and len(known[0]) == feature.size:
        return known[0][code - 1]
    return f"value {code}"
