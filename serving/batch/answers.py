"""Model outputs to the columns of predictions: what `artifacts/answer.py` says, for many rows at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.artifacts.signature import Signature

LABEL, VALUE = "label", "value"


def answer_columns(signature: Signature, outputs: npt.NDArray[np.float32]) -> dict[str, Any]:
    """The predictions as Arrow columns, in order.

    Of a classification `label` (dictionary of strings) and `probability_CLASS` of each class, of a regression `value`;
    float32, as the graph gives them: cast to float64 they are the numbers in the server's JSON.
    """
    if signature.task == "regression":
        return {VALUE: pa.array(np.ascontiguousarray(outputs[:, 0]))}
    labels = pa.DictionaryArray.from_arrays(
        pa.array(label_places(signature, outputs), pa.int32()), pa.array(signature.classes, pa.string())
    )
    found = {LABEL: labels}
    for place, name in enumerate(probability_names(signature)):
        found[name] = pa.array(np.ascontiguousarray(outputs[:, place]))
    return found


def answer_names(signature: Signature) -> list[str]:
    """The columns that `answer_columns` makes."""
    return [VALUE] if signature.task == "regression" else [LABEL, *probability_names(signature)]


def probability_names(signature: Signature) -> list[str]:
    """The columns of the classes' probabilities, in the classes' order."""
    return [f"probability_{name}" for name in signature.classes]


def label_places(signature: Signature, outputs: npt.NDArray[np.float32]) -> npt.NDArray[np.int32]:
    """Of each row, the place of its label among the classes.

    Two classes: the positive one where its probability, in float64, is at least the threshold. More classes: the most
    probable one, the first of equals.
    """
    if signature.positive is None:
        best: npt.NDArray[np.int32] = np.argmax(outputs, axis=1).astype(np.int32)
        return best
    place = signature.classes.index(signature.positive)
    positive = outputs[:, place].astype(np.float64) >= (signature.threshold or 0.0)
    places: npt.NDArray[np.int32] = np.where(positive, place, 1 - place).astype(np.int32)
    return places
