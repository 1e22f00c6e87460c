"""The KFP interface of pushing."""

from typing import NamedTuple

from kfp import dsl
from kfp.dsl import Artifact, Input

from headrace.components import images


@dsl.component(base_image=images.MAIN, install_kfp_package=False)
def push(
    model_name: str,
    version: str,
    decision: Input[Artifact],
    infra: Input[Artifact],
    platform: str,
    endpoint: str,
    deploy: dict,
    run: str = "",
) -> NamedTuple("Outputs", [("state", str)]):  # type: ignore[valid-type]
    """Puts a registered version behind an endpoint and makes it the champion, unless it waits for approval.

    With `strategy: canary` it gets the first share of the traffic, and `headrace rollout` goes on.

    Args:
        model_name: The model's name in the registry.
        version: The version to push.
        decision: The gate's decision on this version's bundle (`headrace/decision`).
        infra: The real server's answers with this version's bundle (`headrace/infra`).
        platform: Where registry and endpoints are: `local`.
        endpoint: The endpoint, unless `deploy` names one.
        deploy: The `deploy` section of the spec (`headrace.components.push.spec.DeploySpec`).
        run: The pipeline run, for the audit log.

    Returns:
        state: `live`; `canary`: it has its first share; `waits for approval` or `waits for another rollout`: then
            nothing was changed.
    """
    from pathlib import Path

    from headrace.components.push.push import Evidence, push
    from headrace.components.push.target import target
    from headrace.platforms.open import open_platform

    evidence = Evidence(decision=Path(decision.path), infra=Path(infra.path))
    where = target(deploy, endpoint)
    subject = open_platform(platform), model_name, version, evidence, where.endpoint
    return (push(*subject, run=run, approvals=where.approvals, canary=where.canary).state,)
