"""The KFP interface of infra validation."""

from kfp import dsl
from kfp.dsl import Artifact, Input, Model, Output

from headrace.components import images


@dsl.component(base_image=images.MAIN, install_kfp_package=False)
def infra_validate(model: Input[Model], infra: Output[Artifact]) -> None:
    """Starts the real server on a bundle and compares its answers with the trained model's.

    Args:
        model: The bundle (`headrace/bundle`).
        infra: What was tried, how it went, and latencies (`headrace/infra`). A failed check is written
            there and does not fail the step: the gate takes this as evidence.
    """
    from pathlib import Path

    from headrace.components.infra_validate.validate import infra_validate

    infra_validate(Path(model.path), Path(infra.path))
