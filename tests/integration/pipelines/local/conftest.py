"""Compiles small pipelines with KFP, and runs the IR in the real environments."""

import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kfp import compiler, dsl
from kfp.dsl import base_component

from headrace.pipelines.local.events import Event
from headrace.pipelines.local.record.results import RunResult
from headrace.pipelines.local.run import run_pipeline
from headrace.pipelines.local.workers.environments import default_environments
from headrace.pipelines.local.workers.execution import GRACE
from headrace.pipelines.pipeline_file import load_pipeline

RUN_SCRIPT = """
import json, sys
from pathlib import Path
from headrace.pipelines.local.workers.environments import default_environments
from headrace.pipelines.local.run import Cancelled, run_pipeline
from headrace.pipelines.local import engine
from headrace.pipelines.local.workers import execution
engine.GRACE = execution.GRACE = float(sys.argv[3])
try:
    result = run_pipeline(json.loads(Path(sys.argv[1]).read_text()), home=Path(sys.argv[2]),
                          environments=default_environments())
except Cancelled as cancelled:
    print(cancelled.result.state)
    sys.exit(cancelled.exit_code)
print(result.state)
"""


def compile_pipeline(function: Callable[..., Any], folder: Path) -> dict[str, Any]:
    """The IR of a function of tasks, or of a pipeline; with the platform spec where there is one."""
    file = folder / "pipeline.yaml"
    pipeline = function if isinstance(function, base_component.BaseComponent) else dsl.pipeline(function)
    compiler.Compiler().compile(pipeline, str(file))
    return load_pipeline(file)


@dataclasses.dataclass
class Runner:
    """Compiles and runs pipelines in one home, and keeps the events of the last run."""

    folder: Path
    events: list[Event] = dataclasses.field(default_factory=list)

    @property
    def home(self) -> Path:
        return self.folder / ".headrace"

    def compile(self, function: Callable[..., Any]) -> dict[str, Any]:
        return compile_pipeline(function, self.folder)

    def run(self, pipeline: Callable[..., Any] | dict[str, Any], **options: Any) -> RunResult:
        ir = pipeline if isinstance(pipeline, dict) else self.compile(pipeline)
        self.events.clear()
        options.setdefault("environments", default_environments())
        return run_pipeline(ir, home=self.home, on_event=self.events.append, **options)

    def spawn(self, ir: dict[str, Any], grace: float = GRACE) -> "subprocess.Popen[str]":
        """The same run in a process of its own; tasks that are asked to end have `grace` seconds."""
        file = self.folder / "pipeline.json"
        file.write_text(json.dumps(ir))
        command = [sys.executable, "-c", RUN_SCRIPT, str(file), str(self.home), str(grace)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def ran(self) -> set[str]:
        """The tasks of the last run that were started, not taken from the cache."""
        return {e.task.path for e in self.events if e.kind == "task_started" and e.task}

    def processes(self) -> list[int]:
        """Processes, zombies aside, that carry this home in the environment that they started with."""
        mark = f"HEADRACE_HOME={self.home}".encode()
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                try:
                    if mark in (entry / "environ").read_bytes().split(b"\0"):
                        found.append(int(entry.name))
                except OSError:
                    continue
        return found

    @staticmethod
    def wait_for(condition: Callable[[], Any], seconds: float = 20.0) -> Any:
        """Waits until a condition gives something true, and returns that."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if found := condition():
                return found
            time.sleep(0.02)
        raise AssertionError("waited in vain")


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(tmp_path)
