"""Projects to try the command line on: a folder with data, a spec and a home, and calls of the real `headrace`."""

from __future__ import annotations

import csv
import json
import os
import random
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
HEADRACE = Path(sys.executable).with_name("headrace")
CHURN = ROOT / "examples" / "churn"


@dataclass(frozen=True)
class Said:
    """What a command came to."""

    code: int
    out: str
    err: str

    def ok(self) -> Said:
        assert self.code == 0, self
        return self


def environment(**more: str) -> dict[str, str]:
    """This process's variables without our own, so that nobody's settings decide a test."""
    return {**{name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}, **more}


def headrace(*arguments: object, cwd: Path, **variables: str) -> Said:
    """Calls the command line in a process of its own."""
    command = [str(HEADRACE), *map(str, arguments)]
    done = subprocess.run(
        command, cwd=cwd, env=environment(**variables), capture_output=True, text=True, timeout=180, check=False
    )
    return Said(done.returncode, done.stdout, done.stderr)


@dataclass(frozen=True)
class Project:
    """A folder with spec.yaml, data/ and .headrace/."""

    folder: Path

    @property
    def home(self) -> Path:
        return self.folder / ".headrace"

    @property
    def spec(self) -> Path:
        return self.folder / "spec.yaml"

    def headrace(self, *arguments: object, **variables: str) -> Said:
        return headrace(*arguments, cwd=self.folder, **variables)

    def show(self) -> dict[str, Any]:
        """The latest run, as `headrace show --json` tells it."""
        found: dict[str, Any] = json.loads(self.headrace("show", "--json").ok().out)
        return found

    def cached(self) -> set[str]:
        """The tasks of the latest run that were taken from the cache."""
        return {path for path, task in self.show()["tasks"].items() if task["cached"]}

    def versions(self) -> list[int]:
        """The numbers of the registered versions of all models."""
        return sorted(int(folder.name) for folder in self.home.glob("models/*/[0-9]*"))

    def digest(self, version: int = 1) -> str:
        """The digest of a registered version's bundle."""
        (manifest,) = self.home.glob(f"models/*/{version}/manifest.json")
        digest: str = json.loads(manifest.read_text())["digest"]
        return digest

    def edit(self, old: str, new: str) -> None:
        """Changes the spec, in one place."""
        text = self.spec.read_text()
        assert text.count(old) == 1, old
        self.spec.write_text(text.replace(old, new))

    def copy(self, folder: Path) -> Project:
        shutil.copytree(self.folder, folder)
        return Project(folder)

    def processes(self) -> list[int]:
        """Living processes that were started for a run of this home."""
        mark = f"HEADRACE_HOME={self.home}".encode()
        found = []
        for entry in Path("/proc").iterdir():
            try:
                variables = (entry / "environ").read_bytes().split(b"\0") if entry.name.isdigit() else []
            except OSError:
                continue
            if mark in variables and any(variable.startswith(b"HEADRACE_RUN=") for variable in variables):
                found.append(int(entry.name))
        return found

    def halves(self) -> list[Path]:
        """What an interrupted write could have left: temporary outputs, and hidden files and folders in the store."""
        tmp = list((self.home / "tmp").iterdir()) if (self.home / "tmp").exists() else []
        return [*tmp, *(self.home / "store").rglob(".*")]

    def partials(self) -> list[Path]:
        """Files and folders under names that only a writer knows. After a kill the registry sweeps its own later."""
        return [path for path in self.home.rglob(".*") if ".partial-" in path.name]


def churn(folder: Path, rows: int = 2_000, seed: int = 7) -> Project:
    """StreamFlow's churn, small, with gates that so few rows can pass."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(CHURN / "spec.yaml", folder / "spec.yaml")
    subscribers(folder / "data" / "subscribers.csv", rows, seed)
    project = Project(folder)
    project.edit("{metric: auc, at_least: 0.82}", "{metric: auc, at_least: 0.6}")
    project.edit("by: gender, at_most: 0.1}", "by: gender, at_most: 0.9}")
    return project


def subscribers(file: Path, rows: int, seed: int = 7) -> None:
    """Writes StreamFlow's table with the example's own generator."""
    command = [sys.executable, str(CHURN / "generate.py"), "--rows", str(rows), "--seed", str(seed)]
    subprocess.run([*command, "--output", str(file)], check=True, capture_output=True)


def write_csv(file: Path, rows: Iterable[Sequence[object]]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, lineterminator="\n").writerows(rows)
    return file


def rows(count: int = 200, seed: int = 0) -> list[list[str]]:
    """A header and rows of a small table: an id, a number that tells the label, a category, the label."""
    chance = random.Random(seed)
    table = [["id", "size", "colour", "label"]]
    for number in range(count):
        size = chance.random()
        label = int(size + chance.gauss(0, 0.1) > 0.5)
        table.append([f"row-{number}", f"{size:.4f}", chance.choice(["red", "green", "blue"]), str(label)])
    return table


def wait_for(condition: Any, seconds: float = 30.0, what: Any = lambda: "") -> Any:
    """Waits until a condition gives something true, and returns that."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.01)
    raise AssertionError(f"waited in vain {what()}")


@contextmanager
def serving(project: Project, model: str, *arguments: object) -> Iterator[str]:
    """`headrace serve MODEL` on a free port; yields its URL."""
    command = [str(HEADRACE), "serve", model, "--port", "0", *map(str, arguments)]
    with subprocess.Popen(
        command, cwd=project.folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stdout is not None
            ready, _, _ = select.select([server.stdout], [], [], 60)
            line = server.stdout.readline() if ready else ""
            assert " at http://" in line, server.communicate(timeout=10)
            yield line.rpartition(" at ")[2].strip()
        finally:
            server.terminate()
            server.communicate(timeout=20)
