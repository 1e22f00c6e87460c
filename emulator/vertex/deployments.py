"""Models that are deployed: from the request until the server answers, and through restarts.

A document of the kind `Deployment` is written before anything is started. Once the server is ready, the endpoint gets
its deployed model in the transaction that ends the operation.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from headrace.artifacts.errors import HeadraceError
from headrace.emulator.documents import Document, stamped
from headrace.emulator.refusals import Refusal
from headrace.emulator.serving import Program
from headrace.emulator.vertex import containers

if TYPE_CHECKING:
    from headrace.emulator.state import Emulator

KIND, ENDPOINT = "Deployment", "Endpoint"
STARTING, SERVING = "STARTING", "SERVING"


def begin(emulator: Emulator) -> None:
    """Goes on with what was deployed, or was being deployed, when the emulator last ended."""
    emulator.serving.listen(lambda id, problem: _told(emulator, id, problem))
    emulator.serving.start()
    containers.sweep(emulator)
    for deployment in all_of(emulator):
        start(emulator, deployment)


def all_of(emulator: Emulator, endpoint: str | None = None) -> list[Document]:
    """All of them, or those of an endpoint."""
    return emulator.documents.list(KIND, endpoint)


def write_down(emulator: Emulator, deployment: Document) -> None:
    """A new one, within a transaction."""
    emulator.documents.create(KIND, deployment["id"], deployment, deployment["endpoint"])


def start(emulator: Emulator, deployment: Document) -> None:
    """Has its server run."""
    try:
        program = _program(emulator, deployment)
    except Exception as error:  # noqa: BLE001 (one model's trouble is not the others')
        if not isinstance(error, HeadraceError | Refusal | OSError):
            traceback.print_exc(file=sys.stderr)
        _told(emulator, deployment["id"], str(error))
        return
    emulator.serving.run(deployment["id"], program)


def end(emulator: Emulator, id: str) -> None:
    """Removes one, within a transaction; `emulator.serving.end` behind it ends its server."""
    emulator.documents.delete(KIND, id)


def require_none(emulator: Emulator, versions: Sequence[str]) -> None:
    """Nothing is deleted that is deployed.

    Args:
        emulator: whose.
        versions: the models' full names, with their versions.

    Raises:
        Refusal: FAILED_PRECONDITION.
    """
    if found := [one for one in all_of(emulator) if one["model"] in versions]:
        there = ", ".join(dict.fromkeys(one["endpoint"] for one in found))
        raise Refusal(
            "FAILED_PRECONDITION",
            f'The Model "{found[0]["model"]}" is deployed or being deployed at the following Endpoint(s): {there}.',
        )


def check_split(split: Any, known: Sequence[str]) -> dict[str, int]:
    """A traffic split: percent by the id of a deployed model, 100 in all, or none.

    Raises:
        Refusal: it is not.
    """
    try:
        found = {str(id): int(share) for id, share in dict(split or {}).items()}
    except (TypeError, ValueError):
        raise Refusal(
            "INVALID_ARGUMENT", f"traffic_split: expected percents by ids. Received: {split!r:.200}"
        ) from None
    if unknown := [id for id in found if id not in known]:
        raise Refusal(
            "INVALID_ARGUMENT",
            f"traffic_split: expected ids of deployed models ({', '.join(known) or 'none'}). "
            f"Received: {', '.join(unknown)}",
        )
    if any(not 0 <= share <= 100 for share in found.values()) or sum(found.values()) not in (0, 100):
        raise Refusal("INVALID_ARGUMENT", f"traffic_split: expected percentages that add up to 100. Received: {found}")
    return found if sum(found.values()) else {}


def _told(emulator: Emulator, id: str, problem: str) -> None:
    """A server got ready, or did not."""
    with emulator.documents.transaction():
        deployment = emulator.documents.find(KIND, id)
        if deployment is None or deployment["state"] == SERVING:
            return
        try:
            if problem:
                log = emulator.serving.folder / id
                raise Refusal("FAILED_PRECONDITION", f"{problem}\nModel server logs can be found at {log}")
            deployed = _place(emulator, deployment)
        except Refusal as refusal:
            end(emulator, id)
            emulator.operations.fail(deployment["operation"], refusal)
            gone = True
        else:
            emulator.documents.change(KIND, id, lambda found: {**found, "state": SERVING})
            emulator.operations.finish(deployment["operation"], "DeployModelResponse", {"deployedModel": deployed})
            gone = False
    if gone:
        emulator.serving.end(id)


def _place(emulator: Emulator, deployment: Document) -> Document:
    """Puts a deployed model behind its endpoint, with the traffic that was asked for."""
    id, deployed, wanted = deployment["id"], deployment["deployed"], deployment["split"]

    def changed(endpoint: Document) -> Document:
        there = [*endpoint.get("deployedModels", []), deployed]
        split = endpoint.get("trafficSplit", {})
        if wanted:
            split = check_split(
                {id if key == "0" else key: share for key, share in wanted.items()}, [one["id"] for one in there]
            )
        return stamped({**endpoint, "deployedModels": there, "trafficSplit": split}, endpoint)

    emulator.documents.change(ENDPOINT, deployment["endpoint"], changed)
    return dict(deployed)


def _program(emulator: Emulator, deployment: Document) -> Program:
    """What serves a deployed model; `containers.require_servable` has said that it can."""
    version = emulator.documents.get("ModelVersion", deployment["model"])
    return containers.program(
        emulator,
        version,
        emulator.serving.folder / deployment["id"],
        deployment["id"],
        _variables(deployment, version),
        patient=deployment["state"] == SERVING,
    )


def _variables(deployment: Document, version: Document) -> dict[str, str]:
    """Those of https://cloud.google.com/vertex-ai/docs/predictions/custom-container-requirements#aip-variables that
    a deployment has of its own.
    """
    container = version.get("containerSpec") or {}
    endpoint = deployment["endpoint"].rpartition("/")[2]
    machine = (deployment["deployed"].get("dedicatedResources") or {}).get("machineSpec") or {}
    given = {"AIP_MACHINE_TYPE": machine.get("machineType"), "AIP_ACCELERATOR_TYPE": machine.get("acceleratorType")}
    return {
        **{name: str(value) for name, value in given.items() if value},
        "AIP_ENDPOINT_ID": endpoint,
        "AIP_DEPLOYED_MODEL_ID": deployment["id"],
        "AIP_PREDICT_ROUTE": predict_route(deployment, version),
        "AIP_HEALTH_ROUTE": str(
            container.get("healthRoute") or f"/v1/endpoints/{endpoint}/deployedModels/{deployment['id']}"
        ),
    }


def predict_route(deployment: Document, version: Document) -> str:
    """The path at which a model's server answers predictions."""
    given = (version.get("containerSpec") or {}).get("predictRoute")
    endpoint = deployment["endpoint"].rpartition("/")[2]
    return str(given or f"/v1/endpoints/{endpoint}/deployedModels/{deployment['id']}:predict")
