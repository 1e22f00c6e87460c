"""One segment as a snapshot of its own: the part's files, under what the whole's manifest says."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

from headrace.artifacts.dataset import Column, DatasetInfo, describe, write_dataset
from headrace.artifacts.errors import ArtifactError
from headrace.artifacts.folder import file_digest, read_manifest
from headrace.artifacts.segments import FORMAT, VERSION, Segment, part_file, read_segments


def take_segment(parts: Path, part: str, output: Path) -> Segment:
    """Writes the snapshot of one part; where the file system can, its files are the part's own and not copies.

    Args:
        parts: the snapshot in parts.
        part: the part's name.
        output: where the snapshot goes.

    Raises:
        ArtifactError: there is no such part, or its files were damaged.
    """
    segments = read_segments(parts)
    manifest = read_manifest(parts, FORMAT, VERSION, verify=False)
    one = segments.one(part)
    whole = DatasetInfo(**{**segments.whole, "columns": [Column(**c) for c in segments.whole["columns"]]})
    about = {"column": segments.column, "value": one.value, "of": segments.dataset_digest}
    info = replace(whole, rows=one.rows, query={**whole.query, "segment": about}, extends=None)
    with write_dataset(output) as (files, details):
        for split, file in files.items():
            source = part_file(parts, part, split)
            expected = manifest.files[source.relative_to(parts).as_posix()]["sha256"]
            _place(source, file)
            if file_digest(file) != expected:
                raise ArtifactError(f"{source}: expected content with sha256 {expected[:12]}... Received: another one")
        details.update(describe(info))
    return one


def _place(source: Path, target: Path) -> None:
    """A second name for a file that never changes; a copy where there can be none."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
