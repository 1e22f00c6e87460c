"""Who does something on this machine, and when."""

from __future__ import annotations

import os
import pwd
from datetime import UTC, datetime

from headrace.platforms.lifecycle import person

USER = "HEADRACE_USER"


def now() -> str:
    """The time in UTC, ISO 8601 to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def account() -> str:
    """The account that runs this process, `user@host`."""
    return f"{_user()}@{os.uname().nodename}"


def who_asks(name: str = "") -> str:
    """The person who asks for something: as named, else as HEADRACE_USER says, else the account's user.

    Raises:
        HeadraceError: the name is too long.
    """
    return person(name if name.strip() else os.environ.get(USER, "").strip() or _user())


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # containers run as users that have no name
        return str(os.getuid())
