"""Runs the container of a model server: `python -m headrace.emulator.container_program FILE`.

It pulls the image where the engine does not have it, starts the container, waits until its health route answers, and
then says ` at http://127.0.0.1:PORT`. It ends with the container, and the container with it: SIGTERM removes it.

The container shares the network of this machine, so that it reaches the emulator at 127.0.0.1. The port that the model
asks for (8080, unless it says otherwise) is its own where that is free; else it is told another in AIP_HTTP_PORT.
"""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import json
import os
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.local.containers import docker_engine, images

START = "HEADRACE_EMULATOR_START"  # variable: which start of the emulator has it run
_STOP_S = 3  # from SIGTERM to SIGKILL
_LOOK_S = 0.1
_PATIENCE_S = 10.0  # for an answer of the health route
_REFERENCE = re.compile(r"\$\$|\$\(([A-Za-z_.-][A-Za-z0-9_.-]*)\)")


def main(file: str) -> int:
    """Runs the container that a file describes; see `vertex.containers.write`. Returns 1 once it has ended."""
    signal.signal(signal.SIGTERM, _leave)
    spec = json.loads(Path(file).read_text())
    try:
        with _lease(Path(spec["ports"]), int(spec["port"])) as port:
            _run(spec, port)
    except HeadraceError as error:
        print(error, file=sys.stderr, flush=True)
    return 1


def _leave(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # what has begun to end is not ended again
    sys.exit(0)


def _run(spec: Mapping[str, Any], port: int) -> None:
    """Until the container ends.

    Raises:
        HeadraceError: it cannot be started, does not get ready, or has ended.
    """
    api, _ = docker_engine.api_version()
    client, control = docker_engine.connect(api, timeout=None), docker_engine.connect(api)
    image = images.find(client, spec["image"], lambda text: print(text, file=sys.stderr, flush=True))
    with docker_engine.engine_errors():
        docker_engine.remove(control, spec["name"])  # of an earlier start that was killed
        try:
            client.create_container(**_options(client, spec, image, port))
            output = client.attach(spec["name"], stdout=True, stderr=True, stream=True)
            ended = threading.Event()
            threading.Thread(target=_copy, args=(output, ended), daemon=True).start()
            client.start(spec["name"])
            _wait_until_ready(spec, port, ended)
            print(f"{spec['image']} at http://127.0.0.1:{port}", flush=True)
            ended.wait()
            raise _exited(client, spec)
        finally:
            with contextlib.suppress(Exception):  # it has ended already
                control.stop(spec["name"], timeout=_STOP_S)
            docker_engine.remove(control, spec["name"])


def _options(client: Any, spec: Mapping[str, Any], image: str, port: int) -> dict[str, Any]:
    now = {"AIP_HTTP_PORT": str(port)}
    if address := os.environ.get("HEADRACE_EMULATOR"):  # of a job, which may have been written down by an earlier start
        now["STORAGE_EMULATOR_HOST"] = address
    environment = expanded({**spec["env"], **now})
    mounts = [{"Type": "bind", "Source": one, "Target": one, "ReadOnly": True} for one in spec["mounts"]]
    host = client.create_host_config(network_mode="host", mounts=mounts, shm_size=spec.get("shm") or None)
    return {
        "image": image,
        "name": spec["name"],
        "entrypoint": [expand(word, environment) for word in spec["command"]] or None,
        "command": [expand(word, environment) for word in spec["args"]] or None,
        "environment": environment,
        "labels": {**spec["labels"], docker_engine.RUN: os.environ.get(START, "")},
        "host_config": host,
    }


def expand(text: str, environment: Mapping[str, str]) -> str:
    """`$(NAME)` as the variable's value, and `$$` as `$`; names that are not known stay as they are.

    https://cloud.google.com/vertex-ai/docs/reference/rest/v1/ModelContainerSpec
    """
    return _REFERENCE.sub(lambda found: environment.get(found[1], found[0]) if found[1] else "$", text)


def expanded(environment: Mapping[str, str]) -> dict[str, str]:
    """Variables whose values may name others: the service's own, and those that stand before them."""
    done = {name: value for name, value in environment.items() if name.startswith("AIP_")}
    for name, value in environment.items():
        if name not in done:
            done[name] = expand(value, done)
    return done


def _copy(output: Iterator[bytes], ended: threading.Event) -> None:
    """What the container prints goes to the log."""
    try:
        for piece in output:
            while piece:
                piece = piece[os.write(2, piece) :]
    finally:
        ended.set()


def _wait_until_ready(spec: Mapping[str, Any], port: int, ended: threading.Event) -> None:
    give_up = time.monotonic() + float(spec["startup_s"])
    told = "nothing listens"
    while time.monotonic() < give_up:
        if ended.wait(_LOOK_S):
            # It may close its output and go on; the health route says.
            time.sleep(_LOOK_S)
            if not _listens(port):
                raise HeadraceError(f"the container of {spec['image']} ended before it answered {spec['health']}")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE_S)
        try:
            connection.request("GET", spec["health"])
            answer = connection.getresponse()
            if answer.status == 200:
                return
            told = f"HTTP status {answer.status}"
        except (OSError, http.client.HTTPException) as error:
            told = str(error) or type(error).__name__
        finally:
            connection.close()
    raise HeadraceError(
        f"{spec['image']}: expected its health route {spec['health']} to answer with 200 at port {port}, which "
        f"AIP_HTTP_PORT has, within {spec['startup_s']:g} s. Received: {told}"
    )


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), _LOOK_S):
        return True
    return False


def _exited(client: Any, spec: Mapping[str, Any]) -> HeadraceError:
    state = client.inspect_container(spec["name"])["State"]
    if state["Running"]:  # it has closed its output
        client.wait(spec["name"])
        state = client.inspect_container(spec["name"])["State"]
    return HeadraceError(f"the container of {spec['image']} exited with status {state['ExitCode']}")


@contextlib.contextmanager
def _lease(folder: Path, wanted: int) -> Iterator[int]:
    """A port that no other container of this emulator has, as long as the block runs: the wanted one if it is free."""
    folder.mkdir(parents=True, exist_ok=True)
    held = _held(folder, wanted) if _is_free(wanted) else None
    port = wanted
    while held is None:
        with socket.socket() as any_port:
            any_port.bind(("", 0))
            port = any_port.getsockname()[1]
        held = _held(folder, port)
    with held:
        yield port


def _held(folder: Path, port: int) -> IO[str] | None:
    lock = (folder / str(port)).open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    return lock


def _is_free(port: int) -> bool:
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind(("", port))
        except OSError:
            return False
        return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
