"""The file of a compiled pipeline as one dictionary, in whichever of KFP's forms it is written."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.yaml_lines import load_yamls, read_documents


def load_pipeline(file: Path) -> dict[str, Any]:
    """Reads a pipeline spec; with its platform spec as `{"pipelineSpec": ..., "platformSpec": ...}`.

    KFP's compiler writes the platform spec as a second document, and both into the `spec` of a PipelineVersion
    where it writes Kubernetes manifests.

    Raises:
        HeadraceError: no such file, not YAML or JSON, or no compiled pipeline.
    """
    return _fold([document.value for document in read_documents(file)], file)


def parse_pipeline(text: str, name: Path | str) -> dict[str, Any]:
    """The same, of the text of a pipeline that was just compiled; `name` is for messages."""
    return _fold(load_yamls(text), name)


def _fold(documents: Iterable[Any], file: Path | str) -> dict[str, Any]:
    folded: dict[str, Any] = {}
    for value in documents:
        if not isinstance(value, dict):
            raise HeadraceError(f"{file}: expected a compiled pipeline. Received: {type(value).__name__}")
        if value.get("kind") == "PipelineVersion":
            value = value.get("spec") or {}
        if "root" in value:
            value = {"pipelineSpec": value}
        elif "platforms" in value:
            value = {"platformSpec": value}
        for part in ("pipelineSpec", "platformSpec"):
            if part in value and part in folded:
                raise HeadraceError(f"{file}: expected one pipeline. Received: a second {part}")
            if isinstance(value.get(part), dict):
                folded[part] = value[part]
    if "pipelineSpec" not in folded:
        raise HeadraceError(
            f"{file}: expected a compiled pipeline (KFP's IR with `root`, `deploymentSpec`). Received: another thing"
        )
    return folded if "platformSpec" in folded else dict(folded["pipelineSpec"])
