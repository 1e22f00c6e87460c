"""How much memory and time a model may take while it is loaded and answers its samples: a bundle may be a stranger's.

What a graph asks for is not seen by looking at it: one of some hundred bytes can fill any memory when it is optimized
or run. A process that only tries a model is limited for all its life; one that serves, until the model is loaded.
"""

from __future__ import annotations

import os
import re
import resource
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from headrace.artifacts.errors import HeadraceError

SECONDS = 120.0  # for which the first model of a process may take to load
_MIB = 1024 * 1024
_LEAST = 128 * _MIB  # that a model is given, however little the container has left
_STATUS = Path("/proc/self/status")
_CGROUP = Path("/sys/fs/cgroup")


@contextmanager
def limited(what: object, mebibytes: int, seconds: float = SECONDS) -> Iterator[None]:
    """Ends the process where the block takes longer, and makes what asks for too much memory fail.

    The memory is counted from what the process holds at the beginning; it is never more than what the container has
    left. Where the system is not Linux, only the time is limited.

    Raises:
        HeadraceError: the block failed for want of memory.
    """
    before = resource.getrlimit(resource.RLIMIT_DATA)
    most = min(mebibytes * _MIB, _left())
    watch = threading.Timer(seconds, _end, (what, seconds))
    watch.daemon = True
    watch.start()
    try:
        _limit(most, before)
        yield
    except Exception as error:
        if not _for_memory(error):
            raise
        asked = re.search(r"requested buffer of size (\d+)", str(error))
        received = f"a wish for {int(asked[1]) // _MIB:,} MiB" if asked else "a wish for more"
        raise HeadraceError(
            f"{what}: expected it to load and answer with {most // _MIB:,} MiB of memory (--load-memory). "
            f"Received: {received}"
        ) from None
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)
        watch.cancel()


def _limit(most: int, before: tuple[int, int]) -> None:
    if not _STATUS.exists():
        return
    held = next(int(line.split()[1]) for line in _STATUS.read_text().splitlines() if line.startswith("VmData"))
    wanted = held * 1024 + most
    hard = before[1]
    if hard == resource.RLIM_INFINITY or wanted < hard:
        resource.setrlimit(resource.RLIMIT_DATA, (wanted, hard))


def _left() -> int:
    """Bytes that the container may still take (cgroup v2); where it has no limit, more than any model asks for.

    Pages of files count as free: the kernel gives them up when memory is asked for.
    """
    try:
        most = int((_CGROUP / "memory.max").read_text())
        held = int((_CGROUP / "memory.current").read_text())
        fields = dict(line.split() for line in (_CGROUP / "memory.stat").read_text().splitlines())
        return max(_LEAST, most - held + int(fields["file"]))
    except (OSError, ValueError, KeyError):  # no cgroup of that kind, or "max"
        return 2**62


def _for_memory(error: Exception) -> bool:
    """Whether something failed because it got no memory: ONNX Runtime says so in words alone."""
    return isinstance(error, MemoryError) or any(
        word in str(error) for word in ("bad_alloc", "allocate memory", "MemoryError")
    )


def _end(what: object, seconds: float) -> None:
    """Nothing else can stop a load: it is a call into a library that looks at no signal."""
    message = f"error: {what}: expected it to load and answer in {seconds:g} seconds. Received: nothing yet"
    print(message, file=sys.stderr, flush=True)
    os._exit(HeadraceError.exit_code)
