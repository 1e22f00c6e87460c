"""Starts a rule's pipeline: as a run on this machine, or where Kubeflow or Vertex AI runs it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.events.rules import Rule, read_address

if TYPE_CHECKING:
    from headrace.pipelines.local.record.results import RunSummary
    from headrace.platforms.running import Runs, Submission

LABEL = "event"  # of a run on this machine: the key of what it was started for
_LOOK_S = 0.05
_PATIENCE_S = 180.0  # for a run to begin: a spec is compiled before


class StartError(HeadraceError):
    """The pipeline could not be started; trying again may help."""


@dataclass(frozen=True)
class Started:
    """A run that was begun, or found."""

    id: str
    url: str = ""


Ended = Callable[[str], None]


class Starter(Protocol):
    """Where pipelines are started."""

    def reserve(self) -> bool:
        """Takes a place for one more run; False where there is none now."""

    def release(self) -> None:
        """Gives a place back that was not used."""

    def start(self, rule: Rule, parameters: Mapping[str, Any], key: str, ended: Ended) -> Started:
        """Starts a pipeline in a place that was reserved, and is given back where nothing runs in it: whatever is
        raised, too. What was started with the same key is found instead.

        Args:
            rule: names the pipeline.
            parameters: of the pipeline, by this event.
            key: of the event, for this rule.
            ended: is called with the run's last state, where that is seen here.

        Raises:
            HeadraceError: it cannot be started.
            OSError: the same, by the system's word.
            ValueError: it never can be, with these parameters.
        """


class LocalStarter:
    """Runs on this machine, each a `headrace run` of its own, so that it ends alone if it ends badly."""

    def __init__(self, home: Path, at_once: int = 1, say: Callable[[str], None] = lambda text: None) -> None:
        self.home, self._say = home, say
        self._stopping = False
        self._slots = threading.BoundedSemaphore(at_once)
        self._running: dict[subprocess.Popen[bytes], threading.Thread] = {}
        self._lock = threading.Lock()

    def reserve(self) -> bool:
        """See `Starter.reserve`."""
        return self._slots.acquire(blocking=False)

    def release(self) -> None:
        """See `Starter.release`."""
        self._slots.release()

    def start(self, rule: Rule, parameters: Mapping[str, Any], key: str, ended: Ended) -> Started:
        """See `Starter.start`. A run of this key that was interrupted goes on."""
        with self._place():
            known = self.find(key)
            words = [f"-p{name}={_text(value)}" for name, value in parameters.items()]
        if known is None:
            return self._begin(["run", rule.pipeline, *words], key, ended)
        if known.state in ("INTERRUPTED", "CANCELLED"):
            return self.go_on(known.id, key, ended)
        self.release()
        return Started(known.id)

    def find(self, key: str) -> RunSummary | None:
        """The run that was started for a key."""
        from headrace.pipelines.local.record.record import list_runs

        return next((run for run in list_runs(self.home) if run.labels.get(LABEL) == key), None)

    def go_on(self, run: str, key: str, ended: Ended) -> Started:
        """Resumes a run, in a place that was reserved."""
        return self._begin(["resume", run], key, ended)

    def busy(self) -> bool:
        """Whether something that was started here still runs."""
        return bool(self._threads())

    @contextlib.contextmanager
    def _place(self) -> Iterator[None]:
        """Gives the reserved place back if the block fails: nobody follows a run in it yet, who would do so."""
        try:
            yield
        except BaseException:
            self.release()
            raise

    def _begin(self, words: list[str], key: str, ended: Ended) -> Started:
        begun, said = threading.Event(), _Said()
        with self._place():
            process = self._spawn(words, key, begun, said, ended)
        if not begun.wait(_PATIENCE_S):
            process.terminate()  # and its thread gives the place back
            raise StartError(f"expected the run to begin within {_PATIENCE_S:.0f} s. Received: nothing")
        if not said.run:
            raise StartError(said.error or f"expected a run. Received: exit code {process.returncode}")
        return Started(said.run)

    def _spawn(
        self, words: list[str], key: str, begun: threading.Event, said: _Said, ended: Ended
    ) -> subprocess.Popen[bytes]:
        """Starts the process of a run, and the thread that follows it, and from then on has its place."""
        command = [sys.executable, "-m", "headrace.pipelines.cli", *words, "--json", "--home", str(self.home)]
        file = self.home / "events" / f"{key or words[-1]}.jsonl"
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("ab") as output:
            # into a file, and in a group of its own: a run outlives a watcher that is killed, and Ctrl-C is for the
            # watcher, which then ends what it has begun
            at = output.tell()
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                env={**os.environ, "HEADRACE_EVENT": key},
                start_new_session=True,
            )
        follow = threading.Thread(
            target=self._follow, args=(process, _lines(process, file, at), begun, said, ended), daemon=True
        )
        with self._lock:
            self._running[process] = follow
        try:
            follow.start()
        except BaseException:  # no room for one more thread: a run that nobody follows would keep no place
            with self._lock:
                del self._running[process]
            process.kill()
            process.wait()
            raise
        return process

    def _follow(
        self,
        process: subprocess.Popen[bytes],
        lines: Iterator[bytes],
        begun: threading.Event,
        said: _Said,
        ended: Ended,
    ) -> None:
        """Reads what a run says of itself, to its end."""
        state = "FAILED"
        for line in lines:
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if event.get("event") == "run_started":
                said.run = str(event["run"])
                begun.set()
            elif event.get("event") == "run_finished":
                state = str(event["state"])
            elif event.get("event") == "error":
                said.error = str(event["message"])
        code = process.wait()
        with self._lock:
            del self._running[process]
        self._slots.release()
        begun.set()
        if said.run:
            self._say(f"run {said.run} ended: {state}, exit code {code}")
        if said.run and not self._stopping:  # or it ended with us, and the next watcher goes on with it
            try:
                ended(state)
            except HeadraceError as error:
                self._say(f"run {said.run}: {error}")

    def wait(self) -> None:
        """Waits until all that was started here has ended."""
        while threads := self._threads():
            threads[0].join()

    def stop(self) -> None:
        """Ends what was started here; the next watcher goes on with it."""
        self._stopping = True
        with self._lock:
            for process in self._running:
                process.send_signal(signal.SIGTERM)
        self.wait()

    def _threads(self) -> list[threading.Thread]:
        with self._lock:
            return list(self._running.values())


def _lines(process: subprocess.Popen[bytes], file: Path, at: int) -> Iterator[bytes]:
    """What a process writes into a file from a place on, line by line, until its end; then the file goes."""
    with file.open("rb") as stream:
        stream.seek(at)
        rest = b""
        while True:
            over = process.poll() is not None  # asked first: what it wrote before its end is read after
            rest += stream.read()
            *lines, rest = rest.split(b"\n")
            yield from lines
            if over:
                break
            time.sleep(_LOOK_S)
    file.unlink(missing_ok=True)


class _Said:
    """What a run told its follower."""

    run: str = ""
    error: str = ""


class PlatformStarter:
    """Runs in Kubeflow Pipelines or Vertex AI Pipelines. A key is the submission's id, which is not run twice there."""

    def __init__(self, runs: Runs, *, root: str = "", service_account: str = "", registry: str = "") -> None:
        self._runs, self._root, self._account, self._registry = runs, root, service_account, registry
        self._compiling = threading.Lock()  # KFP builds one pipeline at a time in a process

    def reserve(self) -> bool:
        """See `Starter.reserve`: the place has queues of its own."""
        return True

    def release(self) -> None:
        """See `Starter.release`."""

    def start(self, rule: Rule, parameters: Mapping[str, Any], key: str, ended: Ended) -> Started:
        """See `Starter.start`."""
        submitted = self._runs.submit(self.submission(rule, parameters, key))
        return Started(submitted.id, submitted.url)

    def submission(self, rule: Rule, parameters: Mapping[str, Any], key: str) -> Submission:
        """What is submitted for an event.

        A spec beside the rules is compiled, and submitted as `headrace submit` would: by its section `submit`. What was
        compiled before has no such section.

        Raises:
            HeadraceError: the pipeline cannot be read, has a mistake, or does not take these parameters.
        """
        from headrace.platforms.running import Submission

        if _is_spec(rule.pipeline):
            return self._of_spec(rule, parameters, key)
        text, folded = _compiled(rule.pipeline)
        ir: dict[str, Any] = folded.get("pipelineSpec", folded)
        return Submission(
            text=text,
            ir=ir,
            platform_spec=folded.get("platformSpec"),
            name=f"{ir.get('pipelineInfo', {}).get('name', rule.name)}-{key[:8]}",
            id=f"{rule.name}-{key}",
            parameters=_cast(ir, parameters, self._registry),
            labels={"headrace-rule": rule.name, "headrace-event": key},
            root=self._root,
            service_account=self._account,
            description=f"Started by the rule {rule.name}",
        )

    def _of_spec(self, rule: Rule, parameters: Mapping[str, Any], key: str) -> Submission:
        from headrace.pipelines.submission import Asked, plan, prepare

        where = self._runs.where
        places = {name: getattr(where, name) for name in ("on", "endpoint", "project", "location", "namespace")}
        given = {"platform": self._registry} if self._registry else {}
        asked = Asked(
            **places,
            root=self._root,
            service_account=self._account,
            labels={"headrace-rule": rule.name, "headrace-event": key},
            parameters=given | {name: _text(value) for name, value in parameters.items()},
            id=f"{rule.name}-{key}",
        )
        with self._compiling:
            found = prepare(plan(Path(rule.pipeline), asked))
        return replace(found, name=f"{found.name}-{key[:8]}", description=f"Started by the rule {rule.name}")


