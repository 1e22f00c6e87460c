"""What is behind an endpoint, as fields of KServe's InferenceService (serving.kserve.io/v1beta1).

KServe has two revisions at a time: the one that was rolled out last, and the one that was applied since, which gets
`canaryTrafficPercent`. Without that field the newer gets everything, and is rolled out then; with 0 the older does. It
deals each request by chance. It knows no shadows: they run inside the container (`--shadow`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.artifacts.errors import HeadraceError
from headrace.platforms.interface import Endpoint


def predictor(endpoint: Endpoint, uris: Mapping[str, str], before: str) -> dict[str, Any]:
    """The fields of `spec.predictor` that make an InferenceService serve what is behind an endpoint.

    Args:
        endpoint: what is wanted.
        uris: by version where its bundle lies (gs://..., s3://..., pvc://...).
        before: the version that KServe rolled out last.

    Returns:
        `canaryTrafficPercent` where two versions answer, and `model` with `storageUri` and, with shadows, `args`. They
        are merged into the predictor; where there is no `canaryTrafficPercent` in them, the field has to go.

    Raises:
        HeadraceError: KServe cannot do that: more than two versions, a key, or another version to go back to.
    """
    where = f"endpoint {endpoint.name}"
    newer, fields = endpoint.base.version, dict[str, Any]()
    if endpoint.split:
        answering = ", ".join(one.version for one in endpoint.deployed if not one.shadow)
        if len(endpoint.candidates) != 1:
            raise HeadraceError(f"{where}: expected two versions, as KServe has revisions. Received: {answering}")
        if endpoint.split.key:
            raise HeadraceError(
                f"{where}: expected a split without a key, as KServe deals each request by chance. "
                f"Received: {endpoint.split.key}"
            )
        if endpoint.base.version != before:
            raise HeadraceError(
                f"{where}: expected version {endpoint.base.version} to be rolled out, of which the canary takes. "
                f"Received: {before}; apply it without a canary first"
            )
        newer = endpoint.candidates[0].version
        fields["canaryTrafficPercent"] = endpoint.candidates[0].traffic
    missing = [version for version in (newer, *(one.version for one in endpoint.shadows)) if version not in uris]
    if missing:
        raise HeadraceError(
            f"{where}: expected the places of the bundles of the versions {', '.join(missing)}. "
            f"Received: those of {', '.join(uris) or 'none'}"
        )
    arguments = [word for one in endpoint.shadows for word in ("--shadow", uris[one.version])]
    return {**fields, "model": {"storageUri": uris[newer], **({"args": arguments} if arguments else {})}}


def rollback() -> dict[str, Any]:
    """The fields of `spec.predictor` that give everything to the older revision at once, which still runs."""
    return {"canaryTrafficPercent": 0}
