"""Nothing of what we import leaves traces in a home, or reports to anybody."""

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "code",
    [
        "import headrace.serving.scorer, onnxruntime",
        "import headrace.trainer.parity, onnxruntime",
        "import headrace.components.evaluate.evaluate, onnxruntime",
    ],
)
def test_no_telemetry(tmp_path, code):
    env = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    subprocess.run([sys.executable, "-c", code], env={**env, "HOME": str(tmp_path)}, check=True)
    assert [str(path) for path in tmp_path.rglob("*") if path.is_file()] == []


def test_the_runtime_does_report_without_the_setting(tmp_path):
    """The other tests would show nothing if the setting were not what keeps it quiet."""
    env = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    subprocess.run([sys.executable, "-c", "import onnxruntime"], env={**env, "HOME": str(tmp_path)}, check=True)
    assert [path for path in tmp_path.rglob("*") if path.is_file()]
