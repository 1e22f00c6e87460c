"""The KFP interface of statistics."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Output

from headrace.components import images


@dsl.component(base_image=images.TFX, install_kfp_package=False)
def statistics(
    dataset: Input[Dataset],
    statistics: Output[Artifact],
    describe: dict,
    beam_runner: str = "",
    beam_options: dict = {},  # noqa: B006 (KFP reads a default, and never changes it)
) -> None:
    """Describes each split of a snapshot with TensorFlow Data Validation.

    Args:
        dataset: The snapshot (`headrace/dataset`).
        statistics: TFMD's DatasetFeatureStatisticsList with a dataset per split, and per slice (`headrace/statistics`).
        describe: The `statistics` section of the spec (`headrace.components.statistics.spec.StatisticsSpec`).
        beam_runner: Apache Beam's runner, where it is not to be the section's; `none` is in process.
        beam_options: Beam's pipeline options, by their names; the section's own go before them.
    """
    from pathlib import Path

    from headrace.components.statistics.compute import compute_statistics
    from headrace.components.statistics.spec import StatisticsSpec, with_runner

    settings = with_runner(StatisticsSpec(**describe), beam_runner, beam_options)
    compute_statistics(Path(dataset.path), Path(statistics.path), settings, uri=dataset.uri)
