"""`--runner docker`: the same compiled pipelines in real images. Skipped where no container engine answers."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Metrics, Model, Output

from headrace.pipelines.local.containers.images import ContainerEnvironments, container_environments
from headrace.pipelines.local.record.record import load_run
from headrace.pipelines.local.workers.environments import UnknownEnvironment
from headrace.pipelines.local.workers.processes import kill_strays
from tests.integration.pipelines.local import docker_helpers as engine
from tests.integration.pipelines.local.conftest import Runner

pytestmark = pytest.mark.slow

RUN_SCRIPT = """
import json, sys
from pathlib import Path
from headrace.pipelines.local.containers.images import container_environments
from headrace.pipelines.local.run import Cancelled, run_pipeline
try:
    result = run_pipeline(json.loads(Path(sys.argv[1]).read_text()), home=Path(sys.argv[2]),
                          environments=container_environments())
except Cancelled as cancelled:
    print(cancelled.result.state)
    sys.exit(cancelled.exit_code)
print(result.state)
"""


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    found = engine.client_or_skip()
    yield found
    found.close()


@pytest.fixture(scope="module")
def plain(client: Any) -> str:
    """An image that would never end by itself, if a command did not override its entry point."""
    return engine.build(
        client, engine.PLAIN, 'ENTRYPOINT ["sleep", "100"]', 'CMD ["100"]', "ENV FROM_IMAGE=yes", "WORKDIR /srv"
    )


@pytest.fixture(scope="module")
def with_kfp(client: Any) -> str:
    try:
        return engine.build(client, engine.KFP, "RUN python3 -m pip install --quiet --no-cache-dir kfp==2.16.1")
    except RuntimeError as error:
        pytest.skip(f"KFP cannot be installed in an image here: {error}")


@pytest.fixture
def docker(runner: Runner, client: Any) -> Iterator[ContainerEnvironments]:
    """What runs pipelines in containers; of which none may be left, whatever a test did."""
    yield container_environments()
    assert engine.containers(client, runner.home) == []


def shell(image: str, script: str, *args: str) -> dsl.ContainerSpec:
    return dsl.ContainerSpec(image=image, command=["sh", "-ec", script, "sh"], args=list(args))


@dsl.container_component
def numbers(n: int, out: Output[Dataset], total: dsl.OutputPath(int)):  # type: ignore[no-untyped-def, valid-type]
    return shell(engine.BASE, 'seq "$1" > "$2"; printf %s $(($1 * ($1 + 1) / 2)) > "$3"', n, out.path, total)


@dsl.container_component
def lines(data: Input[Dataset], total: int, folder: Output[Model]):  # type: ignore[no-untyped-def]
    script = 'mkdir "$3"; wc -l < "$1" > "$3/lines"; printf %s "$2" > "$3/total"'
    return shell(engine.BASE, script, data.path, total, folder.path)


def counting(n: int = 10) -> None:
    for size in (n, 11):
        made = numbers(n=size)
        lines(data=made.outputs["out"], total=made.outputs["total"])


def contents(result: Any) -> dict[str, Any]:
    """Everything that a run put out: parameters, and artifacts by their digest."""
    return {
        path: (task.state, dict(task.outputs), {n: [a.digest for a in items] for n, items in task.artifacts.items()})
        for path, task in result.tasks.items()
    }


def test_the_same_outputs_as_in_processes_and_the_second_run_is_cached(
    runner: Runner, docker: ContainerEnvironments, tmp_path: Path
) -> None:
    ir = runner.compile(counting)
    result = runner.run(ir, environments=docker)
    assert result.succeeded, result.failed()
    assert result.tasks["numbers"].outputs == {"total": 55}
    folder = result.tasks["lines"].artifacts["folder"][0].path
    assert folder and (folder / "lines").read_text().strip() == "10"
    assert {file.stat().st_uid for file in runner.home.rglob("*")} == {os.getuid()}
    other = Runner(tmp_path / "other")
    other.folder.mkdir()
    assert contents(other.run(ir)) == contents(result)
    runner.run(ir, environments=container_environments())
    assert runner.ran() == set()
    assert runner.run(ir).succeeded  # an environment of this machine is not the image
    assert runner.ran() == {"numbers", "numbers-2", "lines", "lines-2"}


def test_an_image_is_known_by_its_content_not_by_its_tag(
    runner: Runner, docker: ContainerEnvironments, client: Any
) -> None:
    @dsl.container_component
    def tagged(out: dsl.OutputPath(str)):  # type: ignore[no-untyped-def, valid-type]
        return shell("headrace-test/moving:1", 'printf %s "$MARK" > "$1"', out)

    def pipeline() -> None:
        tagged()

    ir = runner.compile(pipeline)
    with engine.removed(client, "headrace-test/moving:1", "headrace-test/other:1"):
        first = engine.build(client, "headrace-test/moving:1", "ENV MARK=first")
        result = runner.run(ir, environments=container_environments())
        assert result.tasks["tagged"].outputs == {"out": "first"}
        assert result.tasks["tagged"].made_of["environment"].endswith(first.removeprefix("sha256:"))
        client.tag(first, "headrace-test/other", "1")
        client.remove_image("headrace-test/moving:1")
        client.tag(first, "headrace-test/moving", "1")
        runner.run(ir, environments=container_environments())
        assert runner.ran() == set()
        engine.build(client, "headrace-test/moving:1", "ENV MARK=second")
        result = runner.run(ir, environments=container_environments())
        assert result.tasks["tagged"].outputs == {"out": "second"}


@pytest.mark.parametrize("uid", [os.getuid(), 12345])
def test_what_a_container_finds(
    runner: Runner,
    docker: ContainerEnvironments,
    plain: str,
    tmp_path: Path,
    uid: int,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    if uid != os.getuid():  # as for a user of the machine whom the image does not know
        if os.getuid() != 0:
            pytest.skip("only root can let another user write into its folders")
        monkeypatch.setattr(os, "getuid", lambda: uid)
        monkeypatch.setattr(os, "getgid", lambda: uid)
        before = os.umask(0)
        request.addfinalizer(lambda: os.umask(before))
    data = tmp_path / "data"
    data.mkdir()
    (data / "a.csv").write_text("a,b\n")

    @dsl.container_component
    def look(source: str, seen: dsl.OutputPath(dict)):  # type: ignore[no-untyped-def, type-arg, valid-type]
        script = """
