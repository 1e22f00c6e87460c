"""Vertex AI's endpoints: what a registry's log says is behind a name, deployed and split there.

The log decides, and Vertex AI follows it (`apply`): versions that are missing are deployed, then the traffic is dealt
in one request, and only then is what is not wanted any more taken away. So there is no moment without an answer, and
`apply` can be called again after whatever went wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headrace.artifacts.errors import HeadraceError
from headrace.platforms.interface import Endpoint
from headrace.platforms.vertex.connecting import connected
from headrace.platforms.vertex.settings import Serving, accelerator_type
from headrace.platforms.vertex.store import VertexPlace, label, model_id
from headrace.platforms.vertex.traffic import container_arguments, traffic_split

LABEL = "headrace-endpoint"
_SHADOWED = "-shadowed"
Kept = Callable[[str, str], str]  # a model's name and a version: where its bundle lies
Watch = Callable[[Sequence[str]], object]


class ServingError(HeadraceError):
    """Vertex AI refused to serve, or what is asked for cannot be there."""


@dataclass(frozen=True)
class Answering:
    """A version behind an endpoint in Vertex AI.

    Attributes:
        version: the registry's number.
        id: Vertex's of the deployed model.
        traffic: percent.
        machine: that it runs on.
        replicas: the least and the most.
        spot: whether its machines may be taken away.
        name: Vertex's of the deployed model: the model, the version, and a mark of the shadows in its container.
    """

    version: str
    id: str
    traffic: int
    machine: str = ""
    replicas: tuple[int, int] = (0, 0)
    spot: bool = False
    name: str = ""


@dataclass(frozen=True)
class Status:
    """What Vertex AI says of an endpoint.

    Attributes:
        name: ours.
        resource: Vertex's, `projects/P/locations/L/endpoints/N`.
        answering: the versions, the largest share first.
    """

    name: str
    resource: str
    answering: tuple[Answering, ...]

    @property
    def shares(self) -> dict[str, int]:
        """Percent by the deployed models' names, of those that have any."""
        found: dict[str, int] = {}
        for one in self.answering:
            if one.traffic:
                found[one.name] = found.get(one.name, 0) + one.traffic
        return found


@dataclass(frozen=True)
class Predicted:
    """An answer.

    Attributes:
        predictions: one for each instance.
        version: of the model that gave it, where Vertex AI says so.
    """

    predictions: list[Any]
    version: str


