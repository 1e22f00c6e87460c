"""A model's signature: what goes in, what comes out, how a raw value becomes a cell of the model's matrix.

The encoder graph, the server, batch scoring and the model card take their rules from here:

- missing (null, NaN, an empty string) is NaN, for every type
- number: ``float64(value) - offset``
- boolean: 1.0 or 0.0
- category: 1 + the value's index in `vocabulary`; a value that is not there (unseen) is 0.0
- date: days, ``microseconds since 1970-01-01 UTC / 86_400_000_000.0 - offset``; the microseconds are an exact
  integer, so every implementation agrees to the last bit
- text: 1.0; the string itself travels beside the matrix, in `texts` [N, T]: T inputs of this type, in their order,
  a missing one as an empty string
- image: has no cell, and its model no matrix. It is a model's only input: pixels, uint8 RGB of any size, which the
  graph itself resizes to `height` x `width` (see pictures.py for how a file becomes pixels)

The matrix is float64. The model casts it to float32 where it needs that, after its constructed features were
computed: the difference of two times in epoch seconds must not be taken of rounded numbers.

Only the standard library is imported here: the server starts in a fraction of a second.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from headrace.artifacts.errors import ArtifactError
from headrace.artifacts.folder import read_json, write_json

Task = Literal["classification", "regression"]
InputType = Literal["number", "boolean", "category", "date", "text", "image"]

# A date as a string; the groups are year, month, day, hour, minute, seconds, zone's sign, hour and minute.
# Without a zone it is UTC. Written in the syntax that Python's `re` and RE2 (in ONNX Runtime) share.
DATE_PATTERN = (
    r"([0-9]{4})-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
    r"(?:[T ]([01][0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9](?:[.][0-9]{1,9})?))?"
    r"(?:Z|([+-])([01][0-9]|2[0-3]):([0-5][0-9]))?)?"
)

EXACT = 2**53  # whole numbers up to here are exact in float64; servers take greater ones with a decimal point alone
_MOST_SIDE = 8192  # pixels of a picture as a network sees it: there is none of a fifth of that

_FIELDS: dict[str, tuple[str, ...]] = {
    "number": ("offset", "min", "max"),
    "boolean": (),
    "category": ("vocabulary",),
    "date": ("offset", "min", "max"),
    "text": (),
    "image": ("height", "width"),
}


@dataclass(frozen=True)
class Input:
    """One raw feature. `min` and `max` are the range in training (dates: days since 1970)."""

    name: str
    type: InputType
    offset: float = 0.0  # number, date: subtracted, so that float32 keeps neighbouring values apart
    min: float | None = None  # None: the column had no value in training
    max: float | None = None
    vocabulary: tuple[str, ...] = ()  # category: known values, rarest first
    height: int = 0  # image: in pixels, as the network sees it
    width: int = 0

    def __post_init__(self) -> None:
        _check(isinstance(self.name, str) and bool(self.name), "inputs: name", "a non-empty string", self.name)
        where = f"inputs[{self.name!r}]"
        _check(self.type in get_args(InputType), f"{where}.type", f"one of {', '.join(_FIELDS)}", self.type)
        _check(_is_number(self.offset), f"{where}.offset", "a finite number", self.offset)
        for bound in ("min", "max"):
            value = getattr(self, bound)
            _check(value is None or _is_number(value), f"{where}.{bound}", "a finite number or null", value)
        for side in ("height", "width"):
            value, least = getattr(self, side), 1 if self.type == "image" else 0
            whole = isinstance(value, int) and not isinstance(value, bool)
            _check(whole and _MOST_SIDE >= value >= least, f"{where}.{side}", "a number of pixels", value)
        strings = all(isinstance(value, str) and value for value in self.vocabulary)
        _check(strings, f"{where}.vocabulary", "non-empty strings (an empty one means missing)", self.vocabulary)
        distinct = len(set(self.vocabulary)) == len(self.vocabulary)
        _check(distinct, f"{where}.vocabulary", "distinct values", self.vocabulary)

    @classmethod
    def from_dict(cls, value: Any) -> Input:
        """Builds an input from its JSON object; unknown and missing keys are refused."""
        _check(isinstance(value, dict), "inputs", "objects with a name and a type", value)
        where = f"inputs[{value.get('name')!r}]"
        _check(value.get("type") in _FIELDS, f"{where}.type", f"one of {', '.join(_FIELDS)}", value.get("type"))
        allowed = ("name", "type", *_FIELDS[value["type"]])
        _check("name" in value, where, "a name", "none")
        unknown = sorted(set(value) - set(allowed))
        _check(not unknown, where, f"only the keys {', '.join(allowed)}", ", ".join(unknown))
        vocabulary = value.get("vocabulary", [])
        _check(isinstance(vocabulary, list), f"{where}.vocabulary", "a list of strings", vocabulary)
        return cls(**{**value, "vocabulary": tuple(vocabulary)})

    def to_dict(self) -> dict[str, Any]:
        """The JSON object: only the keys that belong to the type."""
        values = {name: getattr(self, name) for name in _FIELDS[self.type]}
        if "vocabulary" in values:
            values["vocabulary"] = list(self.vocabulary)
        return {"name": self.name, "type": self.type, **values}


def text_inputs(inputs: Sequence[Input]) -> list[int]:
    """The places of the inputs that are texts: the columns of `texts`, in this order."""
    return [place for place, item in enumerate(inputs) if item.type == "text"]


@dataclass(frozen=True)
class Signature:
    """The whole model: its task, its inputs in the matrix's order, and its outputs.

    `positive` and `threshold` are given for two classes and for nothing else: the label is `positive` where
    its probability is at least `threshold`. With more classes it is the most probable, the first of equals.
    """

    task: Task
    label: str
    inputs: tuple[Input, ...]
    classes: tuple[str, ...] = ()
    positive: str | None = None
    threshold: float | None = None

    def __post_init__(self) -> None:
        _check(self.task in get_args(Task), "task", " or ".join(get_args(Task)), self.task)
        _check(isinstance(self.label, str) and bool(self.label), "label", "a non-empty string", self.label)
        _check(len(self.inputs) > 0, "inputs", "at least one input", "none")
        names = [item.name for item in self.inputs]
        twice = sorted(name for name, count in Counter(names).items() if count > 1)
        _check(not twice, "inputs", "distinct names", ", ".join(twice))
        _check(self.label not in names, "inputs", "features only", f"the label {self.label!r} among them")
        alone = len(self.inputs) == 1 or all(item.type != "image" for item in self.inputs)
        _check(alone, "inputs", "an image to be the only input", ", ".join(names))
        if self.task == "classification":
            self._check_classes()
        else:
            extra = [key for key in ("classes", "positive", "threshold") if getattr(self, key) not in ((), None)]
            _check(not extra, "regression", "no classes, positive or threshold", ", ".join(extra))

    def _check_classes(self) -> None:
        strings = all(isinstance(value, str) for value in self.classes)
        enough = strings and len(set(self.classes)) == len(self.classes) >= 2
        _check(enough, "classes", "two or more distinct strings", self.classes)
        if len(self.classes) == 2:
            _check(self.positive in self.classes, "positive", f"one of {self.classes}", self.positive)
            fine = _is_number(self.threshold) and 0 <= (self.threshold or 0) <= 1
            _check(fine, "threshold", "a number from 0 to 1", self.threshold)
        else:
            none = self.positive is None and self.threshold is None
            _check(
                none,
                "positive, threshold",
                "none with more than two classes",
                (self.positive, self.threshold),
            )

    @property
    def output(self) -> str:
        """The name of the graphs' output tensor: `probabilities` [N, C] or `value` [N, 1], float32."""
        return "probabilities" if self.task == "classification" else "value"

    @property
    def image(self) -> Input | None:
        """The input of a model of images; None for a table's."""
        return self.inputs[0] if self.inputs[0].type == "image" else None

    @classmethod
    def from_dict(cls, value: Any) -> Signature:
        """Builds a signature from its JSON object.

        Raises:
            ArtifactError: a key is unknown or missing, or a value is not what the format says.
        """
        _check(isinstance(value, dict), "signature", "a JSON object", type(value).__name__)
        unknown = sorted(set(value) - {"task", "label", "inputs", "classes", "positive", "threshold"})
        _check(not unknown, "signature", "only known keys", ", ".join(unknown))
        missing = [key for key in ("task", "label", "inputs") if key not in value]
        _check(not missing, "signature", "the keys task, label and inputs", f"none for {', '.join(missing)}")
        _check(isinstance(value["inputs"], list), "inputs", "a list of objects", value["inputs"])
        classes = value.get("classes", [])
        _check(isinstance(classes, list), "classes", "a list of strings", classes)
        return cls(
            task=value["task"],
            label=value["label"],
            inputs=tuple(Input.from_dict(item) for item in value["inputs"]),
            classes=tuple(classes),
            positive=value.get("positive"),
            threshold=value.get("threshold"),
        )

    def to_dict(self) -> dict[str, Any]:
        """The JSON object, as it stands in signature.json."""
        result: dict[str, Any] = {"task": self.task, "label": self.label}
        if self.task == "classification":
            result["classes"] = list(self.classes)
        if self.positive is not None:
            result |= {"positive": self.positive, "threshold": self.threshold}
        return {**result, "inputs": [item.to_dict() for item in self.inputs]}

    @classmethod
    def read(cls, file: Path) -> Signature:
        """Reads signature.json.

        Raises:
            ArtifactError: the file is missing, not JSON or not a signature; the message names file and field.
        """
        value = read_json(file)
        try:
            return cls.from_dict(value)
        except (ArtifactError, TypeError) as error:
            raise ArtifactError(f"{file}: {error}") from None

    def write(self, file: Path) -> None:
        """Writes signature.json, atomically."""
        write_json(file, self.to_dict())


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _check(fine: bool, where: str, expected: str, received: Any) -> None:
    if not fine:
        shown = received if isinstance(received, str) and received else repr(received)
        raise ArtifactError(f"{where}: expected {expected}. Received: {shown}")
