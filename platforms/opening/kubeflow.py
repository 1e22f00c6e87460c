"""`kubeflow:NAMESPACE?...`: a registry in a bucket or a volume, served by KServe."""

from __future__ import annotations

from pathlib import Path

from headrace.platforms.interface import Platform
from headrace.platforms.kubeflow.place import KubeflowPlace
from headrace.platforms.kubeflow.platform import KubeflowPlatform


def open_platform(uri: str, home: Path | str | None) -> Platform:
    """The platform in a namespace.

    Raises:
        HeadraceError: the URI is incomplete.
    """
    return KubeflowPlatform(KubeflowPlace.of(uri))
