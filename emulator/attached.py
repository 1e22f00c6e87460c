"""Starts a program that ends when the process that started it does, however that ends.

    python -I -S attached.py SIGNAL PARENT PROGRAM ARGUMENT ...

It is run by its path, so that nothing is imported which takes time. What it sets survives exec (prctl(2),
PR_SET_PDEATHSIG); doing so between fork and exec is not safe in a process with threads.
"""

from __future__ import annotations

import ctypes
import os
import sys

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Becomes the program."""
    signal_number, parent, *argv = arguments
    if ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal_number), 0, 0, 0):
        sys.exit(f"{argv[0]}: this system has no PR_SET_PDEATHSIG")
    if os.getppid() != int(parent):  # it ended before that was set
        sys.exit(1)
    try:
        os.execvp(argv[0], argv)
    except OSError as error:
        sys.exit(f"{argv[0]}: expected a program. Received: {error.strerror}")


if __name__ == "__main__":
    main(sys.argv[1:])
