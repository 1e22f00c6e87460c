"""Files that a URL names in a bucket, on a web server, or wherever else fsspec reaches.

Credentials and endpoints come from the environment in each service's usual way (Application Default Credentials,
`AWS_*`, `STORAGE_EMULATOR_HOST`, fsspec's own `FSSPEC_<PROTOCOL>_<OPTION>`), never from the spec.
"""

from __future__ import annotations

import difflib
import glob
import io
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from headrace.artifacts.errors import HeadraceError
from headrace.components.fingerprint.url import public, redact, resolve, scheme_of

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

BLOCK_BYTES = 8 << 20  # a request's least size when a file is read from its start to its end
_BUFFER_BYTES = 1 << 20
_NOT_FOUND = 404


@dataclass(frozen=True)
class RemoteFile:
    """One file that fsspec can open, as it was when it was listed."""

    url: str  # for messages and records; no secrets
    source: str  # what the spec says, by which messages are redacted
    path: str  # as the file system names it
    size: int | None  # in bytes; None where the server does not say
    version: str | None  # names the content where the store keeps something that does
    files: AbstractFileSystem

    @property
    def name(self) -> str:
        """The file's own name, whose suffix tells its format."""
        return PurePosixPath(self.path).name

    def open(self) -> BinaryIO:
        """Opens it for reading; what is read is fetched by ranges, and no more than a block or two is kept.

        Raises:
            HeadraceError: it cannot be opened, or, from the file's own methods, not be read.
        """
        with failures(self.url, self.source):
            stream = self.files.open(self.path, "rb", block_size=BLOCK_BYTES, cache_type="readahead")
        return cast(BinaryIO, io.BufferedReader(_Reading(self, stream), _BUFFER_BYTES))

    def read(self) -> BinaryIO:
        """Fetches the whole content by one request: for small files.

        Raises:
            HeadraceError: it cannot be read.
        """
        with failures(self.url, self.source):
            return io.BytesIO(self.files.cat_file(self.path))

    def beside(self, path: str) -> BinaryIO:
        """Fetches another file by its path relative to this one's folder.

        Raises:
            HeadraceError: as `read`.
        """
        other = f"{self.path.rpartition('/')[0]}/{path}"
        shown = public(str(self.files.unstrip_protocol(other)))
        return replace(self, url=shown, path=other, size=None, version=None).read()


class _Reading(io.RawIOBase):
    """A remote file whose failures, whenever they come, are ours."""

    def __init__(self, file: RemoteFile, stream: Any) -> None:
        self._file = file
        self._stream = stream

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with failures(self._file.url, self._file.source):
            data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        with failures(self._file.url, self._file.source):
            return int(self._stream.seek(offset, whence))

    def tell(self) -> int:
        return int(self._stream.tell())

    def close(self) -> None:
        self._stream.close()
        super().close()


def remote_files(source: str) -> list[RemoteFile]:
    """The files that a URL or a glob in one names, sorted by path.

    Raises:
        HeadraceError: there is none, a folder, no such scheme, no permission, or no connection.
    """
    import fsspec

    url = resolve(source)
    _silence()
    with failures(public(source), source):
        files, path = fsspec.core.url_to_fs(url)
        files.invalidate_cache()  # what was listed a minute ago may have changed
        # Of a web server a question mark begins the parameters, of which a signature may be one.
        if "*" in path if scheme_of(path) in ("http", "https") else glob.has_magic(path):
            found = files.glob(path, detail=True)
            infos = [info for _, info in sorted(found.items()) if info["type"] == "file"]
            if not infos:
                raise HeadraceError(f"{public(source)}: expected files that match. Received: none")
        else:
            infos = [_info(files, path, source)]
    return [_file(files, info, source, url) for info in infos]


def remote_tree(source: str, may_be_empty: bool = False) -> list[tuple[str, RemoteFile]]:
    """Every file below a folder that a URL names, with its path in that folder, sorted.

    Raises:
        HeadraceError: there is none (where that is not said to be well), no permission, or no connection.
    """
    import fsspec

    url = resolve(source)
    _silence()
    with failures(public(source), source):
        files, folder = fsspec.core.url_to_fs(url)
        files.invalidate_cache()
        folder = folder.rstrip("/")
        infos = [info for _, info in sorted(files.find(folder, detail=True).items()) if info["type"] == "file"]
    if not infos and not may_be_empty:
        raise HeadraceError(f"{public(source)}: expected a folder with files in it. Received: none")
    return [(str(info["name"])[len(folder) :].lstrip("/"), _file(files, info, source, url)) for info in infos]


