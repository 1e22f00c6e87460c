"""The KFP interface of batch prediction."""

from typing import NamedTuple

from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Input, Model, Output

from headrace.components import images


@dsl.component(base_image=images.MAIN, install_kfp_package=False)
def batch_predict(
    model: Input[Model],
    source: str,
    source_digest: str,
    predictions: Output[Dataset],
    rejects: Output[Dataset],
    report: Output[HTML],
    version: str = "",
    format: str = "parquet",
    key: str = "",
    keep: list = [],  # noqa: B006 (KFP reads a default, and never changes it)
    max_rejects: int = 0,
    reading: dict = {},  # noqa: B006
    beam_runner: str = "",
    beam_options: dict = {},  # noqa: B006
) -> NamedTuple("Outputs", [("rows", int), ("rejected", int)]):  # type: ignore[valid-type]
    """Answers every row of a source: each has exactly one row in the output, in order, or one among the rejects.

    Columns and their types are compared with the model's inputs before the first row is read.

    Args:
        model: The bundle (`headrace/bundle`).
        source: A path, a glob or a URL, or a list of them as JSON.
        source_digest: Digest of the source's content, which makes the cache follow the content.
        predictions: A folder of files with the answers, and what names the rows and the model.
        rejects: The rows without an answer, with the reason: a Parquet file, which has no rows where there are none.
        report: What was read, answered and not, and what training did not know.
        version: The model's version in the registry, which the output repeats.
        format: Of the files: parquet, csv or jsonl.
        key: The column that names each row in the output, instead of its number; unique.
        keep: Further columns of the source that the output has.
        max_rejects: Rows without an answer before the step fails.
        reading: How the source is read, where not as the model's own data, by the names of
            `headrace.components.batch_predict.job.Reading`: format, query, null_values, separator, decimal.
        beam_runner: Apache Beam's runner; empty and `none` are in process.
        beam_options: Beam's pipeline options, by their names.

    Returns:
        rows: How many rows have an answer.
        rejected: How many have none.
    """
    from pathlib import Path

    from headrace.components.batch_predict.step import run

    found = run(
        Path(model.path),
        source,
        Path(predictions.path),
        Path(rejects.path),
        Path(report.path),
        version=version,
        options={"format": format, "key": key or None, "keep": tuple(keep), "max_rejects": max_rejects},
        reading=reading,
        beam_runner=beam_runner,
        beam_options=beam_options,
    )
    predictions.metadata.update({"rows": found.rows, "model": found.model, "source_digest": source_digest})
    rejects.metadata["rows"] = found.rejected
    return found.rows, found.rejected


@dsl.component(base_image=images.MAIN, install_kfp_package=False)
def fetch_model(  # KFP reads the annotations
    platform: str,
    model: str,
    bundle: Output[Model],
) -> NamedTuple("Outputs", [("version", str), ("digest", str)]):  # type: ignore[valid-type]
    """Fetches the bundle that a name means now. Never cache it: a name means another version tomorrow.

    Args:
        platform: Where the registry is: `local`.
        model: An endpoint's name, or a model's, with a version or an alias (`churn:2`) or without for its champion.
        bundle: The bundle (`headrace/bundle`).

    Returns:
        version: The version that the registry knows it by.
        digest: The bundle's.
    """
    from pathlib import Path

    from headrace.components.batch_predict.step import fetch

    found = fetch(platform, model, Path(bundle.path))
    bundle.metadata.update({"name": found.name, "version": found.version, "digest": found.digest})
    return found.version, found.digest


@dsl.component(base_image=images.MAIN, install_kfp_package=False)
def check_rows(
    model: Input[Model],
    source: str,
    columns: Output[Artifact],
    key: str = "",
    keep: list = [],  # noqa: B006 (KFP reads a default, and never changes it)
    reading: dict = {},  # noqa: B006
) -> NamedTuple("Outputs", [("digest", str)]):  # type: ignore[valid-type]
    """Compares a source's columns and their types with the model's inputs, and fails with all that does not fit.

    Never cache it: it tells what the source's content is now.

    Args:
        model: The bundle (`headrace/bundle`).
        source: A path, a glob or a URL, or a list of them as JSON.
        columns: The columns that were found, with their types (JSON).
        key: As for `batch_predict`.
        keep: As for `batch_predict`.
        reading: As for `batch_predict`.

    Returns:
        digest: `sha256:<hex>` over everything that will be read.
    """
    from pathlib import Path

    from headrace.components.batch_predict.step import check

    return (check(Path(model.path), source, reading, key, keep, Path(columns.path)),)
