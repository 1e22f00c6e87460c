"""Takes a snapshot out of the store: whole, verified, and there at once or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from headrace.artifacts.dataset import SPLITS, Dataset
from headrace.artifacts.errors import ArtifactError, HeadraceError
from headrace.artifacts.folder import MANIFEST

Format = Literal["snapshot", "parquet", "csv"]


def check_out(dataset: Dataset, folder: Path, format: Format = "snapshot") -> list[Path]:
    """Puts a snapshot into a folder of the user's; the files are copies, so that whoever edits them harms nothing else.

    Args:
        dataset: the snapshot, which was opened verified, or is verified here by what arrives.
        folder: where to; it must be free, or empty.
        format: `snapshot` as it is, with its manifest; `parquet` and `csv`: a plain table for each split.

    Returns:
        the files.

    Raises:
        HeadraceError: the folder is filled or cannot be written, or the snapshot is damaged; nothing is left then.
    """
    with _appearing(folder) as partial:
        if format == "snapshot":
            for name in [*dataset.manifest.files, MANIFEST]:
                (partial / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(dataset.path / name, partial / name)
            arrived = Dataset.open(partial)
            if arrived.digest != dataset.digest:
                raise ArtifactError(f"{dataset.path}: expected {dataset.digest}. Received: {arrived.digest}")
        else:
            whole = Dataset.open(dataset.path)  # every byte is read before any is written
            for split in SPLITS:
                if format == "parquet":
                    shutil.copyfile(whole.file(split), partial / f"{split}.parquet")
                else:
                    _write_csv(whole, split, partial / f"{split}.csv")
        names = sorted(path.relative_to(partial) for path in partial.rglob("*") if path.is_file())
    return [folder / name for name in names]


def _write_csv(dataset: Dataset, split: str, file: Path) -> None:
    """A table as CSV, in batches: missing values are empty, texts are quoted, times are ISO 8601."""
    import pyarrow as pa
    import pyarrow.csv as csv
    import pyarrow.parquet as pq

    images = [column.name for column in dataset.info.columns if column.type == "binary"]
    if images:
        raise HeadraceError(f"--format csv: expected columns that text can hold. Received: images in `{images[0]}`")
    schema = pq.read_schema(dataset.file(split)).remove_metadata()
    with pa.OSFile(str(file), "wb") as stream, csv.CSVWriter(stream, schema) as writer:
        for batch in dataset.batches(split):
            writer.write_batch(batch.replace_schema_metadata(None))


@contextmanager
def _appearing(folder: Path) -> Iterator[Path]:
    """Yields a folder beside the wanted one, which takes its place when the block ends well."""
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise HeadraceError(f"{folder}: expected a place that is still free. Received: a filled folder, or a file")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise HeadraceError(f"{folder}: expected a place that can be written. Received: {error.strerror}") from None
    try:
        partial.chmod(0o755)
        yield partial
        partial.replace(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
