"""Parts of the `data` section that only some kinds of source have."""

from __future__ import annotations

from pydantic import Field

from headrace.components.section import Section
from headrace.components.statistics.spec import Beam


class BigQuery(Section):
    """How BigQuery is asked."""

    location: str | None = None
    """Where queries run, e.g. `EU`; by default where their tables lie."""
    maximum_bytes_billed: int | None = Field(default=None, gt=0)
    """A query that would be billed for more bytes fails before it starts."""


class Images(Section):
    """How a folder of images is read."""

    path: str = "path"
    """In a CSV of images: the column with each file's path, relative to the CSV; the class is in `data.label`'s."""
    smallest: int = Field(default=8, ge=1)
    """Images with a side of fewer pixels are noted as tiny."""
    beam: Beam = None
    """Decode by Apache Beam, for more files than one machine should. The rows are the same. By default in process."""
    near: int = Field(default=4, ge=0, le=16)
    """Images that look alike, and whose perceptual hashes differ in at most so many of 64 bits, are near-duplicates."""
