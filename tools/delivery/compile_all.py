"""Compiles every example's pipelines against given images, and checks what comes out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tools.delivery.errors import DeliveryError

INDEX = "index.json"


def read_digests(file: Path) -> dict[str, str]:
    """The images by their names (`components`, `tfx`, ...), each by its digest.

    Raises:
        DeliveryError: the file is not there, or names an image by a tag, which somebody may move.
    """
    try:
        images: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError) as error:
        raise DeliveryError(f"{file}: expected what `make push-images` writes. Received: {error}") from None
    if not images:
        raise DeliveryError(f"{file}: expected the images that `make push-images` pushed. Received: none")
    for name, image in images.items():
        if "@sha256:" not in image:
            raise DeliveryError(f"{file}: {name}: expected an image by its digest. Received: {image}")
    return images


def specs(root: Path) -> dict[str, Path]:
    """The examples' specs by the names that their pipelines get: `churn`, `churn-own_model`."""
    found = {}
    for file in sorted(root.glob("examples/*/*.yaml")):
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        if isinstance(content, dict) and {"name", "task", "data"} <= set(content):
            found[file.parent.name if file.stem == "spec" else f"{file.parent.name}-{file.stem}"] = file
    return found


def compile_all(root: Path, output: Path, images: Mapping[str, str]) -> dict[str, Any]:
    """Compiles the training and the prediction pipeline of each example.

    Args:
        root: the repository.
        output: a folder for `NAME.training.yaml`, `NAME.prediction.yaml` and `index.json`.
        images: what they have to run in, by digest; empty for the images of this version by their tags.

    Returns:
        The index: for each file its SHA-256 and its images.

    Raises:
        DeliveryError: the same spec gave other bytes the second time, or another image than those that are given.
        HeadraceError: a spec has a mistake.
    """
    from headrace.pipelines.compile import compile_prediction, compile_spec

    output.mkdir(parents=True, exist_ok=True)
    for old in output.glob("*.yaml"):
        old.unlink()
    index: dict[str, Any] = {}
    for name, spec in specs(root).items():
        for kind, compile_it in (("training", compile_spec), ("prediction", compile_prediction)):
            file = output / f"{name}.{kind}.yaml"
            compile_it(spec, file)
            first = file.read_bytes()
            compile_it(spec, file)
            if file.read_bytes() != first:
                raise DeliveryError(f"{spec}: {kind}: expected the same bytes from the same spec. Received: others")
            used = images_of(first.decode())
            if images and (odd := sorted(used - set(images.values()))):
                raise DeliveryError(f"{spec}: {kind}: expected the images of the digests. Received: {', '.join(odd)}")
            index[file.name] = {"sha256": hashlib.sha256(first).hexdigest(), "images": sorted(used)}
    (output / INDEX).write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
    return index


def images_of(text: str) -> set[str]:
    """The images of a compiled pipeline."""
    ir = next(yaml.load_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    executors = ir["deploymentSpec"]["executors"].values()
    return {executor["container"]["image"] for executor in executors if "container" in executor}
