"""The KFP interface of ingestion."""

from kfp import dsl
from kfp.dsl import Dataset, Output

from headrace.components import images


@dsl.component(base_image=images.MAIN, install_kfp_package=False)
def ingest(
    source: str,
    source_digest: str,
    task: str,
    data: dict,
    dataset: Output[Dataset],
    folder: str = "",
    previous: str = "",
    aggregate: dict = {},  # noqa: B006 (KFP reads a default, and never changes it)
) -> None:
    """Reads sources into an immutable snapshot with train, eval and test splits.

    Args:
        source: A path, a glob or a URL, or a list of them as JSON.
        source_digest: Digest of the source's content, which makes the cache follow the content. A source that
            changed since fails the step.
        task: classification or regression.
        data: The `data` section of the spec (`headrace.components.ingest.spec.DataSpec`).
        dataset: The snapshot.
        folder: What relative paths of joined sources and child tables lie in.
        previous: Where the snapshot lies that `data.watermark` adds to; empty for the first.
        aggregate: The section `features.aggregate` of the spec: columns made of the past rows of child tables, by
            name (`headrace.components.ingest.aggregate_spec.Aggregate`).
    """
    from pathlib import Path

    from headrace.components.fingerprint.url import children_in_folder, in_folder, sources_of
    from headrace.components.ingest.aggregate_spec import Aggregate
    from headrace.components.ingest.ingest import ingest
    from headrace.components.ingest.spec import DataSpec

    found = ingest(
        sources_of(source),
        source_digest,
        task,
        DataSpec(**in_folder(data, folder)),
        Path(dataset.path),
        Path(previous) if previous else None,
        {name: Aggregate(**section) for name, section in children_in_folder(aggregate, folder).items()},
    )
    dataset.metadata.update({f"{split}_rows": rows for split, rows in found.rows.items()})
    if found.notes:
        dataset.metadata["notes"] = found.notes
