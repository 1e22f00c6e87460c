"""Vertex AI's endpoints, and what is deployed to them.

https://cloud.google.com/vertex-ai/docs/reference/rest/v1/projects.locations.endpoints
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from headrace.emulator import filters, masks
from headrace.emulator.documents import Document, now, stamped
from headrace.emulator.operations import KIND as OPERATION
from headrace.emulator.paging import ordered, page
from headrace.emulator.refusals import Refusal
from headrace.emulator.routing import Call, Route
from headrace.emulator.vertex import containers, deployments, versions
from headrace.emulator.vertex.deployments import ENDPOINT
from headrace.emulator.vertex.names import (
    LOCATION,
    check_endpoint_id,
    check_labels,
    invalid,
    location,
    new_id,
    required,
)

if TYPE_CHECKING:
    from headrace.emulator.state import Emulator

_ANSWER_AFTER_S = 20.0  # a deployment that takes longer is asked after
_LOOK_S = 0.02
_SENT = ("displayName", "description", "labels", "encryptionSpec")
_CHANGED = ("displayName", "description", "labels", "trafficSplit")
_RESOURCES = ("dedicatedResources", "automaticResources", "sharedResources")
_MUTABLE = ("dedicatedResources", "automaticResources", "disableContainerLogging", "enableAccessLogging")
_NOT_HERE = {
    "dedicatedEndpointEnabled": "a dedicated endpoint is asked at a name of its own, by https",
    "network": "an endpoint in a network is asked at an address of its own",
    "privateServiceConnectConfig": "an endpoint in a network is asked at an address of its own",
    "predictRequestResponseLoggingConfig": "requests are logged to BigQuery",
}


def begin(emulator: Emulator) -> None:
    """Serves what was deployed."""
    deployments.begin(emulator)


def _name(call: Call) -> str:
    return f"{location(call)}/endpoints/{call.params['endpoint']}"


def _create(emulator: Emulator, call: Call) -> Document:
    sent = call.json
    required(sent, "displayName", "endpoint")
    check_labels(sent)
    for field, why in _NOT_HERE.items():
        given = sent.get(field)
        if given and (not isinstance(given, dict) or given.get("enabled", True)):
            raise Refusal("UNIMPLEMENTED", f"Endpoint.create with {field}: {why}, which the emulator has not")
    id = check_endpoint_id(call.one("endpointId")) if call.one("endpointId") else new_id()
    name = f"{location(call)}/endpoints/{id}"
    kept = {field: value for field, value in sent.items() if field in _SENT}
    endpoint = stamped({"name": name, **kept, "deployedModels": [], "trafficSplit": {}})
    with emulator.documents.transaction():
        emulator.documents.create(ENDPOINT, name, endpoint, location(call))
        return emulator.operations.done(
            name, "Endpoint", endpoint, metadata="CreateEndpointOperationMetadata", version=call.version
        )


def _get(emulator: Emulator, call: Call) -> Document:
    return emulator.documents.get(ENDPOINT, _name(call))


def _list(emulator: Emulator, call: Call) -> Document:
    fitting = filters.predicate(call.one("filter"), {"endpoint": lambda one: one["name"].rpartition("/")[2]})
    found = [one for one in emulator.documents.list(ENDPOINT, location(call)) if fitting(one)]
    some, following = page(ordered(found, call.one("orderBy")), call.one("pageSize"), call.one("pageToken"))
    mask = ",".join(call.query.get("readMask", []))
    told = [masks.read(one, mask) for one in some]
    return {"endpoints": told, **({"nextPageToken": following} if following else {})}


def _update(emulator: Emulator, call: Call) -> Document:
    wanted, mask = call.json, call.one("updateMask")
    check_labels(wanted)

    def changed(found: Document) -> Document:
        # Without a mask: what may be changed of all that was sent.
        after = masks.update(found, wanted, mask or ",".join(set(wanted) & set(_CHANGED)), _CHANGED)
        known = [one["id"] for one in found["deployedModels"]]
        return stamped({**after, "trafficSplit": deployments.check_split(after.get("trafficSplit"), known)}, found)

    return emulator.documents.change(ENDPOINT, _name(call), changed, wanted.get("etag"))


def _delete(emulator: Emulator, call: Call) -> Document:
    name = _name(call)
    with emulator.documents.transaction():
        emulator.documents.get(ENDPOINT, name)
        if there := deployments.all_of(emulator, name):
            ids = ", ".join(one["id"] for one in there)
            raise Refusal(
                "FAILED_PRECONDITION", f'Endpoint "{name}" has deployed or being deployed DeployedModel(s): {ids}.'
            )
        emulator.documents.delete(ENDPOINT, name)
        return emulator.operations.done(
            name, "google.protobuf.Empty", {}, metadata="DeleteOperationMetadata", version=call.version
        )


def _deploy(emulator: Emulator, call: Call) -> Document:
    name, body = _name(call), call.json
    sent = body.get("deployedModel")
    if not isinstance(sent, dict):
        raise invalid(f"deployed_model: expected a DeployedModel. Received: {sent!r:.200}")
    id = str(sent.get("id") or new_id())
    with emulator.documents.transaction():
        endpoint = emulator.documents.get(ENDPOINT, name)
        version = _deployable(emulator, call, sent)
        pending = deployments.all_of(emulator, name)
        if id == "0" or not id.isdigit() or emulator.documents.find(deployments.KIND, id):
            raise invalid(f"deployed_model.id: expected a new number above 0. Received: {id}")
        known = [one["id"] for one in endpoint["deployedModels"]]
        split = deployments.check_split(body.get("trafficSplit"), [*known, "0"])
        if body.get("trafficSplit") and "0" not in body["trafficSplit"]:
            raise invalid('traffic_split: expected the key "0", which stands for the model that is deployed')
        if split and not known and not pending and split.get("0") != 100:
            raise invalid(f"traffic_split: the first model has to have 100 percent. Received: {split.get('0')}")
        operation = emulator.operations.running(name, metadata="DeployModelOperationMetadata", version=call.version)
        deployment = {
            "id": id,
            "endpoint": name,
            "model": versions.full_name(version),
            "deployed": _deployed(sent, id, version),
            "split": split,
            "operation": operation["name"],
            "state": deployments.STARTING,
        }
        deployments.write_down(emulator, deployment)
    deployments.start(emulator, deployment)
    return _answered(emulator, operation["name"])


def _deployable(emulator: Emulator, call: Call, sent: Document) -> Document:
    """The version that is to be deployed."""
    model, reference = versions.split(str(sent.get("model", "")))
    if not model.startswith(f"{location(call)}/models/"):
        raise invalid(f"deployed_model.model: expected a model of {location(call)}. Received: {sent.get('model')!r}")
    version = versions.find(emulator, model, reference)
    if not version.get("containerSpec"):
        raise Refusal(
            "FAILED_PRECONDITION", f"Model {model} has no container, and cannot be deployed: it is a placeholder."
        )
    given = [name for name in _RESOURCES if sent.get(name) is not None]
    if given == ["sharedResources"]:
        raise Refusal("UNIMPLEMENTED", "DeploymentResourcePool: the emulator has no shared resources")
    if given != ["dedicatedResources"]:
        told = ", ".join(given) or "none"
        raise invalid(f"deployed_model: expected dedicated_resources, which the model supports. Received: {told}")
    containers.require_servable(emulator, version, "Endpoint.deploy")
    replicas = sent["dedicatedResources"]
    least, most = int(replicas.get("minReplicaCount") or 0), int(replicas.get("maxReplicaCount") or 0)
    if most and most < least:
        raise invalid(f"max_replica_count: expected {least} or more. Received: {most}")
    return version


def _deployed(sent: Document, id: str, version: Document) -> Document:
    display = sent.get("displayName") or version["displayName"]
    return {
        **sent,
        "id": id,
        "model": versions.full_name(version),
        "modelVersionId": version["versionId"],
        "displayName": display,
        "createTime": now(),
    }


def _answered(emulator: Emulator, operation: str) -> Document:
    """An operation when it is done, or as it stands after a while: clients ask again only after a second."""
    give_up = time.monotonic() + _ANSWER_AFTER_S
    while not (found := emulator.documents.get(OPERATION, operation)).get("done") and time.monotonic() < give_up:
        time.sleep(_LOOK_S)
    return found


def _undeploy(emulator: Emulator, call: Call) -> Document:
    name, body = _name(call), call.json
    id = str(body.get("deployedModelId") or "")

    def changed(endpoint: Document) -> Document:
        left = [one for one in endpoint["deployedModels"] if one["id"] != id]
        if len(left) == len(endpoint["deployedModels"]):
            raise Refusal("NOT_FOUND", f"DeployedModel {id or '(none given)'} is not deployed to {name}.")
        wanted = {key: share for key, share in dict(body.get("trafficSplit") or {}).items() if (key, share) != (id, 0)}
        split = wanted or endpoint["trafficSplit"]
        if not left:
            split = {}
        elif split.get(id):
            raise Refusal(
                "FAILED_PRECONDITION",
                f"DeployedModel {id} has {split[id]} percent of the traffic: give it to others in traffic_split.",
            )
        split = {key: share for key, share in split.items() if key != id}
        known = [one["id"] for one in left]
        return stamped(
            {**endpoint, "deployedModels": left, "trafficSplit": deployments.check_split(split, known)}, endpoint
        )

    with emulator.documents.transaction():
        emulator.documents.change(ENDPOINT, name, changed)
        deployments.end(emulator, id)
        done = emulator.operations.done(
            name, "UndeployModelResponse", {}, metadata="UndeployModelOperationMetadata", version=call.version
        )
    emulator.serving.end(id)
    return done


def _mutate(emulator: Emulator, call: Call) -> Document:
    name, body = _name(call), call.json
    sent = body.get("deployedModel") or {}
    mutated: list[Document] = []

    def changed(endpoint: Document) -> Document:
        there = list(endpoint["deployedModels"])
        place = next((place for place, one in enumerate(there) if one["id"] == str(sent.get("id"))), None)
        if place is None:
            raise Refusal("NOT_FOUND", f"DeployedModel {sent.get('id')} is not deployed to {name}.")
        mask = str(body.get("updateMask") or call.one("updateMask"))
        there[place] = masks.update(there[place], sent, mask or ",".join(set(sent) & set(_MUTABLE)), _MUTABLE)
        mutated.append(there[place])
        return stamped({**endpoint, "deployedModels": there}, endpoint)

    with emulator.documents.transaction():
        emulator.documents.change(ENDPOINT, name, changed)
        return emulator.operations.done(
            name,
            "MutateDeployedModelResponse",
            {"deployedModel": mutated[0]},
            metadata="MutateDeployedModelOperationMetadata",
            version=call.version,
        )


_ENDPOINT = f"{LOCATION}/endpoints/{{endpoint}}"
ROUTES = (
    Route("POST", f"{LOCATION}/endpoints", _create, "Endpoint.create"),
    Route("GET", f"{LOCATION}/endpoints", _list, "Endpoint.list"),
    Route("GET", _ENDPOINT, _get, "Endpoint, Endpoint.list_models, Endpoint.traffic_split"),
    Route("PATCH", _ENDPOINT, _update, "Endpoint.update"),
    Route("DELETE", _ENDPOINT, _delete, "Endpoint.delete"),
    Route("POST", f"{_ENDPOINT}:deployModel", _deploy, "Endpoint.deploy, Model.deploy"),
    Route("POST", f"{_ENDPOINT}:undeployModel", _undeploy, "Endpoint.undeploy, Endpoint.undeploy_all"),
    Route("POST", f"{_ENDPOINT}:mutateDeployedModel", _mutate, "EndpointServiceClient.mutate_deployed_model"),
)
