#!/usr/bin/env python3
"""Kills the runner at random moments, resumes the run, and checks that nothing is lost, doubled or half-written.

    .venv/bin/python benchmarks/runner/kills.py [--kills 200] [--seed 0] [--keep]

For each random pipeline (`random_pipelines.py`) a run without kills says what must come out. The same pipeline is
then run in another home by a process that is killed with SIGKILL, and resumed, and perhaps killed again, until it
ends. A third of the kills come at a random time, a third at a random function call within the runner, and a third
at a random call while it writes to the store or the record: in the middle of a publication or of a transaction.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headrace.pipelines.local.record.record import list_runs, load_run
from headrace.pipelines.local.record.results import FAILED, INTERRUPTED, RUNNING, SUCCEEDED, RunResult
from headrace.pipelines.local.store import entries

PATIENCE = 5.0  # seconds within which a killed runner's processes must be gone
CHILD = """
import json, os, signal, sys
from pathlib import Path
from headrace.pipelines.local.workers.environments import default_environments
from headrace.pipelines.local.run import resume_pipeline, run_pipeline
ir, home, run_id, way, kill_at, counted = sys.argv[1:]
steps, kill_at , inside = {"call": 0, "write": 0}, int(kill_at), 0
writing = tuple(f"/pipelines/local/{name}.py" for name in ("store/attempts", "store/entries", "record/record"))
def step(frame, event, argument):
    global inside
    own = frame.f_code.co_filename.endswith(writing)
    inside += own and (event == "call") - (event == "return")
    steps["call"] += 1
    steps["write"] += inside > 0
    if steps.get(way) == kill_at and (way == "call" or inside > 0):
        os.kill(os.getpid(), signal.SIGKILL)
if kill_at:
    sys.setprofile(step)
options = {"home": Path(home), "environments": default_environments()}
if run_id:
    resume_pipeline(run_id, **options)
else:
    run_pipeline(json.loads(Path(ir).read_text()), **options)
sys.setprofile(None)
if counted:
    Path(counted).write_text(json.dumps(steps))
