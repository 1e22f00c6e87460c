"""What the handlers of one emulator share."""

from __future__ import annotations

import fcntl
import os
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path

from headrace.artifacts.errors import HeadraceError
from headrace.emulator.clock import Clock
from headrace.emulator.documents import Documents
from headrace.emulator.jobs import Jobs
from headrace.emulator.operations import Operations
from headrace.emulator.serving import Serving
from headrace.emulator.storage.objects import Objects


class Emulator:
    """An emulator's state, in a folder that it has alone.

    Attributes:
        folder: the state's.
        home: the `.headrace` of the local platform, whose runs are those of the API. Its models are those that
            pipelines register there; the API's are documents, as every client may change them.
        address: at which clients reach it, `http://127.0.0.1:8971`; set once it listens.
        documents: the resources.
        operations: the long-running ones.
        jobs: work in processes of its own.
        clock: calls what is due.
        objects: of Cloud Storage, and where they lie.
        serving: the servers of deployed models.
    """

    def __init__(self, folder: Path) -> None:
        """Opens the state, and makes it where there is none.

        Raises:
            HeadraceError: another emulator has it, or it cannot be used.
        """
        self.folder = folder.absolute()
        self.home = self.folder / ".headrace"
        self.address = ""
        self._leave = ExitStack()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = self._leave.enter_context((self.folder / "emulator.lock").open("a+"))
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.seek(0)
            other = self._lock.read().strip() or "another one that starts"
            self._leave.close()
            raise HeadraceError(
                f"state: expected a folder that no other emulator uses. Received: {folder}, which has {other}. "
                "Use that one, stop it, or give another folder with --state."
            ) from None
        except OSError as error:
            self._leave.close()
            reason = error.strerror or str(error)
            raise HeadraceError(f"state: expected a folder to write to. Received: {folder} ({reason})") from None
        try:
            self.documents = Documents(self.folder / "emulator.db")
        except BaseException:
            self._leave.close()
            raise
        self.operations = Operations(self.documents)
        self.jobs = Jobs(self.documents)
        self.clock = Clock()
        self.objects = Objects(self.folder / "gcs", self.documents)
        self.serving = Serving(self.folder / "serving")

    def start(self) -> None:
        """Begins what works beside the requests; goes on with what was not finished when it last ended.

        A module of `server.MODULES` may have a function `begin(emulator)`, which is called before: there it adds what
        it listens to (`jobs.listen`, `clock.add`).
        """
        from headrace.emulator.server import MODULES

        self._lock.truncate(0)
        self._lock.write(f"{self.address} (process {os.getpid()})\n")
        self._lock.flush()
        for module in (import_module(f"headrace.emulator.{name}") for name in MODULES):
            if begin := getattr(module, "begin", None):
                begin(self)
        self.jobs.environment = {
            "HEADRACE_HOME": str(self.home),
            "HEADRACE_EMULATOR": self.address,
            "HEADRACE_STORAGE": str(self.folder / "gcs"),
            "STORAGE_EMULATOR_HOST": self.address,
            "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",  # or gcsfs asks for each bucket's kind by gRPC, for minutes
            "PYTHONUNBUFFERED": "1",
        }
        self.jobs.recover()
        self.clock.start()

    def stop(self) -> None:
        """Ends what works beside the requests, and gives the folder back."""
        self.clock.stop()
        self.jobs.stop()
        self.serving.stop()
        self._leave.close()
