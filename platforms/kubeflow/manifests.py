"""What is behind an endpoint as KServe's resources, and what their status says. Plain data in and out.

KServe keeps two revisions: the one that it rolled out last, and the newest. It says which revisions those are by their
names, not which versions: so annotations keep that, written each time the service is changed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Any

from headrace.artifacts.errors import HeadraceError
from headrace.platforms.interface import Deployed, Endpoint, ModelVersion
from headrace.platforms.kubeflow.canary import predictor, rollback
from headrace.platforms.kubeflow.cluster import RUNTIME, SERVICE
from headrace.platforms.kubeflow.place import RAW, KubeflowPlace

MODEL_FORMAT = "headrace"
FOLDER = "/mnt/models"  # where KServe puts what storageUri names
_OURS = "headrace.dev/"
ENDPOINT = f"{_OURS}endpoint"
VERSION = f"{_OURS}version"  # the newest, as `churn:4`
ROLLED_OUT = f"{_OURS}rolled-out"  # the version that KServe had rolled out when the service was changed
BEFORE = f"{_OURS}revision-before"  # the newest revision there was then: a status that knows no other is too old
MANAGED = "app.kubernetes.io/managed-by"
_MODES = {RAW: "RawDeployment"}
_NAME = re.compile(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?")  # KServe and Knative make longer names of it, up to 63
_CANARY = "canaryTrafficPercent"
Manifest = dict[str, Any]


def service_name(endpoint: str) -> str:
    """An endpoint's name as Kubernetes takes it: where it is none, of its letters, and of its digest."""
    if _NAME.fullmatch(endpoint):
        return endpoint
    plain = re.sub(r"[^a-z0-9]+", "-", endpoint.lower()).strip("-")[:31].rstrip("-")
    plain = plain if plain[:1].isalpha() else f"e-{plain}".rstrip("-")
    return f"{plain}-{hashlib.sha256(endpoint.encode()).hexdigest()[:6]}"


def runtime_name(image: str) -> str:
    """The name of the runtime of an image: another image is another runtime, so what serves goes on as it is."""
    return f"headrace-{hashlib.sha256(image.encode()).hexdigest()[:10]}"


def runtime(image: str) -> Manifest:
    """The ServingRuntime: how our server is started."""
    container = {
        "name": "kserve-container",
        "image": image,
        "command": ["python", "-m", "headrace.serving"],
        "args": [FOLDER, "--host", "0.0.0.0", "--port", "8080", "--model-name", "{{.Name}}"],
        "ports": [{"containerPort": 8080, "protocol": "TCP"}],
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 2, "failureThreshold": 3},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "runAsNonRoot": True,
        },
    }
    return {
        "apiVersion": RUNTIME.api_version,
        "kind": RUNTIME.name,
        "metadata": {"name": runtime_name(image), "labels": {MANAGED: "headrace"}},
        "spec": {
            "annotations": {
                "prometheus.kserve.io/port": "8080",
                "prometheus.kserve.io/path": "/metrics",
            },
            "supportedModelFormats": [{"name": MODEL_FORMAT, "version": "1", "autoSelect": False}],
            "protocolVersions": ["v1", "v2"],
            "containers": [container],
        },
    }


def service(place: KubeflowPlace, endpoint: Endpoint, uris: Mapping[str, str], now: Manifest | None) -> Manifest:
    """The InferenceService that serves what is behind an endpoint.

    Args:
        place: the settings.
        endpoint: what is wanted.
        uris: by version where KServe finds its bundle.
        now: the service as it is; None where there is none. What others wrote into it stays: scaling, resources, ...

    Raises:
        HeadraceError: KServe cannot do that; see `canary.predictor`.
    """
    rolled = rolled_out(now) if now else ""
    if place.mode == RAW and endpoint.split:
        raise HeadraceError(
            f"endpoint {endpoint.name}: expected one version, as KServe without Knative knows no canaries. Received: "
            f"{', '.join(one.version for one in endpoint.deployed if one.traffic)}; mode=serverless knows them"
        )
    # To go back to what was rolled out is to give it everything again: it still runs.
    base = endpoint.base
    alone = not endpoint.split and not endpoint.shadows
    if now and alone and _has_canary(now) and rolled == f"{base.model}:{base.version}" != newest(now):
        return _changed(now, {**_predictor_of(now), **rollback()}, newest(now))
    model, _, before = rolled.rpartition(":")
    fields = predictor(endpoint, uris, before if model == base.model else "")
    version = (endpoint.candidates[0] if endpoint.split else base).version
    return _with(place, endpoint.name, fields, f"{base.model}:{version}", now)


