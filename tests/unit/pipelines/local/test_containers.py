"""What can be said of containers without an engine: users, limits, mounts, and how an end is explained."""

import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from headrace.pipelines.local.containers import images
from headrace.pipelines.local.containers.container import traceback_in, verdict
from headrace.pipelines.local.containers.docker_engine import About, NoEngine, described
from headrace.pipelines.local.containers.images import container_environments, limits, local_paths, user_of
from headrace.pipelines.local.workers.resources import ResourceError

ROOTLESS_DOCKER, ROOTLESS_PODMAN = About(rootless=True), About(rootless=True, podman=True)


@pytest.mark.parametrize(
    ("engine", "expected"),
    [
        (About(), ("1000:100", {})),
        (About(podman=True), ("1000:100", {})),
        (ROOTLESS_DOCKER, ("0:0", {})),
        (ROOTLESS_PODMAN, ("1000:100", {"UsernsMode": "keep-id"})),
    ],
)
def test_what_a_container_writes_is_ours(engine: About, expected: tuple[str, dict[str, str]]) -> None:
    assert user_of(engine, 1000, 100) == expected


@pytest.mark.parametrize(
    ("info", "podman", "expected"),
    [
        ({"NCPU": 4, "SecurityOptions": ["name=seccomp,profile=builtin"]}, False, About(cores=4)),
        ({"NCPU": 4, "SecurityOptions": ["name=seccomp", "name=rootless"]}, False, About(cores=4, rootless=True)),
        (
            {"NCPU": 2, "SecurityOptions": ["name=selinux"], "Rootless": False},
            True,
            About(2, podman=True, selinux=True),
        ),
        ({"NCPU": 2, "SecurityOptions": None, "Rootless": True}, True, About(2, rootless=True, podman=True)),
    ],
)
def test_engines_describe_themselves(info: dict[str, object], podman: bool, expected: About) -> None:
    assert described(info, podman) == expected


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ({}, (0, 0)),
        ({"resourceMemoryLimit": "64Mi", "memoryLimit": 0.067, "resourceCpuLimit": "500m"}, (64 * 2**20, 5 * 10**8)),
        ({"memoryLimit": 0.5, "cpuLimit": 2.0}, (5 * 10**8, 2 * 10**9)),
        ({"resourceMemoryRequest": "1Gi", "resourceCpuRequest": "1"}, (0, 0)),  # a request limits nothing
        ({"resourceMemoryLimit": "{{$.inputs.parameters['size']}}"}, (10**9, 0)),
        ({"resourceMemoryLimit": "1Ki"}, (6 * 2**20, 0)),  # an engine accepts no less
    ],
)
def test_limits_are_those_of_the_pipeline(resources: dict[str, object], expected: tuple[int, int]) -> None:
    assert limits(resources, {"inputs": {"parameterValues": {"size": "1G"}}}, {}) == expected


def test_a_limit_that_is_no_quantity_is_refused() -> None:
    with pytest.raises(ResourceError, match=r"memory \(limit\).*Received: 'much'"):
        limits({"resourceMemoryLimit": "much"}, {}, {})


