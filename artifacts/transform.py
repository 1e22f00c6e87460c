"""The transform: how raw columns become the numbers a model learns from, fitted on the train split alone.

    transform.onnx        raw features -> `features` float32 [N, W]
    features.onnx         encoded rows -> `features`: `matrix` float64 [N, F], and `texts` string [N, T] where T > 0
                          inputs are texts; the very graph that travels in the model
    transform.json        the inputs with their encodings, the features, what was left out and why
    out_of_fold.parquet   float32 columns, a row per row of the train split in its order: what features that were fitted
                          on the label are for rows that must not see their own label; only where there are such

Training runs the graph as serving does: there is one definition of a feature, so the two cannot differ.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from headrace.artifacts.errors import ArtifactError
from headrace.artifacts.folder import Manifest, read_json, read_manifest, write_folder, write_json
from headrace.artifacts.signature import Input

FORMAT = "headrace/transform"
VERSION = 2
LABEL, ID, DROPPED, WEIGHT = "the label", "the id", "dropped by the spec", "the weight of its row"
EXPECTED = LABEL, ID, DROPPED, WEIGHT  # reasons that surprise nobody
GRAPH = "transform.onnx"
FEATURES = "features.onnx"
RECIPE = "transform.json"
OUT_OF_FOLD = "out_of_fold.parquet"


@dataclass(frozen=True)
class Feature:
    """One column of what a model learns from.

    Attributes:
        name: of the column; unique.
        sources: the raw columns that it is made of, none for a constant.
        made: how, for people: `standardize(log(total_spend))`.
        kind: `number`, or `code` of a category: 0 unseen, 1 to `size` known, NaN missing.
        size: how many known values a code has.
        raw: the input whose matrix cell it equals (in float32), if it is one unchanged.
        out_of_fold: fitted on the label; train rows take their values from out_of_fold.parquet.
    """

    name: str
    sources: tuple[str, ...]
    made: str
    kind: Literal["number", "code"] = "number"
    size: int | None = None
    raw: str | None = None
    out_of_fold: bool = False


@dataclass(frozen=True)
class Transform:
    """What was fitted.

    Attributes:
        inputs: the raw features in the matrix's order; F of them.
        outputs: the features in the graph's order; W of them.
        excluded: column -> why it is no feature.
        construct: name -> the spec's expression.
        notes: what was chosen and why, and what a person should know: a line each.
        fitted: what was learned from the train split, for the record (vocabularies, quantiles, encodings); JSON.
    """

    inputs: tuple[Input, ...]
    outputs: tuple[Feature, ...]
    excluded: dict[str, str]
    construct: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    fitted: dict[str, Any] = field(default_factory=dict)

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
        """The names of the W columns that the graph puts out."""
        return [feature.name for feature in self.outputs]


@dataclass(frozen=True)
class TransformFiles:
    """A transform on disk that was opened and checked."""

    path: Path
    recipe: Transform
    digest: str

    @property
    def graph(self) -> Path:
        """The graph from raw features."""
        return self.path / GRAPH

    @property
    def features(self) -> Path:
        """The graph from encoded rows."""
        return self.path / FEATURES

    @property
    def out_of_fold(self) -> Path | None:
        """The train split's values of features that were fitted on the label; None where there are none."""
        file = self.path / OUT_OF_FOLD
        return file if file.exists() else None


def open_transform(path: Path | str) -> TransformFiles:
    """Opens a transform.

    Raises:
        ArtifactError: not a transform, damaged, of an older format (run the pipeline again), or of a newer one.
    """
    path = Path(path)
    manifest = read_manifest(path, FORMAT, VERSION)
    value = read_json(path / RECIPE)
    return TransformFiles(path, _recipe(path, value, manifest), manifest.digest)


def _recipe(path: Path, value: Any, manifest: Manifest) -> Transform:
    if manifest.format_version < VERSION:
        expected = f"{FORMAT} of version {VERSION}: run the pipeline again"
        raise ArtifactError(f"{path}: expected {expected}. Received: {manifest.format_version}")
    try:
        return Transform(
            inputs=tuple(Input.from_dict(item) for item in value["inputs"]),
            outputs=tuple(Feature(**{**item, "sources": tuple(item["sources"])}) for item in value["outputs"]),
            excluded=dict(value["excluded"]),
            construct=dict(value["construct"]),
            notes=tuple(value["notes"]),
            fitted=dict(value["fitted"]),
        )
    except (KeyError, TypeError) as error:
        raise ArtifactError(
            f"{path / RECIPE}: expected inputs, outputs, excluded, construct, notes and fitted. Received: {error!r}"
        ) from None


@contextmanager
def write_transform(path: Path | str, transform: Transform) -> Iterator[Path]:
    """Writes the recipe, and yields the folder to write the graphs (and out_of_fold.parquet) to."""
    details: dict[str, Any] = {"features": len(transform.outputs)}
    with write_folder(Path(path), FORMAT, VERSION, details) as folder:
        write_json(
            folder / RECIPE,
            {
                "inputs": [item.to_dict() for item in transform.inputs],
                "outputs": [asdict(feature) for feature in transform.outputs],
                "excluded": transform.excluded,
                "construct": transform.construct,
                "notes": list(transform.notes),
                "fitted": transform.fitted,
            },
        )
        yield folder
