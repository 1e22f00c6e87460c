"""Which files a source names."""

from __future__ import annotations

import glob
import stat
from pathlib import Path

from headrace.artifacts.errors import HeadraceError
from headrace.components.fingerprint.url import local_path, public, scheme_of


def source_files(source: str) -> list[Path]:
    """The files that a path or glob names, sorted.

    Raises:
        HeadraceError: there is none, one of them is no regular file, or the source is a URL.
    """
    source = local_path(source)
    if scheme := scheme_of(source):
        raise HeadraceError(f"{public(source)}: expected a path on this machine. Received: {scheme}://")
    if not source:
        raise HeadraceError("source: expected a file or a glob. Received: an empty text")
    if not glob.has_magic(source):
        return [_regular(Path(source))]
    # Not Path.glob, which takes hidden files too.
    files = sorted(Path(name) for name in glob.glob(source))
    if not files:
        raise HeadraceError(f"{source}: expected files that match. Received: none")
    return [_regular(file) for file in files]


def _regular(file: Path) -> Path:
    try:
        mode = file.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise HeadraceError(f"{file}: expected a file. Received: {_nearby(file)}") from None
    except OSError as error:  # permission denied, a loop of links, a name that is too long
        raise HeadraceError(f"{file}: expected a file. Received: {error.strerror}") from None
    except ValueError:
        raise HeadraceError(f"{str(file)!r}: expected a file. Received: a null byte in its name") from None
    if stat.S_ISDIR(mode):
        raise HeadraceError(f"{file}: expected a file. Received: a folder; name its files, e.g. `{file}/*.csv`")
    if not stat.S_ISREG(mode):  # a pipe would block, and could not be read twice
        raise HeadraceError(f"{file}: expected a regular file. Received: a pipe, socket or device")
    return file


def _nearby(file: Path) -> str:
    """Why there is no such file, with the nearest name there is."""
    folder = file.parent
    if not folder.is_dir():
        seen = "" if file.is_absolute() else f" in {Path.cwd()}, where this runs"
        return f"no such file; there is no folder `{folder}`{seen}"
    import difflib

    try:
        names = [entry.name for entry in folder.iterdir()]
    except PermissionError:
        return "no such file"
    near = difflib.get_close_matches(file.name, names, n=1)
    return f"no such file; did you mean `{folder / near[0]}`?" if near else "no such file"
