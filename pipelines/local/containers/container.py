"""Drives one container from its creation to its removal. Runs in a child of a warm worker, as the task's process.

So a task in a container has the log, the timeout, the cancellation and the parallelism of any other one: to the
runner it is a process that ends. SIGTERM asks the container to end. Whoever is killed before it could remove its
container leaves it to `docker_engine.sweep`.
"""

from __future__ import annotations

import ctypes
import importlib
import itertools
import os
import re
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import docker
import requests

from headrace.pipelines.local.containers.docker_engine import connect, explanation, remove
from headrace.pipelines.local.workers.resources import kills

if TYPE_CHECKING:
    from headrace.pipelines.local.workers.task_process import Reporter

STOP = 1  # seconds that a container's process has between SIGTERM and SIGKILL; the runner's own grace is longer
TAIL = 30_000  # characters of the log's end that a traceback is looked for in
_PR_SET_PDEATHSIG = 1
_VMSTAT = Path("/proc/vmstat")  # where the kernel counts what it killed for want of memory
_FRAME = re.compile(r'^  File "(.*?)", line \d+', re.MULTILINE)
_MACHINERY = re.compile(r"/kfp/dsl/|^<frozen ")
_ERROR = re.compile(r"^([A-Za-z_][\w.]*)(?:: (.*))?\Z", re.DOTALL)

Error = dict[str, Any]


def run(request: dict[str, Any], reporter: Reporter) -> int:
    """Runs the container that a request describes; says its result, and returns its exit status.

    What it has written is whole when its last process has ended, so the result is said before the container is
    removed: Podman takes as long for that as for starting one.
    """
    driver = Driver(request["container"])
    try:
        status, error = driver.run()
    except docker.errors.APIError as problem:
        status, error = 125, _refused(problem, request["container"])
    except (docker.errors.DockerException, requests.RequestException, OSError) as problem:
        status, error = 125, _error("EngineLost", f"the container engine went away: {problem}")
    if error and status == 125:
        print(error["message"], flush=True)
    reporter.send(event="result", error=error, max_rss_kib=0, last=True)
    driver.remove()
    return status


class Driver:
    """One container under way."""

    def __init__(self, container: dict[str, Any]) -> None:
        self.spec = container
        self.name: str = container["options"]["name"]
        self.client = connect(container["api"], timeout=None)
        self.control = connect(container["api"])  # a connection of its own, for the signal handler
        self.signals: list[int] = []  # what asked for an end
        self.tail = b""
        self.kills = kills(_VMSTAT)
        signal.signal(signal.SIGTERM, self._end)
        # The worker's end is no reason to leave the container behind: be asked, not killed.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)

    def run(self) -> tuple[int, Error | None]:
        """(exit status, what went wrong or None) of the container, which has ended on return."""
        created = self.client.create_container(**self.spec["options"])
        for warning in created.get("Warnings") or ():  # a limit that the engine cannot set, for one
            print(f"the container engine warns: {warning}", flush=True)
        output = self.client.attach(self.name, stdout=True, stderr=True, stream=True, demux=True)
        if self.signals:
            return 128 + signal.SIGTERM, _error("Killed", "ended before it started")
        self.client.start(self.name)
        if self.signals:  # while it started: the first request may have come too early
            self._stop()
        for parts in output:
            for part in parts:
                self._write(part or b"")
        state = self._final_state()
        if state["ExitCode"] == 128 + signal.SIGKILL and not self.signals and kills(_VMSTAT) > self.kills:
            state["OOMKilled"] = True  # not every engine notices
        return state["ExitCode"], verdict(state, self.tail.decode(errors="replace"), self.spec.get("memory"))

    def remove(self) -> None:
        """Removes the container, whatever state it is in."""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        try:
            remove(self.control, self.name)
        except (docker.errors.APIError, requests.RequestException) as error:  # tried again at the run's end
            print(f"cannot remove the container yet: {explanation(error)}", flush=True)

    def _write(self, part: bytes) -> None:
        self.tail = (self.tail + part)[-TAIL:]
        while part:
            part = part[os.write(1, part) :]

    def _final_state(self) -> dict[str, Any]:
        """The container's state once it has ended: at once, as a rule. To wait is Podman's slower way of asking."""
        for delay in (0.0, 0.005, 0.01, 0.02, 0.04, 0.08):
            time.sleep(delay)
            state: dict[str, Any] = self.client.inspect_container(self.name)["State"]
            if not state["Running"] and state["Status"] in ("exited", "dead"):
                return state
        self.client.wait(self.name)  # it has closed its output and goes on
        ended: dict[str, Any] = self.client.inspect_container(self.name)["State"]
        return ended

    def _end(self, *_: object) -> None:
        """On SIGTERM: ends the container while its output is still being read, so that its last words are logged."""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        self.signals.append(signal.SIGTERM)
        self._stop()

    def _stop(self) -> None:
        try:
            self.control.stop(self.name, timeout=STOP)
        except docker.errors.NotFound:
            return  # not created yet: `run` looks at `signals`
        except (docker.errors.APIError, requests.RequestException) as error:
            print(f"cannot end the container: {explanation(error)}", flush=True)