class VertexServing:
    """Endpoints of one project, for the models of its Model Registry."""

    def __init__(self, place: VertexPlace, serving: Serving | None = None) -> None:
        self._place = place
        self._serving = serving or Serving()

    def apply(
        self, wanted: Endpoint, uri_of: Kept | None = None, *, encryption_key: str = "", watch: Watch | None = None
    ) -> Status:
        """Makes an endpoint in Vertex AI what the registry says; returns what it is then.

        Args:
            wanted: what is to be behind it. Its versions are registered in Vertex AI's Model Registry.
            uri_of: where a version's bundle lies; needed for shadows, which live in others' containers.
            encryption_key: of Cloud KMS, for a new endpoint.
            watch: told of the deployed models that answer now, before those go that answered until now: monitoring
                looks at deployed models, and not at whatever the endpoint has.

        Raises:
            ServingError: a version is not registered, Vertex AI refuses, or the split is by a key.
        """
        model = wanted.base.model
        versions = [one.version for one in wanted.deployed if not one.shadow]
        traffic_split(wanted, {version: version for version in versions})  # what cannot be is refused before all else
        arguments = _arguments(wanted, uri_of)
        names = {version: _display(model, version, _mark(arguments)) for version in versions}
        with self._connected() as aiplatform:
            endpoint = self._find(aiplatform, wanted.name) or self._create(aiplatform, wanted.name, encryption_key)
            there = self._stand(aiplatform, endpoint, model, names, arguments)
            ids = {version: there[names[version]] for version in versions}
            split = traffic_split(wanted, ids)
            if dict(endpoint.traffic_split) != split:
                endpoint.update(traffic_split=split)
            if watch is not None:
                watch(sorted(split))
            for id in [one.id for one in endpoint.list_models() if one.id not in split]:
                endpoint.undeploy(id, traffic_split=split)
            return _status(wanted.name, self._find(aiplatform, wanted.name))

    def prepare(self, name: str, model: str, versions: Sequence[str]) -> None:
        """Deploys versions that are not behind an endpoint yet, with no traffic where another one answers.

        Raises:
            ServingError: one is not registered, or does not start in Vertex AI.
        """
        with self._connected() as aiplatform:
            endpoint = self._find(aiplatform, name) or self._create(aiplatform, name, "")
            self._stand(aiplatform, endpoint, model, {one: _display(model, one, "") for one in versions}, [])

    def empty(self, name: str) -> None:
        """Takes everything from behind an endpoint, and leaves the endpoint."""
        with self._connected() as aiplatform:
            self._known(aiplatform, name).undeploy_all()

    def status(self, name: str) -> Status | None:
        """What is behind an endpoint in Vertex AI; None where it has none of that name."""
        with self._connected() as aiplatform:
            found = self._find(aiplatform, name)
            return None if found is None else _status(name, found)

    def predict(
        self, name: str, instances: Sequence[Mapping[str, Any]], parameters: Mapping[str, Any] | None = None
    ) -> Predicted:
        """Asks an endpoint.

        Raises:
            ServingError: there is no such endpoint, or a row is not as the model expects it, in the server's words.
        """
        with self._connected() as aiplatform:
            found = self._known(aiplatform, name)
            answer = found.predict(instances=list(instances), parameters=dict(parameters) if parameters else None)
            return Predicted(list(answer.predictions), str(answer.model_version_id or ""))

    def remove(self, name: str) -> None:
        """Takes everything from behind an endpoint, and the endpoint itself: nothing of it is paid for any more."""
        with self._connected() as aiplatform:
            self._known(aiplatform, name).delete(force=True)

    def _stand(
        self, aiplatform: Any, endpoint: Any, model: str, names: Mapping[str, str], arguments: list[str]
    ) -> dict[str, str]:
        """Deploys what is missing of these versions; returns the ids of all deployed models by their names."""
        there = {one.display_name: one.id for one in endpoint.list_models()}
        for version, name in names.items():
            if name not in there:
                registered = self._model(aiplatform, model, version, arguments)
                self._deploy(endpoint, registered, name)
                there = {one.display_name: one.id for one in endpoint.list_models()}
        return there

    def _known(self, aiplatform: Any, name: str) -> Any:
        found = self._find(aiplatform, name)
        if found is None:
            raise ServingError(f"endpoint: expected one that is in Vertex AI. Received: {name!r}")
        return found

    def _find(self, aiplatform: Any, name: str) -> Any:
        found = aiplatform.Endpoint.list(filter=f'display_name="{name}"', order_by="create_time")
        return next((one for one in found if one.display_name == name), None)

    def _create(self, aiplatform: Any, name: str, encryption_key: str) -> Any:
        logged = self._serving.log_sample > 0
        return aiplatform.Endpoint.create(
            display_name=name,
            labels={LABEL: label(name)},
            encryption_spec_key_name=encryption_key or None,
            enable_request_response_logging=logged,
            request_response_logging_sampling_rate=self._serving.log_sample if logged else None,
            request_response_logging_bq_destination_table=(self._serving.log_table or None) if logged else None,
        )

    def _model(self, aiplatform: Any, model: str, version: str, arguments: list[str]) -> Any:
        from google.api_core.exceptions import NotFound

        id = model_id(model)
        try:
            registered = aiplatform.Model(id, version=version)
        except NotFound:
            raise ServingError(
                f"{model}: expected a version of Vertex AI's Model Registry. Received: {version}"
            ) from None
        if not arguments:
            return registered
        # A container's arguments belong to a model in Vertex AI: one beside the registry's, of the same bundle.
        parent = f"{id[: 63 - len(_SHADOWED)]}{_SHADOWED}"
        try:
            there = {"parent_model": aiplatform.Model(parent).resource_name}
        except NotFound:
            there = {"model_id": parent}
        spec = registered.container_spec
        return aiplatform.Model.upload(
            display_name=f"{model} with shadows",
            serving_container_image_uri=spec.image_uri,
            serving_container_args=arguments,
            serving_container_predict_route=spec.predict_route,
            serving_container_health_route=spec.health_route,
            serving_container_ports=[port.container_port for port in spec.ports],
            artifact_uri=registered.uri,
            labels={"headrace-version": version},
            version_description=f"version {version} of {model}, with {' '.join(arguments)}",
            **there,
        )

    def _deploy(self, endpoint: Any, model: Any, name: str) -> None:
        """Deploys without moving traffic, but for the first one, which has to have all of it."""
        settings = self._serving
        before = dict(endpoint.traffic_split)
        common: dict[str, Any] = {
            "model": model,
            "deployed_model_display_name": name,
            "traffic_split": {**before, "0": 0} if before else {"0": 100},
            "machine_type": settings.machine,
            "min_replica_count": settings.min_replicas,
            "max_replica_count": settings.max_replicas,
            "service_account": settings.service_account or None,
            "autoscaling_target_cpu_utilization": settings.target_cpu,
        }
        if settings.accelerator:
            common["accelerator_type"] = accelerator_type(settings.accelerator)
            common["accelerator_count"] = settings.accelerators or 1
        if settings.to_zero:
            more = {"initial_replica_count": 1, "idle_scaledown_period": settings.idle_minutes * 60}
            endpoint.preview.deploy(**{**common, **more})
        else:
            endpoint.deploy(**common, spot=settings.spot)

    def _connected(self) -> Any:
        place = self._place
        account = self._serving.service_account
        return connected(place.project, place.location, place.endpoint, ServingError, account=account)


