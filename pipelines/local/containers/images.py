"""Real images in place of environments: what `--runner docker` runs the same compiled pipeline in.

An image is looked up once, at the run's start, and named by its content from then on: a tag that moves while the
run goes on changes nothing, and the cache knows an image by its digest.
"""

from __future__ import annotations

import contextlib
import glob
import os
import sys
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.local.containers import docker_engine
from headrace.pipelines.local.containers.docker_engine import About, NoEngine
from headrace.pipelines.local.importer import STORAGE
from headrace.pipelines.local.ir.commands import Command
from headrace.pipelines.local.ir.placeholders import WORKSPACE, WORKSPACE_MOUNT, resolve_command, resolve_text
from headrace.pipelines.local.workers.environments import Environments, UnknownEnvironment
from headrace.pipelines.local.workers.resources import memory_text, quantity
from headrace.pipelines.local.workers.zygote import threads_environment

if TYPE_CHECKING:
    from headrace.pipelines.local.ir.graph import Executor
    from headrace.pipelines.local.store.attempts import Attempt
    from headrace.pipelines.local.tree import Node

DRIVER = "headrace.pipelines.local.containers.container"
WORKER = "main"  # the environment whose warm worker drives the containers
_GIGABYTE = 10**9  # the unit of the IR's older memory fields
_SMALLEST = 6 * 2**20  # bytes: what Docker accepts as a limit of memory
_SYSTEM = frozenset(("bin", "boot", "dev", "etc", "lib", "lib32", "lib64", "proc", "run", "sbin", "sys", "usr"))


