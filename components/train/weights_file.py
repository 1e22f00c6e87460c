"""The file of weights that a backbone begins with: named by the spec, found and fingerprinted when it is compiled."""

from __future__ import annotations

from pathlib import Path

from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.folder import file_digest
from headrace.components.train.spec import TrainSpec

_WORDS = ("none", "imagenet")  # which are no files


def with_weights(settings: TrainSpec, folder: Path) -> TrainSpec:
    """The same settings, with the file's whole path and its digest in them.

    A file in Cloud Storage (gs://) is left for the run to find, where Vertex AI mounts it.

    Args:
        settings: the spec's `train` section.
        folder: the spec's, which the file is relative to.

    Raises:
        HeadraceError: there is no such file.
    """
    name = settings.cnn.weights
    if settings.model != "cnn" or name in _WORDS or name.startswith("gs://"):
        return settings
    path = (folder / name).resolve()
    if not path.is_file():
        raise HeadraceError(
            f"{path}: expected the file of train.cnn.weights, or one of {', '.join(_WORDS)}. Received: no such file"
        )
    found = {"weights": str(path), "weights_digest": file_digest(path)}
    return settings.model_copy(update={"cnn": settings.cnn.model_copy(update=found)})


def weights_files(settings: TrainSpec) -> list[str]:
    """The file that the section names, as the spec writes it."""
    name = settings.cnn.weights
    return [] if settings.model != "cnn" or name in _WORDS or name.startswith("gs://") else [name]
