"""The model bundle: a sealed folder with everything that serving, review and audit need of one model.

    model.onnx       raw features -> outputs; one tensor [N, 1] per feature, named as the column; of images one tensor
                     uint8 [N, h, w, 3] of any size, which the graph itself resizes
    matrix.onnx      the same model behind the encoding: `matrix` float64 [N, F], and `texts` string [N, T] where T > 0
                     inputs are texts -> the same outputs; not of images
    signature.json   inputs with types, encodings and ranges; outputs (see signature.py)
    samples.json     {"instances": [raw, ...], "predictions": [as the server answers, ...]}
    schema.pbtxt, lineage.json, card.json, card.html, card.md
    curve.json       split -> the training metric after each round or epoch
    saved_model/     the same model for TensorFlow Serving; only of models that TensorFlow can replay, where asked for
    tflite/          from features to the answer, in several precisions; likewise
    statistics/      of the data it was trained on (see statistics.py): what later data is held against

Nothing in it is code or pickle. The manifest's details carry the model's `name`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from headrace.artifacts.errors import ArtifactError
from headrace.artifacts.folder import Manifest, read_json, read_manifest, write_folder
from headrace.artifacts.signature import Signature

FORMAT = "headrace/bundle"
FORMAT_VERSION = 1

_LONGEST_NAME = 200

MODEL = "model.onnx"
MATRIX = "matrix.onnx"
SIGNATURE = "signature.json"
SAMPLES = "samples.json"
SCHEMA = "schema.pbtxt"
LINEAGE = "lineage.json"
CURVE = "curve.json"
STATISTICS = "statistics"
SAVED_MODEL = "saved_model"
TFLITE = "tflite"
CARD_JSON = "card.json"  # what training knew; the card of a registered version says more
CARD_HTML = "card.html"
CARD_MD = "card.md"


@dataclass(frozen=True)
class Bundle:
    """A bundle on disk that was opened and checked."""

    path: Path
    manifest: Manifest
    signature: Signature

    @classmethod
    def open(cls, path: Path | str, verify: bool = True) -> Bundle:
        """Opens a bundle; with `verify` every file's content is compared with the manifest.

        Raises:
            ArtifactError: not a bundle, damaged, incomplete, or written by a newer version.
        """
        path = Path(path)
        manifest = read_manifest(path, FORMAT, FORMAT_VERSION, verify=verify)
        for key in ("name", "version"):
            _check_shown(path, key, manifest.details.get(key))
        return cls(path=path, manifest=manifest, signature=_required(path, manifest.files))

    def registered(self, version: str) -> Bundle:
        """The same bundle, under the version that a registry gave it: its own manifest was sealed before."""
        details = {**self.manifest.details, "version": version}
        return replace(self, manifest=replace(self.manifest, details=details))

    @property
    def name(self) -> str:
        """The model's name; the folder's where the manifest has none."""
        return str(self.manifest.details.get("name") or self.path.resolve().name)

    @property
    def version(self) -> str | None:
        """The registered version, if the bundle has one."""
        version = self.manifest.details.get("version")
        return None if version is None else str(version)

    @property
    def digest(self) -> str:
        """The content's digest, `sha256:<hex>`: the identity of the model."""
        return self.manifest.digest

    @property
    def model(self) -> Path:
        """The graph from raw features to outputs."""
        return self.path / MODEL

    @property
    def matrix(self) -> Path:
        """The graph from the encoded matrix to outputs; of images there is none."""
        return self.path / MATRIX

    @property
    def schema(self) -> Path:
        """The TFMD schema the model was trained under."""
        return self.path / SCHEMA

    @property
    def lineage(self) -> Path:
        """Where the model comes from: data, spec, code, lock, seed, parameters, metrics."""
        return self.path / LINEAGE

    @property
    def curve(self) -> Path:
        """How training went: split -> the metric after each round or epoch."""
        return self.path / CURVE

    @property
    def statistics(self) -> Path | None:
        """The statistics of the data it was trained on; None where the bundle has none."""
        folder = self.path / STATISTICS
        return folder if folder.is_dir() else None

    @property
    def card_html(self) -> Path:
        """The model card for people."""
        return self.path / CARD_HTML

    @property
    def card_json(self) -> Path:
        """The model card for machines; absent in bundles of older versions."""
        return self.path / CARD_JSON

    def samples(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Raw instances and the predictions that the trained model gave for them: equally many, never none.

        Raises:
            ArtifactError: samples.json holds something else.
        """
        file = self.path / SAMPLES
        value = read_json(file)
        instances = value.get("instances") if isinstance(value, dict) else None
        predictions = value.get("predictions") if isinstance(value, dict) else None
        if isinstance(instances, list) and isinstance(predictions, list):
            if len(instances) == len(predictions) > 0:
                return instances, predictions
            received = f"{len(instances)} instances, {len(predictions)} predictions"
        else:
            received = "another form"
        raise ArtifactError(f"{file}: expected equally many instances and predictions. Received: {received}")


@contextmanager
def write_bundle(path: Path | str, details: dict[str, Any]) -> Iterator[Path]:
    """Yields an empty folder to fill; on leaving it is checked, sealed and moved to `path` in one step.

    `details` is the manifest's own description, {"name": ..., ...}; it may be filled inside the block.

    Raises:
        ArtifactError: a needed file was not written, the signature is not valid, or `path` is taken.
    """
    with write_folder(Path(path), FORMAT, FORMAT_VERSION, details) as folder:
        yield folder
        _required(folder, {file.name for file in folder.iterdir()})


def needed(signature: Signature) -> tuple[str, ...]:
    """The files without which a bundle of this signature cannot be served and checked: all that decides an answer."""
    return (MODEL, SIGNATURE, SAMPLES) if signature.image else (MODEL, MATRIX, SIGNATURE, SAMPLES)


def _check_shown(path: Path, key: str, value: Any) -> None:
    """Names and versions become parts of addresses, headers, metrics and logs: a stranger's must break none of them."""
    given = "" if value is None else str(value)
    if len(given) > _LONGEST_NAME or not given.isprintable():
        raise ArtifactError(
            f"{path}: expected a {key} of up to {_LONGEST_NAME} printable characters. Received: {given[:40]!r}"
        )


def _required(path: Path, names: Collection[str]) -> Signature:
    """The signature of a bundle that has all the files that such a one needs."""
    _require(path, names, (SIGNATURE,))
    signature = Signature.read(path / SIGNATURE)
    _require(path, names, needed(signature))
    return signature


def _require(path: Path, names: Collection[str], wanted: tuple[str, ...]) -> None:
    missing = [name for name in wanted if name not in names]
    if missing:
        raise ArtifactError(
            f"{path}: expected {', '.join(wanted)} in a bundle. Received: none named {', '.join(missing)}"
        )
