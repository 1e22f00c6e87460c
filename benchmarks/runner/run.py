#!/usr/bin/env python3
"""The local runner beside kfp.local's SubprocessRunner, on the same compiled pipelines, in one run.

    .venv/bin/python benchmarks/runner/run.py [--quick] [--cold] [-n N] [--only overhead six unchanged size startup]

Each figure is the wall time of a whole process, with the interpreter's start and all imports; the contenders take
turns within each repetition. Prints medians and ratios, and writes every measurement to benchmarks/results/.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parents[1]
RESULTS = PROJECT / "benchmarks" / "results"
MAIN = PROJECT / ".venv" / "bin" / "python"
TFX = PROJECT / ".venv-tfx" / "bin" / "python"
HEADRACE = PROJECT / ".venv" / "bin" / "headrace"
KFP = PROJECT / ".venv" / "bin" / "kfp"

# `headrace run`, which says at its end how much memory this one process has had at most, in KiB. (Not by
# `getrusage`, whose maximum a process inherits from the one that started it.)
WITH_MEMORY = """
import atexit, re, sys
from pathlib import Path
peak = lambda: re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]
atexit.register(lambda: Path(sys.argv[1]).write_text(peak()))
from headrace.pipelines.cli import main
main(sys.argv[2:])
"""


class Bench:
    """Takes measurements, in seconds or other units, under (group, name)."""

    def __init__(self, work: Path, quick: bool, cold: bool, times: int | None) -> None:
        self.work, self.quick, self.cold, self.times = work, quick, cold, times
        self.figures: dict[str, dict[str, list[float]]] = {}
        self.loads: dict[str, list[float]] = {}

    def note(self, group: str, name: str, figure: float, show: bool = True) -> None:
        self.figures.setdefault(group, {}).setdefault(name, []).append(figure)
        if show:
            print(f"  {group:10} {name:44} {figure:9.3f}", flush=True)

    def median(self, group: str, name: str) -> float:
        return statistics.median(self.figures[group][name])

    def folder(self, name: str) -> Path:
        return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.work))

    def repeat(self, group: str, times: int, contenders: list[Callable[[int], None]]) -> None:
        """Lets the contenders take turns, the first one last in every other round."""
        self.loads[group] = [os.getloadavg()[0]]
        for number in range(self.times or times):
            for contender in contenders if number % 2 == 0 else reversed(contenders):
                contender(number)
        self.loads[group].append(os.getloadavg()[0])


def environment() -> dict[str, str]:
    """Bytecode is kept, Python's default; nothing of another run's."""
    return {n: v for n, v in os.environ.items() if n != "PYTHONDONTWRITEBYTECODE" and not n.startswith("HEADRACE_")}


def timed(command: list[str | Path], folder: Path) -> tuple[float, str]:
    """(wall seconds, standard output) of a process that must succeed."""
    words = [str(word) for word in command]
    start = time.perf_counter()
    done = subprocess.run(words, cwd=folder, env=environment(), capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    if done.returncode != 0:
        raise SystemExit(
            f"expected `{' '.join(words)[:300]}` to succeed. Received: exit {done.returncode}\n"
            f"{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
        )
    return seconds, done.stdout


def headrace(pipeline: Path, home: Path, *options: str) -> list[str | Path]:
    return [HEADRACE, "run", pipeline, "--home", home, *options]


def kfp_local(pipeline: Path, root: Path, python: Path, *parameters: str) -> list[str | Path]:
    return [MAIN, HERE / "kfp_local.py", pipeline, root, python, *parameters]


# --- Overhead per task --------------------------------------------------------------------------------------


def overhead(bench: Bench) -> None:
    """A chain of tasks that do nothing, and as many side by side; less a pipeline of one of them."""
    import pipelines

    count, work = (20 if bench.quick else 100), bench.folder("overhead")
    files = {"one task": pipelines.compile_to(work / "one.yaml", pipelines.chain(1))}
    files[f"chain of {count}"] = pipelines.compile_to(work / "chain.yaml", pipelines.chain(count))
    files[f"{count} in parallel"] = pipelines.compile_to(work / "parallel.yaml", pipelines.side_by_side(count))

    def contender(side: str, name: str, file: Path) -> Callable[[int], None]:
        def measure(number: int) -> None:
            place = bench.folder("place")
            command = headrace(file, place) if side == "headrace" else kfp_local(file, place, MAIN)
            bench.note("overhead", f"{side}, {name}", timed(command, work)[0])

        return measure

    contenders = [contender(side, name, file) for name, file in files.items() for side in ("headrace", "kfp.local")]
    bench.repeat("overhead", 1 if bench.quick else 5, contenders)
    for side in ("headrace", "kfp.local"):
        one = bench.median("overhead", f"{side}, one task")
        for name in list(files)[1:]:
            each = (bench.median("overhead", f"{side}, {name}") - one) / (count - 1) * 1000
            bench.note("overhead", f"{side}, {name}: ms for each more", each)


# --- Six tasks, two environments ----------------------------------------------------------------------------


def six(bench: Bench) -> None:
    """Six tasks that import pandas, TensorFlow or TFDV: the runner, kfp.local per environment, the work alone."""
    import pipelines

    work = bench.folder("six")
    whole = pipelines.compile_to(work / "six.yaml", pipelines.six)
    halves = [
        pipelines.compile_to(work / f"six-{name}.yaml", function)
        for name, function in (("main", pipelines.six_on_main), ("tfx", pipelines.six_on_tfx))
    ]

    def ours(number: int) -> None:
        bench.note("six", "headrace", timed(headrace(whole, bench.folder("home")), work)[0])

    def theirs(number: int) -> None:
        root = bench.folder("root")
        main = timed(kfp_local(halves[0], root, MAIN), work)[0]
        tables = {
            name: next(root.glob(f"*/{task}/{output}"))
            for name, task, output in (("prepared", "prepare", "table"), ("enriched", "enrich", "result"))
        }
        given = [f"{name}={path}" for name, path in tables.items()]
        tfx = timed(kfp_local(halves[1], root, TFX, *given), work)[0]
        bench.note("six", "kfp.local, main", main)
        bench.note("six", "kfp.local, tfx", tfx)
        bench.note("six", "kfp.local, both", main + tfx)

    def alone(number: int) -> None:
        figures = work_alone(bench.folder("alone"))
        for name, figure in figures.items():
            bench.note("six", name, figure)

    for function in (ours, theirs, alone) if not bench.quick else ():  # page cache and bytecode
        function(-1)
    bench.figures.pop("six", None)
    bench.repeat("six", 1 if bench.quick else 5, [ours, theirs, alone])
    if bench.cold:
        for function in (ours, theirs):
            drop_caches()
            function(-1)
        for name in ("headrace", "kfp.local, both"):
            bench.note("six", f"{name}, cold page cache", bench.figures["six"][name].pop())
        for name in ("kfp.local, main", "kfp.local, tfx"):
            bench.figures["six"][name].pop()


def work_alone(folder: Path) -> dict[str, float]:
    """The six functions one after another, each in a process of its own: bodies alone, and whole processes."""
    import pipelines

    calls = {
        "prepare": (MAIN, f"rows={pipelines.ROWS}", "table=table.csv"),
        "statistics": (TFX, "table=table.csv", "result=statistics.txt"),
        "validate": (TFX, "table=table.csv", "reference=statistics.txt"),
        "enrich": (MAIN, "table=table.csv", "result=enriched.csv"),
        "train": (TFX, "table=enriched.csv", "model=model"),
        "evaluate": (TFX, "table=enriched.csv", "model=model.keras", "metrics=metrics"),
    }
    bodies = processes = 0.0
    for name, (python, *arguments) in calls.items():
        seconds, said = timed([python, HERE / "work_alone.py", HERE / "pipelines.py", name, *arguments], folder)
        bodies += json.loads(said.splitlines()[-1])["body"]
        processes += seconds
    return {"work alone, imports done": bodies, "work alone, a process each": processes}


def drop_caches() -> None:
    """Empties the page cache; only the superuser may."""
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3\n")


# --- Nothing changed; size; start ---------------------------------------------------------------------------


def unchanged(bench: Bench) -> None:
    """The six tasks once more, when nothing has changed: all from the cache."""
    import pipelines

    work = bench.folder("unchanged")
    file, home = pipelines.compile_to(work / "six.yaml", pipelines.six), work / "home"
    timed(headrace(file, home), work)

    def again(number: int) -> None:
        seconds, said = timed(headrace(file, home), work)
        if "6 cached" not in said:
            raise SystemExit(f"expected six cached tasks. Received:\n{said}")
        bench.note("unchanged", "headrace run, six tasks cached", seconds)

    bench.repeat("unchanged", 3 if bench.quick else 10, [again])


def size(bench: Bench) -> None:
    """Many tasks, and a long loop: time, and the memory of the runner's own process; then the same from the cache."""
    import pipelines

    work, few = bench.folder("size"), bench.quick
    tasks, iterations = (100, 500) if few else (1_000, 10_000)
    files = {
        f"{tasks:,} tasks": pipelines.many_tasks(work / "tasks.json", tasks),
        f"{iterations:,} iterations": pipelines.long_loop(work / "loop.json", iterations),
    }

    def contender(name: str, file: Path) -> Callable[[int], None]:
        def measure(number: int) -> None:
            home, memory = bench.folder("home"), work / "memory"
            for state in ("", ", cached"):
                command: list[str | Path] = [MAIN, "-c", WITH_MEMORY, memory, "run", file, "--home", home]
                bench.note("size", f"{name}{state}", timed(command, work)[0])
                bench.note("size", f"{name}{state}: MiB", int(memory.read_text()) / 1024)

        return measure

    bench.repeat("size", 1 if few else 3, [contender(name, file) for name, file in files.items()])


