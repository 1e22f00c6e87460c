"""The README's commands do what it says, on a table of one's own; its tables and links are complete."""

from __future__ import annotations

import json
import re
import resource
import shlex
import subprocess
from pathlib import Path

import pytest

from headrace.pipelines.cli import COMMANDS
from tests.e2e.projects import HEADRACE, ROOT, environment, rows, write_csv

README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def commands() -> list[str]:
    """The lines of the README's console blocks that call `.venv/bin/headrace`, without their comments."""
    blocks = re.findall(r"^```console\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    lines = [line.split("  #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line.removeprefix(".venv/bin/headrace ") for line in lines if line.startswith(".venv/bin/headrace ")]


def test_the_five_minutes_with_data_of_ones_own(tmp_path: Path) -> None:
    header, *table = rows(400)
    write_csv(tmp_path / "table.csv", [[{"size": "mean size (cm)"}.get(name, name) for name in header], *table])
    lines = [line.replace("FILE.csv", "table.csv").replace("COLUMN", "label") for line in commands()]
    names = [line.split()[0] for line in lines]
    assert names == ["init", "validate", "run", "schema", "serve", "predict", "compile"]
    outputs: dict[str, str] = {}
    server: subprocess.Popen[str] | None = None
    try:
        for name, line in zip(names, lines, strict=True):
            command = [str(HEADRACE), *shlex.split(line)]
            if name == "serve":  # as the README says: the next one is called from another terminal
                command += ["--port", "0"]  # 8080 may be somebody else's on this machine
                server = subprocess.Popen(
                    command, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
                )
                assert server.stdout is not None
                outputs[name] = server.stdout.readline()
                continue
            done = subprocess.run(
                command, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=120, check=False
            )
            assert done.returncode == 0, (line, done)
            outputs[name] = done.stdout
    finally:
        if server is not None:
            server.terminate()
            server.communicate(timeout=20)
    assert "Pushed: version 1 of mine is the champion now." in outputs["run"]
    assert "a constant: " in outputs["run"]
    assert "Gates:\n  passed  " in outputs["run"]
    assert "Reports: " in outputs["run"]
    assert (tmp_path / "mine" / "schema.pbtxt").is_file()
    assert " at http://127.0.0.1:" in outputs["serve"]
    answers = [json.loads(line) for line in outputs["predict"].splitlines()]
    assert len(answers) == 400
    right = [answer["label"] == row[3] for answer, row in zip(answers, table, strict=True)]
    assert sum(right) > 300
    assert (tmp_path / "pipeline.yaml").read_text().startswith("# PIPELINE DEFINITION")


def test_the_short_spec_is_a_spec_and_takes_the_features(tmp_path: Path) -> None:
    short, gates, features = re.findall(r"^```yaml\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    columns = [
        "subscriber_id",
        "snapshot_date",
        "total_spend",
        "tenure_months",
        "last_ticket",
        "region",
        "plan",
        "gender",
    ]
    table = [[f"s{n}", "2026-06-30", n, 1 + n % 9, f"text {n} of {n}", *["abc"[n % 3]] * 3, n % 2] for n in range(60)]
    write_csv(tmp_path / "data" / "subscribers.csv", [[*columns, "churned"], *table])
    sessions = [[f"s{n}", f"2026-06-{1 + n % 28:02}", n] for n in range(60)]
    write_csv(tmp_path / "sessions.csv", [["subscriber_id", "at", "minutes"], *sessions])
    for text in (short, short + gates, short + gates + features):
        (tmp_path / "spec.yaml").write_text(text)
        done = subprocess.run(
            [HEADRACE, "validate", "spec.yaml"],
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout.startswith("spec.yaml: fine. classification of `churned` from "), done.stderr


def test_the_table_of_commands_is_complete() -> None:
    (table,) = re.findall(r"## The commands\n\n(.*?)\n\n", README, re.DOTALL)
    first_cells = [line.split(" | ")[0] for line in table.replace("\\|", "/").splitlines()[2:]]
    named = {word for cell in first_cells for word in re.findall(r"`(?:headrace )?([a-z-]+)", cell)}
    assert named == set(COMMANDS)
    done = subprocess.run([HEADRACE, "--help"], capture_output=True, text=True, check=True)
    listed = re.findall(r"^  ([a-z-]+) ", done.stdout.partition("Commands:\n")[2], re.MULTILINE)
    assert listed == list(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself(command: str) -> None:
    done = subprocess.run([HEADRACE, command, "--help"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"Usage: headrace {command} ")
    assert len(done.stdout.splitlines()) > 5


def test_the_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {name for page in PAGES for name in re.findall(r"(?:`|^)make ([a-z-]+)", page.read_text(), re.MULTILINE)}
    assert {"demo", "test"} <= named
    assert named <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text()):
        if "://" not in link and not link.startswith("mailto:"):
            assert (page.parent / link).exists(), link


def test_validate_loads_no_more_than_it_needs(tmp_path: Path) -> None:
    write_csv(tmp_path / "table.csv", rows(20_000))
    (tmp_path / "spec.yaml").write_text("name: m\ntask: classification\ndata: {source: table.csv, label: label}\n")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [HEADRACE, "validate", "spec.yaml"], cwd=tmp_path, env=environment(), check=True, capture_output=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # It takes 0.8 s of CPU where TensorFlow's import alone takes 4; machines differ by some three times.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 3
