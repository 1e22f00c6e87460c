"""The KFP interface of the transform."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Output

from headrace.components import images


@dsl.component(base_image=images.MAIN, install_kfp_package=False)
def transform(dataset: Input[Dataset], features: dict, transform: Output[Artifact]) -> None:
    """Fits the features' encodings on the train split.

    Args:
        dataset: The snapshot.
        features: The `features` section of the spec (`headrace.components.transform.spec.FeaturesSpec`).
        transform: The fitted encodings, and their graph.
    """
    from pathlib import Path

    from headrace.components.transform.fit import fit
    from headrace.components.transform.spec import FeaturesSpec

    fitted = fit(Path(dataset.path), FeaturesSpec(**features), Path(transform.path))
    transform.metadata["features"] = len(fitted.features)
    if notes := [f"`{name}` is no feature: {reason}" for name, reason in fitted.surprises.items()]:
        transform.metadata["notes"] = notes
