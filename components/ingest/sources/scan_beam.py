"""The same look at every image file by Apache Beam, for more files than one machine should decode.

Workers decode, and write what they saw as JSON lines to a folder that they share with this machine; it is read here in
the files' order. So the rows, and the digest of the snapshot, are those of a run in process.
"""

from __future__ import annotations

import json
import uuid
import warnings
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.io.filesystems import FileSystems

from headrace.components.beam import pipeline_options, runner, temporary
from headrace.components.fingerprint.images import ImageFile
from headrace.components.ingest.opened import Rejections
from headrace.components.ingest.sources.decode import SIDE, Decoded
from headrace.components.ingest.sources.scan import Seen, accepted, ahead, look
from headrace.components.statistics.spec import BeamSpec

_PART = 256  # files that a worker looks at before it writes
_SECTION = "data.images.beam"  # of the spec, for messages
_FIELDS = ("width", "height", "format", "mode", "sha256", "phash", "orientation", "frames")


def scan_by_beam(files: list[ImageFile], rejections: Rejections, settings: BeamSpec) -> Iterator[Seen]:
    """Decodes every file, and gives them in their order; those that cannot be decoded go to the rejections.

    Args:
        files: as workers can open them: of a bucket, or of a disk that all machines share.
        rejections: where files that cannot be decoded go.
        settings: runner and options.

    Raises:
        HeadraceError: an unknown option, or one that is missing.
    """
    options = pipeline_options(settings, _SECTION)
    place = f"{temporary(options, settings.runner, _SECTION)}/headrace-images-{uuid.uuid4().hex}"
    parts = [(start, files[start : start + _PART]) for start in range(0, len(files), _PART)]
    FileSystems.mkdirs(place)
    try:
        pipeline = beam.Pipeline(runner=runner(settings.runner), options=options)
        _ = pipeline | "Parts" >> beam.Create(parts) | "Spread" >> beam.Reshuffle() | "Look" >> beam.Map(_look, place)
        pipeline.run().wait_until_finish()
        for start, part in parts:
            with FileSystems.open(_file(place, start)) as opened:
                lines = opened.read().splitlines()
            for file, line in zip(part, lines, strict=True):
                yield from accepted(file, _seen(json.loads(line)), rejections)
    finally:
        FileSystems.delete([place])


def _look(part: tuple[int, list[ImageFile]], place: str) -> None:
    """Looks at some files; when Beam repeats that, it writes the same again."""
    start, files = part
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lines = [json.dumps(_plain(found)) for _, found in ahead(look, files)]
    with FileSystems.create(_file(place, start)) as file:
        file.write("\n".join(lines).encode())


def _file(place: str, start: int) -> str:
    return f"{place}/{start:012}.jsonl"


def _plain(found: Decoded | str) -> Any:
    if isinstance(found, str):
        return found
    return {**{name: getattr(found, name) for name in _FIELDS}, "small": found.small.tobytes().hex()}


def _seen(plain: Any) -> Decoded | str:
    if isinstance(plain, str):
        return plain
    small = np.frombuffer(bytes.fromhex(plain.pop("small")), np.uint8).reshape(SIDE, SIDE, 3)
    return Decoded(**plain, small=small)