def test_containers_see_what_parameters_name(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    file = data / "a.csv"
    file.touch()
    given = [str(file), str(data / "*.csv"), f"file://{data}", str(tmp_path / "absent.csv"), "a.csv", 7, None, ["x"]]
    assert local_paths(given) == (file, data)


@pytest.mark.parametrize("value", ["/", "/tmp", "/tmp/*.csv", "/*", "/usr/lib", "/etc/passwd", "/proc/self", ""])
def test_what_would_hide_the_images_own_is_not_mounted(value: str) -> None:
    assert local_paths([value]) == ()


def traceback_of(source: str) -> str:
    """What Python writes when a program fails."""
    return subprocess.run([sys.executable, "-c", source], capture_output=True, text=True).stderr


def test_a_traceback_at_the_end_of_a_log_is_the_error() -> None:
    log = "first\n" + traceback_of("def f():\n    raise ValueError('two\\nlines')\nf()")
    found = traceback_in(log)
    assert found is not None
    assert (found["type"], found["message"], found["user"]) == ("ValueError", "two\nlines", False)
    assert found["trace"].startswith("Traceback (most recent call last):\n")
    assert found["trace"].count('File "<string>"') == 2
    assert "first" not in found["trace"]


def test_kfps_frames_are_left_out() -> None:
    text = (
        "Traceback (most recent call last):\n"
        '  File "<frozen runpy>", line 198, in _run_module_as_main\n'
        '  File "/usr/lib/kfp/dsl/executor.py", line 453, in execute\n    result = self.func(**func_kwargs)\n'
        '  File "/tmp/x/ephemeral_component.py", line 10, in fail\n    inner()\n    ^^^^^^^\n'
        "RuntimeError: bad\n"
    )
    found = traceback_in(text)
    assert found is not None
    assert found["trace"] == (
        "Traceback (most recent call last):\n"
        '  File "/tmp/x/ephemeral_component.py", line 10, in fail\n    inner()\n    ^^^^^^^\n'
        "RuntimeError: bad\n"
    )


def test_an_error_of_ours_is_for_the_user_also_from_a_container() -> None:
    source = "from headrace.pipelines.local.store.attempts import DiskFull\nraise DiskFull('no room')"
    found = traceback_in(traceback_of(source))
    assert found is not None
    assert (found["type"], found["message"], found["user"], found["exit_code"]) == ("DiskFull", "no room", True, 1)
    full = traceback_in(traceback_of("raise OSError(28, 'No space left on device')"))
    assert full is not None
    assert (full["type"], full["errno"], full["user"]) == ("OSError", 28, False)


@pytest.mark.parametrize("text", ["", "no traceback\n", "Traceback (most recent call last):\n  File"])
def test_a_log_without_a_traceback_has_none(text: str) -> None:
    assert traceback_in(text) is None


@pytest.mark.parametrize(
    ("state", "tail", "kind", "message"),
    [
        ({"ExitCode": 3}, "", "ExitStatus", "ended with exit status 3"),
        (
            {"ExitCode": 137, "OOMKilled": True},
            "",
            "OutOfMemory",
            "killed by the kernel for want of memory: its limit is 64 MiB",
        ),
        ({"ExitCode": 137}, "", "Killed", "killed by signal 9 (SIGKILL), perhaps out of memory"),
        ({"ExitCode": 139}, "", "Killed", "killed by signal 11 (SIGSEGV)"),
        ({"ExitCode": 255}, "", "ExitStatus", "ended with exit status 255"),
        ({"ExitCode": 1}, "Traceback (most recent call last):\nKeyError: 'a'\n", "KeyError", "'a'"),
        # It was caught, logged, and not why the program ended.
        (
            {"ExitCode": 3},
            "Traceback (most recent call last):\nKeyError: 'a'\n",
            "ExitStatus",
            "ended with exit status 3",
        ),
        ({"ExitCode": 127, "Error": "no runtime"}, "", "ContainerError", "the container engine says: no runtime"),
    ],
)
def test_how_a_container_ended(state: dict[str, object], tail: str, kind: str, message: str) -> None:
    found = verdict(state, tail, "64 MiB")
    assert found is not None
    assert (found["type"], found["message"]) == (kind, message)


def test_a_container_that_ended_well_is_no_error() -> None:
    assert (
        verdict({"ExitCode": 0, "OOMKilled": True}, "Traceback (most recent call last):\nKeyError: 'a'\n", None) is None
    )


@pytest.mark.parametrize("variable", ["DOCKER_HOST", "DOCKER_CONTEXT"])
def test_where_no_engine_answers_the_error_says_where(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    if variable == "DOCKER_HOST":
        monkeypatch.setenv(variable, f"unix://{tmp_path}/none.sock")
        place = f"unix://{tmp_path}/none.sock"
    else:
        monkeypatch.setenv(variable, "default")
        place = "unix:///var/run/docker.sock"
        if Path("/var/run/docker.sock").exists():
            pytest.skip("there is an engine at the usual place")
    with pytest.raises(NoEngine, match=r"expected a container engine") as error:
        container_environments()
    assert f"no answer at {place} (No such file or directory); set DOCKER_HOST" in str(error.value)


def test_something_else_than_an_engine_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{server.getsockname()[1]}")

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(NoEngine, match="something else than an engine answers"):
            container_environments()
        thread.join()


def test_buckets_of_an_emulator_lie_where_vertex_ai_mounts_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HEADRACE_STORAGE", raising=False)
    assert images._storage() == []
    for nowhere in ("relative", str(tmp_path / "missing")):
        monkeypatch.setenv("HEADRACE_STORAGE", nowhere)
        assert images._storage() == []
    monkeypatch.setenv("HEADRACE_STORAGE", str(tmp_path))
    assert images._storage() == [{"Type": "bind", "Source": str(tmp_path), "Target": "/gcs", "ReadOnly": False}]