def trial(place: KubeflowPlace, endpoint: str, version: ModelVersion, uri: str, now: Manifest | None) -> Manifest:
    """A version beside what serves, without traffic, to see whether it starts.

    Where nothing serves it is the service itself; on Knative its newest revision, with a canary of 0 percent;
    else (`RAW`) a service of its own, see `trial_name`.
    """
    model, label = {"model": {"storageUri": uri}}, f"{version.name}:{version.version}"
    if now is None or place.mode == RAW:
        return _with(place, endpoint, model, label, None)
    return _with(place, endpoint, {**model, **rollback()}, label, now)


def trial_name(endpoint: str) -> str:
    """The name of the service in which a version is tried where KServe has no canaries."""
    return f"{service_name(endpoint)[:34].rstrip('-')}-trial"


def _with(place: KubeflowPlace, endpoint: str, fields: Manifest, version: str, now: Manifest | None) -> Manifest:
    base = _predictor_of(now) if now else _defaults(place)
    model = {**base.get("model", {}), **fields["model"]}
    model |= {"modelFormat": {"name": MODEL_FORMAT}, "runtime": runtime_name(place.image), "protocolVersion": "v2"}
    if "args" not in fields["model"]:
        model.pop("args", None)
    made = {**base, **{name: value for name, value in fields.items() if name != "model"}, "model": model}
    if _CANARY not in fields:
        made.pop(_CANARY, None)
    made["annotations"] = {**base.get("annotations", {}), VERSION: version}
    found = now or {
        "apiVersion": SERVICE.api_version,
        "kind": SERVICE.name,
        "metadata": {
            "name": service_name(endpoint),
            "namespace": place.namespace,
            "labels": {MANAGED: "headrace"},
            "annotations": {
                ENDPOINT: endpoint,
                "serving.kserve.io/deploymentMode": _MODES.get(place.mode, "Serverless"),
            },
        },
        "spec": {},
    }
    return _changed(found, made, version)


def _changed(now: Manifest, made: Manifest, version: str) -> Manifest:
    """The service with another predictor, and the annotations that tell of the change."""
    found = {name: value for name, value in now.items() if name != "status"}
    same_pods = _pods(_predictor_of(now)) == _pods(made)
    notes = {
        VERSION: version,
        ROLLED_OUT: rolled_out(now),
        BEFORE: _annotation(now, BEFORE) if same_pods else str(_status(now).get("latestCreatedRevision", "")),
    }
    annotations = {**now["metadata"].get("annotations", {}), **{k: v for k, v in notes.items() if v}}
    for name in [name for name, value in notes.items() if not value]:
        annotations.pop(name, None)
    found["metadata"] = {**now["metadata"], "annotations": annotations}
    found["spec"] = {**now.get("spec", {}), "predictor": made}
    return found


def _defaults(place: KubeflowPlace) -> Manifest:
    asked = {name: value for name, value in (("cpu", place.cpu), ("memory", place.memory)) if value}
    return {
        "minReplicas": place.min,
        **({"maxReplicas": place.max} if place.max else {}),
        **({"serviceAccountName": place.account} if place.account else {}),
        **({"model": {"resources": {"requests": asked, "limits": asked}}} if asked else {}),
    }


def is_ours(now: Manifest) -> bool:
    """Whether a service is one of ours: another's is never changed or removed."""
    return bool(_annotation(now, ENDPOINT))


def endpoint_of(now: Manifest) -> str:
    """The endpoint that a service is of."""
    return _annotation(now, ENDPOINT)


def newest(now: Manifest) -> str:
    """The version that the service was changed to last, as `churn:4`."""
    return _annotation(now, VERSION)


def bundle_of(now: Manifest) -> str:
    """Where the newest version's bundle lies."""
    return str(_predictor_of(now).get("model", {}).get("storageUri", ""))


def same(now: Manifest, wanted: Manifest) -> bool:
    """Whether a service is as it should be, so that nothing has to be written."""
    return _predictor_of(now) == _predictor_of(wanted) and newest(now) == newest(wanted)


def differences(now: Manifest, endpoint: Endpoint, uri_of: Callable[[Deployed], str]) -> list[str]:
    """What a service has otherwise than `service` would have it, of all that decides which versions answer.

    Args:
        now: the service as it is.
        endpoint: what is wanted.
        uri_of: where KServe finds a version's bundle.
    """
    one = endpoint.candidates[0] if endpoint.split else endpoint.base
    base, newer = (f"{endpoint.base.model}:{version}" for version in (endpoint.base.version, one.version))
    if not endpoint.split and not endpoint.shadows and taken_back(now) and rolled_out(now) == base:
        return []  # the older revision has everything again, and the newest is of no account
    share = _predictor_of(now).get(_CANARY, 100)
    held: list[tuple[str, Any, Any]] = [("the version", newer, newest(now)), ("percent of it", one.traffic, share)]
    if endpoint.split:
        held.append(("as what it takes from", base, rolled_out(now)))
    if newest(now) == newer:  # of another version all of that differs
        uris = [uri_of(shadow) for shadow in endpoint.shadows]
        arguments = [word for uri in uris for word in ("--shadow", uri)]
        held.append(("its bundle", uri_of(one), bundle_of(now)))
        held.append(("its shadows", arguments, _predictor_of(now).get("model", {}).get("args") or []))
    return [f"{what} {_words(has)}, not {_words(asked)}" for what, asked, has in held if asked != has]