def shares(wanted: Endpoint, uri_of: Kept) -> dict[str, int]:
    """What `Status.shares` is where Vertex AI serves what the registry says; the arguments are those of `apply`."""
    mark = _mark(_arguments(wanted, uri_of))
    return {_display(one.model, one.version, mark): one.traffic for one in wanted.deployed if not one.shadow}


def _arguments(wanted: Endpoint, uri_of: Kept | None) -> list[str]:
    shadows = [one.version for one in wanted.shadows]
    if shadows and uri_of is None:
        raise ServingError(f"endpoint {wanted.name}: expected where shadows' bundles lie. Received: nothing")
    return container_arguments(wanted, {one: uri_of(wanted.base.model, one) for one in shadows} if uri_of else {})


def _display(model: str, version: str, mark: str) -> str:
    """The deployed model's name, by which it is found again: `churn 3`, with shadows `churn 3 +1a2b3c4d`."""
    return f"{model} {version}{f' +{mark}' if mark else ''}"


def _mark(arguments: Sequence[str]) -> str:
    import hashlib

    return hashlib.sha256("\0".join(arguments).encode()).hexdigest()[:8] if arguments else ""


def _status(name: str, endpoint: Any) -> Status:
    shares = dict(endpoint.traffic_split)
    answering = []
    for one in endpoint.list_models():
        dedicated = one.dedicated_resources
        answering.append(
            Answering(
                version=one.display_name.split(" ")[1] if " " in one.display_name else one.model_version_id,
                id=one.id,
                traffic=shares.get(one.id, 0),
                machine=dedicated.machine_spec.machine_type,
                replicas=(dedicated.min_replica_count, dedicated.max_replica_count),
                spot=dedicated.spot,
                name=one.display_name,
            )
        )
    return Status(name, endpoint.resource_name, tuple(sorted(answering, key=lambda one: (-one.traffic, one.version))))
