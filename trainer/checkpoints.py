"""Checkpoints: what a training leaves behind at each step, so that one that was killed can go on.

A machine that may be taken away at any moment (a preemptible one, an interrupted run) says by `HEADRACE_CHECKPOINTS`,
or as Vertex AI does by `AIP_CHECKPOINT_DIR`, which folder outlives it. Each training has a folder of its own in there,
named by a digest of all that decides its result: a checkpoint of other data or settings is never gone on from.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from headrace.artifacts.folder import write_bytes

VARIABLES = ("HEADRACE_CHECKPOINTS", "AIP_CHECKPOINT_DIR")


def checkpoint_folder(**decides: Any) -> Path | None:
    """The folder of a training's checkpoints, made where it is not there; None where no folder outlives the process.

    Args:
        decides: all that decides the training's result, as JSON can hold it: data's and transform's digests, settings.
    """
    root = next((os.environ[name] for name in VARIABLES if os.environ.get(name)), None)
    if root is None:
        return None
    covered = hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()
    folder = Path(mounted(root)) / covered[:32]
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def mounted(place: str) -> str:
    """A place in Cloud Storage as the folder that Vertex AI mounts it at: gs://bucket/a is /gcs/bucket/a."""
    return "/gcs/" + place.removeprefix("gs://") if place.startswith("gs://") else place


def write_arrays(file: Path, arrays: dict[str, np.ndarray]) -> None:
    """Writes arrays so that a reader sees the old ones or the new, never half of them; durable on return."""
    content = io.BytesIO()
    np.savez(content, **arrays)  # type: ignore[arg-type]
    write_bytes(file, content.getbuffer())


def read_arrays(file: Path) -> dict[str, np.ndarray] | None:
    """The arrays of `write_arrays`; None where there are none, or where a lost disk or bucket has damaged them."""
    try:
        with np.load(file, allow_pickle=False) as arrays:
            return dict(arrays)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        print(f"{file}: expected a checkpoint. Received: a damaged file ({error}); the training begins anew")
        return None