def verdict(state: dict[str, Any], tail: str, memory: str | None) -> Error | None:
    """What a container's final state comes to, as a task's error; None when it ended well.

    Args:
        state: `State` of the engine's description of a container.
        tail: the end of its output.
        memory: its limit in words, where it has one.
    """
    code = int(state["ExitCode"])
    if code == 0:
        return None
    found = traceback_in(tail)
    if state.get("OOMKilled"):
        limit = f": its limit is {memory}" if memory else ""
        trace = found["trace"] if found else ""
        return {**_error("OutOfMemory", f"killed by the kernel for want of memory{limit}"), "trace": trace}
    if said := state.get("Error"):
        return _error("ContainerError", f"the container engine says: {said}")
    if found and code == 1:  # what Python leaves with after an error that nobody caught
        return found
    if code - 128 in set(signal.Signals):
        name = signal.Signals(code - 128).name
        hint = ", perhaps out of memory" if name == "SIGKILL" else ""
        return _error("Killed", f"killed by signal {code - 128} ({name}){hint}")
    return _error("ExitStatus", f"ended with exit status {code}")


def traceback_in(text: str) -> Error | None:
    """The last Python traceback at the end of a log, less KFP's own frames; None where it does not end with one."""
    start = text.rfind("Traceback (most recent call last):\n")
    if start < 0:
        return None
    lines = text[start:].rstrip().splitlines()
    last = next((i for i, line in enumerate(lines[1:], start=1) if line and not line.startswith(" ")), None)
    match = _ERROR.match("\n".join(lines[last:])) if last else None
    if last is None or match is None:
        return None
    kind, message = match.group(1), match.group(2) or ""
    frames = _frames("\n".join(lines[1:last]))
    theirs = next((i for i, (file, _) in enumerate(frames) if not _MACHINERY.search(file)), 0)
    body = "".join(frame for _, frame in frames[theirs:])
    numbers = re.match(r"\[Errno (\d+)\]", message)
    user, exit_code = _of_ours(kind)
    return {
        "type": kind.rpartition(".")[2],
        "message": message,
        "trace": f"{lines[0]}\n{body}" + "\n".join(lines[last:]) + "\n",
        "user": user,
        "exit_code": exit_code,
        "errno": int(numbers.group(1)) if numbers else None,
    }


def _frames(text: str) -> list[tuple[str, str]]:
    """(file, text) of each frame of a traceback."""
    found = list(_FRAME.finditer(text))
    places = [match.start() for match in found] + [len(text)]
    return [
        (match.group(1), text[start:end].rstrip("\n") + "\n")
        for match, (start, end) in zip(found, itertools.pairwise(places), strict=True)
    ]


def _of_ours(kind: str) -> tuple[bool, int]:
    """Whether an error's full name is one of ours that a user can put right, and its exit code."""
    module, _, name = kind.rpartition(".")
    if not module.startswith("headrace."):
        return False, 1
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError):  # the image holds another version than this one
        return False, 1
    from headrace.artifacts.errors import HeadraceError

    return isinstance(found, type) and issubclass(found, HeadraceError), int(getattr(found, "exit_code", 1))


def _refused(error: Any, container: dict[str, Any]) -> Error:
    """The engine's refusal to create or start a container, in the user's terms where its reason is known."""
    said, options = explanation(error), container["options"]
    program = ((options["entrypoint"] or options["command"] or [""])[:1])[0]
    if re.search(rf'exec: "{re.escape(program)}": .*(not found|no such file)', said):
        return {**_error("OSError", f"cannot start `{program}`: the image has no such program"), "user": True}
    if re.search(r"bind source path does not exist|statfs .*no such file", said):
        return _error("EngineElsewhere", f"expected an engine that sees the files of this machine. Received: {said}")
    return _error("ContainerError", f"the container engine refused: {said}")


def _error(kind: str, message: str) -> Error:
    return {"type": kind, "message": message, "trace": "", "user": False}
