"""The KFP interface of registration."""

from typing import NamedTuple

from kfp import dsl
from kfp.dsl import Artifact, Input, Model

from headrace.components import images


@dsl.component(base_image=images.MAIN, install_kfp_package=False)
def register(
    model: Input[Model],
    evaluation: Input[Artifact],
    decision: Input[Artifact],
    platform: str,
    model_name: str,
    run: str,
    card: Input[Artifact] = None,  # KFP's way to say that it may be left out
    deploy: dict = {},  # noqa: B006 (KFP copies defaults into the pipeline)
    endpoint: str = "",
) -> NamedTuple("Outputs", [("version", str)]):  # type: ignore[valid-type]
    """Registers a model that passed its gates, and refuses any other.

    Args:
        model: The bundle (`headrace/bundle`).
        evaluation: The bundle's evaluation (`headrace/evaluation`), whose metrics are kept with the version.
        decision: The gate's decision on this very bundle (`headrace/decision`).
        platform: Where the registry is: `local`.
        model_name: The model's name in the registry.
        run: The pipeline run, for the audit log.
        card: The model card (`headrace/card`), which is kept beside the version.
        deploy: The `deploy` section of the spec, whose approvals the registry asks for from now on.
        endpoint: Where the model is to be served, unless `deploy` names an endpoint.

    Returns:
        version: The version's number; the same content under the same name keeps its version.
    """
    from pathlib import Path

    from headrace.components.push.target import target
    from headrace.components.register.register import register
    from headrace.platforms.open import open_platform

    evidence = {"evaluation": Path(evaluation.path), "decision": Path(decision.path)}
    told, settings = None if card is None else Path(card.path), target(deploy, endpoint).settings
    registered = register(
        open_platform(platform), model_name, Path(model.path), **evidence, run=run, card=told, settings=settings
    )
    return (registered.version,)
