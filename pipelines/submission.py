"""From a spec, or a compiled pipeline, to what is sent to Kubeflow or Vertex AI."""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.pipeline_file import parse_pipeline
from headrace.platforms.emulated import is_emulator
from headrace.platforms.running import Submission, Where

if TYPE_CHECKING:
    from headrace.pipelines.spec import Spec
    from headrace.pipelines.submit_spec import KubeflowSpec, SubmitSpec, VertexSpec

KUBEFLOW, VERTEX = "kubeflow", "vertex"
NO_EXPERIMENT = "none"
PREDICTION = "-prediction"  # behind the spec's name: `pipelines/prediction.py`
# What a place is told by the environment, where neither the command nor the spec says it.
_VARIABLES = {
    "project": ("GOOGLE_CLOUD_PROJECT", "CLOUDSDK_CORE_PROJECT"),
    "location": ("GOOGLE_CLOUD_LOCATION", "GOOGLE_CLOUD_REGION", "CLOUD_ML_REGION"),
    "endpoint": ("KFP_ENDPOINT",),
}
_ID = re.compile(r"[a-z][a-z0-9-]{0,126}")


@dataclass(frozen=True)
class Asked:
    """What the command line says of a submission; what is empty is as the spec has it.

    Attributes:
        on: `kubeflow` or `vertex`.
        endpoint: the API's address; see `Where`.
        project: Vertex: the project.
        location: Vertex: its region.
        namespace: Kubeflow: the user's.
        root: the folder of what runs put out.
        experiment: the group of runs.
        service_account: in whose name tasks work.
        labels: more of them.
        caching: False: every task runs.
        parameters: of the pipeline, as texts.
        pipeline: `training` or `prediction`, of a spec.
        id: see `Submission.id`; empty for one that is made.
    """

    on: str = ""
    endpoint: str = ""
    project: str = ""
    location: str = ""
    namespace: str = ""
    root: str = ""
    experiment: str = ""
    service_account: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    caching: bool | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    pipeline: str = "training"
    id: str = ""


@dataclass(frozen=True)
class Plan:
    """Where a pipeline is to run, and what of the spec has a say in it.

    Attributes:
        file: the spec's, or the compiled pipeline's.
        spec: None for a compiled pipeline, which has nothing to say of where it runs.
        where: the place.
        asked: what the command line says.
    """

    file: Path
    spec: Spec | None
    where: Where
    asked: Asked

    @property
    def place(self) -> KubeflowSpec | VertexSpec | None:
        """The spec's section on the place."""
        return self.submit.kubeflow if self.where.on == KUBEFLOW else self.submit.vertex

    @property
    def submit(self) -> SubmitSpec:
        """The spec's section; an empty one of a compiled pipeline."""
        from headrace.pipelines.submit_spec import SubmitSpec

        return self.spec.submit if self.spec else SubmitSpec()

    @property
    def pipeline(self) -> str:
        """What the pipeline of the spec is called there; empty for a compiled one."""
        if self.spec is None:
            return ""
        return f"{self.spec.name}{PREDICTION}" if self.asked.pipeline == "prediction" else self.spec.name

    def said(self, name: str) -> str:
        """A setting of the place: as the command says, else the spec, else the environment; empty where nobody does."""
        return _said(name, self.asked, self.place, self.where.on)

    @property
    def root(self) -> str:
        return self.said("root").rstrip("/")

    @property
    def sources(self) -> str:
        """The folder that local sources are sent to; empty where there is none."""
        if chosen := getattr(self.place, "sources", None):
            return str(chosen)
        # minio:// is KFP's own name for what everybody else calls s3://
        return f"{re.sub('^minio://', 's3://', self.root)}/sources" if self.root else ""


def plan(file: Path, asked: Asked) -> Plan:
    """Reads the spec, and finds out where its pipeline is to run. Nothing is asked of the network.

    Raises:
        HeadraceError: the spec has a mistake, or what is needed to find the place is not said.
    """
    try:
        compiled = b"deploymentSpec" in file.read_bytes()
    except OSError as error:
        raise HeadraceError(f"{file}: expected a spec or a compiled pipeline. Received: {error.strerror}") from None
    return _plan(file, asked, compiled)


