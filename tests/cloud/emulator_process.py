"""The emulator in a process of its own, for tests that use the clients' libraries against it."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile

_COMMAND = "from headrace.pipelines.cli import main; main()"


class EmulatorProcess:
    """An emulator that can be killed and started again on the same state."""

    def __init__(self, folder: Path) -> None:
        """Starts it on a free port, and waits until it answers."""
        self.folder = folder
        self.address = ""
        self._process: subprocess.Popen[str] | None = None
        self.start()

    def start(self) -> None:
        """Starts it, at the address that it had."""
        port = self.address.rpartition(":")[2] or "0"
        command = [sys.executable, "-c", _COMMAND, "emulator", "--port", port, "--state", str(self.folder)]
        with TemporaryFile("w+") as errors:
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
            assert self._process.stdout is not None
            line = self._process.stdout.readline()
            found = re.search(r"http://[\d.]+:\d+", line)
            if not found:
                self._process.wait()
                errors.seek(0)
                raise AssertionError(f"the emulator did not start: {line}{errors.read()}")
        self.address = found[0]

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Ends it, and waits until it has."""
        assert self._process is not None
        self._process.send_signal(number)
        self._process.communicate(timeout=30)


@contextmanager
def emulator_process(folder: Path) -> Iterator[EmulatorProcess]:
    """An emulator with its state in a folder, while the block runs."""
    emulator = EmulatorProcess(folder)
    try:
        yield emulator
    finally:
        emulator.end()
