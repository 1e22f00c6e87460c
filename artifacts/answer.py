"""Model outputs to predictions, in the one form that the server, the samples and batch scoring share.

Classification: {"label": "1", "probabilities": {"0": 0.1, "1": 0.9}}. Regression: {"value": 152.3}.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from headrace.artifacts.signature import Signature


def predictions(signature: Signature, outputs: npt.NDArray[np.float32]) -> list[dict[str, Any]]:
    """Turns a graph's output, [N, C] probabilities or [N, 1] values, into N predictions.

    Two classes: the positive one where its probability, in float64, is at least the threshold. More
    classes: the most probable one, the first of equals.
    """
    rows = outputs.tolist()
    if signature.task == "regression":
        return [{"value": row[0]} for row in rows]
    classes = signature.classes
    if signature.positive is None:
        return [
            {"label": classes[row.index(max(row))], "probabilities": dict(zip(classes, row, strict=True))}
            for row in rows
        ]
    first, second = classes
    place = classes.index(signature.positive)
    threshold = signature.threshold or 0.0
    negative, positive = classes[1 - place], signature.positive
    return [
        {
            "label": positive if row[place] >= threshold else negative,
            "probabilities": {first: row[0], second: row[1]},
        }
        for row in rows
    ]
