"""A command ends with its own exit code, whatever would come behind it in the interpreter's end."""

import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = """
import atexit, os, sys
sys.argv[0] = "headrace"
atexit.register(os.abort)  # stands for a library that fails to take down its threads: what comes first is called last
from headrace.pipelines import cli
atexit.register(lambda: print("put down"))
{more}
sys.exit(cli.main(sys.argv[1:]))
"""


def run(*arguments, more="", out=subprocess.PIPE):
    command = [sys.executable, "-c", COMMAND.format(more=more), *arguments]
    return subprocess.run(command, stdout=out, stderr=subprocess.PIPE, text=True, check=False)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [(["--version"], 0, "headrace, version"), (["nope"], 2, "No such command"), (["validate", "none.yaml"], 1, "none")],
)
def test_the_exit_code_is_the_commands(arguments, code, said):
    done = run(*arguments)
    assert done.returncode == code
    assert said in done.stdout + done.stderr
    assert done.stdout.endswith("put down\n"), "what was to be done at the end is done, and what was said is out"


def test_an_error_that_nobody_expected_ends_as_ever():
    done = run("--version", more="cli.cli.main = lambda **_: 1 / 0")
    assert done.returncode == -6
    assert "ZeroDivisionError" in done.stderr


def test_output_that_cannot_be_written_is_no_success():
    with Path("/dev/full").open("w") as full:
        done = run("--version", out=full)
    assert done.returncode == 1
    assert done.stderr.startswith("headrace: No space left on device\n")
