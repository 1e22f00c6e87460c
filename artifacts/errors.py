"""Errors that are meant for the user: one clear message, no traceback."""

from __future__ import annotations


class HeadraceError(Exception):
    """Something the user can put right. The message says what was expected, what was received, where, and what to do.

    The command line prints it without a traceback (unless `--debug`) and exits with `exit_code`.
    """

    exit_code = 1


class ArtifactError(HeadraceError):
    """An artifact on disk is missing, damaged, of another kind, or written by a newer version."""
