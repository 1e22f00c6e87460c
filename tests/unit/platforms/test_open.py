from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from headrace.artifacts.errors import HeadraceError
from headrace.platforms.interface import Endpoints, ModelRegistry, Platform
from headrace.platforms.local.platform import LocalPlatform
from headrace.platforms.open import open_platform


def _write(platform: Platform) -> None:
    """Makes the registry's file; what is asked for is refused, as there is no such model."""
    with pytest.raises(HeadraceError, match="tiny"):
        platform.registry.set_alias("tiny", "stable", "1")


def test_local_lies_where_the_variable_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_HOME", str(tmp_path / "home"))
    platform = open_platform("local")
    assert platform.registry.models() == []
    assert list(tmp_path.iterdir()) == []  # reading makes nothing
    _write(platform)
    assert (tmp_path / "home" / "registry.db").is_file()


def test_the_argument_wins_over_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_HOME", str(tmp_path / "other"))
    _write(open_platform("local", tmp_path / "home"))
    assert (tmp_path / "home" / "registry.db").is_file()
    assert not (tmp_path / "other").exists()


def test_local_without_a_home_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HEADRACE_HOME", raising=False)
    with pytest.raises(HeadraceError, match="expected its folder in HEADRACE_HOME"):
        open_platform("local")


@pytest.mark.parametrize("uri", ["kubeflow", "kubeflow:https://host"])
def test_platforms_of_later_versions_say_so(uri: str) -> None:
    with pytest.raises(HeadraceError, match="is not available in this version"):
        open_platform(uri)


@pytest.mark.parametrize("uri", ["", "Local", "locally", "s3://bucket", "vertex", "vertex:", "mlflow"])
def test_unknown_platforms_are_refused(uri: str) -> None:
    with pytest.raises(
        HeadraceError, match=r"platform: expected `local`, `mlflow:URL` or `vertex:PROJECT/LOCATION`\. Received: "
    ):
        open_platform(uri)


def test_the_local_platform_has_the_interface(tmp_path: Path) -> None:
    local = LocalPlatform(tmp_path)
    platform: Platform = local  # the type checker compares the signatures
    registry: ModelRegistry = platform.registry
    endpoints: Endpoints = platform.endpoints
    assert registry is local.registry and endpoints is local.endpoints


def test_importing_it_loads_nothing_heavy() -> None:
    code = "import sys, headrace.platforms.local.platform; print(*{name.split('.')[0] for name in sys.modules})"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not {"numpy", "pyarrow", "pandas", "onnxruntime", "pydantic", "kfp", "yaml"} & set(out.split())
