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


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("kubeflow:https://host", "expected kubeflow:NAMESPACE\\?bucket=s3://BUCKET/FOLDER&image=IMAGE. Received: "),
        ("kubeflow:models", "expected kubeflow:NAMESPACE\\?bucket="),
        ("kubeflow:models?bucket=minio://b", "of MinIO it is s3:// too"),
        ("kubeflow:models?bucket=pvc://c/f", "expected mount=/FOLDER with a bucket of pvc://, and only there"),
        ("kubeflow:models?bucket=s3://b&mount=/m", "and only there"),
        ("kubeflow:models?bucket=s3://b&mode=knative", "expected mode=serverless or mode=raw. Received: knative"),
        ("kubeflow:models?bucket=s3://b&mode=raw&min=0", "expected min=1 or more with mode=raw"),
        ("kubeflow:models?bucket=s3://b&min=-1", "expected min=NUMBER. Received: -1"),
        ("kubeflow:models?bucket=s3://b&registry=http://m", "expected registry=mlflow:URL"),
        ("kubeflow:models?bucket=s3://b&ingres=http://g", "expected only the options .* Received: ingres"),
    ],
)
def test_a_place_on_a_cluster_says_what_is_wrong_with_it(uri: str, told: str) -> None:
    with pytest.raises(HeadraceError, match=told):
        open_platform(uri)


def test_a_place_on_a_cluster_is_opened_without_asking_it() -> None:
    uri = "kubeflow:models?bucket=s3://b/headrace&image=r/serving:1&mode=raw&max=3&ingress=http://gateway:8080"
    assert open_platform(uri).uri == uri


@pytest.mark.parametrize(
    "uri", ["", "Local", "locally", "local:", "local:x", "s3://bucket", "vertex", "vertex:", "mlflow", "kubeflow"]
)
def test_unknown_platforms_are_refused(uri: str) -> None:
    with pytest.raises(
        HeadraceError,
        match=r"platform: expected `local`, `mlflow:URL`, `vertex:PROJECT/LOCATION` or `kubeflow:NAMESPACE`\. Received: ",
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