@dataclass(frozen=True)
class ContainerEnvironments(Environments):
    """The images of an engine. Their names are the IR's, their digests the engine's.

    Attributes:
        api: the version of the API that the engine speaks.
        podman: whether it is Podman's.
        readable: files and folders outside of the home that every container may read, at the same path.
        say: told what takes a while, such as a pull.
    """

    api: str = ""
    podman: bool = False
    readable: tuple[Path, ...] = ()
    say: Callable[[str], object] = lambda text: None
    containers: ClassVar[bool] = True
    preload: ClassVar[tuple[str, ...]] = (DRIVER,)
    _ids: dict[str, str] = field(default_factory=dict, repr=False)  # image -> its digest

    def name_for(self, image: str) -> str:
        """The image itself, which is there: pulled where the engine does not have it.

        Raises:
            UnknownEnvironment: neither the engine nor a registry has it.
            NoEngine: the engine does not answer.
        """
        if image not in self._ids:
            client = docker_engine.connect(self.api)
            with contextlib.closing(client), docker_engine.engine_errors():
                self._ids[image] = find(client, image, self.say)
        return image

    def prefix(self, name: str) -> Path:
        """The Python whose worker drives the containers of an image."""
        return super().prefix(WORKER)

    def digest(self, name: str) -> str:
        """The digest of an image's content (hex)."""
        return self._ids[self.name_for(name)].removeprefix("sha256:")

    def worker(self, name: str) -> str:
        return WORKER

    def command(self, executor: Executor) -> Command:
        """The image's own Python, shell or program runs the command as it is written."""
        return Command(False, None, (*executor.command, *executor.args))

    def request(
        self, request: dict[str, Any], node: Node, attempt: Attempt, constants: Mapping[str, str]
    ) -> dict[str, Any]:
        """A worker's request for a task, as one for the container that the task runs in."""
        executor = node.component.executor
        assert executor is not None
        engine = docker_engine.about(self.api, self.podman)
        memory, cpus = limits(executor.resources, attempt.executor_input, constants)
        home, run_id = _place(attempt)
        (home / "store").mkdir(exist_ok=True)
        from_here = ["HEADRACE_COMMIT", *(secret.variable for secret in executor.secrets)]
        own = {
            **threads_environment(int(request["env"]["HEADRACE_THREADS"])),
            **request["env"],
            **{name: os.environ[name] for name in from_here if name in os.environ},
            "HEADRACE_HOME": str(home),
            "HEADRACE_RUN": run_id,
            "HEADRACE_CHECKPOINTS": str(home / "checkpoints"),
            "HEADRACE_ENVIRONMENT": self._ids[executor.image],
        }
        host = {
            "Mounts": [*self._mounts(home, node), *_workspace(executor, constants), *_storage()],
            **({"Memory": memory, "MemorySwap": memory} if memory else {}),
            **({"NanoCpus": min(cpus, engine.cores * 10**9)} if cpus else {}),
            **({"SecurityOpt": ["label=disable"]} if engine.selinux else {}),
        }
        user, mapping = user_of(engine, os.getuid(), os.getgid())
        host.update(mapping)
        if not user.startswith("0:"):  # a number that the image does not know has no home of its own there
            folder = attempt.folder / "home"
            folder.mkdir()
            own.update(HOME=str(folder), USER="headrace")
        options = {
            "name": f"headrace-{run_id}-{request['id']}",
            "image": self._ids[executor.image],
            "entrypoint": resolve_command(executor.command, attempt.executor_input, constants) or None,
            "command": resolve_command(executor.args, attempt.executor_input, constants) or None,
            "environment": {**own, **executor.env},
            "user": user,
            "healthcheck": {"test": ["NONE"]},  # a task's end says how it is
            "labels": {
                docker_engine.HOME: str(home),
                docker_engine.RUN: run_id,
                docker_engine.TASK: node.path,
            },
            "host_config": host,
        }
        container = {"api": self.api, "memory": memory_text(memory) if memory else None, "options": options}
        return {**request, "entry": f"{DRIVER}:run", "needs": [DRIVER], "container": container}

    def reading(
        self, ir: Mapping[str, Any], parameters: Mapping[str, Any], mounts: Sequence[Path]
    ) -> ContainerEnvironments:
        """The same, where containers see what a pipeline's parameters (or their defaults) name, and `mounts`."""
        root = ir.get("pipelineSpec", ir).get("root", {})
        declared = root.get("inputDefinitions", {}).get("parameters", {})
        values = {name: parameter.get("defaultValue") for name, parameter in declared.items()} | dict(parameters)
        return replace(self, readable=tuple(dict.fromkeys((*mounts, *local_paths(values.values())))))

    def labels(self, mounts: Sequence[Path]) -> dict[str, str]:
        found = {"runner": "docker", "mounts": os.pathsep.join(map(str, mounts))}
        return {name: value for name, value in found.items() if value}

    def clean_up(self, home: Path, alive: Callable[[], Container[str]]) -> None:
        """Removes the containers that the dead runs of a home have left."""
        docker_engine.sweep(self.api, home, alive)

    def end_run(self, home: Path, run_id: str) -> None:
        """Removes what a run has left: containers whose driver was killed."""
        # An engine that does not answer has failed the tasks already; the next run looks again.
        with contextlib.suppress(NoEngine):
            docker_engine.sweep(self.api, home, tuple, run=run_id)

    def _mounts(self, home: Path, node: Node) -> list[dict[str, Any]]:
        """The home, at its own path; what is in its store is not to be written to; and what else is to be read."""
        given = [item.path for items in node.artifacts.values() for item in items]
        outside = {path for path in (*self.readable, *given) if path and not path.is_relative_to(home)}
        read_only = [home / "store", *sorted(path for path in outside if path.exists())]
        return [_mount(home, False), *(_mount(path, True) for path in read_only)]


def container_environments(say: Callable[[str], object] = lambda text: None) -> ContainerEnvironments:
    """The images of the engine that DOCKER_HOST names.

    Args:
        say: told what takes a while.

    Raises:
        NoEngine: no engine answers.
    """
    api, podman = docker_engine.api_version()
    return ContainerEnvironments({WORKER: Path(sys.prefix)}, api=api, podman=podman, say=say)


def find(client: Any, image: str, say: Callable[[str], object]) -> str:
    """The digest of an image, which is pulled where the engine does not have it.

    Raises:
        UnknownEnvironment: there is no such image.
    """
    import docker

    try:
        return str(client.inspect_image(image)["Id"])
    except docker.errors.ImageNotFound:
        say(f"pulling {image}")
    except docker.errors.APIError as error:
        raise _no_image(image, docker_engine.explanation(error)) from None
    try:
        for line in client.pull(image, stream=True, decode=True):
            if problem := line.get("error"):
                raise _no_image(image, str(problem))
        return str(client.inspect_image(image)["Id"])
    except docker.errors.APIError as error:
        raise _no_image(image, docker_engine.explanation(error)) from None


