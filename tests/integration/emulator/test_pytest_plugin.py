"""The pytest plug-in in the folder of somebody who has tests of his own, with the real clients."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
OUTSIDE = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "STORAGE_EMULATOR"))}


@pytest.fixture
def folder(tmp_path):
    """A stranger's: the package is found as an installed one's entry point."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["pytest11"]
    info = tmp_path / "site" / "headrace_plugin-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: headrace-plugin\nVersion: 1\n")
    lines = [f"{name} = {module}" for name, module in declared.items()]
    (info / "entry_points.txt").write_text("\n".join(["[pytest11]", *lines, ""]))
    return tmp_path


def run_tests(folder, text, *options):
    (folder / "test_mine.py").write_text(textwrap.dedent(text))
    found = {**OUTSIDE, "PYTHONPATH": f"{folder / 'site'}{os.pathsep}{ROOT}", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", *options, "test_mine.py"]
    return subprocess.run(command, cwd=folder, env=found, capture_output=True, text=True, timeout=300)


MINE = """
    import os
    from pathlib import Path

    import pytest
    from google.cloud import storage
    from kfp import dsl

    addresses = []

    @dsl.component
    def add(a: int, b: int) -> int:
        return a + b

    @dsl.pipeline(name="sum")
    def the_sum(a: int = 1):
        add(a=a, b=2)

    def test_a_pipeline(headrace_emulator):
        client = headrace_emulator.connect(project="mine").kfp()
        run = client.create_run_from_pipeline_func(the_sum, arguments={"a": 40})
        assert client.wait_for_run_completion(run.run_id, timeout=120, sleep_duration=1).state == "SUCCEEDED"
        storage.Client(project="mine").create_bucket("mine").blob("x").upload_from_string("1")
        assert (headrace_emulator.folder / "gcs/mine/x").read_text() == "1"
        addresses.append(headrace_emulator.address)

    def test_nothing_is_left_of_it(headrace_emulator):
        assert os.environ["STORAGE_EMULATOR_HOST"] == headrace_emulator.address
        assert not list(storage.Client(project="mine").list_buckets())

    def test_nor_is_the_process():
        import requests

        with pytest.raises(requests.ConnectionError):
            requests.get(addresses[0])
        assert "STORAGE_EMULATOR_HOST" not in os.environ

    @pytest.mark.parametrize("turn", [1, 2])
    def test_one_for_all(headrace_emulator_session, turn):
        client = storage.Client(project="mine")
        assert len(list(client.list_buckets())) == turn - 1
        client.create_bucket(f"seen-{turn}")
"""


@pytest.mark.slow
def test_a_test_of_ones_own_runs_a_pipeline_and_finds_an_empty_state_each_time(folder):
    done = run_tests(folder, MINE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 passed" in done.stdout


def test_a_session_that_does_not_use_it_loads_nothing_of_it(folder):
    text = """
        import sys

        def test_mine(request):
            assert request.config.pluginmanager.has_plugin("headrace")
            ours = {name for name in sys.modules if name.split(".")[0] == "headrace"}
            assert ours == {"headrace", "headrace.emulator", "headrace.emulator.pytest_plugin"}
            assert not [name for name in ("google.cloud.storage", "kfp", "aiohttp", "sqlite3") if name in sys.modules]
    """
    done = run_tests(folder, text, "-p", "no:anyio", "-p", "no:xdist")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_where_it_ends_early_the_emulator_ends_too(folder):
    text = """
        import os, signal

        def test_mine(headrace_emulator):
            with open("pid", "w") as stream:
                stream.write((headrace_emulator.folder / "emulator.lock").read_text())
            os.kill(os.getpid(), signal.SIGKILL)
    """
    assert run_tests(folder, text).returncode == -9
    number = int((folder / "pid").read_text().rpartition("process ")[2].rstrip(")\n"))
    for _ in range(100):
        stat = Path(f"/proc/{number}/stat")
        if not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z":
            return
        import time

        time.sleep(0.05)
    raise AssertionError(f"process {number} goes on")