def place(file: Path | None, asked: Asked) -> Plan:
    """The same for `headrace doctor`, which needs no file where the command says where.

    Raises:
        HeadraceError: as `plan`.
    """
    return plan(file, asked) if file else _plan(Path("the command"), asked, compiled=True)


def _plan(file: Path, asked: Asked, compiled: bool) -> Plan:
    from headrace.pipelines.spec import load_spec

    spec = None if compiled else load_spec(file)
    on = asked.on or (spec.submit.to if spec else "") or ""
    if not on:
        there = [name for name in (KUBEFLOW, VERTEX) if spec and getattr(spec.submit, name)]
        if len(there) != 1:
            raise HeadraceError(
                f"{file}: expected the place to run on, --on kubeflow or --on vertex, or `submit.to`. Received: "
                + ("none" if not there else "sections for both")
            )
        on = there[0]
    section = getattr(spec.submit, on) if spec else None
    settings = {name: _said(name, asked, section, on) for name in ("project", "location", "endpoint", "namespace")}
    if on == KUBEFLOW:
        settings |= {"project": "", "location": "", **_files(section, file)}
        needed = {"endpoint": "submit.kubeflow.endpoint, --endpoint or $KFP_ENDPOINT"}
    else:
        settings["namespace"] = ""
        needed = {
            "project": "submit.vertex.project, --project or $GOOGLE_CLOUD_PROJECT",
            "location": "submit.vertex.location, --location or $GOOGLE_CLOUD_LOCATION",
        }
    for name, places in needed.items():
        if not settings[name]:
            raise HeadraceError(f"{file}: {on}: expected {name}: {places}. Received: none")
    address = settings["endpoint"]
    if address and not address.startswith(("http://", "https://")) and (on == KUBEFLOW or ":" in address):
        raise HeadraceError(f"{file}: {on}: endpoint: expected an address as http://HOST:PORT. Received: {address}")
    return Plan(file, spec, Where(on, **settings), asked)


def _said(name: str, asked: Asked, section: object, on: str) -> str:
    if name == "endpoint" and on == VERTEX:
        return asked.endpoint
    from_environment = (os.environ.get(variable) for variable in _VARIABLES.get(name, ()))
    choices = (getattr(asked, name, ""), getattr(section, name, None), *from_environment)
    return str(next((value for value in choices if value), ""))


def _files(section: object, file: Path) -> dict[str, str]:
    """Files that the section names, relative to the spec."""
    named = {name: getattr(section, name, "") for name in ("token_file", "ca_file")}
    return {name: str(file.resolve().parent / Path(value).expanduser()) for name, value in named.items() if value}


def prepare(planned: Plan, say: Callable[[str], object] = lambda line: None, *, dry: bool = False) -> Submission:
    """Compiles, sends local sources to the folder of sources, and puts together what is submitted.

    Args:
        planned: where to, from `plan`.
        say: told in a line what takes a while.
        dry: nothing is sent; parameters name the places that sources would be sent to.

    Raises:
        HeadraceError: the spec has a mistake, a source cannot be sent, a parameter is missing, or none that the
            pipeline takes, or would make a password known.
    """
    from headrace.pipelines.sending import Sender
    from headrace.pipelines.submitted_parameters import parameters_of

    text = text_of(planned)
    found = parse_pipeline(text, planned.file)
    ir: dict[str, Any] = found.get("pipelineSpec", found)
    if not isinstance(ir.get("pipelineInfo"), dict) or not ir["pipelineInfo"].get("name") or "root" not in ir:
        raise HeadraceError(
            f"{planned.file}: expected a compiled pipeline (`headrace compile`). Received: a part of one"
        )
    check_images(ir, planned.where, say)
    check_weights(planned)
    name = str(ir["pipelineInfo"]["name"])
    asked, submit = planned.asked, planned.submit
    # Vertex AI keeps pipelines and experiments side by side: one of the pipeline's own name would be the pipeline.
    usual = f"{name}-runs" if planned.where.on == VERTEX else name
    experiment = asked.experiment or submit.experiment or usual
    made = asked.id or f"{name[:80]}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(3)}"
    if not _ID.fullmatch(made):
        raise HeadraceError(
            f"--id: expected small letters, digits and hyphens, a letter first, 127 at most. Received: {made[:140]!r}"
        )
    return Submission(
        text=text,
        ir=ir,
        platform_spec=found.get("platformSpec"),
        name=name,
        id=made,
        parameters=parameters_of(planned, ir, Sender(planned.sources, say, dry)),
        labels={"headrace-pipeline": name[:63], **_commit(), **submit.labels, **asked.labels},
        root=planned.root,
        experiment="" if experiment == NO_EXPERIMENT else experiment,
        caching=asked.caching if asked.caching is not None else submit.caching,
        service_account=planned.said("service_account"),
        network=getattr(planned.place, "network", None) or "",
        encryption_key=getattr(planned.place, "encryption_key", None) or "",
        failure_policy=submit.failure_policy,
        description=str(ir["pipelineInfo"].get("description", "")),
    )


