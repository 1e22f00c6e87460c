"""The runner's side of a zygote: starts it, sends requests, reads events. The other side is worker.py."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import socket
import struct
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from headrace.pipelines.local.workers.environments import digest
from headrace.pipelines.local.workers.processes import kill_marked

PATIENCE = 2.0  # seconds that a zygote has to clean up before it is killed
_NUMBERS = itertools.count(1)
_WORKER = Path(__file__).with_name("worker.py")
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS",
                     "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "LOKY_MAX_CPU_COUNT")  # fmt: skip


class Zygote:
    """One environment's zygote process, and the tasks that run as its children."""

    def __init__(self, name: str, prefix: Path, env: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.mark = f"{env['HEADRACE_RUN']} {name} {next(_NUMBERS)}"  # what its descendants are known by
        self.tasks: dict[str, int | None] = {}  # request id -> process id, once started
        self.control, control_there = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self.events, events_there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.control.setblocking(False)
        self.events.setblocking(False)
        self.outgoing = bytearray()
        with log.open("ab") as output, control_there, events_there:
            self.process = subprocess.Popen(
                [str(prefix / "bin" / "python"), "-P", str(_WORKER), str(control_there.fileno()),
                 str(events_there.fileno()), str(os.getpid())],
                env={**env, "HEADRACE_WORKER": self.mark},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(control_there.fileno(), events_there.fileno()),
                start_new_session=True,  # Ctrl-C is the runner's affair
            )  # fmt: skip

    def preload(self, modules: Iterable[str]) -> None:
        """Asks for modules to be imported while there is nothing else to do, in this order."""
        self._send({"op": "preload", "modules": list(modules)})

    def fork(self, request: Mapping[str, Any]) -> None:
        """Asks for a task to be started; events with its `id` follow."""
        self.tasks[request["id"]] = None
        self._send({"op": "fork", **request})

    def _send(self, request: Mapping[str, Any]) -> None:
        body = json.dumps(request).encode()
        self.outgoing += struct.pack(">I", len(body)) + body
        self.flush()

    def flush(self) -> None:
        """Writes what the socket takes; the rest waits in `outgoing`. A dead zygote is noticed on reading."""
        with contextlib.suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
            while self.outgoing:
                del self.outgoing[: self.control.send(self.outgoing)]

    def read(self) -> list[dict[str, Any]] | None:
        """The events that have come; None when the zygote and its children are gone."""
        found: list[dict[str, Any]] = []
        while True:
            try:
                packet = self.events.recv(1 << 18)
            except BlockingIOError:
                return found
            except ConnectionResetError:
                packet = b""
            if not packet:
                return found or None
            event = json.loads(packet)
            if event["event"] == "started" and event["id"] in self.tasks:
                self.tasks[event["id"]] = event["pid"]
            elif event["event"] in ("exit", "refused"):
                self.tasks.pop(event["id"], None)
            found.append(event)

    def kill(self, task: str, sig: signal.Signals) -> None:
        """Sends a signal to a task's whole process group, if it runs."""
        if pid := self.tasks.get(task):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, sig)

    def terminate(self) -> None:
        """Begins to end the zygote and every process below it."""
        for task in list(self.tasks):
            self.kill(task, signal.SIGKILL)
        self.control.close()
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()

    def close(self) -> None:
        """Ends the zygote and every process below it."""
        self.terminate()
        try:
            code = self.process.wait(timeout=PATIENCE)
        except subprocess.TimeoutExpired:  # in the middle of an import
            self.process.kill()
            code = self.process.wait()
        if code != 0:  # it could not clean up after itself
            kill_marked("HEADRACE_WORKER", self.mark)
        self.events.close()


def threads_environment(threads: int) -> dict[str, str]:
    """The variables that say to numerical libraries how many threads to use; what the user has set is left out."""
    return {name: str(threads) for name in _THREAD_VARIABLES if name not in os.environ}


def environment(prefix: Path, home: Path, run_id: str, threads: int) -> dict[str, str]:
    """The variables that a zygote and its tasks start with. HEADRACE_RUN marks every process of a run."""
    env = {**threads_environment(threads), **os.environ}
    env.setdefault("JE_ARROW_MALLOC_CONF", "background_thread:false")  # else importing pyarrow starts a thread
    env.update(
        PATH=f"{prefix / 'bin'}{os.pathsep}{env.get('PATH', os.defpath)}",
        VIRTUAL_ENV=str(prefix),
        PYTHONUNBUFFERED="1",
        _KFP_RUNTIME="true",
        HEADRACE_HOME=str(home),
        HEADRACE_RUN=run_id,
        HEADRACE_CHECKPOINTS=str(home / "checkpoints"),  # what a killed task left there, the next one goes on from
        HEADRACE_ENVIRONMENT=f"sha256:{digest(prefix)}",  # a model's lineage names what it was made with
    )
    env.pop("PYTHONHOME", None)
    return env
