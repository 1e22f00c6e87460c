"""Our command compiles without KFP's client, and everybody else finds KFP whole."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import os, sys
sys.argv = [{name!r}]
from headrace.pipelines.kfp_import import import_kfp
import_kfp()
assert os.environ.get("_KFP_RUNTIME") == {before!r}
from kfp import compiler, dsl
print("kubernetes" in sys.modules, hasattr(dsl, "component"), hasattr(sys.modules["kfp"], "Client"))
from kfp.client import Client
print(Client.__name__)
"""


@pytest.mark.parametrize(
    ("name", "before", "said"),
    [
        ("/usr/bin/headrace", None, "False True False"),
        ("/usr/bin/headrace", "no", "False True False"),
        ("notebook.py", None, "True True True"),
    ],
)
def test_only_our_command_leaves_the_client_out(name, before, said):
    variables = {**os.environ, **({"_KFP_RUNTIME": before} if before else {})}
    code = CODE.format(name=name, before=before)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=variables)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:2] == [said, "Client"]


def test_what_is_compiled_is_the_same(tmp_path):
    from headrace.pipelines.compile import compile_spec

    spec = tmp_path / "spec.yaml"
    spec.write_text("name: m\ntask: classification\ndata: {source: t.csv, label: y}\n")
    compile_spec(spec, tmp_path / "here.yaml")
    command = [str(Path(sys.executable).parent / "headrace"), "compile", str(spec), "-o", "there.yaml"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "there.yaml").read_bytes() == (tmp_path / "here.yaml").read_bytes()
