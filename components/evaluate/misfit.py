"""Whether a model can answer for a dataset at all: a champion was trained on data that may have changed since."""

from __future__ import annotations

from collections.abc import Iterator

from headrace.artifacts.dataset import DatasetInfo
from headrace.artifacts.signature import Input, Signature

# As a snapshot's few column types become inputs when a model is trained.
_TYPES = {
    "number": ("int64", "float64"),
    "boolean": ("bool",),
    "category": ("string",),
    "date": ("date32", "timestamp"),
    "text": ("string",),
    "image": ("binary",),
}
_MOST_NAMED = 10


def misfit(signature: Signature, info: DatasetInfo) -> str:
    """Why the model's answers could not be compared with this dataset's labels; empty where they can.

    A class that is new to the model is no misfit: rows of it count as wrong.
    """
    if (signature.task, signature.label) != (info.task, info.label):
        received = f"the data's is a {info.task} of `{info.label}`"
        return f"the model is a {signature.task} of `{signature.label}`, and {received}"
    known = info.classes or []
    gone = [name for name in signature.classes if name not in known]
    if gone or (len(known) == 2 and signature.positive != info.positive):
        return f"the model's classes are {_classes(signature)}, and the data's are {_classes(info)}"
    wrong = list(_columns(signature, {column.name: column.type for column in info.columns}))
    rest = f" and {len(wrong) - _MOST_NAMED:,} more" if len(wrong) > _MOST_NAMED else ""
    return f"{'; '.join(wrong[:_MOST_NAMED])}{rest}"


def _columns(signature: Signature, types: dict[str, str]) -> Iterator[str]:
    for item in signature.inputs:
        if item.name not in types:
            yield f"column `{item.name}`, which the model needs, is not in the data"
        elif not _fits(item, types[item.name]):
            kind = "an image" if item.type == "image" else f"a {item.type}"
            yield f"column `{item.name}` was {kind} for the model, and is {types[item.name]} in the data"


def _fits(item: Input, type: str) -> bool:
    return type.startswith(_TYPES[item.type])  # a timestamp's type carries its unit


def _classes(of: Signature | DatasetInfo) -> str:
    listed = ", ".join((of.classes or ())[:_MOST_NAMED])
    return listed if of.positive is None else f"{listed} with {of.positive} positive"