def _info(files: AbstractFileSystem, path: str, source: str) -> dict[str, Any]:
    shown = public(source)
    try:
        info: dict[str, Any] = files.info(path)
    except FileNotFoundError as error:
        if cause := error.__cause__:  # the file system for HTTP says so of all that goes wrong
            status = getattr(cause, "status", None)
            if (status is not None and status != _NOT_FOUND) or isinstance(cause, OSError):
                raise HeadraceError(
                    f"{shown}: expected a file that can be read. Received: {_said(cause, source)}"
                ) from None
        near = "" if scheme_of(path) else _nearby(files, path)
        raise HeadraceError(f"{shown}: expected a file. Received: no such file{near}") from None
    if info["type"] != "file":
        raise HeadraceError(f"{shown}: expected a file. Received: a folder; name its files, e.g. `{shown}/*.csv`")
    return info


def _nearby(files: AbstractFileSystem, path: str) -> str:
    """The nearest name beside a file that is not there, as the end of a message."""
    folder = PurePosixPath(path).parent
    try:
        names = [PurePosixPath(name).name for name in files.ls(str(folder), detail=False)]
    except (OSError, NotImplementedError):  # no such folder, or none that can be listed
        return ""
    near = difflib.get_close_matches(PurePosixPath(path).name, names, n=1)
    return f"; did you mean `{near[0]}`?" if near else ""


def _file(files: AbstractFileSystem, info: dict[str, Any], source: str, url: str) -> RemoteFile:
    path = str(info["name"])
    shown = public(path if scheme_of(path) else str(files.unstrip_protocol(path)))
    scheme = scheme_of(url) or ""
    return RemoteFile(shown, source, path, info.get("size"), _version(scheme, info), files)


def _version(scheme: str, info: dict[str, Any]) -> str | None:
    """What names a file's content without reading it: never a time, and never a web server's ETag, which may be one.

    In Google's storage the MD5 (composed objects have none, but a generation); in S3 the ETag, which is an MD5 or one
    over the parts' (or, of an encrypted object, new with every write).
    """
    if scheme in ("gs", "gcs"):
        if info.get("md5Hash"):
            return f"md5:{info['md5Hash']}"
        return f"generation:{info['generation']}" if info.get("generation") else None
    if scheme in ("s3", "s3a") and (info.get("ETag") or info.get("etag")):
        return "etag:" + str(info.get("ETag") or info.get("etag")).strip('"')
    return None


def _silence() -> None:
    """Keeps gcsfs from logging tracebacks of what it raises anyhow, and warnings of what it tries and does without.

    It also keeps it from asking another API than the storage's for the bucket's kind, which may not be let through.
    """
    os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    logging.getLogger("gcsfs").setLevel(logging.CRITICAL + 1)


@contextmanager
def failures(shown: str, source: str) -> Iterator[None]:
    """Turns what goes wrong with a remote file into one message, without secrets.

    Args:
        shown: what the message begins with.
        source: the source as the spec has it.
    """
    try:
        yield
    except HeadraceError:
        raise
    except PermissionError as error:
        raise HeadraceError(
            f"{shown}: expected permission to read. Received: {_said(error, source)}; "
            "set the service's credentials in the environment"
        ) from None
    except FileNotFoundError as error:
        raise HeadraceError(f"{shown}: expected a file. Received: no such file ({_said(error, source)})") from None
    except unreachable(scheme_of(resolve(source)) or "") as error:
        raise HeadraceError(f"{shown}: expected a file that can be read. Received: {_said(error, source)}") from None


def _said(error: BaseException, source: str) -> str:
    text = " ".join(redact(error, source).split())
    return text[:300] or type(error).__name__


def unreachable(scheme: str) -> tuple[type[BaseException], ...]:
    """The errors that a kind of storage reports in ways of its own."""
    errors: list[type[BaseException]] = [OSError, ValueError, ImportError]
    if scheme in ("s3", "s3a"):
        from botocore.exceptions import BotoCoreError, ClientError

        errors += [BotoCoreError, ClientError]
    if scheme in ("gs", "gcs"):
        from gcsfs.retry import HttpError
        from google.auth.exceptions import GoogleAuthError

        errors += [HttpError, GoogleAuthError]
    if scheme in ("gs", "gcs", "http", "https"):
        from aiohttp import ClientError as HttpClientError

        errors.append(HttpClientError)
    return tuple(errors)
