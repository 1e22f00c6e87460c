"""The transform: how raw columns become the numbers a model learns from, fitted on the train split alone.

    transform.onnx    raw features -> `features` float32 [N, F + K]; the very graph that travels in the model
    transform.json    the inputs with their encodings, the constructed features, what was left out and why

Training runs the graph as serving does: there is one definition of a feature, so the two cannot differ.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headrace.artifacts.errors import ArtifactError
from headrace.artifacts.folder import Manifest, read_json, read_manifest, write_folder, write_json
from headrace.artifacts.signature import Input

FORMAT = "headrace/transform"
VERSION = 1
EXPECTED = LABEL, ID, DROPPED = "the label", "the id", "dropped by the spec"  # reasons that surprise nobody
GRAPH = "transform.onnx"
RECIPE = "transform.json"


@dataclass(frozen=True)
class Transform:
    """What was fitted.

    Attributes:
        inputs: the raw features in the matrix's order; F of them.
        construct: new feature -> expression over the inputs; K of them.
        excluded: column -> why it is no feature.
    """

    inputs: tuple[Input, ...]
    construct: dict[str, str]
    excluded: dict[str, str]

    @property
    def surprises(self) -> dict[str, str]:
        """The columns that were left out by a rule, and not because the spec says so."""
        return {name: reason for name, reason in self.excluded.items() if reason not in EXPECTED}

    @property
    def columns(self) -> list[str]:
        """The names of the F raw columns."""
        return [item.name for item in self.inputs]

    @property
    def features(self) -> list[str]:
        """The names of the F + K columns that the graph puts out."""
        return self.columns + list(self.construct)


def read_transform(path: Path | str) -> tuple[Transform, Path, Manifest]:
    """Opens a transform.

    Returns:
        the transform, the file of its graph, and its manifest.

    Raises:
        ArtifactError: not a transform, damaged, or of a newer format version.
    """
    path = Path(path)
    manifest = read_manifest(path, FORMAT, VERSION)
    value = read_json(path / RECIPE)
    try:
        inputs = tuple(Input.from_dict(item) for item in value["inputs"])
        transform = Transform(inputs, dict(value["construct"]), dict(value["excluded"]))
    except (KeyError, TypeError) as error:
        raise ArtifactError(f"{path / RECIPE}: expected inputs, construct and excluded. Received: {error!r}") from None
    return transform, path / GRAPH, manifest


@contextmanager
def write_transform(path: Path | str, transform: Transform) -> Iterator[Path]:
    """Writes the recipe, and yields the file to write the graph to."""
    details: dict[str, Any] = {"features": len(transform.features)}
    with write_folder(Path(path), FORMAT, VERSION, details) as folder:
        write_json(
            folder / RECIPE,
            {
                "inputs": [item.to_dict() for item in transform.inputs],
                "construct": transform.construct,
                "excluded": transform.excluded,
            },
        )
        yield folder / GRAPH