def startup(bench: Bench) -> None:
    """The command line's start."""
    commands: dict[str, list[str | Path]] = {
        "headrace --help": [HEADRACE, "--help"],
        "headrace --version": [HEADRACE, "--version"],
        "kfp --help": [KFP, "--help"],
        "python -c pass": [MAIN, "-c", "pass"],
    }

    def contender(name: str) -> Callable[[int], None]:
        return lambda number: bench.note("startup", name, timed(commands[name], bench.work)[0], show=False)

    bench.repeat("startup", 5 if bench.quick else 20, [contender(name) for name in commands])


# --- Reporting ----------------------------------------------------------------------------------------------

GROUPS: dict[str, Callable[[Bench], None]] = {
    "overhead": overhead,
    "six": six,
    "unchanged": unchanged,
    "size": size,
    "startup": startup,
}


def report(bench: Bench) -> str:
    lines = []
    for group, named in bench.figures.items():
        before, after = bench.loads[group]
        lines += ["", f"{group} (load average {before:.2f} before, {after:.2f} after)"]
        for name, figures in named.items():
            spread = f"{min(figures):.3f} to {max(figures):.3f}, n={len(figures)}" if len(figures) > 1 else ""
            lines.append(f"  {name:48} {statistics.median(figures):9.3f}   {spread}")
        lines += [f"  {name:48} {ratio:8.1f}x" for name, ratio in ratios(bench, group).items()]
    return "\n".join(lines)


