"""What the tests of the server share: the tiny bundles, each trained once."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "unit" / "serving"))
from tiny_bundle import CLASSES, write_tiny_bundle

from headrace.artifacts.bundle import Bundle
from headrace.serving.local import running_server


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Kind (binary, multiclass, regression) -> a bundle's folder. Not to be changed."""
    folder = tmp_path_factory.mktemp("bundles")
    return {kind: write_tiny_bundle(folder / kind, kind) for kind in CLASSES}


@pytest.fixture(scope="session")
def binary(bundles: dict[str, Path]) -> Bundle:
    return Bundle.open(bundles["binary"])


@pytest.fixture(scope="session")
def url(bundles: dict[str, Path]) -> Iterator[str]:
    with running_server(bundles["binary"]) as url:
        yield url
