"""`headrace predict --explain`: what single answers are made of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from headrace.artifacts.bundle import Bundle
from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.signature import Signature
from headrace.components.evaluate.explain import players
from headrace.components.evaluate.importance import training_gain
from headrace.components.evaluate.matrix_model import MatrixModel, encoded
from headrace.components.evaluate.shapley import Contributions, shapley
from headrace.pipelines.locate import locate_bundle, open_bundle

ORDERS = 128  # in which a row's columns are exchanged, with the bundle's own samples in turn
TOLERANCE = 1e-4  # between the server's answer and the explained one


def explained_answers(
    endpoint: str,
    home: Path,
    instances: Sequence[dict[str, Any]],
    answers: Sequence[dict[str, Any]],
    platform: str = "local",
) -> list[dict[str, Any]]:
    """The server's answers, each with its `explanation`, by the bundle that the platform's registry has.

    Raises:
        HeadraceError: the endpoint's model is one of images, or another one than the server's.
    """
    local = platform == "local"  # where nothing came over a network, it is not compared with its digests again
    bundle = (
        Bundle.open(locate_bundle(endpoint, home), verify=False) if local else open_bundle(endpoint, platform, home)
    )
    found = explain_instances(bundle, instances)
    result = []
    for answer, explanation in zip(answers, found, strict=True):
        served = served_value(answer, explanation["of"])
        if abs(served - explanation["output"]) > TOLERANCE * max(1.0, abs(served)):
            raise HeadraceError(
                f"{endpoint}: expected the server's model, which answers {served:.6g}. Received: another in "
                f"{home if local else platform}, which answers {explanation['output']:.6g}; "
                + ("restart the server" if local else "of a split, only the version that was deployed is explained")
            )
        result.append({**answer, "explanation": explanation})
    return result


def explain_instances(bundle: Bundle, instances: Sequence[dict[str, Any]], seed: int = 0) -> list[dict[str, Any]]:
    """What the bundle's answer for each instance is made of: `of` (the class, or null), `base`, `output`,
    `contributions` by column, the largest first.

    The bundle's own samples stand for "not known": a bundle has no other rows.

    Raises:
        HeadraceError: the model is one of images.
    """
    signature = bundle.signature
    if signature.image:
        raise HeadraceError(f"expected a model of a table to explain. Received: {bundle.name}, a model of images")
    model, game = MatrixModel.of(bundle), players(tuple(i.name for i in signature.inputs), training_gain(bundle))
    rows, samples = (
        encoded(signature, [tuple(row.get(item.name) for item in signature.inputs) for row in given])
        for given in (instances, bundle.samples()[0])
    )
    rounds = max(1, ORDERS // len(samples))
    background = samples.take(np.tile(np.arange(len(samples)), rounds + rounds * len(samples) % 2))
    found = shapley(model, rows, background, game.columns, np.random.default_rng(seed))
    return [_explanation(signature, found, row, game.names) for row in range(len(rows))]


def _explanation(signature: Signature, found: Contributions, row: int, names: Sequence[str]) -> dict[str, Any]:
    output, classes = 0, signature.classes
    if classes:
        positive = signature.positive
        output = int(found.outputs[row].argmax()) if positive is None else classes.index(positive)
    values = found.values[row, :, output]
    order = np.argsort(-np.abs(values), kind="stable")
    return {
        "of": classes[output] if classes else None,
        "base": float(found.base[output]),
        "output": float(found.outputs[row, output]),
        "contributions": {names[place]: float(values[place]) for place in order},
    }


def served_value(answer: dict[str, Any], of: str | None) -> float:
    """The number in a server's answer that is explained."""
    return float(answer["value"] if of is None else answer["probabilities"][of])
