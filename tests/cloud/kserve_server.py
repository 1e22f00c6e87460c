"""As much of a Kubernetes API with KServe behind it as we use, over HTTP on this machine, for the real client.

Objects are kept as an API server does: a generation that rises with the spec, a resourceVersion that a replacement has
to name. A controller follows each change as KServe's does, of which this is a copy of the rules:

    kserve/pkg/controller/v1beta1/inferenceservice/reconcilers/knative/ksvc_reconciler.go (which revision has what)
    kserve/pkg/apis/serving/v1beta1/inference_service_status.go (what was rolled out)

It answers predictions as well, as the cluster's gateway: by the name of the host.
"""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

Object = dict[str, Any]


class Cluster:
    """The objects of a cluster, what was asked of it, and what is wrong with it."""

    def __init__(self) -> None:
        self.url = ""
        self.objects: dict[tuple[str, str, str], Object] = {}  # plural, namespace, name
        self.requests: list[tuple[str, str, Any]] = []
        self.broken: set[str] = set()  # storage URIs whose servers do not start
        self.slow = 0  # looks at a service that find it as it was, after each change
        self.forbidden: set[str] = set()  # plurals
        self.conflicts = 0  # replacements that are refused, as if somebody had been faster
        self.answers: dict[str, Any] = {}  # by host: what a server says
        self._waiting: dict[str, int] = {}
        self._count = 0
        self._lock = threading.Lock()

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        with self._lock:
            self.requests.append((method, path, copy.deepcopy(body)))
            path, _, query = path.partition("?")
            if path.endswith("/selfsubjectaccessreviews"):
                asked = body["spec"]["resourceAttributes"]
                return 201, {**body, "status": {"allowed": asked["resource"] not in self.forbidden}}
            parts = path.strip("/").split("/")
            if parts[0] != "apis" or "namespaces" not in parts:
                return _status(404, "NotFound", path)
            namespace, plural, *name = parts[parts.index("namespaces") + 1 :]
            if plural in self.forbidden:
                return _status(403, "Forbidden", f'{plural} is forbidden: User "system:anonymous" cannot do this')
            if plural not in ("inferenceservices", "servingruntimes", "deployments"):
                return _status(404, "NotFound", "the server could not find the requested resource")
            return self._one(method, plural, namespace, name[0] if name else "", body, query)

    def _one(self, method: str, plural: str, namespace: str, name: str, body: Any, query: str) -> tuple[int, Any]:
        if method == "POST":
            return self._create(plural, namespace, body)
        if not name:
            wanted = query.partition("labelSelector=")[2].partition("&")[0].replace("%3D", "=").replace("%2F", "/")
            key, _, value = wanted.partition("=")
            items = [
                one
                for (p, n, _), one in self.objects.items()
                if (p, n) == (plural, namespace) and (not key or one["metadata"].get("labels", {}).get(key) == value)
            ]
            return 200, {"items": items}
        there = self.objects.get((plural, namespace, name))
        if there is None:
            return _status(404, "NotFound", f'{plural} "{name}" not found')
        if method == "GET":
            if plural == "inferenceservices":
                self._look(there)
            return 200, there
        if method == "DELETE":
            del self.objects[plural, namespace, name]
            self.objects.pop(("deployments", namespace, f"{name}-predictor"), None)
            return 200, {"kind": "Status", "status": "Success"}
        if self.conflicts or body["metadata"].get("resourceVersion") != there["metadata"]["resourceVersion"]:
            self.conflicts = max(0, self.conflicts - 1)
            return _status(
                409, "Conflict", "the object has been modified; please apply your changes to the latest version"
            )
        return 200, self._put(plural, namespace, {**body, "status": there.get("status", {})}, there)

    def _create(self, plural: str, namespace: str, body: Any) -> tuple[int, Any]:
        name = body["metadata"]["name"]
        if (plural, namespace, name) in self.objects:
            return _status(409, "AlreadyExists", f'{plural} "{name}" already exists')
        return 201, self._put(plural, namespace, body, None)

    def _put(self, plural: str, namespace: str, body: Object, there: Object | None) -> Object:
        self._count += 1
        made = copy.deepcopy(body)
        before = there["metadata"]["generation"] if there else 0
        changed = there is None or there["spec"] != made["spec"]
        made["metadata"] |= {
            "namespace": namespace,
            "resourceVersion": str(self._count),
            "generation": before + 1 if changed else before,
        }
        self.objects[plural, namespace, made["metadata"]["name"]] = made
        if plural == "inferenceservices" and changed:
            self._waiting[made["metadata"]["name"]] = self.slow
        return made

    def _look(self, service: Object) -> None:
        """The controller's turn; sooner or later it comes."""
        name = service["metadata"]["name"]
        if self._waiting.get(name, 0) > 0:
            self._waiting[name] -= 1
            return
        mode = service["metadata"].get("annotations", {}).get("serving.kserve.io/deploymentMode")
        if service.get("followed") == service["metadata"]["generation"]:
            return
        service["followed"] = service["metadata"]["generation"]
        (self._follow_raw if mode == "RawDeployment" else self._follow)(service)
        self._count += 1
        service["metadata"]["resourceVersion"] = str(self._count)

    def _follow(self, service: Object) -> None:
        predictor, name = service["spec"]["predictor"], service["metadata"]["name"]
        status = service.setdefault("status", {}).setdefault("components", {}).setdefault("predictor", {})
        pods = {key: value for key, value in predictor.items() if key != "canaryTrafficPercent"}
        revisions = service.setdefault("revisions", [])
        if not revisions or revisions[-1]["pods"] != pods:
            revisions.append({"name": f"{name}-predictor-{len(revisions) + 1:05d}", "pods": pods})
        newest = revisions[-1]
        works = pods["model"]["storageUri"] not in self.broken
        status["latestCreatedRevision"] = newest["name"]
        if works:
            status["latestReadyRevision"] = newest["name"]
        ready = status.get("latestReadyRevision")
        rolled = status.get("latestRolledoutRevision")
        base = rolled
        if status.get("previousRolledoutRevision") and ready == rolled:
            base = status["previousRolledoutRevision"]
        share = predictor.get("canaryTrafficPercent")
        if share is None or not base:
            shares = {ready: 100}
        else:
            shares = {ready: share, base: 100 - share} if base != ready else {base: 100}
        if share is None and ready == newest["name"] and rolled != ready:
            status["previousRolledoutRevision"], status["latestRolledoutRevision"] = rolled, ready
        status["traffic"] = [{"revisionName": key, "percent": value} for key, value in shares.items() if key and value]
        self._told(service, works)

    def _follow_raw(self, service: Object) -> None:
        predictor = service["spec"]["predictor"]
        name, namespace = service["metadata"]["name"], service["metadata"]["namespace"]
        works = predictor["model"]["storageUri"] not in self.broken
        replicas = predictor.get("minReplicas", 1)
        done = replicas if works else 0
        self.objects["deployments", namespace, f"{name}-predictor"] = {
            "metadata": {"name": f"{name}-predictor", "generation": 1},
            "spec": {
                "replicas": replicas,
                "template": {"metadata": {"annotations": predictor.get("annotations", {})}, "spec": {}},
            },
            "status": {
                "observedGeneration": 1, "replicas": replicas, "updatedReplicas": done, "availableReplicas": done,
            },
        }  # fmt: skip
        self._told(service, works)

    def _told(self, service: Object, works: bool) -> None:
        status = service.setdefault("status", {})
        host = f"{service['metadata']['name']}.{service['metadata']['namespace']}.example.com"
        status["url"] = f"http://{host}"
        state = "True" if works else "False"
        words = {} if works else {"reason": "RevisionFailed", "message": "Container failed with: cannot load"}
        status["conditions"] = [
            {"type": "PredictorReady", "status": state, **words},
            {"type": "Ready", "status": state},
        ]
        failed = {"reason": "ModelLoadFailed", "message": "cannot load"}
        status["modelStatus"] = (
            {"transitionStatus": "UpToDate"}
            if works
            else {"transitionStatus": "BlockedByFailedLoad", "lastFailureInfo": failed}
        )

    def service(self, name: str, namespace: str = "models") -> Object:
        return self.objects["inferenceservices", namespace, name]

    def traffic(self, name: str, namespace: str = "models") -> dict[str, int]:
        """Percent by storage URI."""
        found = self.service(name, namespace)
        uris = {one["name"]: one["pods"]["model"]["storageUri"] for one in found["revisions"]}
        return {
            uris[one["revisionName"]]: one["percent"] for one in found["status"]["components"]["predictor"]["traffic"]
        }


def _status(code: int, reason: str, message: str) -> tuple[int, Any]:
    return code, {"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message}


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """The cluster, on a port of its own, while the block runs; `folder` gets its kubeconfig."""
    found = Cluster()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            host = self.headers.get("Host", "").partition(":")[0]
            if host in found.answers:
                found.requests.append((self.command, f"{host}{self.path}", body))
                code, answer = 200, found.answers[host]
            else:
                code, answer = found.answer(self.command, self.path, body)
            text = json.dumps(answer).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PUT = do_DELETE = _serve

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.url = f"http://127.0.0.1:{server.server_port}"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [{"name": "test", "cluster": {"server": found.url}}],
        "users": [{"name": "test", "user": {"token": "not-a-secret"}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
    }
    (folder / "kubeconfig").write_text(yaml.safe_dump(config))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
