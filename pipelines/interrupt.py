"""How a command is interrupted, and how it ends.

Ctrl-C while Python imports, which is most of a command's first second, is obeyed at once, and never lost.

Python raises KeyboardInterrupt wherever it is, and within an import that is anywhere in other people's code: a bare
`except`, a C extension that tries something, a callback whose exceptions are printed and ignored. Then the command goes
on as if nothing had been said. So within an import the process ends from within the handler, as nothing is held there
that would have to be put down; elsewhere the exception is raised as ever, and remembered in case that it gets lost.

A command whose work is done ends there and then. The interpreter would look through all objects once more, and
libraries would take down their threads and complain of each other: nothing that a command still needs, and now and then
one of them aborts the process, with an exit code that tells of a failure.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType

EXIT_CODE = 128 + signal.SIGINT
_IMPORTING = "<frozen importlib._bootstrap>"
_seen: list[int] = []
_codes: list[int] = []


def heed() -> None:
    """Takes over Ctrl-C for the rest of this process; not where it is ignored, or somebody's else already."""
    if threading.current_thread() is not threading.main_thread():
        return
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def is_command() -> bool:
    """Whether this process is `headrace`: a test or a notebook that imports it keeps its own handler."""
    return os.path.basename(sys.argv[0]) == "headrace"  # noqa: PTH119 (pathlib is not imported yet)


def remembered() -> list[int]:
    """The number of each Ctrl-C that was seen."""
    return list(_seen)


def ended(code: object) -> None:
    """Remembers with which exit code the command has ended; what `sys.exit` would print is left to it."""
    if code is None or isinstance(code, int):
        _codes.append(int(code or 0))


def leave() -> None:
    """Ends the process, as the last of all that is done at its end; not after an error that nobody expected."""
    if not _codes:
        return
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):  # the interpreter tells of it in its own way
        return
    os._exit(_codes[-1] & 0xFF)


def _end(number: int, frame: FrameType | None) -> None:
    _seen.append(number)
    while frame is not None:
        if frame.f_code.co_filename == _IMPORTING:
            os.write(2, b"\nheadrace: interrupted\n")
            os._exit(EXIT_CODE)
        frame = frame.f_back
    raise KeyboardInterrupt