def text_of(planned: Plan) -> str:
    """The compiled file, to the byte as `headrace compile` writes it."""
    if planned.spec is None:
        try:
            return planned.file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            raise HeadraceError(f"{planned.file}: expected text in UTF-8. Received: other bytes") from None
    from headrace.pipelines.compile import prediction_ir, schema_text, training_ir, with_functions

    if planned.asked.pipeline == "prediction":
        return prediction_ir(planned.spec)
    return training_ir(with_functions(planned.spec, planned.file), schema_text(planned.spec, planned.file))


def _commit() -> dict[str, str]:
    """The commit as a label, where that is known."""
    commit = os.environ.get("HEADRACE_COMMIT", "").lower()[:63]
    return {"headrace-commit": commit} if re.fullmatch(r"[a-z0-9_-]+", commit) else {}


def check_images(ir: Mapping[str, Any], where: Where, say: Callable[[str], object]) -> None:
    """Refuses images that only this machine has, where that is certain; Kubeflow's nodes may have been given them.

    Raises:
        HeadraceError: Vertex AI could not pull one.
    """
    executors = ir.get("deploymentSpec", {}).get("executors", {}).values()
    images = sorted({str(one["container"]["image"]) for one in executors if "container" in one})
    local = [image for image in images if only_here(image)]
    if not local or (where.on == VERTEX and where.endpoint) or is_emulator(where.endpoint):
        return
    how = "`make push-images` writes their names to a file, which HEADRACE_IMAGES names"
    if where.on == VERTEX:
        raise HeadraceError(
            f"{where.shown}: expected images in a registry that can be pulled from there; {how}. "
            f"Received: {', '.join(local)}"
        )
    say(f"note: {', '.join(local)} must be on the cluster's nodes; {how}")


def check_weights(planned: Plan) -> None:
    """Refuses a file of weights that lies on this machine: the compiled file names it by its path here.

    Raises:
        HeadraceError: the step that trains could not open it.
    """
    if planned.spec is None or planned.asked.pipeline != "training":
        return
    from headrace.components.train.weights_file import weights_files
    from headrace.pipelines.resources_spec import resources_of

    mounted = resources_of(planned.spec.resources, "train").volumes.values()
    for name in weights_files(planned.spec.train):
        path = (planned.file.resolve().parent / name).resolve()
        if not any(path.is_relative_to(folder) for folder in mounted):
            where = "gs://BUCKET/FILE" if planned.where.on == VERTEX else "a file on a volume (resources.train.volumes)"
            raise HeadraceError(
                f"{planned.file}: train.cnn.weights: expected {where}, `imagenet` from the image's cache, or `none`. "
                f"Received: {name}, which lies on this machine"
            )


def only_here(image: str) -> bool:
    """Whether an image's name has no registry in it: what was built on this machine, and pushed nowhere.

    >>> only_here("headrace/components:0.1.0"), only_here("europe-docker.pkg.dev/acme/ml/components@sha256:1")
    (True, False)
    """
    host, slash, _ = image.partition("/")
    return not slash or not ("." in host or ":" in host or host == "localhost")
