"""docs/emulator.md says what the routes say."""

import importlib.util
import subprocess
import sys
from pathlib import Path

from headrace.emulator import routing, server

ROOT = Path(__file__).resolve().parents[3]


def test_the_tables_are_current():
    command = [sys.executable, "tools/emulator_coverage.py", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_only_the_tables_are_written(monkeypatch):
    spec = importlib.util.spec_from_file_location("emulator_coverage", ROOT / "tools" / "emulator_coverage.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    monkeypatch.setattr(
        tool,
        "routes",
        lambda: (
            routing.Route("GET", "/v1/projects/{project}/locations/{location}/a", None, "A.list, B.list"),
            routing.refused("POST", "/v1/projects/{project}/locations/{location}/b", "B.make", "it has no b"),
        ),
    )
    once = tool.page("# Title\n\nprose\n")
    assert "| `A.list`, `B.list` | `GET /v1/L/a` |" in once and "| `B.make` | it has no b |" in once
    assert once.startswith("# Title\n\nprose\n\n<!--") and tool.page(once) == once
    assert tool.page(once + "\nmore prose\n") == once + "\nmore prose\n"


def test_each_route_names_its_call():
    assert all(route.call for route in server.routes())
