"""schemathesis over the server's own OpenAPI document: whatever it makes up, no 500, and answers as described."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "unit" / "serving"))
from picture_bundle import write_picture_bundle

from headrace.serving.local import running_server

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["binary", "regression", "pictures"])
def test_the_surface(kind: str, bundles: dict[str, Path], tmp_path: Path) -> None:
    folder = write_picture_bundle(tmp_path / "model") if kind == "pictures" else bundles[kind]
    with running_server(folder) as url:
        command = [str(Path(sys.executable).with_name("schemathesis")), "run", f"{url}/openapi.json"]
        command += ["--checks", CHECKS, "--max-examples", "40", "--seed", "1", "--phases", "examples,coverage,fuzzing"]
        command += ["--mode", "all", "--no-color", "--request-timeout", "20"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-1000:]
