"""The work of a forked process, and its end: a fork must never return into its parent's code."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn

from headrace.artifacts.errors import HeadraceError


def _say(error: HeadraceError) -> None:
    print(f"error: {error}", file=sys.stderr)


def forked(work: Callable[[], object], refused: Callable[[HeadraceError], object] = _say) -> NoReturn:
    """Does the work and ends the process: with 0 when it is done or has asked to end, else with 1.

    Args:
        work: what the process is for.
        refused: told of an error that people can mend; any other shows its traceback.
    """
    status = 1
    try:
        work()
        status = 0
    except SystemExit as ended:
        status = int(bool(ended.code))
    except HeadraceError as error:
        refused(error)
    except BaseException:  # noqa: BLE001 (whatever it is, it ends here)
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)
