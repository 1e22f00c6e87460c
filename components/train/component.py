"""The KFP interface of training."""

from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Input, Metrics, Model, Output

from headrace.components import images


@dsl.component(base_image=images.MAIN, install_kfp_package=False)
def train(
    dataset: Input[Dataset],
    statistics: Input[Artifact],
    schema: Input[Artifact],
    model_name: str,
    train: dict,
    model: Output[Model],
    metrics: Output[Metrics],
    report: Output[HTML],
    card: Output[HTML],
    transform: Input[Artifact] = None,  # KFP's way to say that it may be left out
    tuning: Input[Artifact] = None,
    value: dict = {},  # noqa: B006
) -> None:
    """Trains a model, exports it as one graph from raw features, and proves that graph equal to what was trained.

    Args:
        dataset: The snapshot; its test split is not read.
        statistics: Its statistics; they go into the bundle, for later data to be held against.
        transform: The fitted encodings; pictures have none.
        schema: The schema that the data was validated against.
        model_name: The model's name.
        train: The `train` section of the spec (`headrace.components.train.spec.TrainSpec`).
        model: The bundle.
        tuning: What tuning tried; the parameters that it chose overrule the section's own.
        value: The section `evaluate.value` of the spec, where the threshold of most value is asked for.
        metrics: Rounds or epochs, the training metric on the eval split, and what a constant reaches.
        report: How the training went.
        card: The model card.
    """
    from pathlib import Path

    from headrace.components.train.spec import TrainSpec
    from headrace.components.train.train import train_model

    logged = train_model(
        Path(dataset.path),
        None if transform is None else Path(transform.path),
        Path(schema.path),
        model_name,
        TrainSpec(**train),
        Path(model.path),
        Path(report.path),
        Path(card.path),
        Path(statistics.path),
        None if tuning is None else Path(tuning.path),
        value,
    )
    for name, figure in logged.items():
        metrics.log_metric(name, figure)
