"""The KFP interface of statistics."""

from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Input, Output

from headrace.components import images


@dsl.component(base_image=images.TFX, install_kfp_package=False)
def statistics(dataset: Input[Dataset], statistics: Output[Artifact], report: Output[HTML]) -> None:
    """Describes each split of a snapshot with TensorFlow Data Validation.

    Args:
        dataset: The snapshot (`headrace/dataset`).
        statistics: TFMD's DatasetFeatureStatisticsList with a dataset per split (`headrace/statistics`).
        report: A page that shows each column, split against split.
    """
    from pathlib import Path

    from headrace.components.statistics.compute import compute_statistics

    compute_statistics(Path(dataset.path), Path(statistics.path), Path(report.path))
