"""The KFP interface of tuning: a search, and the choice among searches that ran beside each other."""

from typing import List, NamedTuple  # noqa: UP035 (KFP reads a list of artifacts by this name)

from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Input, Metrics, Output

from headrace.components import images


@dsl.component(base_image=images.MAIN, install_kfp_package=False)
def tune(
    dataset: Input[Dataset],
    transform: Input[Artifact],
    train: dict,
    tuning: Output[Artifact],
    metrics: Output[Metrics],
    report: Output[HTML],
    shard: int = 0,
) -> NamedTuple("Outputs", [("parameters", dict)]):  # type: ignore[valid-type]
    """Searches the parameters with which the model does best on eval, or on folds of train.

    Args:
        dataset: The snapshot; its test split is not read.
        transform: The fitted encodings.
        train: The `train` section of the spec with its `tune` (`headrace.components.train.spec.TrainSpec`).
        shard: Which of `train.tune.shards` searches beside each other this is.
        tuning: All that was tried.
        metrics: The best trial's metric, and that of the parameters as they stand.
        report: The same for people.

    Returns:
        parameters: Those that were found, for training; none where those that stand are best.
    """
    from pathlib import Path

    from headrace.components.train.spec import TrainSpec
    from headrace.components.tune.tune import tune_model

    found, logged = tune_model(
        Path(dataset.path), Path(transform.path), TrainSpec(**train), Path(tuning.path), Path(report.path), shard
    )
    for name, value in logged.items():
        metrics.log_metric(name, value)
    return (found.chosen,)


@dsl.component(base_image=images.MAIN, install_kfp_package=False)
def choose_tuned(
    tunings: Input[List[Artifact]],  # noqa: UP006
    tuning: Output[Artifact],
    metrics: Output[Metrics],
    report: Output[HTML],
) -> NamedTuple("Outputs", [("parameters", dict)]):  # type: ignore[valid-type]
    """Chooses the best of what several searches beside each other found.

    Args:
        tunings: What each search tried.
        tuning: All of it.
        metrics: The best trial's metric, and that of the parameters as they stand.
        report: The same for people.

    Returns:
        parameters: Those of the best trial of all, for training; none where those that stand are best.
    """
    from pathlib import Path

    from headrace.components.tune.tune import choose

    found, logged = choose([Path(one.path) for one in tunings], Path(tuning.path), Path(report.path))
    for name, value in logged.items():
        metrics.log_metric(name, value)
    return (found.chosen,)
