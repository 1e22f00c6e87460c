"""The KFP interface of ingestion."""

from kfp import dsl
from kfp.dsl import Dataset, Output

from headrace.components import images


@dsl.component(base_image=images.MAIN, install_kfp_package=False)
def ingest(source: str, source_digest: str, task: str, data: dict, dataset: Output[Dataset]) -> None:
    """Reads a CSV or Parquet source into an immutable snapshot with train, eval and test splits.

    Args:
        source: File or glob to read.
        source_digest: Digest of the source's content, which makes the cache follow the content. A source that
            changed since fails the step.
        task: classification or regression.
        data: The `data` section of the spec (`headrace.components.ingest.spec.DataSpec`).
        dataset: The snapshot.
    """
    from pathlib import Path

    from headrace.components.ingest.ingest import ingest
    from headrace.components.ingest.spec import DataSpec

    found = ingest(source, source_digest, task, DataSpec(**data), Path(dataset.path))
    dataset.metadata.update({f"{split}_rows": rows for split, rows in found.rows.items()})
    if found.notes:
        dataset.metadata["notes"] = found.notes