def ratios(bench: Bench, group: str) -> dict[str, float]:
    """How many times the other side's figure is of ours."""
    named = bench.figures[group]
    pairs = [(name, name.replace("headrace", "kfp.local")) for name in named if name.startswith("headrace,")]
    if group == "six":
        others = ("kfp.local, both", "work alone, a process each", "work alone, imports done")
        pairs = [("headrace", name) for name in others]
        pairs.append(("headrace, cold page cache", "kfp.local, both, cold page cache"))
    if group == "startup":
        pairs = [("headrace --help", "kfp --help")]
    return {
        f"{theirs} / {ours}": bench.median(group, theirs) / bench.median(group, ours)
        for ours, theirs in pairs
        if ours in named and theirs in named
    }


def machine() -> dict[str, Any]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "platform": platform.platform(),
        "cpus": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory, 1),
        "load_before": os.getloadavg()[0],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes and few repetitions: does it work at all?")
    parser.add_argument("--only", nargs="+", choices=tuple(GROUPS), default=list(GROUPS))
    parser.add_argument("--repetitions", "-n", type=int, help="instead of 5 to 20, by the length of what is measured")
    parser.add_argument("--cold", action="store_true", help="also the six tasks with an empty page cache (as root)")
    parser.add_argument("--keep", action="store_true", help="keep the homes")
    args = parser.parse_args()
    for needed in (MAIN, TFX, HEADRACE):
        if not needed.exists():
            raise SystemExit(f"expected an environment with {needed}. Received: no such file. `make setup` builds it.")
    if Path(sys.prefix) != MAIN.parents[1]:  # the pipelines are compiled by the KFP that is in there
        os.execv(MAIN, [str(MAIN), __file__, *sys.argv[1:]])
    before = machine()
    print(f"{before['cpus']} cores, {before['memory_gib']} GiB, load before {before['load_before']:.2f}", flush=True)
    bench = Bench(Path(tempfile.mkdtemp(prefix="headrace-runner-")), args.quick, args.cold, args.repetitions)
    for name in args.only:
        GROUPS[name](bench)
    print(report(bench))
    now = datetime.now(UTC)
    RESULTS.mkdir(parents=True, exist_ok=True)
    target = RESULTS / f"runner-{now:%Y%m%dT%H%M%SZ}.json"
    found = {"time": now.isoformat(timespec="seconds"), "machine": before, "quick": args.quick, "loads": bench.loads}
    target.write_text(json.dumps({**found, "figures": bench.figures}, indent=2) + "\n")
    print(f"\nall measurements: {target}")
    if not args.keep:
        shutil.rmtree(bench.work)


if __name__ == "__main__":
    main()