import getpass, json, os, sys, tempfile
source, seen = sys.argv[1:]
def writable(path):
    try:
        open(os.path.join(path, "probe"), "w").close()
    except OSError:
        return False
    return True
known = {name: os.environ.get(name) for name in ("FROM_IMAGE", "FROM_PIPELINE", "HEADRACE_TASK", "HEADRACE_HOME", "HEADRACE_RUN", "HEADRACE_ENVIRONMENT", "PYTHONUNBUFFERED")}
json.dump({**known, "data": open(source).read(), "cwd": os.getcwd(), "uid": os.getuid(), "home": writable(os.path.expanduser("~")),
           "tmp": writable(tempfile.gettempdir()), "store": writable(os.environ["HEADRACE_HOME"] + "/store"),
           "source": writable(os.path.dirname(source)), "user": bool(getpass.getuser())}, open(seen, "w"))
"""
        return dsl.ContainerSpec(image=engine.PLAIN, command=["python3", "-c", script], args=[source, seen])

    def pipeline(source: str) -> None:
        look(source=source).set_env_variable("FROM_PIPELINE", "yes")

    ir = runner.compile(pipeline)
    parameters = {"source": str(data / "a.csv")}
    unseen = runner.run(ir, parameters=parameters, environments=docker)
    assert "No such file or directory" in unseen.tasks["look"].error.message  # type: ignore[union-attr]
    result = runner.run(ir, parameters=parameters, environments=docker.reading(ir, {}, [data]))
    assert result.tasks["look"].outputs["seen"] == {
        "FROM_IMAGE": "yes",
        "FROM_PIPELINE": "yes",
        "HEADRACE_TASK": "look",
        "HEADRACE_HOME": str(runner.home),
        "HEADRACE_RUN": result.id,
        "HEADRACE_ENVIRONMENT": plain,
        "PYTHONUNBUFFERED": None,
        "data": "a,b\n",
        "cwd": "/srv",
        "uid": os.getuid(),
        "home": True,
        "tmp": True,
        "store": False,
        "source": False,
        "user": True,
    }
    assert docker.reading(ir, parameters, []).readable == (data / "a.csv",)


def test_workspaces_secrets_and_images_that_are_parameters(
    runner: Runner, docker: ContainerEnvironments, plain: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    @dsl.container_component
    def writer():  # type: ignore[no-untyped-def]
        return shell(engine.BASE, 'printf %s "$PASSWORD" > /kfp-workspace/file')

    @dsl.container_component
    def reader(where: str, seen: dsl.OutputPath(str)):  # type: ignore[no-untyped-def, valid-type]
        return shell(engine.BASE, 'printf %s "$FROM_IMAGE " > "$2"; cat "$1/file" >> "$2"', where, seen)

    def pipeline(image: str) -> None:
        reader(where="WORKSPACE").set_container_image(image).after(writer())

    secret = {"secretName": "database", "keyToEnv": [{"secretKey": "password", "envVar": "PASSWORD"}]}
    kubernetes = {
        "pipelineConfig": {"workspace": {"size": "1Gi"}},
        "deploymentSpec": {"executors": {"exec-writer": {"secretAsEnv": [secret]}}},
    }
    compiled = json.dumps(runner.compile(pipeline)).replace("WORKSPACE", "{{$.workspace_path}}")
    ir = {"pipelineSpec": json.loads(compiled), "platformSpec": {"platforms": {"kubernetes": kubernetes}}}
    monkeypatch.setenv("PASSWORD", "open sesame")
    result = runner.run(ir, parameters={"image": engine.PLAIN}, environments=docker)
    assert result.succeeded, [task.error for task in result.failed()]
    assert result.tasks["reader"].outputs == {"seen": "yes open sesame"}


def test_failures_say_what_happened(runner: Runner, docker: ContainerEnvironments, plain: str) -> None:
    @dsl.container_component
    def three():  # type: ignore[no-untyped-def]
        return shell(engine.BASE, "echo last words; exit 3")

    @dsl.container_component
    def greedy():  # type: ignore[no-untyped-def]
        return dsl.ContainerSpec(image=engine.BASE, command=["python3", "-c", "print(len(bytearray(10**9)))"])

    @dsl.container_component
    def absent():  # type: ignore[no-untyped-def]
        return dsl.ContainerSpec(image=engine.BASE, command=["no-such-program"])

    @dsl.container_component
    def endless():  # type: ignore[no-untyped-def]
        script = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit('asked to end')); time.sleep(100)"
        return dsl.ContainerSpec(image=engine.BASE, command=["python3", "-c", script])

    @dsl.container_component
    def deaf():  # type: ignore[no-untyped-def]
        return dsl.ContainerSpec(image=engine.PLAIN)  # its own entry point, which hears no signal

    def pipeline() -> None:
        three()
        greedy().set_memory_limit("64Mi").set_cpu_limit("0.5")
        absent()
        endless()
        deaf()

    started = time.monotonic()
    result = runner.run(pipeline, environments=docker, timeouts={"endless": 1.0, "deaf": 1.0}, max_parallel=5)
    assert time.monotonic() - started < 60
    errors = {path: task.error for path, task in result.tasks.items()}
    said = {path: (error.type, error.message) for path, error in errors.items() if error}
    assert said == {
        "three": ("ExitStatus", "ended with exit status 3"),
        "greedy": ("OutOfMemory", "killed by the kernel for want of memory: its limit is 64 MiB"),
        "absent": ("OSError", "cannot start `no-such-program`: the image has no such program"),
        "endless": ("Timeout", "took longer than its timeout of 1 s and was ended"),
        "deaf": ("Timeout", "took longer than its timeout of 1 s and was ended"),
    }
    logs = {path: task.log.read_text() for path, task in result.tasks.items() if task.log}
    assert logs["three"] == "last words\n"
    assert "asked to end" in logs["endless"]


def test_lightweight_components_with_metrics_retries_and_their_own_traceback(
    runner: Runner, docker: ContainerEnvironments, with_kfp: str
) -> None:
    @dsl.component(base_image=engine.KFP, install_kfp_package=False)
    def make(n: int, data: Output[Dataset], metrics: Output[Metrics]) -> float:
        Path = __import__("pathlib").Path
        Path(data.path).write_text("x" * n)
        data.metadata["rows"] = n
        metrics.log_metric("auc", 0.5)
        return 1.5

    @dsl.component(base_image=engine.KFP, install_kfp_package=False)
    def flaky(home: Input[Artifact], score: float) -> str:
        from pathlib import Path

        marker = Path(__import__("os").environ["HEADRACE_HOME"]) / "marker"
        if not marker.exists():
            marker.touch()
            raise RuntimeError(f"the first time, {home.metadata['rows']} rows")
        return f"{score}"

    @dsl.component(base_image=engine.KFP, install_kfp_package=False)
    def failing(text: str) -> None:
        def inner() -> None:
            raise ValueError(f"bad {text}\nand more")

        inner()

    def pipeline(n: int = 3) -> None:
        made = make(n=n)
        tried = flaky(home=made.outputs["data"], score=made.outputs["Output"]).set_retry(num_retries=1)
        with dsl.If(tried.output == "1.5"):
            failing(text=tried.output)

    result = runner.run(pipeline, environments=docker)
    assert result.metrics() == {"make": {"auc": 0.5}}
    assert result.tasks["make"].artifacts["data"][0].metadata == {"rows": 3}
    assert result.tasks["flaky"].attempts == 2
    (failed,) = result.failed()
    assert failed.error
    assert (failed.error.type, failed.error.message) == ("ValueError", "bad 1.5\nand more")
    assert next(line for line in failed.error.trace.splitlines() if "File " in line).endswith(", in failing")
    assert failed.log
    assert failed.error.trace.splitlines()[-3] in failed.log.read_text()


def sleeping(runner: Runner) -> dict[str, Any]:
    """A pipeline whose task says that it has begun, and sleeps."""

    @dsl.container_component
    def sleeper():  # type: ignore[no-untyped-def]
        script = "import os, pathlib, time; pathlib.Path(os.environ['HEADRACE_HOME'], 'begun').touch(); time.sleep(100)"
        return dsl.ContainerSpec(image=engine.BASE, command=["python3", "-c", script])

    def pipeline() -> None:
        sleeper()

    return runner.compile(pipeline)


def spawn(runner: Runner, ir: dict[str, Any]) -> "subprocess.Popen[str]":
    """Runs a pipeline in a process of its own, until its task has begun."""
    file = runner.folder / "pipeline.json"
    file.write_text(json.dumps(ir))
    process = subprocess.Popen(
        [sys.executable, "-c", RUN_SCRIPT, str(file), str(runner.home)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    begun = runner.home / "begun"
    runner.wait_for(lambda: begun.exists() or process.poll() is not None, 60)
    assert begun.exists(), process.communicate()[0]
    begun.unlink()
    return process


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_leaves_no_container(runner: Runner, docker: ContainerEnvironments, client: Any, times: int) -> None:
    process = spawn(runner, sleeping(runner))
    for _ in range(times):
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)
    output, _ = process.communicate(timeout=30)
    assert (process.returncode, output) == (130, "CANCELLED\n")
    assert engine.containers(client, runner.home) == []


def test_a_killed_runner_takes_its_container_along(runner: Runner, docker: ContainerEnvironments, client: Any) -> None:
    process = spawn(runner, sleeping(runner))
    process.kill()
    process.communicate()
    runner.wait_for(lambda: not engine.containers(client, runner.home))


def test_what_a_killed_run_has_left_is_removed_by_the_next_one(
    runner: Runner, docker: ContainerEnvironments, client: Any
) -> None:
    ir = sleeping(runner)
    killed, living = spawn(runner, ir), spawn(runner, ir)
    (name,) = [c["Labels"]["headrace.run"] for c in engine.containers(client, runner.home) if runs(c, killed)]
    tasks = [pid for pid in runner.processes() if f"HEADRACE_RUN={name}" in environ(pid) and not in_container(pid)]
    for pid in [*tasks, killed.pid]:  # the runner's last, which alone would notice
        os.kill(pid, signal.SIGSTOP)
    for pid in [*tasks, killed.pid]:
        os.kill(pid, signal.SIGKILL)
    killed.communicate()
    assert len(engine.containers(client, runner.home)) == 2
    assert runner.run(counting, environments=container_environments()).succeeded
    assert [c["Labels"]["headrace.run"] for c in engine.containers(client, runner.home)] != [name]
    assert len(engine.containers(client, runner.home)) == 1
    living.send_signal(signal.SIGINT)
    living.communicate(timeout=30)
    assert kill_strays(name) == []


def environ(pid: int) -> str:
    return Path(f"/proc/{pid}/environ").read_text().replace("\0", "\n")


def in_container(pid: int) -> bool:
    """Whether a process has another root, as one in a container has."""
    return Path(f"/proc/{pid}/root").stat().st_ino != Path("/").stat().st_ino


def runs(container: dict[str, Any], process: "subprocess.Popen[str]") -> bool:
    """Whether a container belongs to a runner's process, by the parents of the worker that carries the run's mark."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return any(f"HEADRACE_RUN={container['Labels']['headrace.run']}" in environ(int(pid)) for pid in children)