def _is_spec(place: str) -> bool:
    """Whether a pipeline is a spec on this machine; one at an address has not what lies beside it."""
    try:
        return "://" not in place and b"deploymentSpec" not in Path(place).read_bytes()
    except OSError:
        return False  # whoever reads it says what is wrong


def _compiled(place: str) -> tuple[str, dict[str, Any]]:
    """A compiled pipeline: its text, and its documents."""
    from headrace.pipelines.pipeline_file import parse_pipeline

    content = read_address(place)
    if b"deploymentSpec" not in content:
        raise StartError(
            f"{place}: expected a compiled pipeline (`headrace compile`), or a spec in the rules' own folder. "
            "Received: another file"
        )
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise StartError(f"{place}: expected UTF-8 text. Received: {error}") from None
    return text, parse_pipeline(text, place)


def _cast(ir: Mapping[str, Any], parameters: Mapping[str, Any], registry: str) -> dict[str, Any]:
    """The parameters in the types that the pipeline says; with the registry, where it asks for one."""
    from headrace.pipelines.local.ir.values import cast

    known = ir.get("root", {}).get("inputDefinitions", {}).get("parameters", {})
    if unknown := sorted(set(parameters) - set(known)):
        raise StartError(f"expected parameters among {', '.join(known) or 'none'}. Received: {', '.join(unknown)}")
    given = {"platform": registry, **parameters} if registry and "platform" in known else dict(parameters)
    return {
        name: cast(_parsed(value, known[name].get("parameterType", "")), known[name].get("parameterType", ""), name)
        for name, value in given.items()
    }


def _parsed(value: Any, type: str) -> Any:
    """A text where the pipeline wants something else, read as JSON; what is none stays, and the cast refuses it."""
    if not isinstance(value, str) or type in ("STRING", ""):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
