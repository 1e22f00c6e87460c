"""The images that the steps run in, fixed when a pipeline is compiled.

Each is named by a variable, or else by the file that HEADRACE_IMAGES names, which `make images` writes, or else by this
version of Headrace:

    HEADRACE_IMAGE_MAIN=registry/components@sha256:... headrace compile spec.yaml
    HEADRACE_IMAGES=build/images.json headrace compile spec.yaml
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from headrace import __version__
from headrace.artifacts.errors import HeadraceError

_FILE = "HEADRACE_IMAGES"
_VARIABLES = {
    "components": "HEADRACE_IMAGE_MAIN",
    "tfx": "HEADRACE_IMAGE_TFX",
    "trainer": "HEADRACE_IMAGE_TRAINER",
    "trainer-gpu": "HEADRACE_IMAGE_TRAINER_GPU",
    "serving": "HEADRACE_IMAGE_SERVING",
}
# Dataflow's workers, which need more than the steps that start them; by the environment of the step.
_WORKERS = {"main": "dataflow", "tfx": "dataflow-tfx"}
_WORKER_VARIABLES = {"dataflow": "HEADRACE_IMAGE_DATAFLOW", "dataflow-tfx": "HEADRACE_IMAGE_DATAFLOW_TFX"}


def named() -> dict[str, str]:
    """Every image's name, as the environment has it now.

    Raises:
        HeadraceError: HEADRACE_IMAGES names no file of images.
    """
    given = _of_file(os.environ.get(_FILE, ""))
    return {
        name: os.environ.get(variable) or given.get(name) or f"headrace/{name}:{__version__}"
        for name, variable in _VARIABLES.items()
    }


def workers() -> dict[str, str]:
    """The images of Dataflow's workers, by the steps' environments; those only that the environment has now.

    Raises:
        HeadraceError: HEADRACE_IMAGES names no file of images.
    """
    given = _of_file(os.environ.get(_FILE, ""))
    found = {
        environment: os.environ.get(_WORKER_VARIABLES[name]) or given.get(name, "")
        for environment, name in _WORKERS.items()
    }
    return {environment: image for environment, image in found.items() if image}


def _of_file(name: str) -> dict[str, str]:
    if not name:
        return {}
    try:
        given = json.loads(Path(name).read_text())
    except (OSError, ValueError) as error:
        raise HeadraceError(
            f"{_FILE}: expected a file of images, as `make images` writes it. Received: {error}"
        ) from None
    if not isinstance(given, dict) or not all(isinstance(one, str) for one in given.values()):
        raise HeadraceError(f"{_FILE}: expected an object of names in {name}. Received: {given!r}")
    known_names = [*_VARIABLES, *_WORKER_VARIABLES]
    if unknown := set(given).difference(known_names):
        known = ", ".join(known_names)
        raise HeadraceError(f"{_FILE}: expected {known} in {name}. Received: {', '.join(sorted(unknown))}")
    return given


_NAMED = named()
MAIN = _NAMED["components"]
TFX = _NAMED["tfx"]
TRAINER = _NAMED["trainer"]  # of Vertex's custom jobs
TRAINER_GPU = _NAMED["trainer-gpu"]  # the same with CUDA's libraries, and what it takes for the steps below
SERVING = _NAMED["serving"]
ON_GPU = frozenset(("train", "tune"))


def on_gpu(step: str, image: str) -> str:
    """The image of a step that is given a GPU. CUDA's libraries are in one image, and the steps that use them.

    Another step, or another image than ours, stays what it is.
    """
    return TRAINER_GPU if step in ON_GPU and image == MAIN else image