"""


class Violation(AssertionError):
    """What must hold does not."""


@dataclass
class Story:
    """One pipeline, run in one home, killed and resumed."""

    folder: Path
    ir: dict[str, Any]
    kills: int = 0
    by: Counter[str] = field(default_factory=Counter)  # kills by kind, and by what was recorded then
    kept: dict[str, int] = field(default_factory=dict)  # task recorded as succeeded -> its lines in the ledger then

    @property
    def home(self) -> Path:
        return self.folder / "home"

    def start(self, way: str = "", kill_at: int = 0, counted: str = "") -> subprocess.Popen[bytes]:
        """The runner in a process of its own, which kills itself at the step `kill_at` of that kind."""
        file = self.folder / "pipeline.json"
        if not file.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(self.ir))
        runs = list_runs(self.home)
        arguments = [str(file), str(self.home), runs[0].id if runs else "", way, str(kill_at), counted]
        with (self.folder / "output").open("ab") as output:
            command = [sys.executable, "-c", CHILD, *arguments]
            return subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)

    def over(self) -> bool:
        """Whether the run has come to its own end."""
        return [run.state for run in list_runs(self.home)] in ([SUCCEEDED], [FAILED])

    def ledger(self) -> Counter[str]:
        """How many lines each task has written."""
        file = self.folder / "ledger"
        return Counter(line.split()[1] for line in file.read_text().splitlines()) if file.exists() else Counter()


def play(seed: int, folder: Path, most_kills: int) -> Story:
    """One random pipeline with up to `most_kills` kills, checked.

    Raises:
        Violation: something is lost, doubled, half-written or left behind.
    """
    from random_pipelines import random_pipeline

    rng = random.Random(f"kills {seed}")
    ir = random_pipeline(seed)
    folder.mkdir(parents=True, exist_ok=True)
    reference = Story(folder / "reference", ir)
    start = time.monotonic()
    end_well(reference.start(kill_at=-1, counted=str(folder / "steps")), reference)
    seconds, steps = time.monotonic() - start, json.loads((folder / "steps").read_text())
    story = Story(folder / "killed", ir)
    wanted = rng.randint(1, most_kills)
    while story.kills < wanted and not story.over():
        way = rng.choice(("time", "call", "write"))
        process = story.start(way, 0 if way == "time" else rng.randint(1, steps[way]))
        if way == "time":
            try:
                process.wait(rng.uniform(0.1, 1.0) * seconds)
            except subprocess.TimeoutExpired:
                process.kill()
        if process.wait() != -signal.SIGKILL:
            end_well(process, story)  # it was over before
            continue
        story.kills += 1
        story.by[f"by {way}"] += 1
        check_after_kill(story)
    if not story.over():
        end_well(story.start(), story)
    check_end(story, load_run(reference.home, "latest"))
    return story


def end_well(process: subprocess.Popen[bytes], story: Story) -> None:
    code = process.wait(timeout=120)
    if code != 0:
        raise Violation(f"the runner ended with {code}:\n{(story.folder / 'output').read_text()[-3000:]}")


def check_after_kill(story: Story) -> None:
    """What must hold as soon as the processes of the dead runner are gone."""
    wait_until_gone(story)
    check_database(story.home)
    check_store(story.home)
    runs = list_runs(story.home)
    if len(runs) > 1:
        raise Violation(f"expected one run. Received: {runs}")
    if not runs:
        story.by["before the run was recorded"] += 1
        return
    if runs[0].state not in (INTERRUPTED, SUCCEEDED, FAILED):
        raise Violation(f"expected a run that is interrupted, or over. Received: {runs[0].state}")
    lines = story.ledger()
    tasks = load_run(story.home, runs[0].id).tasks
    recorded = {path: lines[path] for path, task in tasks.items() if task.leaf and task.state == SUCCEEDED}
    check_kept(story, lines)
    story.kept.update(recorded)
    story.by["while tasks were recorded" if recorded else "before a task was recorded"] += 1


def check_kept(story: Story, lines: Counter[str]) -> None:
    for path, count in story.kept.items():
        if lines[path] != count:
            raise Violation(f"{path} was recorded as succeeded, and ran again")


def check_end(story: Story, expected: RunResult) -> None:
    """The run is over: its record is that of a run which nobody killed."""
    wait_until_gone(story)
    check_database(story.home)
    check_store(story.home)
    found = load_run(story.home, "latest")
    if outcome(found) != outcome(expected):
        raise Violation(f"expected {outcome(expected)}\nReceived: {outcome(found)}")
    check_kept(story, story.ledger())
    if left := list((story.home / "tmp").glob("*")):
        raise Violation(f"expected no temporary files. Received: {left}")
    if running := [path for path, task in found.tasks.items() if task.state == RUNNING]:
        raise Violation(f"expected no running tasks in the record. Received: {running}")
    for path, count in story.ledger().items():
        if count > 2 * (1 + story.kills):  # a line at the beginning, one at the end, once more for each kill
            raise Violation(f"{path} ran more often than the runner was started")


def outcome(run: RunResult) -> dict[str, Any]:
    """All that a run came to, by content; nothing of when and where."""
    tasks = {}
    for path, task in run.tasks.items():
        artifacts = {
            name: [(item.digest, content(item.path), dict(item.metadata)) for item in items]
            for name, items in task.artifacts.items()
        }
        tasks[path] = task.state, dict(task.outputs), task.error.message if task.error else "", artifacts
    return {"state": run.state, "outputs": dict(run.outputs), "tasks": tasks}


def content(folder: Path | None) -> str:
    """A hash of names and contents, by a rule of its own."""
    if folder is None or not folder.is_dir():
        raise Violation(f"expected an artifact at {folder}. Received: none")
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return hashlib.sha256(repr([(str(f.relative_to(folder)), f.read_bytes()) for f in files]).encode()).hexdigest()


def check_store(home: Path) -> None:
    """Whatever is visible in the store is whole."""
    for entry in entries.entries(home):
        if not entries.intact(entry):
            raise Violation(f"{entry} is not what its name says")


def check_database(home: Path) -> None:
    if (home / "runs.db").exists():
        database = sqlite3.connect(home / "runs.db")
        answer = [row[0] for row in database.execute("PRAGMA integrity_check")]
        broken = database.execute("PRAGMA foreign_key_check").fetchall()
        database.close()
        if answer != ["ok"] or broken:
            raise Violation(f"expected a sound database. Received: {answer}, {broken}")


def wait_until_gone(story: Story) -> None:
    end = time.monotonic() + PATIENCE
    while left := marked(story.home):
        if time.monotonic() > end:
            raise Violation(f"expected no process of the dead runner. Received: {left}")
        time.sleep(0.02)


def marked(home: Path) -> list[str]:
    """The processes, zombies aside, that carry this home's mark in their environment."""
    mark = f"HEADRACE_HOME={home}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(f"{entry.name} {(entry / 'cmdline').read_text()[:100]}")
            except OSError:  # it has ended, or is another user's
                continue
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0, help="of the first pipeline; the next one has the next number")
    parser.add_argument("--most", type=int, default=4, help="kills of one run")
    parser.add_argument("--keep", action="store_true", help="keep the homes")
    args = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="headrace-kills-"))
    print(f"homes: {work}; load before {os.getloadavg()[0]:.2f}", flush=True)
    kills, seed, by, start = 0, args.seed, Counter[str](), time.monotonic()
    while kills < args.kills:
        folder = work / str(seed)
        try:
            story = play(seed, folder, args.most)
        except Violation as violation:
            raise SystemExit(f"seed {seed}, in {folder}: {violation}") from None
        kills, seed, by = kills + story.kills, seed + 1, by + story.by
        if not args.keep:
            shutil.rmtree(folder)
        print(f"  {kills:4} kills, {seed - args.seed} pipelines, {time.monotonic() - start:.0f} s", flush=True)
    shutil.rmtree(work, ignore_errors=args.keep)
    print(f"{kills} kills of {seed - args.seed} runs, {kills} resumes, nothing lost, doubled, half-written or left")
    print(", ".join(f"{count} {name}" for name, count in sorted(by.items())))


if __name__ == "__main__":
    main()