def test_a_task_whose_driver_is_killed_has_failed_and_leaves_nothing(
    runner: Runner, docker: ContainerEnvironments, client: Any
) -> None:
    process = spawn(runner, sleeping(runner))
    (container,) = engine.containers(client, runner.home)
    mark = f"HEADRACE_RUN={container['Labels']['headrace.run']}"
    workers = [pid for pid in runner.processes() if mark in environ(pid) and not in_container(pid)]
    driver = max(workers)  # the child of the other one
    os.kill(driver, signal.SIGKILL)
    output, _ = process.communicate(timeout=30)
    assert output == "FAILED\n"
    assert engine.containers(client, runner.home) == []


def test_an_image_that_is_nowhere_is_refused_before_anything_runs(
    runner: Runner, docker: ContainerEnvironments
) -> None:
    @dsl.container_component
    def lost():  # type: ignore[no-untyped-def]
        return dsl.ContainerSpec(image="localhost:1/none/none:1", command=["true"])

    def pipeline() -> None:
        numbers(n=1)
        lost()

    with pytest.raises(
        UnknownEnvironment, match=r"^lost: expected the image localhost:1/none/none:1, .*--runner local"
    ):
        runner.run(pipeline, environments=docker)
    assert not runner.home.exists()


def test_the_command_line(runner: Runner, docker: ContainerEnvironments, plain: str, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()

    @dsl.container_component
    def waiting(where: str, seen: dsl.OutputPath(str)):  # type: ignore[no-untyped-def, valid-type]
        return shell(engine.PLAIN, 'cat "$1/file" > "$2"', where, seen)

    def pipeline() -> None:
        numbers(n=3)
        waiting(where=str(data))

    def headrace(*words: object, host: str = os.environ.get("DOCKER_HOST", "")) -> "subprocess.CompletedProcess[str]":
        command = [Path(sys.executable).with_name("headrace"), *words, "--home", runner.home]
        environment = {**os.environ, **({"DOCKER_HOST": host} if host else {})}
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)

    runner.compile(pipeline)
    command = ("run", runner.folder / "pipeline.yaml", "--runner", "docker", "--mount", data)
    refused = headrace(*command, host=f"unix://{tmp_path}/none.sock")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert f"no answer at unix://{tmp_path}/none.sock" in refused.stderr
    failed = headrace(*command)
    assert failed.returncode == 1
    assert "No such file or directory" in headrace("logs", "latest", "waiting").stdout
    (data / "file").write_text("now it is there")
    resumed = headrace("resume", "--json")
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    run = load_run(runner.home, "latest")
    assert (run.labels["runner"], run.labels["mounts"]) == ("docker", str(data))
    assert run.tasks["waiting"].outputs == {"seen": "now it is there"}
    assert [run.tasks[task].attempts for task in ("numbers", "waiting")] == [1, 2]
