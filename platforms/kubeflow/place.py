"""Where models of a Kubeflow cluster live and are served, from the platform's URI."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode

from headrace.platforms.ledger.store import StoreError

SCHEME = "kubeflow:"
SERVERLESS, RAW = "serverless", "raw"
_FORM = "kubeflow:NAMESPACE?bucket=s3://BUCKET/FOLDER&image=IMAGE"
_OPTIONS = (
    "bucket", "image", "registry", "mode", "account", "min", "max", "cpu", "memory", "context", "ingress", "mount",
    "wait",
)  # fmt: skip
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True)
class KubeflowPlace:
    """A namespace, and what is needed to serve in it.

    Attributes:
        namespace: where the InferenceServices are.
        bucket: the folder that KServe reads bundles from, and of the registry unless `registry` names another:
            `s3://BUCKET/FOLDER` (of MinIO as well), `gs://BUCKET/FOLDER`, or `pvc://CLAIM/FOLDER` with `mount`.
        image: the container image that serves a bundle; needed to deploy.
        registry: `mlflow:URL`: the registry is MLflow's, and bundles that are served are copied to the bucket.
        mode: `serverless`: KServe on Knative, which knows canaries and scales to zero; `raw`: plain Deployments.
        account: the service account of the servers, which has the bucket's credentials.
        min: how many servers there are at least; 0 only with Knative.
        max: how many at most; 0 for KServe's default.
        cpu: cores of a server, in Kubernetes' words; empty for KServe's default.
        memory: likewise.
        context: the context of the kubeconfig; empty for the current one. Inside of the cluster neither is needed.
        ingress: the address of the cluster's gateway, where the services' own names are not known to the DNS.
        mount: the folder that the claim of a `pvc://` bucket is mounted at, in tasks and wherever else this is used.
        wait: seconds that a service has to get ready.
    """

    namespace: str
    bucket: str
    image: str = ""
    registry: str = ""
    mode: str = SERVERLESS
    account: str = ""
    min: int = 1
    max: int = 0
    cpu: str = ""
    memory: str = ""
    context: str = ""
    ingress: str = ""
    mount: str = ""
    wait: int = 600

    @property
    def uri(self) -> str:
        """As `open_platform` takes it."""
        default = KubeflowPlace(self.namespace, "")
        said = {name: value for name in _OPTIONS if (value := getattr(self, name)) != getattr(default, name)}
        return f"{SCHEME}{self.namespace}?{urlencode(said, safe=':/')}"

    @property
    def root(self) -> str:
        """The bucket as this process opens it: of a claim the folder that it is mounted at."""
        if not self.bucket.startswith("pvc://"):
            return self.bucket
        _, _, folder = self.bucket.removeprefix("pvc://").partition("/")
        return "/".join(part for part in (self.mount.rstrip("/"), folder) if part)

    @classmethod
    def of(cls, uri: str) -> KubeflowPlace:
        """From `kubeflow:NAMESPACE?bucket=s3://...&image=...`.

        Raises:
            StoreError: the URI is another, and the message says what of it.
        """
        namespace, _, query = uri.removeprefix(SCHEME).removeprefix("//").partition("?")
        options: dict[str, Any] = dict(parse_qsl(query, keep_blank_values=True))
        if unknown := sorted(set(options) - set(_OPTIONS)):
            raise _wrong(f"only the options {', '.join(_OPTIONS)}", ", ".join(unknown))
        if not _LABEL.fullmatch(namespace) or not options.get("bucket"):
            raise _wrong(_FORM, uri)
        for name in ("min", "max", "wait"):
            if name in options:
                if not (options[name].isascii() and options[name].isdigit()):
                    raise _wrong(f"{name}=NUMBER", options[name])
                options[name] = int(options[name])
        place = cls(namespace, options.pop("bucket").rstrip("/"), **options)
        place._check()
        return place

    def _check(self) -> None:
        if not re.fullmatch(r"(s3|gs|pvc)://[^/]+(/.*)?", self.bucket):
            hint = "; of MinIO it is s3:// too, with AWS_ENDPOINT_URL" if self.bucket.startswith("minio://") else ""
            raise _wrong("a bucket as s3://BUCKET/FOLDER, gs://... or pvc://CLAIM/FOLDER", self.bucket + hint)
        if self.bucket.startswith("pvc://") != self.mount.startswith("/"):
            raise _wrong("mount=/FOLDER with a bucket of pvc://, and only there", f"mount={self.mount!r}")
        if self.mode not in (SERVERLESS, RAW):
            raise _wrong("mode=serverless or mode=raw", self.mode)
        if self.mode == RAW and self.min == 0:
            raise _wrong("min=1 or more with mode=raw: nothing starts a Deployment of none on a request", "0")
        if self.registry and not self.registry.startswith("mlflow:"):
            raise _wrong("registry=mlflow:URL", self.registry)
        if self.ingress and not re.match(r"https?://[^/]+", self.ingress):
            raise _wrong("ingress=http://HOST", self.ingress)


def _wrong(expected: str, received: str) -> StoreError:
    return StoreError(f"platform kubeflow: expected {expected}. Received: {received}")
