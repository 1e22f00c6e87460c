"""The data version of a content is the same on every machine: wherever it lies, whoever reads it, with however many threads."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

# Ingests as the component does, in a process with a umask and threads of its own, and prints the snapshot's digest.
INGEST = """
import json, os, sys
from pathlib import Path
os.umask(int(sys.argv[4], 8))
from types import SimpleNamespace
import pyarrow as pa
pa.set_cpu_count(int(sys.argv[5]))
from headrace.artifacts.dataset import Dataset
from headrace.components.fingerprint.digest import fingerprint
from headrace.components.ingest.component import ingest
source, data = sys.argv[1], json.loads(sys.argv[3])
out = SimpleNamespace(path=sys.argv[2], metadata={})
ingest.python_func(source=source, source_digest=fingerprint(source), task="classification", data=data, dataset=out)
found = Dataset.open(out.path)
print(json.dumps([found.digest, {name: entry["sha256"] for name, entry in found.manifest.files.items()}]))
"""
SPLITS = [
    {"by": "hash"},
    pytest.param({"by": "time", "column": "moment"}, marks=pytest.mark.slow),
    pytest.param({"by": "stratified"}, marks=pytest.mark.slow),
]


def table(file: Path) -> None:
    """Dates, times with and without zones, umlauts, decimals, missing cells; more rows than a batch has."""
    chance = random.Random(5)
    rows = ["id,moment,day,name,amount,on,label"]
    for number in range(80_000):
        moment = f"2026-{1 + number % 12:02}-{1 + number % 28:02} {number % 24:02}:{number % 60:02}:{number % 59:02}"
        name = chance.choice(["Zürich", "zurich", "Ångström", "", "日本", "I", "ı"])
        amount = "" if number % 17 == 0 else repr(chance.gauss(0, 1) * 10 ** chance.randrange(-8, 9))
        rows.append(f"r{number:06},{moment},{moment[:10]},{name},{amount},{chance.choice(['yes', 'no'])},{number % 2}")
    file.parent.mkdir(parents=True)
    file.write_text("\n".join(rows) + "\n", encoding="utf-8")


def ingested(folder: Path, split: dict[str, str], umask: str, threads: int, **variables: str) -> list[object]:
    data = {"source": "data/rows.csv", "label": "label", "id": "id", "split": split}
    own = {name: text for name, text in os.environ.items() if not name.startswith(("HEADRACE_", "LC_", "LANG", "TZ"))}
    threading = {"OMP_NUM_THREADS": str(threads), "HEADRACE_THREADS": str(threads)}
    arguments = [str(folder / "data" / "rows.csv"), str(folder / f"out-{umask}"), json.dumps(data), umask, str(threads)]
    done = subprocess.run(
        [sys.executable, "-c", INGEST, *arguments],
        env={**own, **threading, **variables},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    found: list[object] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("split", SPLITS, ids=lambda split: split["by"])
def test_the_same_content_is_the_same_version(tmp_path, split):
    table(tmp_path / "here" / "data" / "rows.csv")
    there = tmp_path / "an other, deep/place ü"
    shutil.copytree(tmp_path / "here", there)
    os.utime(there / "data" / "rows.csv", (1, 1))
    one = ingested(tmp_path / "here", split, "022", 1, TZ="UTC", LC_ALL="C.UTF-8", PYTHONHASHSEED="1")
    other = ingested(there, split, "077", 4, TZ="America/Los_Angeles", LC_ALL="C", PYTHONHASHSEED="2")
    assert one == other
