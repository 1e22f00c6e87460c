"""Errors that are meant for the user: one clear message, no traceback."""

from __future__ import annotations

from collections.abc import Collection


class HeadraceError(Exception):
    """Something the user can put right. The message says what was expected, what was received, where, and what to do.

    The command line prints it without a traceback (unless `--debug`) and exits with `exit_code`.
    """

    exit_code = 1


class ArtifactError(HeadraceError):
    """An artifact on disk is missing, damaged, of another kind, or written by a newer version."""


def row_count(count: int) -> str:
    """A number of rows in words: `1 row`, `1,234 rows`."""
    return f"{count:,} row{'s' * (count != 1)}"


def nearest_column(name: str, columns: Collection[str]) -> str:
    """What a column that is not there was probably meant to be; where nothing is near, the columns that are."""
    import difflib

    near = difflib.get_close_matches(name, columns, n=1)
    return f"did you mean `{near[0]}`?" if near else f"the columns are {', '.join(columns)}"
