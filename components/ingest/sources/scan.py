"""Looks at every image file once: decodes it to its end, and keeps what identifies it."""

from __future__ import annotations

import os
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from headrace.artifacts.errors import HeadraceError
from headrace.components.fingerprint.images import ImageFile
from headrace.components.ingest.opened import Rejection, Rejections
from headrace.components.ingest.sources.decode import Decoded, decode

_WAITING = 32  # files that are being read or wait for it, so that memory stays bounded
_In = TypeVar("_In")
_Out = TypeVar("_Out")


@dataclass(frozen=True)
class Seen:
    """An image file that could be read."""

    file: ImageFile
    decoded: Decoded
    group: str = ""


def scan(files: Iterable[ImageFile], rejections: Rejections) -> Iterator[Seen]:
    """Decodes every file, in order; those that cannot be decoded go to the rejections."""
    with warnings.catch_warnings():  # of what Pillow finds odd; what it cannot read is an error
        warnings.simplefilter("ignore")
        for file, found in ahead(look, files):
            yield from accepted(file, found, rejections)


def look(file: ImageFile) -> Decoded | str:
    """What a file is, or why it is no image."""
    try:
        with file.open() as stream:
            content = stream.read()
        return decode(content)
    except FileNotFoundError:
        return "no such file"
    except (OSError, HeadraceError) as error:  # without the path on this machine, which a snapshot does not keep
        return f"a file that cannot be opened ({(isinstance(error, OSError) and error.strerror) or error})"
    except ValueError as error:
        return str(error)


def accepted(file: ImageFile, found: Decoded | str, rejections: Rejections) -> Iterator[Seen]:
    """The file as one that could be read; where it could not, it goes to the rejections."""
    if isinstance(found, Decoded):
        yield Seen(file, found)
    else:
        why = f"expected an image. Received: {found}"
        rejections.add(Rejection(file.path, why, kept=why))


def ahead(work: Callable[[_In], _Out], items: Iterable[_In]) -> Iterator[tuple[_In, _Out]]:
    """Works on several files at a time, on all cores (Pillow lets go of the interpreter); answers come in order."""
    waiting: deque[tuple[_In, Future[_Out]]] = deque()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            for item in items:
                waiting.append((item, pool.submit(work, item)))
                if len(waiting) >= _WAITING:
                    done, future = waiting.popleft()
                    yield done, future.result()
            for done, future in waiting:
                yield done, future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # of a look that is not continued