def _no_image(image: str, problem: str) -> HeadraceError:
    return UnknownEnvironment(
        f"expected the image {image or 'of a component'}, in the container engine or in a registry. Received: "
        f"{problem}. Build it or log in to its registry (docker login), or run without containers: --runner local"
    )


def user_of(engine: About, uid: int, gid: int) -> tuple[str, dict[str, str]]:
    """As whom a container runs, so that what it writes is ours: (user, settings of the engine).

    An engine with root's rights takes numbers as they are. A rootless Docker maps its user to root in the
    container; a rootless Podman maps it to whom it is told.
    """
    if not engine.rootless:
        return f"{uid}:{gid}", {}
    return (f"{uid}:{gid}", {"UsernsMode": "keep-id"}) if engine.podman else ("0:0", {})


def limits(
    resources: Mapping[str, Any], executor_input: Mapping[str, Any], constants: Mapping[str, str]
) -> tuple[int, int]:
    """(bytes of memory, billionths of a core) that a container may use; 0 where the IR sets no limit.

    Raises:
        ResourceError: a limit that is no quantity.
    """

    def limit(kind: str, unit: int) -> Decimal:
        text = resources.get(f"resource{kind.capitalize()}Limit")
        if text not in (None, ""):
            text = resolve_text(str(text), executor_input, constants)
        if text not in (None, "", "null"):
            return quantity(str(text), f"{kind} (limit)")
        return Decimal(str(resources.get(f"{kind}Limit") or 0)) * unit

    memory, cpus = int(limit("memory", _GIGABYTE)), int(limit("cpu", 1) * 10**9)
    return max(memory, _SMALLEST) if memory else 0, cpus


def local_paths(values: Iterable[Any]) -> tuple[Path, ...]:
    """The files and folders of this machine that parameters name by an absolute path or a glob.

    The system's own folders, and folders at the top such as /tmp, are left out: mounted, they would hide what an
    image has there.
    """
    found: dict[Path, None] = {}
    for value in values:
        text = value.removeprefix("file://") if isinstance(value, str) else ""
        path = Path(text)
        while glob.has_magic(str(path)):
            path = path.parent
        hides = len(path.parts) < 2 or path.parts[1] in _SYSTEM or (len(path.parts) == 2 and path.is_dir())
        if text.startswith("/") and not hides and path.exists():
            found.setdefault(path)
    return tuple(found)


def _place(attempt: Attempt) -> tuple[Path, str]:
    """(home, run id) of an attempt's folder: <home>/tmp/<run id>/<attempt>."""
    return attempt.folder.parents[2], attempt.folder.parent.name


def _passed_on(env: Mapping[str, str]) -> dict[str, str]:
    """What a task knows of its run, and how many threads its libraries may use."""
    names = ("HEADRACE_COMMIT", "HEADRACE_TASK", "HEADRACE_THREADS", "HEADRACE_CORES")
    everything = {**os.environ, **env}
    threads = everything.get("HEADRACE_THREADS", "1")
    return {"OMP_NUM_THREADS": threads, **{name: everything[name] for name in names if name in everything}}


def _workspace(executor: Executor, constants: Mapping[str, str]) -> list[dict[str, Any]]:
    """The run's workspace, also at the place where KFP has it: some components say so themselves."""
    place = Path(constants.get(WORKSPACE, ""))
    return [_mount(place, False, Path(WORKSPACE_MOUNT))] if executor.workspace and place.is_dir() else []


def _storage() -> list[dict[str, Any]]:
    """The buckets of an emulator of Cloud Storage, where Vertex AI has those of the real one: at /gcs."""
    place = Path(os.environ.get(STORAGE, ""))
    return [_mount(place, False, Path("/gcs"))] if place.is_absolute() and place.is_dir() else []


def _mount(path: Path, read_only: bool, target: Path | None = None) -> dict[str, Any]:
    return {"Type": "bind", "Source": str(path), "Target": str(target or path), "ReadOnly": read_only}