def _words(value: Any) -> str:
    return " ".join(value) or "none" if isinstance(value, list) else str(value) or "none"


def rolled_out(now: Manifest) -> str:
    """The version that KServe rolled out last, which a canary takes from: `churn:3`; empty where there is none yet."""
    if not _has_canary(now) and settled(now):
        return newest(now)
    return _annotation(now, ROLLED_OUT)


def settled(now: Manifest) -> bool:
    """Whether the newest version of a service on Knative is ready, and the status is not an older one's."""
    status = _status(now)
    created = status.get("latestCreatedRevision")
    if not created or created == _annotation(now, BEFORE) or _too_old(now):
        return False
    if not _has_canary(now) and created != status.get("latestRolledoutRevision"):
        return False
    return bool(created == status.get("latestReadyRevision") and _ready(now))


def taken_back(now: Manifest) -> bool:
    """Whether the newest version has no traffic, by a rollback: whether it runs is of no account then."""
    return _predictor_of(now).get(_CANARY) == 0 and bool(_status(now).get("latestRolledoutRevision"))


def rolled_over(now: Manifest, deployment: Manifest | None) -> bool:
    """Whether the newest version of a service without Knative is ready: all of its pods are of that version."""
    if deployment is None or _too_old(now) or not _ready(now):
        return False
    template = deployment["spec"]["template"]["metadata"].get("annotations") or {}
    status, wanted = deployment.get("status", {}), int(deployment["spec"].get("replicas", 1))
    current = int(status.get("observedGeneration", 0)) >= int(deployment["metadata"].get("generation", 0))
    counts = [int(status.get(name) or 0) for name in ("replicas", "updatedReplicas", "availableReplicas")]
    return current and template.get(VERSION) == newest(now) and counts == [wanted] * 3


def failure(now: Manifest) -> str:
    """Why the newest version does not start, in KServe's words; empty while that may still come right."""
    status = now.get("status", {}).get("modelStatus", {})
    created = _status(now).get("latestCreatedRevision")
    if _too_old(now) or (created and created == _annotation(now, BEFORE)):
        return ""
    if status.get("transitionStatus") not in ("BlockedByFailedLoad", "InvalidSpec"):
        return ""
    told = status.get("lastFailureInfo", {})
    words = [str(told[name]) for name in ("reason", "message") if told.get(name)]
    return ": ".join(words) or str(status["transitionStatus"])


def conditions(now: Manifest) -> list[tuple[str, str, str]]:
    """The conditions of a service: type, status, and what is told of those that are not met."""
    found = now.get("status", {}).get("conditions") or []
    return [
        (str(one.get("type")), str(one.get("status")), str(one.get("message") or one.get("reason") or ""))
        for one in found
    ]


def traffic(now: Manifest) -> dict[str, int]:
    """Percent by revision, as Knative deals them now."""
    return {
        str(one.get("revisionName", "")): int(one.get("percent") or 0)
        for one in _status(now).get("traffic") or []
        if one.get("percent")
    }


def _ready(now: Manifest) -> bool:
    return any(kind == "Ready" and status == "True" for kind, status, _ in conditions(now))


def _too_old(now: Manifest) -> bool:
    seen = now.get("status", {}).get("observedGeneration")  # older versions of KServe do not say
    return seen is not None and int(seen) < int(now["metadata"].get("generation", 0))


def _has_canary(now: Manifest) -> bool:
    return _CANARY in _predictor_of(now)


def _pods(predictor: Manifest) -> Manifest:
    """What makes another revision of a predictor when it changes: all but the share."""
    return {name: value for name, value in predictor.items() if name != _CANARY}


def _predictor_of(now: Manifest) -> Manifest:
    return dict(now.get("spec", {}).get("predictor", {}))


def _status(now: Manifest) -> Manifest:
    return dict(now.get("status", {}).get("components", {}).get("predictor", {}))


def _annotation(now: Manifest, name: str) -> str:
    return str(now["metadata"].get("annotations", {}).get(name, ""))
