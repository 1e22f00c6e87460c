"""Nothing of what we import leaves traces in a home, or reports to anybody."""

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "code",
    [
        "import headrace.serving.scorer, onnxruntime",
        "import headrace.trainer.export.parity, onnxruntime",
        "import headrace.components.evaluate.evaluate, onnxruntime",
    ],
)
def test_no_telemetry(tmp_path, code):
    """With a bare environment: the runtime is silent of itself where a variable says that this is CI, as users' machines do not."""
    subprocess.run([sys.executable, "-c", code], env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)}, check=True)
    assert [str(path) for path in tmp_path.rglob("*") if path.is_file()] == []


def test_the_setting_stands_before_the_runtime_is_imported(tmp_path):
    """The files above are the runtime's own doing, and may move: the documented switch is on record here."""
    code = (
        "import headrace, os, sys; assert 'onnxruntime' not in sys.modules; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    )
    bare = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    assert (
        subprocess.run([sys.executable, "-c", code], env=bare, check=True, capture_output=True, text=True).stdout
        == "1\n"
    )
