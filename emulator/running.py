"""An emulator in a process of its own, which ends with the one that starts it: for tests and scripts."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.artifacts.errors import HeadraceError
from headrace.emulator import attached

if TYPE_CHECKING:
    from headrace.emulator.connecting import Connection

_COMMAND = "from headrace.pipelines.cli import main; main()"
_READY = re.compile(rb"emulator at (http://\S+?),")
_LOG = "emulator.log"
_START_S, _END_S = 60.0, 30.0
_TAIL = 20_000  # characters of the log that are shown
_STORAGE = "STORAGE_EMULATOR_HOST"


@dataclass(frozen=True)
class RunningEmulator:
    """One that answers.

    Attributes:
        address: `http://127.0.0.1:PORT`.
        folder: its state: `gs://b/k` is `gcs/b/k` in it, and `.headrace` its registry and runs, for
            `headrace runs --home FOLDER/.headrace`.
    """

    address: str
    folder: Path

    def connect(self, **settings: Any) -> Connection:
        """Points `aiplatform`, Cloud Storage and `.kfp()` at it; see `headrace.emulator.connect`."""
        from headrace.emulator.connecting import connect

        return connect(self.address, **settings)

    @property
    def log(self) -> str:
        """The end of what it has written: defects of its own."""
        return (self.folder / _LOG).read_text(encoding="utf-8", errors="replace")[-_TAIL:]


@contextmanager
def running(folder: Path, port: int = 0) -> Iterator[RunningEmulator]:
    """Starts one and waits until it answers; ends it behind the block.

    Within the block `STORAGE_EMULATOR_HOST` names it. Behind it, `aiplatform` still does, and reaches nobody any more.

    Args:
        folder: of its state; made where there is none.
        port: to listen on; 0 takes a free one.

    Raises:
        HeadraceError: it does not start.
    """
    folder.mkdir(parents=True, exist_ok=True)
    before = os.environ.get(_STORAGE)
    with (folder / _LOG).open("ab") as log:
        process = subprocess.Popen(_argv(folder, port), stdout=subprocess.PIPE, stderr=log, start_new_session=True)
    emulator = None
    try:
        emulator = RunningEmulator(_address(process, folder), folder)
        os.environ[_STORAGE] = emulator.address
        _forget_file_systems()
        yield emulator
    finally:
        if before is None:
            os.environ.pop(_STORAGE, None)
        else:
            os.environ[_STORAGE] = before
        _forget_file_systems()
        _end(process)
        if emulator and (told := emulator.log):
            print(told, file=sys.stderr)


def _argv(folder: Path, port: int) -> list[str]:
    wrapper = [sys.executable, "-I", "-S", str(attached.__file__), str(int(signal.SIGKILL)), str(os.getpid())]
    options = ["--quiet", "--port", str(port), "--state", str(folder)]
    return [*wrapper, sys.executable, "-c", _COMMAND, "emulator", *options]


def _address(process: subprocess.Popen[bytes], folder: Path) -> str:
    """What it says once it listens."""
    assert process.stdout is not None
    late = threading.Timer(_START_S, process.kill)
    late.start()
    try:
        found = _READY.search(process.stdout.readline())
    finally:
        late.cancel()
    if found is None:
        _end(process)
        told = (folder / _LOG).read_text(encoding="utf-8", errors="replace")[-_TAIL:].strip()
        raise HeadraceError(f"expected an emulator that starts. Received: {told or f'none within {_START_S:g} s'}")
    return found[1].decode()


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    assert process.stdout is not None
    process.stdout.close()


def _forget_file_systems() -> None:
    """Has gcsfs make its connections anew: it keeps them by their settings, and the address is none."""
    if gcsfs := sys.modules.get("gcsfs"):
        gcsfs.GCSFileSystem.clear_instance_cache()
