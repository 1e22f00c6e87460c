"""Models that are deployed: from the request until the server answers, and through restarts.

A document of the kind `Deployment` is written before anything is started. Once the server is ready, the endpoint gets
its deployed model in the transaction that ends the operation.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.artifacts.errors import HeadraceError
from headrace.emulator.documents import Document, stamped
from headrace.emulator.refusals import Refusal
from headrace.emulator.serving import Program, server_argv
from headrace.emulator.vertex import model_files

if TYPE_CHECKING:
    from headrace.emulator.state import Emulator

KIND, ENDPOINT = "Deployment", "Endpoint"
STARTING, SERVING = "STARTING", "SERVING"


def begin(emulator: Emulator) -> None:
    """Goes on with what was deployed, or was being deployed, when the emulator last ended."""
    emulator.serving.listen(lambda id, problem: _told(emulator, id, problem))
    emulator.serving.start()
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
    except (HeadraceError, Refusal) as error:
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


def require_bundle(emulator: Emulator, version: Document, call: str) -> Path:
    """The files of a version that our server can serve: others' containers are not started.

    Raises:
        Refusal: UNIMPLEMENTED.
    """
    files = model_files.of(emulator, f"{version['name']}@{version['versionId']}")
    if files is None or not model_files.is_bundle(files):
        place = version.get("artifactUri") or "a model without an artifact_uri"
        raise Refusal(
            "UNIMPLEMENTED",
            f"{call}: the emulator starts no containers. Expected a bundle of Headrace at artifact_uri, since the "
            f"upload, which its own server serves. Received: {place}",
        )
    return files


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
    """Our server, as what serves a deployed model; `require_bundle` has said that it can."""
    version = emulator.documents.get("ModelVersion", deployment["model"])
    container = version.get("containerSpec") or {}
    files = model_files.of(emulator, deployment["model"])
    folder = emulator.serving.folder / deployment["id"]
    environment = _environment(emulator, deployment, version)
    common: dict[str, Any] = {"folder": folder, "patient": deployment["state"] == SERVING}
    if limit := str(container.get("deploymentTimeout", "")).removesuffix("s"):
        common["startup_s"] = float(limit)
    if files is None:
        raise HeadraceError(f"{deployment['model']}: expected its files. Received: none here")
    arguments = [_here(emulator, one) for one in container.get("args", [])]
    return Program(server_argv(files, arguments), environment=environment, **common)


def _environment(emulator: Emulator, deployment: Document, version: Document) -> dict[str, str]:
    """https://cloud.google.com/vertex-ai/docs/predictions/custom-container-requirements#aip-variables"""
    container = version.get("containerSpec") or {}
    _, project, _, _, _, endpoint = deployment["endpoint"].split("/")
    own = {str(one["name"]): str(one.get("value", "")) for one in container.get("env", [])}
    routes = {"AIP_PREDICT_ROUTE": container.get("predictRoute"), "AIP_HEALTH_ROUTE": container.get("healthRoute")}
    default = f"/v1/endpoints/{endpoint}/deployedModels/{deployment['id']}"
    return {
        **own,
        "AIP_PROJECT_NUMBER": project,
        "AIP_ENDPOINT_ID": endpoint,
        "AIP_DEPLOYED_MODEL_ID": deployment["id"],
        "AIP_MODE": "PREDICTION",
        "AIP_STORAGE_URI": str(version.get("artifactUri", "")),
        "STORAGE_EMULATOR_HOST": emulator.address,
        **{
            name: str(route or f"{default}:predict" if "PREDICT" in name else route or default)
            for name, route in routes.items()
        },
    }


def predict_route(deployment: Document, version: Document) -> str:
    """The path at which a model's server answers predictions."""
    given = (version.get("containerSpec") or {}).get("predictRoute")
    endpoint = deployment["endpoint"].rpartition("/")[2]
    return str(given or f"/v1/endpoints/{endpoint}/deployedModels/{deployment['id']}:predict")


def _here(emulator: Emulator, argument: str) -> str:
    """An argument that is an address in the emulator's buckets, as our server finds it on this machine."""
    return str(model_files.bucket_folder(emulator, argument)) if argument.startswith("gs://") else argument
