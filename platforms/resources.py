"""What a task is given to run on, in no platform's terms; `platforms/kubeflow/platform_spec.py` has Kubernetes'."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Toleration:
    """A taint of nodes that a task may run on all the same."""

    key: str
    operator: str = "Exists"
    value: str = ""
    effect: str = ""


@dataclass(frozen=True)
class TaskResources:
    """What one step of a pipeline is given.

    Cores, memory and accelerators stand in the pipeline spec, where every platform reads them; what else is here stands
    in the platform spec, which only Kubeflow (and the local runner) reads.

    Attributes:
        cpu: cores, as 4 or 0.5; 0 for the platform's default.
        memory: bytes, in Kubernetes' words: `16Gi`; empty for the platform's default.
        gpu: the accelerator's name on Google Cloud, in lower case: `nvidia-tesla-t4`; empty for none.
        gpus: how many.
        machine: a machine type of Google Cloud, `n1-standard-8`; empty for what is found. On Kubernetes the label
            `node.kubernetes.io/instance-type`.
        disk_gb: of the boot disk, on Vertex; 0 for the default.
        node_selector: labels that a node must have.
        tolerations: taints that may be there.
        secrets: environment variables from secrets: variable -> `SECRET/KEY`.
        config: environment variables from config maps: variable -> `MAP/KEY`.
        environment: plain environment variables; they stand in the pipeline spec.
        volumes: persistent volume claims: claim's name -> the folder that it is mounted at.
        secret_files: secrets as files: secret's name -> the folder.
        empty_dir: scratch space: a folder -> its limit, `20Gi`; empty text for none. `/dev/shm` is of memory.
        image_pull_secrets: names of secrets.
        service_account: empty for the run's.
        spot: whether its machine may be taken away at any time; see `ResourcesSpec.spot` for what becomes of it then.
        timeout_s: seconds after which it is ended; 0 for never.
        wait_s: on Vertex, seconds that it waits for spot machines or accelerators; 0 for the default.
        labels: of the pod.
    """

    cpu: float = 0.0
    memory: str = ""
    gpu: str = ""
    gpus: int = 0
    machine: str = ""
    disk_gb: int = 0
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[Toleration, ...] = ()
    secrets: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    volumes: Mapping[str, str] = field(default_factory=dict)
    secret_files: Mapping[str, str] = field(default_factory=dict)
    empty_dir: Mapping[str, str] = field(default_factory=dict)
    image_pull_secrets: tuple[str, ...] = ()
    service_account: str = ""
    spot: bool = False
    timeout_s: int = 0
    wait_s: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
