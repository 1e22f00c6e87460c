"""As in a locked-down container: no root, no capabilities, nothing to write to. The server starts, answers and stops."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.serving.servers import GOOD, ask, url_of

# Inside namespaces of users and mounts: this process's user is called 65534, nobody, and every mount is read-only.
SANDBOX = """
set -e
for place in $(awk '{print $5}' /proc/self/mountinfo | sort -r); do
  mount -o remount,bind,ro "$place" 2>/dev/null || true
done
if touch "$1/probe" 2>/dev/null; then echo "still writable: $1" >&2; exit 9; fi
shift
exec setpriv --no-new-privs --ambient-caps=-all --inh-caps=-all --bounding-set=-all -- "$@"
"""
UNSHARE = ["unshare", "--user", "--map-user=65534", "--map-group=65534", "--mount", "--keep-caps"]


def unable() -> str:
    """Why no such namespace can be made here; empty where it can."""
    if not shutil.which("unshare") or not shutil.which("setpriv"):
        return "no unshare or setpriv here"
    tried = subprocess.run([*UNSHARE, "true"], capture_output=True, text=True, check=False)
    return tried.stderr.strip() if tried.returncode else ""


@contextmanager
def locked_down(probe: Path, *arguments: object, **environment: str) -> Iterator[subprocess.Popen[str]]:
    if reason := unable():
        pytest.skip(reason)
    server = [sys.executable, "-m", "headrace.serving", *map(str, arguments)]
    command = [*UNSHARE, "bash", "-c", SANDBOX, "bash", str(probe), *server]
    started = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment}
    )
    try:
        yield started
    finally:
        started.kill()
        started.communicate()


@pytest.mark.parametrize("workers", [1, 2])
def test_it_serves_without_root_and_without_a_place_to_write_to(
    workers: int, bundles: dict[str, Path], tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    arguments = (bundles["binary"], "--port", 0, "--workers", workers)
    with locked_down(tmp_path, *arguments, HOME=str(home), TMPDIR=str(home)) as started:
        url = url_of(started)
        status = Path(f"/proc/{started.pid}/status").read_text()
        values = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert (values["CapEff"], values["CapBnd"], values["NoNewPrivs"]) == ("0" * 16, "0" * 16, "1")
        assert ask(url, "POST", "/predict", json.dumps({"instances": [GOOD]}).encode())[0] == 200
        assert ask(url, "GET", "/metrics")[0] == 200
        assert ask(url, "GET", "/health")[0] == 200
        started.send_signal(signal.SIGTERM)
        _, said = started.communicate(timeout=20)
        assert (started.returncode, said) == (0, "")
    assert list(home.iterdir()) == []
