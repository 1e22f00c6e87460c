"""`headrace run` on a real terminal: what stands there, while its size changes, and after Ctrl-C."""

import fcntl
import functools
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

import pytest
from kfp import dsl

from tests.e2e.projects import HEADRACE, environment
from tests.unit.pipelines.local.screen import Screen

component = functools.partial(dsl.component, base_image="registry/headrace-main:1", install_kfp_package=False)


@component
def nap(seconds: float) -> float:
    import time

    time.sleep(seconds)
    return seconds


@component
def fail():
    raise ValueError("of no use")


def naps(seconds: float = 0.02):
    for _ in range(30):
        nap(seconds=seconds)
    with dsl.ParallelFor(list(range(20)), parallelism=4):
        nap(seconds=seconds).set_display_name("short")
    fail()


class Session:
    """A command on a terminal of its own, and a screen that shows what it writes."""

    def __init__(self, folder, *arguments, columns=80, rows=24, **variables):
        self.screen = Screen(columns, rows)
        self.master, terminal = pty.openpty()
        self.resize(columns, rows)
        self.before = termios.tcgetattr(terminal)
        self.process = subprocess.Popen(
            [str(HEADRACE), *arguments],
            cwd=folder,
            env=environment(**{"TERM": "xterm", **variables}),
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            start_new_session=True,
            preexec_fn=functools.partial(fcntl.ioctl, terminal, termios.TIOCSCTTY, 0),
        )
        self.terminal, self.written = terminal, ""

    def resize(self, columns, rows):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read(self, until="", seconds=60.0, feed=True):
        """Reads until something has been written, or is so, or to the end."""
        end = time.monotonic() + seconds
        while not (until() if callable(until) else until and re.search(until, self.written)):
            assert time.monotonic() < end, self.written
            ready, _, _ = select.select([self.master], [], [], 0.05)
            if ready:
                text = os.read(self.master, 65536).decode()
                self.written += text
                if feed:
                    self.screen.feed(text.replace("\r\n", "\n"))
            elif self.process.poll() is not None:
                return self.screen.shown
        return self.screen.shown

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.terminal)
        os.close(self.master)


@pytest.fixture
def session(runner):
    open_ones = []

    def begin(*arguments, **more):
        open_ones.append(Session(runner.folder, *arguments, **more))
        return open_ones[-1]

    runner.compile(naps)
    yield begin
    for one in open_ones:
        one.close()


def test_more_tasks_than_lines_on_a_narrow_terminal(session):
    one = session("run", "pipeline.yaml", columns=40, rows=10)
    one.read(until="Traceback", feed=False)
    one.screen.feed(one.written.partition("Traceback")[0].replace("\r\n", "\n"))
    assert all(line.startswith("run ") for line in one.screen.history), "the picture stays in its place"
    shown = one.screen.shown
    assert len(shown) <= 10
    assert any(line.startswith("✗ fail") for line in shown)
    assert any(re.match("✓ for-loop-\\d/short x 20 +20 done", line) for line in shown)
    assert "more lines" in shown[-1]
    one.read(until="FAILED in .* s \\(51 tasks", feed=False)
    assert "ValueError: of no use" in one.written
    assert one.process.wait(timeout=20) == 1
    assert "\x1b[?25l" not in one.written, "the cursor is never hidden"


def test_a_terminal_that_changes_its_size_and_ctrl_c(session):
    one = session("run", "pipeline.yaml", "-p", "seconds=0.5", "--max-parallel", "4", columns=100, rows=30)
    one.read(until="running, 0\\.[2-9]")
    one.screen.columns, one.screen.rows = 60, 30
    one.resize(60, 30)
    one.read(until="(?s)running, 0\\.[2-9].*running, 0\\.[2-9].*done in 0\\.")
    one.read(until=lambda: all(len(line) < 60 for line in one.screen.shown))  # after a picture of the former size
    os.write(one.master, b"\x03")
    one.read()
    assert one.process.wait(timeout=20) == 128 + signal.SIGINT
    shown = one.screen.shown
    assert shown[-1] == "headrace: interrupted"
    assert any("cancelled" in line for line in shown)
    assert termios.tcgetattr(one.terminal) == one.before, "the terminal is as it was"


@pytest.mark.parametrize(
    ("variables", "wanted", "unwanted"),
    [
        ({"NO_COLOR": "1"}, "✓ for-loop-\\d/short x 20", "\x1b\\[[0-9;]*m"),
        ({"PYTHONIOENCODING": "ascii", "LANG": "C"}, "\\+.* for-loop-\\d/short x 20", "[^\x00-\x7f]"),
        ({"TERM": "dumb"}, "for-loop-\\d: 17 more iterations begun; of their tasks 17 done", "\x1b"),
    ],
)
def test_terminals_that_can_do_less(session, runner, variables, wanted, unwanted):
    one = session("run", "pipeline.yaml", "-p", "seconds=0.0", **variables)
    one.read(feed=False)
    assert one.process.wait(timeout=20) == 1
    assert re.search(wanted, one.written)
    assert not re.search(unwanted, one.written)
